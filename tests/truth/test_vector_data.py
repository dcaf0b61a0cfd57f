"""Images and tables as data: they go through files unchanged, and what cannot be used is named with its place."""

import gzip
import struct

import numpy as np
import pytest
import torch

from zsteer.core.rng import Streams
from zsteer.domains.images import files as image_files
from zsteer.domains.images.draw import grid, inline
from zsteer.domains.images.space import ImageSpace
from zsteer.domains.tables import files as table_files
from zsteer.domains.tables.space import TableSpace
from zsteer.domains.tables.toys import MIXTURES
from zsteer.errors import InputError, OutputError, SettingsError
from zsteer.recipes.sets import load_set

TABLE = "height,smoker,colour\n1.5,0,red\n1.75,1,blue\n1.25,1,red\n2,0,blue\n"


def pixels(*shape):
    values = Streams.of(0, shape[0]).integers("pixel", 256, shape[1:])
    return values.to(torch.uint8).numpy()


@pytest.mark.parametrize("shape", [(5, 8, 6), (5, 8, 6, 3)])
@pytest.mark.parametrize("ending", [".npz", ".npy", ""])
def test_images_come_back_from_files_as_they_were(tmp_path, shape, ending):
    images, path = pixels(*shape), tmp_path / f"images{ending}"
    image_files.write(path, images, overwrite=False)
    assert np.array_equal(image_files.read(path).pixels, images)
    with pytest.raises(OutputError, match="exists"):
        image_files.write(path, images, overwrite=False)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_go_through_their_space_unchanged(channels):
    images = pixels(4, 6, 5) if channels == 1 else pixels(4, 6, 5, 3)
    space = ImageSpace(channels, 6, 5)
    assert np.array_equal(space.decode(space.encode(images)), images)
    assert ImageSpace.of(space.settings()) == space


def test_binary_images_are_cut_in_the_middle():
    images = np.array([[[0, 127], [128, 255]]], dtype=np.uint8)
    assert ImageSpace(1, 2, 2, binary=True).encode(images)["x"].flatten().tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("packed", [False, True])
def test_idx_files_are_read(tmp_path, packed):
    images = pixels(3, 4, 5)
    raw = struct.pack(">IIII", 0x803, 3, 4, 5) + images.tobytes()
    path = tmp_path / ("x-ubyte.gz" if packed else "x-ubyte")
    path.write_bytes(gzip.compress(raw) if packed else raw)
    assert np.array_equal(image_files.read(path).pixels, images)
    path.write_bytes(gzip.compress(raw[:-7]) if packed else raw[:-7])
    with pytest.raises(InputError, match="truncated"):
        image_files.read(path)


def test_a_folder_names_the_broken_picture_and_skips_it_only_on_demand(tmp_path):
    folder = tmp_path / "pictures"
    image_files.write(folder, pixels(3, 4, 4), overwrite=False)
    (folder / "00001.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"00001\.png.*--skip-invalid"):
        image_files.read(folder)
    found = image_files.read(folder, skip_invalid=True)
    assert len(found.pixels) == 2
    assert len(found.skipped) == 1


@pytest.mark.parametrize(
    ("array", "hint"),
    [
        (np.zeros((3, 4)), "shape"),
        (np.full((2, 3, 3), 2.0), r"\[0, 1\]"),
        (np.full((2, 3, 3), np.nan), "picture 1 .*not finite"),
        (np.zeros((2, 3, 4, 4)), "channels come first"),
        (np.full((2, 3, 3), 300), "0 ... 255"),
    ],
)
def test_arrays_that_are_no_images_are_refused(tmp_path, array, hint):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(InputError, match=hint):
        image_files.read(tmp_path / "a.npy")


def test_an_archive_of_pickled_objects_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match="cannot be read"):
        image_files.read(tmp_path / "a.npy")
    with pytest.raises(InputError, match="cannot be read"):
        table_files.read(tmp_path / "a.npy")


def test_a_grid_holds_every_image():
    images = pixels(5, 4, 3)
    sheet = grid(images, columns=2, gap=1)
    assert sheet.shape == (14, 7)
    assert np.array_equal(sheet[5:9, 4:7], images[3])
    assert inline(images).startswith("<img ")


