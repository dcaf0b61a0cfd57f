"""Tables from and to files: .csv, .tsv and .txt (.gz too), .xlsx, .parquet, .npy and .npz with an array ``x``.

A column is numbers or texts. A cell that is missing, or is no number in a column of numbers, is named by its line in
the file; ``skip_invalid`` leaves such rows out and counts them. What cannot be learnt (numbers of rows, days) is named.
"""

import csv
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsteer.core.arrays import ALONE, array_shapes, read_arrays
from zsteer.core.cells import SHEETS, TEXTS, Cells, read_cells
from zsteer.core.files import new_file
from zsteer.core.numerals import is_date, numbers_of, written
from zsteer.core.reading import Inventory, check_regular, left_out
from zsteer.domains.tables.space import Columns, TableSpace
from zsteer.errors import InputError, OutputError, nearest

__all__ = ["Reading", "Table", "check_ending", "read", "recognises", "report", "texts_of", "write"]

LEAST = 20
"""Rows from which whole numbers that count them are taken for their numbers, not for data."""
NUMBERED = ("id", "index", "key", "uuid", "guid", "rowid", "rownumber", "unnamed: 0")
"""Names that a column of distinct whole numbers has when it only tells rows apart."""


@dataclass(frozen=True)
class Reading:
    """How a table is read.

    Args:
        categorical: columns whose texts are categories whatever they look like.
        leave_out: columns that are not read.
        skip_invalid: leave out rows with a missing value or no number among numbers, instead of refusing them.
        kinds: of columns that a model knows, number or category by name; such a column is read as that, and never
            taken for numbers of rows.
    """

    categorical: Collection[str] = ()
    leave_out: Collection[str] = ()
    skip_invalid: bool = False
    kinds: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Table:
    """The table of a file.

    Args:
        columns: by name; numbers as float64, anything else as text.
        rows: line of the file of each row, from 1, shape ``(n,)``.
        where: the file.
        notes: what was assumed and which columns were left out.
        skipped: why rows were left out, a line each.
    """

    columns: Columns
    rows: NDArray[np.int64]
    where: str
    notes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)


def read(path: Path, how: Reading | None = None) -> Table:
    """Read a table by its ending.

    Args:
        path: the file; without a heading the columns are called column_1, ..., those of an array x1, ...
        how: kinds of columns, and what is left out.

    Raises:
        InputError: if the file does not exist or is damaged, a row has another number of cells than the first, a
            heading comes twice, or a cell is missing or no number; file and line are named.
        MissingExtraError: if the package for .xlsx or .parquet is not installed.
    """
    how = how or Reading()
    check_regular(path)
    name = path.name.lower()
    if name.endswith((*TEXTS, *SHEETS)):
        return _Columns(read_cells(path), how).table()
    if name.endswith((".npz", ".npy")):
        return _array(path, how)
    raise InputError(f"{path}: expected a table with the ending .csv, .tsv, .txt, .xlsx, .parquet, .npy or .npz")


def report(path: Path, *, skip_invalid: bool = False) -> Inventory:
    """What is read of a file: rows, columns and their kinds, what was assumed and left out.

    Args:
        path: the file.
        skip_invalid: leave out rows with a missing value or no number among numbers.

    Raises:
        InputError: as ``read``, or if a column cannot be learnt.
    """
    table = read(path, Reading(skip_invalid=skip_invalid))
    space = TableSpace.learn(table.columns, where=str(path))
    lines = (f"{len(table):,} rows; {len(space.columns)} columns", space.words(table.columns))
    return Inventory(lines, (*table.notes, *left_out("rows", table.skipped)))


def recognises(path: Path) -> str:
    """What kind of table a path may be, by its ending or the shape of its array; empty for none."""
    name = path.name.lower()
    if not path.is_file():
        return ""
    if name.endswith((*TEXTS, *SHEETS)):
        return "a table"
    if not name.endswith((".npz", ".npy")):
        return ""
    shapes = array_shapes(path)
    found = next((shapes[key] for key in (ALONE, "x") if key in shapes), ())
    return f"an array of {found[0]} rows and {found[1]} columns" if len(found) == 2 else ""


