"""Tables from and to files: .csv and .tsv with a heading (.gz too), .npy and .npz with an array ``x`` of two axes."""

import csv
import gzip
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsteer.core.files import new_file
from zsteer.domains.tables.space import Columns
from zsteer.errors import InputError, OutputError

__all__ = ["check_ending", "read", "write"]

TEXT = (".csv", ".tsv", ".csv.gz", ".tsv.gz")


def read(path: Path) -> Columns:
    """Read a table by its ending.

    Returns:
        Columns by name: numbers as float64, anything else as text. Columns of an array are called x1, x2, ...

    Raises:
        InputError: if the file does not exist or is damaged, a row has another number of cells than the heading, a
            cell is empty, or a heading comes twice; lines count from 1.
    """
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    name = path.name.lower()
    if name.endswith(TEXT):
        return _text(path)
    if name.endswith((".npz", ".npy")):
        return _array(path)
    raise InputError(f"{path}: expected a table with the ending .csv, .tsv, .npy or .npz")


def _text(path: Path) -> Columns:
    try:
        raw = gzip.decompress(path.read_bytes()) if path.name.lower().endswith(".gz") else path.read_bytes()
        text = raw.decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as text: {error}") from error
    mark = "\t" if ".tsv" in path.name.lower() else ","
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=mark)
    heading = [word.strip() for word in next(lines, [])]
    if not heading or not any(heading):
        raise InputError(f"{path} is empty; the first line should name the columns")
    twice = [word for k, word in enumerate(heading) if word in heading[:k]]
    if twice:
        raise InputError(f"{path}: the heading names {twice[0]!r} twice")
    rows: list[list[str]] = []
    for row in lines:
        if not row:
            continue
        if len(row) != len(heading):
            raise InputError(f"{path}, line {lines.line_num}: expected {len(heading)} cells, got {len(row)}")
        for place, cell in enumerate(row):
            if not cell.strip():
                raise InputError(
                    f"{path}, line {lines.line_num}: column {heading[place]!r} is empty; fill it or drop the row"
                )
        rows.append(row)
    if not rows:
        raise InputError(f"{path} has a heading and no rows")
    return {name: _values([row[k].strip() for row in rows]) for k, name in enumerate(heading)}


def _values(cells: Sequence[str]) -> NDArray[Any]:
    try:
        return np.array([float(cell) for cell in cells])
    except ValueError:
        return np.array(cells)


def _array(path: Path) -> Columns:
    try:
        loaded = np.load(path, allow_pickle=False)
        values = loaded if isinstance(loaded, np.ndarray) else loaded["x"]
    except KeyError:
        raise InputError(f"{path} has no array x") from None
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path} cannot be read as numpy arrays: {' '.join(str(error).split())[:120]}") from error
    if values.ndim != 2 or values.dtype.kind not in "fiub" or not values.size:
        raise InputError(f"{path}: expected numbers of shape (rows, columns), got {values.dtype} {values.shape}")
    return {f"x{k + 1}": values[:, k].astype(np.float64) for k in range(values.shape[1])}


def check_ending(path: Path) -> None:
    """Refuse an ending that cannot be written, before any work is done.

    Raises:
        OutputError: if the ending is not one of .csv, .tsv, .npy, .npz.
    """
    if path.suffix.lower() not in {".csv", ".tsv", ".npy", ".npz"}:
        raise OutputError(f"cannot write a table to {path}: expected the ending .csv, .tsv, .npy or .npz")


def write(path: Path, columns: Columns, *, overwrite: bool) -> None:
    """Write a table by its ending; numbers with six significant digits.

    Raises:
        OutputError: if the ending is unknown, text would go into an array, or the path exists.
    """
    check_ending(path)
    ending = path.suffix.lower()
    if ending in {".npy", ".npz"}:
        texts = [name for name, values in columns.items() if values.dtype.kind not in "fiu"]
        if texts:
            raise OutputError(f"cannot write {path}: column {texts[0]!r} holds text; write .csv or .tsv")
        array = np.stack([values.astype(np.float64) for values in columns.values()], 1)
        with new_file(path, overwrite=overwrite) as partial:
            np.save(partial, array) if ending == ".npy" else np.savez_compressed(partial, x=array)
        return
    with new_file(path, overwrite=overwrite) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, delimiter="\t" if ending == ".tsv" else ",", lineterminator="\n")
        lines.writerow(columns)
        lines.writerows(zip(*(_cells(values) for values in columns.values()), strict=True))


def _cells(values: NDArray[Any]) -> list[str]:
    if values.dtype.kind in "fiu":
        return [f"{float(value):.6g}" for value in values]
    return [str(value) for value in values]
