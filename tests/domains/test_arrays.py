"""Files of arrays and bytes as they come from anybody: one line for whatever is wrong, and no memory for a lie."""

import contextlib
import gzip
import io
import os
import struct
import zipfile

import numpy as np
import pytest

from zsteer.core import reading
from zsteer.core.arrays import ALONE, array_shapes, read_arrays
from zsteer.core.reading import check_regular, read_bytes
from zsteer.domains.images import files as images
from zsteer.domains.molecules.data import read_folder_npz
from zsteer.domains.ratings import files as ratings
from zsteer.domains.sequences import files as receptors
from zsteer.domains.tables import files as tables
from zsteer.errors import InputError

X = np.arange(24, dtype=np.float32).reshape(4, 6)


def npz(path, **arrays):
    with path.open("wb") as file:
        np.savez_compressed(file, **(arrays or {"x": X}))
    return path


def test_arrays_come_back_as_they_were(tmp_path):
    kinds = {"x": X, "f": np.asfortranarray(X), "w": np.array(["a", "bc"]), "b": np.array([True, False]), "e": X[:0]}
    found = read_arrays(npz(tmp_path / "a.npz", **kinds))
    assert {name: (value.dtype, value.tolist()) for name, value in found.items()} == {
        name: (value.dtype, value.tolist()) for name, value in kinds.items()
    }
    assert set(read_arrays(tmp_path / "a.npz", ("w", "none"))) == {"w"}
    assert array_shapes(tmp_path / "a.npz")["x"] == (4, 6)
    np.save(tmp_path / "a.npy", X)
    assert read_arrays(tmp_path / "a.npy")[ALONE].tolist() == X.tolist()


def header(shape):
    """A .npy that promises a shape and holds eight bytes."""
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}"
    text = text.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + b"\0" * 8


def archive(path, content, name="x.npy", **more):
    with zipfile.ZipFile(path, "w", **more) as file:
        file.writestr(name, content)
    return path


def flipped(path, place):
    """One byte changed: of the content, or of the list at the end, where the method of packing stands."""
    raw = bytearray(npz(path).read_bytes())
    raw[raw.index(b"PK\x01\x02") + 10 if place is None else place] ^= 0x5A
    path.write_bytes(bytes(raw))
    return path


def objects(path):
    with path.open("wb") as file:
        np.savez(file, allow_pickle=True, x=np.array([{"a": 1}], dtype=object))
    return path


def two(path):
    """Two arrays behind each other, as np.save writes them into one open file."""
    with path.open("wb") as file:
        np.save(file, X)
        np.save(file, X)


BROKEN = {
    "an array behind the first": two,
    "a lie of the header": lambda path: archive(path, header((10**9, 10**3))),
    "a negative shape": lambda path: archive(path, header((-1,))),
    "a shape that is none": lambda path: archive(path, header("'x'")),
    "no header": lambda path: archive(path, b"\x93NUMPY"),
    "another version": lambda path: archive(path, b"\x93NUMPY\x09\x00" + bytes(100)),
    "a short header": lambda path: archive(path, header((1,))[:40]),
    "python objects": objects,
    "a flipped bit": lambda path: flipped(path, 60),
    "a flipped method": lambda path: flipped(path, None),
    "half": lambda path: path.write_bytes(npz(path).read_bytes()[:120]),
    "text": lambda path: path.write_text("x,y\n1,2\n"),
    "nothing": lambda path: path.write_bytes(b""),
    "a folder": lambda path: path.mkdir(),
    "absent": lambda _: None,
}


@pytest.mark.parametrize("read", [read_arrays, images.read, tables.read, read_folder_npz])
@pytest.mark.parametrize("name", BROKEN)
def test_a_damaged_file_is_one_line(tmp_path, name, read):
    path = tmp_path / "bad.npz"
    BROKEN[name](path)
    with pytest.raises(InputError) as caught:
        read(path)
    assert "bad.npz" in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_what_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("zsteer.core.arrays.LARGEST", 10_000)
    with pytest.raises(InputError, match="unpacks"):
        read_arrays(npz(tmp_path / "bomb.npz", x=np.zeros(100_000)))
    monkeypatch.setattr(reading, "BLOCK", 1000)
    (tmp_path / "bomb.tsv.gz").write_bytes(gzip.compress(b"a" * 1_000_000))
    with pytest.raises(InputError, match="more than"):
        read_bytes(tmp_path / "bomb.tsv.gz", largest=10_000)
    assert len(read_bytes(tmp_path / "bomb.tsv.gz")) == 1_000_000


@pytest.mark.skipif(os.name != "posix", reason="pipes with names are those of POSIX")
def test_what_never_ends_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.smi")
    for read in (check_regular, read_bytes, read_arrays, tables.read):
        with pytest.raises(InputError, match="pipe"):
            read(tmp_path / "pipe.smi")


def test_gzip_that_is_cut_is_named(tmp_path):
    path = tmp_path / "list.smi.gz"
    path.write_bytes(gzip.compress(b"CCO\n" * 1000)[:-9])
    with pytest.raises(InputError, match="gzip"):
        read_bytes(path)


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.95])
def test_a_cut_animation_is_refused_or_read(tmp_path, keep):
    from PIL import Image

    frames = [Image.fromarray((np.arange(64).reshape(8, 8) * k % 256).astype(np.uint8)) for k in range(1, 6)]
    whole = io.BytesIO()
    frames[0].save(whole, "GIF", save_all=True, append_images=frames[1:])
    path = tmp_path / "cut.gif"
    path.write_bytes(whole.getvalue()[: int(keep * len(whole.getvalue()))])
    with contextlib.suppress(InputError):  # any other error fails
        assert images.read(path).pixels.shape[1:3] == (8, 8)


@pytest.mark.parametrize("read", [tables.read, ratings.read])
def test_a_quote_that_is_never_closed_is_named_with_its_file(tmp_path, read):
    path = tmp_path / "quote.csv"
    path.write_text('user,item,rating\n1,"' + "a,2\n1," * 40_000)
    with pytest.raises(InputError, match=r"quote\.csv"):
        read(path)


@pytest.mark.parametrize("head", ["x,y\n1,", "cdr3b,y\nCASSLGQAYEQYF,", "x;y\n1;"])
def test_a_cell_without_end_is_named_by_its_line(tmp_path, head):
    path = tmp_path / "long.csv"
    path.write_text(head + "7" * 140_000 + "\n")
    reader = receptors.read if head.startswith("cdr3b") else tables.read
    with pytest.raises(InputError, match=r"long\.csv.* 2"):
        reader(path)
