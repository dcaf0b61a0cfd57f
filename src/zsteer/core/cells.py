"""``Cells``: tables of other programs as texts by column, with the line of the file that each row stands on.

Delimited text (.csv, .tsv, .txt, each also with .gz), Excel sheets and Parquet files are read by pandas. What a file
does not say is found from its content, and said: the encoding (UTF-8, UTF-16, else Windows-1252), the separator, and
whether the first row is a heading. What the cells mean is the business of a domain; ``numerals`` reads numbers.
"""

import codecs
import csv
import io
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsteer.core.numerals import MISSING, is_number
from zsteer.core.reading import check_regular, read_bytes
from zsteer.errors import InputError, MissingExtraError

__all__ = ["SHEETS", "TEXTS", "Cells", "Text", "cells_of", "read_cells", "separator_of", "text_of"]

TEXTS = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
SHEETS = (".xlsx", ".parquet")
MARKS = (",", ";", "\t", "|")
PEEK = 200
"""Rows that tell the separator and the heading."""
LONGEST = 100_000
"""Letters of a cell: more is no table."""
CELL = re.compile(r"[,;\t|]")


@dataclass(frozen=True)
class Text:
    """The text of a file.

    Args:
        where: the file.
        text: decoded.
        notes: what was assumed to read it.

    Raises:
        InputError: if a cell has no end.
    """

    where: str
    text: str
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for number, line in enumerate(self.text.splitlines(), 1):
            if len(line) > LONGEST and max(map(len, CELL.split(line))) > LONGEST:
                raise InputError(f"{self.where}: line {number} has a cell of more than {LONGEST:,} letters")

    def rows(self, mark: str) -> Iterator[tuple[int, list[str]]]:
        """Rows of cells, each with the line it ends on.

        Args:
            mark: between the cells.

        Raises:
            InputError: at a cell that is longer than a reader takes: a quote that is never closed.
        """
        reader = csv.reader(io.StringIO(self.text, newline=""), delimiter=mark)
        try:
            for row in reader:
                yield reader.line_num, row
        except csv.Error as error:
            raise InputError(f"{self.where}, line {reader.line_num}: {error}; check the quotes") from None


@dataclass(frozen=True)
class Cells:
    """Texts of a table, spaces at their ends taken off.

    Args:
        where: the file.
        names: of the columns; column_1, column_2, ... without a heading.
        columns: a list of texts for each name.
        rows: line of the file (or row of the sheet) of each row, from 1, shape ``(n,)``.
        separator: between the cells; empty for sheets.
        heading: whether the names are the file's own.
        notes: what was assumed.
        unit: what ``rows`` count.
    """

    where: str
    names: tuple[str, ...]
    columns: tuple[list[str], ...]
    rows: NDArray[np.int64]
    separator: str = ""
    heading: bool = True
    notes: tuple[str, ...] = ()
    unit: str = "line"

    def __len__(self) -> int:
        return len(self.rows)

    def place(self, row: int) -> str:
        """File and line of a row, for messages."""
        return f"{self.where}, {self.unit} {self.rows[row]}"


def read_cells(path: Path) -> Cells:
    """Read a table by its ending.

    Raises:
        InputError: if there is no such file, it is damaged or empty, or rows have different numbers of cells.
        MissingExtraError: if the package for the ending is not installed.
    """
    check_regular(path)
    if path.name.lower().endswith(SHEETS):
        return _sheet(path)
    found = text_of(path)
    return cells_of(found, separator_of(found, "\t" if ".tsv" in path.name.lower() else ","))


