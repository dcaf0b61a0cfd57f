"""The prepared container on disk: one uncompressed ``.npz`` that is opened by mapping it into memory.

Every field of :class:`Molecules` is one member of the archive, ``property/<name>`` one of each property,
``word/<name>`` one of each item of text, ``label/<name>`` one of each label of atoms, and ``zsteer`` a line of JSON
with the counts, the content hash and notes. Members are aligned to 64 bytes, so that an array is a view of the file:
opening costs the check sum of the file, not its reading into memory. Imports numpy alone.
"""

import io
import json
import mmap
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsteer.core.files import new_file
from zsteer.domains.molecules.container import Molecules
from zsteer.errors import InputError

__all__ = ["MARK", "about", "is_prepared", "open_prepared", "save_prepared"]

MARK = "zsteer"
"""Member that tells a prepared container from another ``.npz``."""

_VERSION = 1
_ALIGN = 64
_PADDING = 0xD935  # a tag for fillers in the extra field of a zip member that other readers skip
_STAMP = (1980, 1, 1, 0, 0, 0)  # no time of writing, so that equal content gives equal files
_DTYPES: Mapping[str, type[np.generic]] = {
    "z": np.uint8,
    "xyz": np.float32,
    "offsets": np.int64,
    "charge": np.int8,
    "hydrogens": np.int8,
    "bonds": np.int32,
    "order": np.uint8,
    "aromatic": np.bool_,
    "bond_offsets": np.int64,
}
_WORDS = ("smiles", "names", "split")


def save_prepared(
    path: str | Path, molecules: Molecules, *, notes: Sequence[str] = (), overwrite: bool = False
) -> None:
    """Write a prepared container; the file appears whole or not at all.

    Args:
        path: file that ends in ``.npz``.
        molecules: what to write.
        notes: lines that say where the molecules come from, for example the counts of the filters.
        overwrite: replace a file that exists.

    Raises:
        OutputError: if the file exists and ``overwrite`` is false, or the disk refuses.
    """
    arrays: dict[str, NDArray[Any]] = {}
    for name in _DTYPES:
        value = getattr(molecules, name)
        if value is not None:
            arrays[name] = np.ascontiguousarray(value, _DTYPES[name])
    arrays |= {name: _packed(value) for name in _WORDS if (value := getattr(molecules, name)) is not None}
    arrays |= {f"property/{name}": np.asarray(value, np.float64) for name, value in molecules.properties.items()}
    arrays |= {f"word/{name}": _packed(value) for name, value in molecules.words.items()}
    arrays |= {f"label/{name}": np.asarray(value, np.int32) for name, value in molecules.labels.items()}
    heading = {
        "format": "zsteer-molecules",
        "version": _VERSION,
        "molecules": len(molecules),
        "atoms": len(molecules.z),
        "digest": molecules.digest(),
        "notes": list(notes),
    }
    arrays[MARK] = np.frombuffer(json.dumps(heading, ensure_ascii=False).encode(), np.uint8)
    with new_file(Path(path), overwrite=overwrite) as partial, zipfile.ZipFile(partial, "w") as archive:
        for name, value in arrays.items():
            _member(archive, name + ".npy", value)


def _packed(words: NDArray[Any]) -> NDArray[Any]:
    """ASCII words as bytes: a quarter of the room."""
    try:
        return np.asarray(words).astype("S")
    except UnicodeEncodeError:
        return np.asarray(words)


def _member(archive: zipfile.ZipFile, name: str, value: NDArray[Any]) -> None:
    content = io.BytesIO()
    np.lib.format.write_array(content, value, allow_pickle=False)
    info = zipfile.ZipInfo(name, _STAMP)
    info.external_attr = 0o644 << 16
    start = archive.fp.tell() if archive.fp else 0
    fill = -(start + 30 + len(name.encode()) + 4) % _ALIGN
    info.extra = struct.pack("<HH", _PADDING, fill) + bytes(fill)
    archive.writestr(info, content.getvalue())


def is_prepared(path: str | Path) -> bool:
    """Whether a file is an archive with the mark of a prepared container; false for anything else, broken or not."""
    try:
        with zipfile.ZipFile(path) as archive:
            return MARK + ".npy" in archive.namelist()
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError, RuntimeError):
        return False


def open_prepared(path: str | Path, *, verify: bool = True) -> Molecules:
    """Open a prepared container; its arrays are views of the file.

    Args:
        path: file written by :func:`save_prepared`.
        verify: compare the check sum of every member, which reads the file once.

    Raises:
        InputError: if the file is missing, damaged, or no prepared container.
    """
    path = Path(path)
    arrays = _arrays(path, verify=verify)
    if MARK not in arrays:
        raise InputError(f"{path}: no prepared container (it has no member {MARK!r}); make one with zsteer convert")
    heading = _heading(path, arrays)
    missing = [name for name in ("z", "xyz", "offsets", "charge", "hydrogens") if name not in arrays]
    if missing:
        raise InputError(f"{path}: the array {missing[0]!r} is missing; make the container again with zsteer convert")
    for name, kind in _DTYPES.items():
        if name in arrays and arrays[name].dtype != kind:
            raise InputError(f"{path}: expected {name} as {np.dtype(kind)}, got {arrays[name].dtype}")
    fields: dict[str, Any] = {name: arrays[name] for name in _DTYPES if name in arrays}
    words: dict[str, Any] = {name: _words(path, name, arrays[name]) for name in _WORDS if name in arrays}
    words["words"] = {name: _words(path, name, value) for name, value in _under(arrays, "word/").items()}
    words["labels"] = _under(arrays, "label/")
    for name, value in words["labels"].items():
        if value.dtype != np.int32:
            raise InputError(f"{path}: expected the label {name} as int32, got {value.dtype}")
    _check_ranges(path, fields)
    try:
        found = Molecules(**fields, properties=_under(arrays, "property/"), **words)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    if len(found) != heading.get("molecules") or len(found.z) != heading.get("atoms"):
        raise InputError(f"{path}: holds {len(found)} molecules, but its heading says {heading.get('molecules')}")
    return found