class _Columns:
    """The columns of a file on their way from texts to values.

    Args:
        cells: of the file.
        how: it is read.
    """

    def __init__(self, cells: Cells, how: Reading) -> None:
        self.cells, self.how = cells, how
        self.comma = cells.separator == ";"
        self.notes = list(cells.notes)
        self.problems: dict[int, str] = {}
        for name in (*how.categorical, *how.leave_out):
            if name not in cells.names:
                raise InputError(f"{cells.where}: {nearest(name, cells.names, what='column')}")

    def table(self) -> Table:
        """The table, less the rows with problems where these may be left out."""
        found: dict[str, NDArray[Any]] = {}
        for place, (name, texts) in enumerate(zip(self.cells.names, self.cells.columns, strict=True), 1):
            values = self._column(name, texts, place)
            if values is not None:
                found[name] = values
        kept = np.array([k not in self.problems for k in range(len(self.cells))])
        first = min(self.problems, default=-1)
        if self.problems and (not self.how.skip_invalid or not kept.any()):
            more = f" ({len(self.problems) - 1} more such rows)" if len(self.problems) > 1 else ""
            raise InputError(
                f"{self.cells.place(first)}: {self.problems[first]}{more}; mend it, or pass --skip-invalid to leave "
                f"such rows out"
            )
        if not found:
            raise InputError(f"{self.cells.where}: no column is left to learn from ({'; '.join(self.notes)})")
        skipped = [f"{self.cells.unit} {self.cells.rows[k]}: {self.problems[k]}" for k in sorted(self.problems)]
        columns = {name: values[kept] for name, values in found.items()}
        return Table(columns, self.cells.rows[kept], self.cells.where, tuple(self.notes), tuple(skipped))

    def _column(self, name: str, texts: list[str], place: int) -> NDArray[Any] | None:
        """Values of a column; None for one that is left out."""
        where, known = self.cells.where, self.how.kinds.get(name)
        if name in self.how.leave_out:
            return None
        if name in self.how.categorical or known == "category":
            # A declared category may be called "none": only an empty cell is missing.
            self._missing(name, texts, [not cell for cell in texts])
            return np.array(texts)
        found = numbers_of(texts, comma=self.comma)
        there = ~found.missing
        if not there.any():
            raise InputError(f"{where}: column {name or place!r} is empty; leave it out: --leave-out {name!r}")
        numeric = there & ~found.wrong
        if known is None and not name:
            return self._without_name(texts, found.values, place)
        if known is None and numeric.sum() <= 0.5 * there.sum():
            self._missing(name, texts, found.missing.tolist())
            return self._texts(name, texts, there)
        self._missing(name, texts, found.missing.tolist())
        for k in np.flatnonzero(found.wrong | np.isinf(found.values)).tolist():
            what, more = "a number", "" if known else f" (or declare categories: --categorical {name!r})"
            if np.isinf(found.values[k]):
                what, more = "a finite number", ""
            self.problems.setdefault(k, f"column {name!r}: expected {what}, got {texts[k]!r}{more}")
        if known is None and _counts_rows(name, found.values[numeric & np.isfinite(found.values)]):
            self.notes.append(f"column {name!r} only numbers the rows: left out")
            return None
        if found.way:
            self.notes.append(f"column {name!r}: {found.way}")
        return found.values

    def _missing(self, name: str, texts: Sequence[str], gaps: Sequence[bool]) -> None:
        for k, gap in enumerate(gaps):
            if gap:
                what = f"has a missing value ({texts[k]!r})" if texts[k] else "is empty"
                self.problems.setdefault(k, f"column {name!r} {what}")

    def _texts(self, name: str, texts: list[str], there: NDArray[np.bool_]) -> NDArray[Any]:
        days = [is_date(cell) for cell, one in zip(texts, there, strict=True) if one]
        if sum(days) > 0.5 * len(days):
            raise InputError(
                f"{self.cells.where}: column {name!r} holds days or times ({texts[int(there.argmax())]!r}), which are "
                f"not learnt; make them numbers (days since the first), or leave the column out: --leave-out {name!r}"
            )
        return np.array(texts)

    def _without_name(self, texts: list[str], values: NDArray[np.float64], place: int) -> None:
        if place > 1 or not (_counts_rows("", values) or len(set(texts)) == len(texts)):
            raise InputError(f"{self.cells.where}: the heading leaves column {place} without a name")
        self.notes.append("column 1 has no name and only tells the rows apart: left out")