def text_of(path: Path) -> Text:
    """The text of a file, .gz unpacked.

    Raises:
        InputError: if it cannot be read, or holds bytes that are no text.
    """
    raw = read_bytes(path)
    try:
        if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return Text(str(path), raw.decode("utf-16"), ("read as UTF-16",))
        if b"\0" in raw[:1000]:
            raise InputError(f"{path} cannot be read as text: it holds bytes that no text has")
        return Text(str(path), raw.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return Text(str(path), raw.decode("cp1252", errors="replace"), ("no UTF-8, read as Windows-1252 (Latin-1)",))


def separator_of(found: Text, usual: str = ",") -> str:
    """What stands between the cells: the mark that gives every row the same number of them.

    Args:
        found: the text.
        usual: the mark where no other fits better.
    """
    best, chosen = (0.0, 1), ""
    for mark in (usual, *(mark for mark in MARKS if mark != usual)):
        counts = [len(row) for _, row in islice(found.rows(mark), PEEK) if row]
        if not counts or counts[0] < 2:
            continue
        share = counts.count(counts[0]) / len(counts)
        if share >= 0.5 and (share, counts[0]) > best:
            best, chosen = (share, counts[0]), mark
    if chosen:
        return chosen
    first = next((line for line in found.text.splitlines() if line.strip()), "")
    return next((mark for mark in (usual, *MARKS) if mark in first), usual)


def cells_of(found: Text, separator: str, *, heading: bool | None = None) -> Cells:
    """The cells of a delimited text.

    Args:
        found: the text.
        separator: between cells, of one character.
        heading: whether the first row names the columns; found from the content when None.

    Raises:
        InputError: if it is empty, or rows have different numbers of cells.
    """
    import pandas as pd

    blank = len(found.text) - len(found.text.lstrip("\r\n"))
    first = 1 + found.text[:blank].replace("\r\n", "\n").replace("\r", "\n").count("\n")
    if not found.text.strip():
        raise InputError(f"{found.where} is empty; the first line should name the columns")
    try:
        frame = pd.read_csv(
            io.StringIO(found.text[blank:], newline=""),
            sep=separator,
            header=None,
            dtype=object,
            keep_default_na=False,
            skip_blank_lines=False,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(_ragged(str(error), found.where, first)) from error
    texts = frame.fillna("").to_numpy(dtype=object)
    quoted = '"' in found.text  # only quoted cells break a line
    breaks = np.array([sum(cell.count("\n") for cell in row) if quoted else 0 for row in texts])
    rows = first + np.arange(len(texts)) + np.concatenate([[0], np.cumsum(breaks)[:-1]])
    full = np.array([any(str(cell).strip() for cell in row) for row in texts])
    if any(row[-1] == "" for row in texts[full]):  # pandas fills rows that are too short
        _check_lengths(found, separator, texts.shape[1])
    columns = tuple([str(cell).strip() for cell in texts[full, k]] for k in range(texts.shape[1]))
    cells = Cells(found.where, (), columns, rows[full].astype(np.int64), separator, notes=found.notes)
    return _named(cells, heading=heading)


def _check_lengths(found: Text, separator: str, width: int) -> None:
    for line, row in found.rows(separator):
        if any(cell.strip() for cell in row) and len(row) != width:
            raise InputError(f"{found.where}, line {line}: expected {width} cells, got {len(row)}")


def _ragged(message: str, where: str, first: int) -> str:
    """Pandas' word of a row with too many cells, with our count of lines."""
    found = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", message)
    if found is None:
        return f"{where} cannot be read as a table: {' '.join(message.split())[:120]}"
    expected, line, got = (int(number) for number in found.groups())
    return f"{where}, line {line + first - 1}: expected {expected} cells, got {got}"


def _named(cells: Cells, *, heading: bool | None) -> Cells:
    """Cells with the first row taken as names where it is a heading."""
    own = _has_heading(cells.columns) if heading is None else heading
    notes = list(cells.notes)
    if own:
        names = tuple(column[0] for column in cells.columns)
        columns, rows = tuple(column[1:] for column in cells.columns), cells.rows[1:]
    else:
        names = tuple(f"column_{k + 1}" for k in range(len(cells.columns)))
        columns, rows = cells.columns, cells.rows
        notes.append(f"no heading: the first row is data; the columns are called {names[0]} ... {names[-1]}")
    twice = [name for name, count in Counter(names).items() if count > 1 and name]
    if twice:
        raise InputError(f"{cells.where}: the heading names {twice[0]!r} twice")
    if not len(rows):
        raise InputError(f"{cells.where} has a heading and no rows")
    return Cells(cells.where, names, columns, rows, cells.separator, own, tuple(notes), cells.unit)


def _has_heading(columns: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names the columns: a text above numbers says so, and a number above numbers the reverse."""
    against = 0
    for column in columns:
        first, below = column[0], [cell for cell in column[1 : PEEK + 1] if cell.casefold() not in MISSING]
        numbers = sum(map(is_number, below))
        if not below or numbers < 0.8 * len(below):
            against += bool(first) and first in below
        elif is_number(first):
            against += 1
        else:
            return True
    return against == 0


def _sheet(path: Path) -> Cells:
    found, names, notes = _frame(path)
    columns = [[_shown(value) for value in found.iloc[:, k]] for k in range(found.shape[1])]
    full = np.array([any(column[k] for column in columns) for k in range(len(found))], dtype=bool)
    if not full.any():
        raise InputError(f"{path} is empty; expected a row that names the columns, and rows below it")
    kept = tuple([cell for cell, there in zip(column, full, strict=True) if there] for column in columns)
    cells = Cells(str(path), names, kept, np.flatnonzero(full) + 1, notes=notes, unit="row")
    return cells if names else _named(cells, heading=None)


def _frame(path: Path) -> tuple[Any, tuple[str, ...], tuple[str, ...]]:
    """A sheet as pandas reads it, names of its columns where the format keeps them apart, and what was assumed."""
    from zipfile import BadZipFile

    import pandas as pd

    try:
        if path.suffix.lower() == ".parquet":
            frame = pd.read_parquet(path)
            return frame, tuple(str(name) for name in frame.columns), ()
        with pd.ExcelFile(path, engine="openpyxl") as book:
            count, first = len(book.sheet_names), book.sheet_names[0]
            notes = (f"the first of {count} sheets, {first!r}",) if count > 1 else ()
            return pd.read_excel(book, header=None, dtype=object, keep_default_na=False), (), notes
    except ImportError as error:
        package = "pyarrow" if path.suffix.lower() == ".parquet" else "openpyxl"
        raise MissingExtraError(package, "data", f"files with the ending {path.suffix}") from error
    except (
        *(OSError, ValueError, KeyError, BadZipFile, zlib.error, SyntaxError, TypeError, AttributeError, IndexError),
        *(EOFError, RuntimeError, OverflowError, MemoryError),
    ) as error:
        raise InputError(f"{path} cannot be read as a table: {' '.join(str(error).split())[:120]}") from error


def _shown(value: Any) -> str:
    """A cell with a type of its own as text; empty where it is missing."""
    if value is None or value != value or str(value) in {"NaT", "<NA>"}:  # noqa: PLR0124 - NaN
        return ""
    return value.isoformat() if hasattr(value, "isoformat") else str(value).strip()