def _under(arrays: Mapping[str, NDArray[Any]], folder: str) -> dict[str, NDArray[Any]]:
    return {key.removeprefix(folder): value for key, value in arrays.items() if key.startswith(folder)}


def about(path: str | Path) -> dict[str, Any]:
    """The heading of a prepared container: counts, content hash (``digest``) and notes.

    Raises:
        InputError: if the file is missing, damaged, or no prepared container.
    """
    arrays = _arrays(Path(path), verify=False)
    if MARK not in arrays:
        raise InputError(f"{path}: no prepared container (it has no member {MARK!r}); make one with zsteer convert")
    return _heading(Path(path), arrays)


def _heading(path: Path, arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    try:
        heading = json.loads(arrays[MARK].tobytes())
    except ValueError:
        raise InputError(f"{path}: the heading is damaged; copy the file again") from None
    if not isinstance(heading, dict) or heading.get("format") != "zsteer-molecules":
        raise InputError(f"{path}: the heading is not that of a set of molecules")
    if heading.get("version") != _VERSION:
        raise InputError(f"{path}: version {heading.get('version')} of the container; this zsteer reads {_VERSION}")
    return heading


def _arrays(path: Path, *, verify: bool) -> dict[str, NDArray[Any]]:
    try:
        with path.open("rb") as file:
            whole = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
        return {info.filename.removesuffix(".npy"): _array(whole, info, verify=verify) for info in members}
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (
        *(ValueError, zipfile.BadZipFile, struct.error, zlib.error, NotImplementedError, RuntimeError),
        *(SyntaxError, TypeError, OverflowError, TokenError),
    ) as error:
        why = " ".join(str(error).split())
        raise InputError(f"{path}: damaged or no .npz file ({why}); copy it again or make it again") from None


def _array(whole: mmap.mmap, info: zipfile.ZipInfo, *, verify: bool) -> NDArray[Any]:
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{info.filename} is compressed, which a prepared container never is")
    name, extra = struct.unpack_from("<HH", whole, info.header_offset + 26)
    start = info.header_offset + 30 + name + extra
    if start + info.file_size > len(whole):
        raise ValueError(f"{info.filename} runs past the end of the file")
    with memoryview(whole) as view:
        if verify and zlib.crc32(view[start : start + info.file_size]) != info.CRC:
            raise ValueError(f"the check sum of {info.filename} is wrong")
        head = io.BytesIO(view[start : start + min(info.file_size, 4096)])
    if np.lib.format.read_magic(head) != (1, 0):
        raise ValueError(f"{info.filename} has an unknown header")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(head)
    count = int(np.prod(shape, dtype=np.int64))
    if dtype.hasobject or fortran or head.tell() + count * dtype.itemsize != info.file_size:
        raise ValueError(f"{info.filename} is not a plain array of {shape} {dtype}")
    if count == 0 or dtype.itemsize == 0:
        return np.zeros(shape, dtype)
    return np.frombuffer(whole, dtype, count, start + head.tell()).reshape(shape)


def _words(path: Path, name: str, value: NDArray[Any]) -> NDArray[Any]:
    if value.dtype.kind not in "SU":
        raise InputError(f"{path}: expected words as {name}, got {value.dtype}")
    return value.astype(np.str_)


def _check_ranges(path: Path, fields: Mapping[str, NDArray[Any]]) -> None:
    """Coordinates are triples, bonds pairs; offsets rise from 0, and bonds name atoms of their molecule."""
    for name, width in (("xyz", 3), ("bonds", 2)):
        if name in fields and (fields[name].ndim != 2 or fields[name].shape[1] != width):
            raise InputError(f"{path}: expected {name} of {width} columns, got shape {fields[name].shape}")
    for name in ("offsets", "bond_offsets"):
        ends = fields.get(name)
        if ends is not None and (ends.ndim != 1 or len(ends) == 0 or ends[0] != 0 or bool((np.diff(ends) < 0).any())):
            raise InputError(f"{path}: {name} do not rise from 0; make the container again with zsteer convert")
    if "bond_offsets" in fields and len(fields["bond_offsets"]) == len(fields["offsets"]):
        sizes = np.repeat(np.diff(fields["offsets"]).astype(np.uint32), np.diff(fields["bond_offsets"]))
        bonds = fields["bonds"]
        # As unsigned numbers negative ones are larger than any size; both ends at once would be several times slower.
        ends = bonds.view(np.uint32) if bonds.shape == (len(sizes), 2) else None
        if ends is not None and any(bool((ends[:, side] >= sizes).any()) for side in (0, 1)):
            raise InputError(f"{path}: a bond names an atom that its molecule does not have")