def _counts_rows(name: str, values: NDArray[np.float64]) -> bool:
    """Whether distinct whole numbers tell rows apart and nothing else: they count them, or are called id."""
    if len(values) < LEAST or not (values == values.round()).all() or len(np.unique(values)) < len(values):
        return False
    plain = name.casefold().replace(" ", "").replace("-", "_")
    called = plain in NUMBERED or plain.endswith("_id") or name.endswith(("ID", "Id"))
    return called or float(values.max() - values.min()) == len(values) - 1


def _array(path: Path, how: Reading) -> Table:
    arrays = read_arrays(path, (ALONE, "x"))
    if not arrays:
        raise InputError(f"{path} has no array x; it has {', '.join(array_shapes(path)) or 'none'}")
    (values,) = arrays.values() if len(arrays) == 1 else (arrays["x"],)
    if values.ndim != 2 or values.dtype.kind not in "fiub" or not values.size:
        raise InputError(f"{path}: expected numbers of shape (rows, columns), got {values.dtype} {values.shape}")
    names = [f"x{k + 1}" for k in range(values.shape[1])]
    for name in (*how.categorical, *how.leave_out):
        if name not in names:
            raise InputError(f"{path}: {nearest(name, names, what='column')}")
    numbers = values.astype(np.float64)
    left = [k for k, name in enumerate(names) if name not in how.leave_out]
    broken = ~np.isfinite(numbers[:, left]).all(1)
    rows, skipped = np.arange(1, len(numbers) + 1), ()
    if broken.any():
        reasons = [
            f"row {row + 1}: column {names[k]!r}: expected a finite number, got {numbers[row, k]}"
            for row in np.flatnonzero(broken)
            for k in [next(k for k in left if not np.isfinite(numbers[row, k]))]
        ]
        if not how.skip_invalid or broken.all():
            more = f" ({len(reasons) - 1} more such rows)" if len(reasons) > 1 else ""
            raise InputError(f"{path}, {reasons[0]}{more}; mend it, or pass --skip-invalid to leave such rows out")
        numbers, rows, skipped = numbers[~broken], rows[~broken], tuple(reasons)
    columns: dict[str, NDArray[Any]] = {names[k]: numbers[:, k] for k in left}
    kinds = {name for name, kind in how.kinds.items() if kind == "category"} | set(how.categorical)
    columns |= {name: np.array(texts_of(columns[name])) for name in columns if name in kinds}
    return Table(columns, rows, str(path), (), skipped)


def check_ending(path: Path) -> None:
    """Refuse an ending that cannot be written, before any work is done.

    Raises:
        OutputError: if the ending is not one of .csv, .tsv, .npy, .npz.
    """
    if path.suffix.lower() not in {".csv", ".tsv", ".npy", ".npz"}:
        raise OutputError(f"cannot write a table to {path}: expected the ending .csv, .tsv, .npy or .npz")


def write(path: Path, columns: Columns, *, overwrite: bool) -> None:
    """Write a table by its ending; numbers with all their digits.

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
        lines.writerows(zip(*(texts_of(values) for values in columns.values()), strict=True))


def texts_of(values: NDArray[Any]) -> list[str]:
    """The cells of a column: numbers with all their digits, whole ones without a point."""
    if values.dtype.kind in "fiu":
        return [written(value) for value in values.tolist()]
    return [str(value) for value in values]
