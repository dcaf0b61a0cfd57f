"""Rows of a file of sequences as a stream: each usable, left out, or broken with its reason. No torch.

Rows are counted as lines of the file, so that the header of a table is row 1.
"""

import csv
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from zsteer.domains.sequences import spelling
from zsteer.domains.sequences.chains import Chains, tally
from zsteer.domains.sequences.exports import Cell, Layout, layout_of
from zsteer.domains.sequences.source import examine, separator_of
from zsteer.errors import InputError, SettingsError

__all__ = ["LETTERS", "MAX_LENGTH", "SHORTEST", "Reader", "Row", "Skipped", "Survey", "check"]

LETTERS = "ACDEFGHIKLMNPQRSTVWY"
MAX_LENGTH = 30
SHORTEST = 8
"""Fewest residues of a junction: of 360,000 receptors that the models know, none has fewer. [residues]"""

PEEK = 200
"""Rows that are looked at to see what a column holds."""


@dataclass(frozen=True)
class Skipped:
    """A row that could not be used, and why."""

    row: int
    reason: str


@dataclass(frozen=True, slots=True)
class Row:
    """A row that can be used.

    Args:
        number: line of the file that it starts on.
        sequence: the junction.
        others: what stands in the other columns.
    """

    number: int
    sequence: str
    others: Sequence[str]


@dataclass(frozen=True)
class Survey:
    """What a file holds.

    Args:
        count: rows that can be used.
        skipped: rows that cannot.
        notes: what was left out or taken as something.
    """

    count: int
    skipped: Sequence[Skipped]
    notes: Sequence[str]


