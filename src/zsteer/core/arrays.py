"""Reading numpy's files as they come from anybody: what is wrong is one ``InputError``, and nothing grows without end.

Every reader of ``.npz`` and ``.npy`` goes through here. Pickled objects are refused. What a header promises is compared
with what the file can hold before memory is taken, and what unpacks to more than ``LARGEST`` is refused.
"""

import io
import math
import tokenize
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from zsteer.core.reading import LARGEST, check_regular
from zsteer.errors import InputError

__all__ = ["ALONE", "array_shapes", "read_arrays"]

ALONE = ""
"""Name of the one array of a ``.npy``."""

# What numpy, zipfile and zlib raise on damaged files, as fuzzing found it: there is no common class.
_FAULTS = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    TypeError,
    AttributeError,
    IndexError,
    SyntaxError,
    OverflowError,
    MemoryError,
    RuntimeError,
    zlib.error,
    zipfile.BadZipFile,
    tokenize.TokenError,
)


def read_arrays(path: Path, names: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
    """Arrays of a file by name; of a ``.npy`` the one is called ``ALONE``.

    Args:
        path: of the file.
        names: which to read; all when None. Names that the file lacks are absent.

    Raises:
        InputError: if it cannot be read, is damaged, holds objects, or unpacks to too much.
    """
    with _opened(path) as members:
        return {name: _array(file, size) for name, file, size in members if names is None or name in names}


def array_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of the arrays of a file, without reading them.

    Raises:
        InputError: as for ``read_arrays``.
    """
    with _opened(path) as members:
        return {name: _header(file)[0] for name, file, _ in members}


@contextmanager
def _opened(path: Path) -> Iterator[Iterator[tuple[str, io.BufferedIOBase, int]]]:
    check_regular(path)
    try:
        with path.open("rb") as file:
            yield _members(file, path.stat().st_size)
    except InputError:
        raise
    except _FAULTS as error:
        line = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(f"{path} cannot be read as numpy arrays: {line}") from error


def _members(file: io.BufferedIOBase, size: int) -> Iterator[tuple[str, io.BufferedIOBase, int]]:
    """Name, content and length of each array."""
    if not zipfile.is_zipfile(file):
        file.seek(0)
        yield ALONE, file, size
        return
    file.seek(0)
    with zipfile.ZipFile(file) as archive:
        whole = sum(info.file_size for info in archive.infolist())
        if whole > LARGEST:
            raise ValueError(f"it unpacks to {whole / 2**30:.1f} GiB, more than {LARGEST / 2**30:.0f}")
        for info in archive.infolist():
            if info.filename.endswith(".npy"):
                with archive.open(info) as member:
                    yield info.filename.removesuffix(".npy"), cast("io.BufferedIOBase", member), info.file_size


def _header(file: io.BufferedIOBase) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, order, type and length of a header."""
    major, _ = npy.read_magic(file)
    taken = io.BytesIO()
    # The header's own length comes first; a lie there is a short read.
    length = file.read(2 if major == 1 else 4)
    taken.write(length + file.read(min(int.from_bytes(length, "little"), 1_000_000)))
    taken.seek(0)
    read = npy.read_array_header_1_0 if major == 1 else npy.read_array_header_2_0
    shape, fortran, dtype = read(taken)
    return shape, fortran, dtype, npy.MAGIC_LEN + len(taken.getvalue())


def _array(file: io.BufferedIOBase, size: int) -> NDArray[Any]:
    shape, fortran, dtype, before = _header(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are never loaded; save plain numbers or texts")
    if any(axis < 0 for axis in shape):
        raise ValueError(f"its header says a shape of {shape}")
    wanted = math.prod(shape) * dtype.itemsize
    if wanted > size - before:
        raise ValueError(f"its header promises {wanted:,} bytes, and it holds {max(size - before, 0):,}")
    content, there = bytearray(wanted), 0
    while there < wanted and (step := file.readinto(memoryview(content)[there:])):
        there += step
    if there < wanted:
        raise ValueError(f"expected {wanted:,} bytes, got {there:,}")
    if file.read(1):  # an array saved behind the first would be lost; and the end is where an archive checks its sum
        raise ValueError("it holds more than its header promises")
    found = np.frombuffer(content, dtype=dtype)
    return found.reshape(shape[::-1]).T if fortran else found.reshape(shape)
