"""Folders of pictures and animations: classes by folder, what is not alike is named, nothing is left out in silence."""

import numpy as np
import pytest
import torch
from PIL import Image

from zsteer.core.rng import Streams
from zsteer.domains.images import files
from zsteer.domains.images.draw import animation, grid
from zsteer.errors import InputError, OutputError, SettingsError
from zsteer.recipes.own import OwnFile
from zsteer.recipes.sets import load_set


def pixels(*shape):
    return Streams.of(0, shape[0]).integers("pixel", 256, shape[1:]).to(torch.uint8).numpy()


def save(folder, images, start=0):
    folder.mkdir(parents=True, exist_ok=True)
    for number, one in enumerate(images, start):
        Image.fromarray(one).save(folder / f"{number:03d}.png")
    return folder


@pytest.fixture
def classed(tmp_path):
    """Twelve boots and eighteen coats of 6 x 5 pixels."""
    save(tmp_path / "wear" / "boot", pixels(12, 6, 5))
    save(tmp_path / "wear" / "coat", pixels(18, 6, 5) // 2)
    return tmp_path / "wear"


def test_subfolders_are_classes(classed):
    found = files.read(classed)
    assert found.pixels.shape == (30, 6, 5)
    assert found.classes == ("boot", "coat")
    assert found.labels.tolist() == [0] * 12 + [1] * 18
    assert np.array_equal(found.pixels[:12], pixels(12, 6, 5))


def test_a_set_of_class_folders_has_classes_in_every_part(classed):
    for dataset in ("own", "fashion-mnist"):  # a folder of pictures is the user's own whatever the recipe's default
        sets = load_set(dataset, classed)
        assert sets.classes == ("boot", "coat")
        assert [len(part) for part in (sets.train, sets.valid, sets.test)] == [24, 3, 3]
        whole = torch.cat([part["y"] for part in (sets.train, sets.valid, sets.test)])
        assert torch.bincount(whole).tolist() == [12, 18]
    dark = sets.train["x"].flatten(1).amax(1) < 0.5
    assert torch.equal(dark, sets.train["y"] == 1)  # labels stay with their images


def test_one_class_is_none(tmp_path):
    save(tmp_path / "all" / "pictures", pixels(25, 4, 4))
    found = files.read(tmp_path / "all")
    assert found.labels is None
    assert found.classes == ()
    assert "y" not in load_set("own", tmp_path / "all").train


def test_labels_beside_images_in_an_archive(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=pixels(30, 4, 4), y=np.arange(30) % 3, classes=np.array(["a", "b", "c"]))
    sets = load_set("own", path)
    assert sets.classes == ("a", "b", "c")
    np.savez(path, x=pixels(30, 4, 4), y=np.arange(29) % 3)
    with pytest.raises(InputError, match="each of 30 images, got 29"):
        files.read(path)
    np.savez(path, x=pixels(30, 4, 4), y=np.arange(30) % 3, classes=np.array(["a", "b"]))
    with pytest.raises(InputError, match="names 2 classes"):
        files.read(path)
    np.savez(path, x=pixels(30, 4, 4), y=np.linspace(0, 1, 30))  # a property is no class
    assert files.read(path).labels is None


def test_the_odd_one_out_is_named_even_if_it_comes_first(classed):
    save(classed / "boot", [pixels(1, 9, 7)[0]], start=0)
    save(classed / "coat", [pixels(1, 6, 5, 3)[0]], start=3)
    (classed / "coat" / "000.png").write_bytes(b"\x89PNG no picture")
    with pytest.raises(InputError, match=r"000\.png.*\(and 2 more\).*--skip-invalid"):
        files.read(classed)
    found = files.read(classed, skip_invalid=True)
    assert len(found.pixels) == 27
    assert found.labels.tolist() == [0] * 11 + [1] * 16
    told = " | ".join(found.skipped)
    assert "boot/000.png is 7 x 9 grey, but 27 of 29 are 5 x 6 grey" in told.replace("\\", "/")
    assert "5 x 6 colour" in told
    assert "cannot be read" in told
    origin = load_set("own", classed, own=OwnFile(skip_invalid=True)).origin
    assert origin["left_out"].startswith("3 pictures: ")
    assert str(classed) not in origin["left_out"]


@pytest.mark.parametrize("cut", [0, 1, 12, 40, 70])
def test_a_truncated_picture_is_one_line(tmp_path, cut):
    whole = save(tmp_path / "a", pixels(1, 16, 16)) / "000.png"
    whole.write_bytes(whole.read_bytes()[:cut])
    with pytest.raises(InputError, match=r"000\.png cannot be read as a picture"):
        files.read(tmp_path / "a")


def test_folders_that_are_neither_one_nor_the_other_are_refused(classed, tmp_path):
    (classed / "empty").mkdir()
    with pytest.raises(InputError, match="empty holds no pictures"):
        files.read(classed)
    assert "empty" in files.read(classed, skip_invalid=True).skipped[0]
    save(classed, pixels(1, 6, 5))
    with pytest.raises(InputError, match="beside folders of pictures"):
        files.read(classed)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InputError, match="holds no pictures"):
        files.read(tmp_path / "nothing")
    with pytest.raises(SettingsError, match="skip_invalid"):
        load_set("ring-8", None, own=OwnFile(skip_invalid=True))


def test_sixteen_bits_palettes_and_transparency(tmp_path):
    deep = np.arange(256, dtype=np.uint16).reshape(16, 16) * 257
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert np.array_equal(files.read(tmp_path / "deep.png").pixels[0], np.arange(256).reshape(16, 16))
    clear = np.zeros((4, 4, 4), dtype=np.uint8)
    clear[:2, :, 3] = 255
    Image.fromarray(clear).save(tmp_path / "clear.png")
    shown = files.read(tmp_path / "clear.png").pixels[0]
    assert shown[:2].max() == 0  # black where it is opaque
    assert shown[2:].min() == 255  # white where it is not
    Image.fromarray(pixels(1, 8, 8)[0]).convert("P").save(tmp_path / "palette.png")
    assert np.array_equal(files.read(tmp_path / "palette.png").pixels, pixels(1, 8, 8))


def test_frames_come_back_from_an_animation(tmp_path):
    grey = pixels(5, 12, 10)
    files.write(tmp_path / "a.gif", grey, overwrite=False)
    assert np.array_equal(files.read(tmp_path / "a.gif").pixels, grey)  # 256 greys fit the format
    files.write(tmp_path / "c.gif", pixels(3, 8, 8, 3), overwrite=False)  # 64 colours a frame fit too
    assert np.array_equal(files.read(tmp_path / "c.gif").pixels, pixels(3, 8, 8, 3))
    with pytest.raises(InputError, match="5 frames where one picture"):
        files.read(tmp_path)
    with pytest.raises(OutputError, match=r"\.gif \(an image a frame\)"):
        files.check_ending(tmp_path / "a.mp4")


@pytest.mark.parametrize("shape", [(6, 4, 4), (6, 4, 4, 3)])
def test_an_animation_is_a_grid_at_every_step(shape):
    steps = [pixels(*shape), 255 - pixels(*shape)]
    made = animation(steps, columns=3, gap=1, zoom=2)
    assert made.shape == (2, 18, 28, *shape[3:])
    for frame, one in zip(made, steps, strict=True):
        assert np.array_equal(frame[::2, ::2], grid(one, columns=3, gap=1))
    with pytest.raises(InputError, match="one step or more"):
        animation([])
    with pytest.raises(InputError, match="one step or more"):
        animation([steps[0], steps[1][:3]])