def test_a_table_goes_through_its_space_unchanged(tmp_path):
    (tmp_path / "t.csv").write_text(TABLE)
    table = table_files.read(tmp_path / "t.csv").columns
    space = TableSpace.learn(table, where="t.csv")
    assert [column.kind for column in space.columns] == ["real", "binary", "category"]
    x = space.encode(table)
    assert x["x"].shape == (4, 4)
    back = space.decode(x)
    assert np.allclose(back["height"], table["height"])
    assert back["colour"].tolist() == table["colour"].tolist()
    assert TableSpace.of(space.settings()) == space
    table_files.write(tmp_path / "u.tsv", back, overwrite=False)
    assert np.allclose(table_files.read(tmp_path / "u.tsv").columns["height"], table["height"])


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "is empty"),
        ("a,b\n", "no rows"),
        ("a,a\n1,2\n", "'a' twice"),
        ("a,b\n1,2\n3\n", "line 3: expected 2 cells, got 1"),
        ("a,b\n1,2\n3,\n", "line 3: column 'b' is empty"),
    ],
)
def test_a_broken_table_is_named_by_line(tmp_path, text, hint):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError, match=hint):
        table_files.read(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("values", "hint"),
    [
        ([1.0, 1.0, 1.0], "'a' is constant"),
        ([1.0, np.nan, 2.0], "row 2, column 'a': expected a finite number"),
        ([1.0], "at least 2 rows"),
    ],
)
def test_a_column_that_cannot_be_learnt_from_is_named(values, hint):
    with pytest.raises(InputError, match=hint):
        TableSpace.learn({"a": np.array(values)}, where="t.csv")


def test_rows_that_do_not_fit_the_space_are_refused():
    space = TableSpace.learn({"a": np.array([0.5, 2, 3]), "c": np.array(["x", "y", "x"])}, where="t.csv")
    with pytest.raises(InputError, match="column"):
        space.encode({"a": np.array([1.0])})
    with pytest.raises(InputError, match="row 1, column 'c'"):
        space.encode({"a": np.array([1.0]), "c": np.array(["z"])})
    with pytest.raises(InputError, match="row 2, column 'a'"):
        space.encode({"a": np.array([1.0, np.inf]), "c": np.array(["x", "y"])})


def test_a_table_of_the_users_own_is_split_alike_every_time(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("a,b\n" + "".join(f"{i},{i * i % 7}\n" for i in range(100)))
    first, second = load_set("own", path), load_set("fashion-mnist", path)
    assert torch.equal(first.train["x"], second.train["x"])
    assert [len(part) for part in (first.train, first.valid, first.test)] == [80, 10, 10]
    path.write_text("a\n" + "1.5\n2\n" * 5)
    with pytest.raises(InputError, match="at least 20"):
        load_set("own", path)


def test_sets_that_do_not_exist_are_refused(tmp_path):
    with pytest.raises(SettingsError, match="did you mean 'fashion-mnist'"):
        load_set("fashion-minst", None)
    with pytest.raises(InputError, match="ZSTEER_DATA"):
        load_set("mnist", None)
    with pytest.raises(InputError, match=r"images/mnist\.npz"):
        load_set("mnist", tmp_path)
    with pytest.raises(InputError, match="--data FILE"):
        load_set("own", None)


@pytest.mark.parametrize("name", list(MIXTURES))
def test_a_mixture_knows_its_modes(name, seed):
    mixture = MIXTURES[name]
    x, mode = mixture.sample(Streams.of(seed, 4000))
    found, distance = mixture.nearest(x)
    assert torch.equal(found, mode)  # the centres are dozens of deviations apart
    # A radius of 3 deviations in the plane holds 1 - exp(-4.5) = 0.989 of a normal; 4,000 draws leave 0.005 (3 sd).
    assert float((distance < 3).float().mean()) == pytest.approx(0.989, abs=0.006)
    assert len(mode.unique()) == len(mixture.centres)


def test_fashion_mnist_comes_with_its_own_split(data_folder):
    sets = load_set("fashion-mnist", data_folder)
    assert (len(sets.train), len(sets.valid), len(sets.test)) == (55000, 5000, 10000)
    assert sets.classes[9] == "Ankle boot"
    assert sets.datum.shape == (1, 28, 28)
