"""Pictures as people see them: turned, in 8 bits, alike on request; classes in every part; the user's own path."""

import numpy as np
import pytest
import torch
from PIL import Image

from zsteer.core.rng import Streams
from zsteer.domains.images import files
from zsteer.domains.images.files import Shaping
from zsteer.errors import InputError, SettingsError
from zsteer.recipes.autoencoders.settings import VAERecipe
from zsteer.recipes.own import OwnFile
from zsteer.recipes.sets import dataset_of, load_set


def pixels(*shape):
    return Streams.of(0, shape[0]).integers("pixel", 256, shape[1:]).to(torch.uint8).numpy()


def save(folder, images):
    folder.mkdir(parents=True, exist_ok=True)
    for number, one in enumerate(images):
        Image.fromarray(one).save(folder / f"{number:03d}.png")
    return folder


@pytest.mark.parametrize(("orientation", "turn"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_a_picture_is_turned_as_viewers_turn_it(tmp_path, orientation, turn):
    image = Image.fromarray(pixels(1, 6, 5, 3)[0])
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(tmp_path / "a.png", exif=exif)
    shown = files.read(tmp_path / "a.png").pixels[0]
    assert np.array_equal(shown, np.rot90(np.asarray(image), turn))
    assert np.array_equal(files.read(tmp_path).pixels[0], shown)


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_deep_grey_keeps_its_light(tmp_path, bits):
    top = (1 << bits) - 1
    deep = np.linspace(0, top, 64).round().astype(np.uint16).reshape(8, 8)
    save(tmp_path, [deep, deep // 2])
    found = files.read(tmp_path)
    assert np.array_equal(found.pixels[0], (deep * (255 / top)).round())
    assert found.pixels[1].max() == pytest.approx(127, abs=1)  # one scale for the whole set
    assert f"{bits}-bit" in found.notes[0]


def test_floating_point_grey_is_scaled_or_refused(tmp_path):
    values = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    Image.fromarray(values).save(tmp_path / "a.tiff")
    found = files.read(tmp_path)
    assert np.array_equal(found.pixels[0], (values * 255.0).round())
    assert "floating-point" in found.notes[0]
    Image.fromarray(values * 300).save(tmp_path / "b.tiff")
    with pytest.raises(InputError, match=r"b\.tiff.*\[0, 1\].*300"):
        files.read(tmp_path)
    Image.fromarray(values * np.float32(np.nan)).save(tmp_path / "b.tiff")
    with pytest.raises(InputError, match=r"b\.tiff"):
        files.read(tmp_path)


@pytest.mark.parametrize(("shift", "word"), [(0, "nearly black"), (240, "nearly white")])
def test_a_set_without_light_is_warned_of(tmp_path, shift, word):
    save(tmp_path, pixels(3, 4, 4) // 16 + np.uint8(shift))
    assert any(word in note for note in files.read(tmp_path).notes)
    np.save(tmp_path / "a.npy", pixels(3, 4, 4) // 16 + np.uint8(shift))
    assert any(word in note for note in files.read(tmp_path / "a.npy").notes)
    assert not files.read(save(tmp_path / "bright", pixels(3, 4, 4))).notes


def test_pictures_of_many_sizes_are_made_alike_on_request(tmp_path):
    save(tmp_path, [np.full((4 * k, 6 * k), 10 * k, np.uint8) for k in range(2, 8)])
    with pytest.raises(InputError, match="--resize"):
        files.read(tmp_path)
    small = files.read(tmp_path, shaping=Shaping(resize=8))
    assert small.pixels.shape == (6, 8, 8)
    assert small.pixels.reshape(6, -1).max(1).tolist() == [20, 30, 40, 50, 60, 70]
    assert files.read(tmp_path, shaping=Shaping(crop=8)).pixels.shape == (6, 8, 8)
    with pytest.raises(InputError, match=r"000\.png is 12 x 8, smaller than --crop 9"):
        files.read(tmp_path, shaping=Shaping(crop=9))
    left = files.read(tmp_path, shaping=Shaping(crop=9), skip_invalid=True)
    assert (len(left.pixels), len(left.skipped)) == (5, 1)
    np.save(tmp_path / "a.npy", pixels(3, 9, 9))
    cut = files.read(tmp_path / "a.npy", shaping=Shaping(crop=3, color="rgb")).pixels
    assert np.array_equal(cut[..., 0], pixels(3, 9, 9)[:, 3:6, 3:6])


@pytest.mark.parametrize(("color", "shape"), [("rgb", (4, 5, 5, 3)), ("grey", (4, 5, 5))])
def test_grey_among_colour_is_converted_on_request(tmp_path, color, shape):
    save(tmp_path, [*pixels(3, 5, 5, 3), pixels(1, 5, 5)[0]])
    with pytest.raises(InputError, match=r"003\.png is 5 x 5 grey.*--color"):
        files.read(tmp_path)
    found = files.read(tmp_path, shaping=Shaping(color=color)).pixels
    assert found.shape == shape
    assert np.array_equal(found[3] if color == "grey" else found[3, ..., 1], pixels(1, 5, 5)[0])


def test_every_class_is_in_every_part_and_small_ones_are_learnt_whole(tmp_path):
    for name, count in {"many": 60, "some": 20, "two": 2, "one": 1}.items():
        save(tmp_path / name, pixels(count, 4, 4))
    sets = load_set("auto", tmp_path)
    counts = [torch.bincount(part["y"], minlength=4).tolist() for part in (sets.train, sets.valid, sets.test)]
    assert [sum(column) for column in zip(*counts, strict=True)] == [60, 1, 20, 2]  # classes go by name
    assert counts[0][1::2] == [1, 2]
    assert all(4 <= part[0] <= 8 and 1 <= part[2] <= 3 for part in counts[1:])
    assert "many 60, one 1, some 20, two 2" in sets.lines[1]
    assert "one, two" in sets.lines[2]
    assert "many 60" in sets.origin["read"]


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (np.array(["cat", "dog", "cow"] * 10), ("cat", "cow", "dog")),
        (np.array([b"cat", b"dog"] * 15), ("cat", "dog")),
        (np.arange(30) % 2 == 0, ("False", "True")),
        (np.arange(30) % 3, ("0", "1", "2")),
        (np.linspace(0, 1, 30), ()),
    ],
)
def test_labels_beside_images_are_classes_or_named(tmp_path, labels, classes):
    np.savez(tmp_path / "a.npz", x=pixels(30, 4, 4), y=labels)
    found = files.read(tmp_path / "a.npz")
    assert found.classes == classes
    if classes:
        names = np.array(classes)[found.labels]
        wanted = [word.decode() if isinstance(word, bytes) else str(word) for word in labels.tolist()]
        assert names.tolist() == wanted
    else:
        assert "no class" in found.notes[0]


def test_a_path_that_the_user_names_is_the_users_own(tmp_path):
    public = tmp_path / "public" / "images"
    public.mkdir(parents=True)
    (public / "fashion_mnist.npz").write_bytes(b"")
    (tmp_path / "nothing").mkdir()
    save(tmp_path / "classes" / "a", pixels(2, 4, 4))
    (tmp_path / "classes" / "none").mkdir()
    assert dataset_of("auto", None) == "fashion-mnist"
    assert dataset_of("auto", tmp_path / "public") == "fashion-mnist"
    assert dataset_of("auto", tmp_path / "nothing") == "own"
    assert VAERecipe().resolve(tmp_path / "classes").dataset == "own"
    assert VAERecipe(dataset="ring-8").resolve(tmp_path / "public").dataset == "ring-8"
    with pytest.raises(InputError, match="nothing holds no pictures"):
        load_set("auto", tmp_path / "nothing")
    with pytest.raises(InputError, match="none holds no pictures"):
        load_set("auto", tmp_path / "classes")
    for dataset in ("auto", "fashion-mnist", "own"):
        with pytest.raises(InputError, match=r"no file or folder .*absent"):
            load_set(dataset, tmp_path / "absent")
    with pytest.raises(SettingsError, match="resize"):
        load_set("ring-8", None, own=OwnFile(resize=8))


def test_a_grid_is_large_enough_and_names_its_classes(tmp_path):
    images = pixels(6, 8, 8)
    files.write(tmp_path / "plain.png", images, overwrite=False)
    with Image.open(tmp_path / "plain.png") as sheet:
        assert sheet.size == (3 * 66 - 2, 2 * 66 - 2)
    labels = ["cat", "dog"] * 3
    files.write(tmp_path / "named.png", images, overwrite=False, labels=labels)
    with Image.open(tmp_path / "named.png") as opened:
        sheet = np.asarray(opened)
    assert sheet.shape == (3 * (64 + 13 + 2) - 2, 2 * 66 - 2)  # a column for each class
    assert np.array_equal(sheet[:64:8, 66:130:8], images[1])
    assert (sheet[64:77, :64] < 100).any()
    assert not np.array_equal(sheet[64:77, :64], sheet[64:77, 66:130])
    files.write(tmp_path / "named.npz", images, overwrite=False, labels=labels)
    assert files.read(tmp_path / "named.npz").classes == ("cat", "dog")


def test_a_report_says_what_is_read(tmp_path):
    save(tmp_path / "a", pixels(4, 4, 6))
    save(tmp_path / "b", pixels(2, 4, 6))
    lines = files.report(tmp_path).lines
    assert "6 pictures" in lines[0]
    assert "6 x 4 pixels, grey" in lines[0]
    assert lines[1] == "classes: a 4, b 2"