class Reader:
    """A file of sequences; iterating gives its usable rows, and fills in what was skipped and left out.

    Args:
        path: file whose ending says the format.
        column: column that holds the junction; None looks for the usual names.
        skip_invalid: leave out rows that cannot be used, and keep them in ``skipped``.
        anchored: demand that every sequence runs from C to F or W, as a junction does.
        low: fewest residues.
        high: most residues.

    Raises:
        InputError: if the file cannot be read, or has no such column.
        SettingsError: if a column of a FASTA file is named.
    """

    def __init__(
        self,
        path: Path,
        *,
        column: str | None = None,
        skip_invalid: bool = False,
        anchored: bool = True,
        low: int = SHORTEST,
        high: int = MAX_LENGTH,
    ) -> None:
        self.path, self.skip_invalid, self.anchored, self.low, self.high = path, skip_invalid, anchored, low, high
        self.separator = separator_of(path)
        self.source = examine(path)
        self.skipped: list[Skipped] = []
        self.left: Counter[str] = Counter()
        self.read = self.kept = self.completed = self.stood = 0
        self.layout: Layout | None = None
        self.names: list[str] = ["sequence_id", "description"]
        if self.separator == ">":
            if column is not None:
                raise SettingsError(f"{path}: a FASTA file has no columns; omit --column {column}")
            return
        self.layout = self._layout(column)
        self.names = [name for k, name in enumerate(self.layout.header) if k != self.layout.place]

    def _layout(self, column: str | None) -> Layout:
        with self.source.text() as text:
            first = next((line for line in text if line.strip()), "")
        counts = {
            mark: len(next(_lines(self.path, csv.reader([first], delimiter=mark)), (0, []))[1]) for mark in "\t,;"
        }
        best = max(counts, key=lambda mark: (counts[mark], mark == self.separator))
        self.separator = best if counts[best] > 1 else self.separator
        with self.source.text() as text:
            lines = _lines(self.path, csv.reader(text, delimiter=self.separator, strict=True))
            rows = [values for _, values in itertools.islice(lines, PEEK)]
        found = layout_of(self.path, rows, self.separator, column)
        if len(rows) <= found.headings:
            raise InputError(f"{self.path}: there is a header but no row")
        return found

    def __iter__(self) -> Iterator[Row]:
        """The usable rows.

        Raises:
            InputError: at the first unusable row unless these are skipped, and at the end if none was usable.
        """
        self.skipped, self.left = [], Counter()
        self.read = self.kept = self.completed = self.stood = 0
        with self.source.text() as text:
            for number, cell, others in self._cells(text):
                self.read += 1
                if cell.left:
                    self.left[cell.left] += 1
                    continue
                reason = cell.problem or self._problem(cell.sequence)
                if not reason:
                    self.kept += 1
                    self.completed += cell.completed
                    yield Row(number, cell.sequence, others)
                elif self.skip_invalid:
                    self.skipped.append(Skipped(number, reason))
                else:
                    raise InputError(
                        f"{self.path}: row {number}: {reason} (or pass --skip-invalid to leave such rows out)"
                    )
        self._check_kept()

    def share(self) -> float:
        """Share of the first rows that are receptors, or of a chain that is left out."""
        with self.source.text() as text:
            found = [cell for _, cell, _ in itertools.islice(self._cells(text), PEEK)]
        good = [bool(cell.left) or not (cell.problem or self._problem(cell.sequence)) for cell in found]
        return sum(good) / max(len(good), 1)

    def _check_kept(self) -> None:
        if self.kept:
            return
        if self.left and not self.skipped:
            raise InputError(
                f"{self.path}: no row is a productive beta chain (TRB), which is all that the models know; of "
                f"{self.read} rows: {_told(self.left)}"
            )
        first = f"; the first is row {self.skipped[0].row}: {self.skipped[0].reason}" if self.skipped else ""
        left = f"; left out: {_told(self.left)}" if self.left else ""
        raise InputError(f"{self.path}: no usable row among {self.read}{first}{left}")

    def _problem(self, sequence: str) -> str | None:
        low = self.low
        found = spelling.problem(sequence, letters=LETTERS, name="protein", low=low, high=self.high)
        if found is not None and len(sequence) < low and set(LETTERS).issuperset(sequence) and sequence:
            return f"{found}; the shortest of 360,000 recorded receptors has {SHORTEST}"
        if found is not None or not self.anchored or (sequence[0] == "C" and sequence[-1] in "FW"):
            return found
        return (
            f"{sequence!r} is no whole junction: expected C ... F or W; "
            "if the two anchors are cut off, name the column cdr3_aa"
        )

    def _cells(self, text: Iterator[str]) -> Iterator[tuple[int, Cell, Sequence[str]]]:
        if self.layout is None:
            yield from _fasta(self.path, text)
            return
        layout, width = self.layout, len(self.layout.header)
        lines = _lines(self.path, csv.reader(text, delimiter=self.separator, strict=True))
        for number, values in itertools.islice(lines, layout.headings, None):
            if len(values) == width:
                cell = layout.cell(values)
                self.stood += layout.cut and not (cell.completed or cell.problem or cell.left)
            else:
                cell = Cell("", f"expected {width} columns, got {len(values)}")
            yield number, cell, [value for k, value in enumerate(values) if k != layout.place]

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out or taken as something, once the rows have been read."""
        notes = list(self.source.notes)
        if self.layout is not None and self.layout.cut and self.completed:
            name = self.layout.name
            whole = f"; {self.stood} rows that have both ends were taken as they are" if self.stood else ""
            notes.append(f"{self.completed} rows of the column {name} were read as C + {name} + F{whole}")
        if self.left:
            total = sum(self.left.values())
            notes.append(
                f"{total} of {self.read} rows are no productive beta chain (TRB) and were left out: {_told(self.left)}"
            )
        return tuple(notes)


def _told(left: Counter[str]) -> str:
    return tally(left.elements())


def _lines(path: Path, reader: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not blank, each with the line it starts on."""
    line = 1
    while True:
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise InputError(f"{path}: row {line}: {error}; check the quotes") from None
        if any(value.strip() for value in values):
            yield line, values
        line = reader.line_num + 1  # pyright: ignore[reportAttributeAccessIssue]


def _fasta(path: Path, text: Iterator[str]) -> Iterator[tuple[int, Cell, Sequence[str]]]:
    chains = Chains(["sequence_id", "description"])
    row, title, parts = 0, "", list[str]()

    def record() -> tuple[int, Cell, Sequence[str]]:
        name, _, rest = title.partition(" ")
        others = [name, rest.strip()]
        chain = chains.of(others)
        if chain not in {"", "TRB"}:
            return row, Cell("", left=chain), others
        problem = "" if parts else f"the record {name!r} has no sequence"
        return row, Cell("".join(parts), problem), others

    for number, whole in enumerate(text, 1):
        line = whole.strip()
        if line.startswith(">"):
            if row:
                yield record()
            row, title, parts = number, line[1:].strip(), []
        elif line and not row:
            raise InputError(f"{path}: row {number}: expected a line that starts with '>', got {line[:40]!r}")
        elif line:
            parts.append(line)
    yield record()


def check(path: Path, *, column: str | None = None, skip_invalid: bool = False) -> Survey:
    """Read a file of receptors to its end and keep nothing, so that what is wrong is named before a model is loaded.

    Args:
        path: file whose ending says the format.
        column: column that holds the junction; None looks for the usual names.
        skip_invalid: leave out rows that cannot be used.

    Raises:
        InputError: if the file or a row cannot be used.
    """
    reader = Reader(path, column=column, skip_invalid=skip_invalid)
    count = sum(1 for _ in reader)
    return Survey(count, tuple(reader.skipped), reader.notes)
