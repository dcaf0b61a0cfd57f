"""Lists of SMILES: ``.smi`` and ``.txt`` (a SMILES and a name on each line) and ``.csv``, each also with ``.gz``.

Rows are counted as lines of the file, so that the header of a table is row 1. The separator (comma, semicolon, tab) is
the one that shows a column of SMILES; a table without a heading is known by its SMILES. ``split`` and ``name`` beside
the SMILES are taken along, and so is every other column, as numbers or as text. What a CXSMILES adds behind the SMILES
(``|...|``) is cut off and counted.
"""

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from zsteer.core.reading import read_bytes
from zsteer.domains.molecules.checks import Problem
from zsteer.domains.molecules.items import typed
from zsteer.errors import InputError, nearest

__all__ = [
    "COLUMNS",
    "LINES",
    "SPLITS",
    "Row",
    "SmilesList",
    "Text",
    "choose",
    "decoded",
    "read_smiles",
    "read_text",
    "split_of",
]

COLUMNS = (
    "smiles", "canonical_smiles", "isomeric_smiles", "canonicalsmiles", "isosmiles", "ligand_smiles", "molecule_smiles",
    "smi", "structure", "drug", "mol",
)  # fmt: skip
"""Columns that are taken as SMILES, in this order, in any case of letters and with spaces for underscores."""
LINES = (".smi", ".smiles", ".txt")
"""Endings of lists that have a SMILES at the beginning of each line; others are tables with a heading."""
SPLITS = ("train", "val", "test")
"""Names of the parts of a set."""

_NAMES = ("name", "id", "title", "zinc_id", "mol_id", "idx")
_SPLIT_WORDS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}


@dataclass(frozen=True)
class Row:
    """One line of a list.

    Args:
        row: line of the file.
        smiles: as it stands there.
        name: or empty.
        split: ``train``, ``val``, ``test`` or empty.
        values: numbers of the other columns; NaN where there is none.
        words: text of the other columns.
    """

    row: int
    smiles: str
    name: str = ""
    split: str = ""
    values: Mapping[str, float] = field(default_factory=dict[str, float])
    words: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class SmilesList:
    """What a list holds.

    Args:
        rows: that can be read.
        problems: with the others.
        notes: what was assumed or cut off, a line each.
        columns: names of the further columns.
    """

    rows: Sequence[Row]
    problems: Sequence[Problem] = ()
    notes: Sequence[str] = ()
    columns: Sequence[str] = ()


@dataclass(frozen=True)
class Text:
    """Text of a file.

    Args:
        content: with line ends of one letter.
        notes: what was assumed, a line each.
    """

    content: str
    notes: Sequence[str] = ()


def decoded(content: bytes) -> tuple[str, bool]:
    """Text of bytes, and whether it is UTF-8; otherwise it is taken as Latin-1, which has a letter for every byte."""
    try:
        return content.decode("utf-8-sig"), True
    except UnicodeDecodeError:
        return content.decode("latin-1"), False


def read_text(path: Path) -> Text:
    """Text of a file, uncompressed where its name ends in ``.gz``; Latin-1 where it is not UTF-8.

    Raises:
        InputError: if it cannot be read, is no whole gzip file, is empty, or is no text.
    """
    content = read_bytes(path)
    text, utf8 = decoded(content)
    if not utf8 and b"\0" in content:
        row = content[: content.index(b"\0")].count(b"\n") + 1
        raise InputError(f"{path}: row {row}: not text; is this file of another kind?")
    if not text.strip():
        raise InputError(f"{path}: the file is empty")
    strange = next((k for k, line in enumerate(content.split(b"\n"), 1) if not decoded(line)[1]), 0) if not utf8 else 0
    notes = [] if utf8 else [f"row {strange} is not UTF-8: the file was read as Latin-1"]
    return Text(text.replace("\r\n", "\n").replace("\r", "\n"), notes)


def read_smiles(path: str | Path, column: str | None = None) -> SmilesList:
    """Read a list of SMILES by its ending.

    Args:
        path: ``.smi``, ``.smiles`` or ``.txt``; anything else is a table.
        column: heading of the column of SMILES; one of ``COLUMNS`` when None.

    Raises:
        InputError: if the file cannot be read or has no column of SMILES.
    """
    path = Path(path)
    text = read_text(path)
    lines = path.name.lower().removesuffix(".gz").endswith(LINES)
    table = _table_of(path, text.content, column, lines=lines)
    found = _lines(text.content) if table is None else _rows(text.content, table)
    if not found.rows and not found.problems:
        raise InputError(f"{path}: there is a header but no row")
    return SmilesList(found.rows, found.problems, [*text.notes, *found.notes], found.columns)


def _lines(text: str) -> SmilesList:
    rows: list[Row] = []
    cut: list[int] = []
    for number, line in enumerate(text.split("\n"), 1):
        words = line.split(maxsplit=1)
        # Some programs write a heading over the column.
        if words and not (number == 1 and _folded(words[0]) in COLUMNS):
            name, extended = _without_extension(words[1].strip() if len(words) > 1 else "")
            cut += [number] if extended else []
            rows.append(Row(number, words[0], name))
    return SmilesList(rows, notes=_cut(cut))


def _without_extension(rest: str) -> tuple[str, bool]:
    """What stands behind a SMILES without the extension of a CXSMILES, and whether there was one."""
    if not rest.startswith("|"):
        return rest, False
    return rest[1:].partition("|")[2].strip(), True


def _cut(rows: Sequence[int]) -> list[str]:
    if not rows:
        return []
    what = "racemates, labels, coordinates and what else they say is not kept"
    return [f"{len(rows):,} CXSMILES extensions (|...|) were cut off, the first in row {rows[0]}: {what}"]


@dataclass(frozen=True)
class _Table:
    """How a table is laid out.

    Args:
        separator: of its columns.
        header: names of the columns.
        place: of the column of SMILES.
        headed: whether the first row is the header.
        notes: what was assumed.
    """

    separator: str
    header: Sequence[str]
    place: int
    headed: bool = True
    notes: Sequence[str] = ()


def _folded(name: str) -> str:
    return "_".join(name.strip().lower().split())


def _table_of(path: Path, text: str, column: str | None, *, lines: bool) -> _Table | None:
    """The layout of a table; None for a list of lines.

    Raises:
        InputError: if there is no column of SMILES.
    """
    usual = next((one for one in _SEPARATORS if ".tsv" in path.name.lower() and one == "\t"), ",")
    order = sorted(_SEPARATORS, key=lambda one: one != usual)
    heads = {one: _first_rows(path, text, one) for one in order}
    wanted = COLUMNS if column is None else (_folded(column),)
    for one, rows in heads.items():
        folded = [_folded(name) for name in rows[0]]
        place = next((folded.index(name) for name in wanted if name in folded), None)
        # In a list, a heading of one or two words stands over a SMILES and a name, which may be missing.
        if place is None or (lines and column is None and (len(folded) == 1 or (one == "\t" and len(folded) == 2))):
            continue
        notes = [] if one == usual else [f"the columns are separated by {_SEPARATORS[one]}"]
        return _Table(one, _unique(rows[0]), place, notes=notes)
    first = text.split(maxsplit=1)[0]
    if lines and column is None and "," not in first and ";" not in first:
        return None
    widest = sorted(order, key=lambda one: -len(heads[one][0]))
    for one in widest if column is None else ():
        place = _shows(heads[one])
        if place is not None:
            return _headless(one, heads[one], place)
    if lines and column is None:
        return None
    best = widest[0]
    names = [" ".join(name.split()) for name in heads[best][0]]
    if column is not None:
        raise InputError(f"{path}: row 1: " + nearest(column, names, what="column"))
    raise InputError(
        f"{path}: row 1: expected a column called smiles, got {', '.join(names)[:200]}; say which one has the SMILES "
        "(zsteer convert --column NAME)"
    )


def _first_rows(path: Path, text: str, separator: str) -> list[list[str]]:
    """The first two rows that are not empty."""
    found: list[list[str]] = []
    reader = csv.reader(io.StringIO(text), delimiter=separator)
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                found.append(row)
            if len(found) == 2:
                break
    except csv.Error as error:
        raise InputError(f"{path}: row {reader.line_num}: {error}; check the quotes") from None
    if not found:
        raise InputError(f"{path}: no row holds anything but quotes; expected SMILES")
    return found


def _shows(rows: Sequence[Sequence[str]]) -> int | None:
    """The first column that has SMILES in the very first row, and in the second."""
    from zsteer.domains.molecules.chemistry import parse_smiles  # RDKit, only here

    for place in range(len(rows[0])):
        cells = [row[place].strip() if place < len(row) else "" for row in rows]
        if all(not isinstance(parse_smiles(cell.split(maxsplit=1)[0] if cell else ""), str) for cell in cells):
            return place
    return None


def _headless(separator: str, rows: Sequence[Sequence[str]], place: int) -> _Table:
    width = len(rows[0])
    names = [f"column {k + 1}" for k in range(width)]
    names[place] = "smiles"
    if width == 2:
        names[1 - place] = "name"
    note = f"there is no heading: column {place + 1} of {width} is taken as SMILES" + (
        f", column {2 - place} as names" if width == 2 else ""
    )
    return _Table(separator, names, place, headed=False, notes=[note])


def _unique(header: Sequence[str]) -> list[str]:
    """Names of columns: one that comes again gets a number, one without a name its place."""
    names = dict[str, None]()
    again = Counter[str]()
    for place, raw in enumerate(header, 1):
        plain = raw.strip() or f"column {place}"
        name = f"{plain}.{again[plain] + 1}" if plain in names else plain
        again.update({plain, name, name.rpartition(".")[0]})
        names[name] = None
    return list(names)


def _rows(text: str, table: _Table) -> SmilesList:
    header, folded = table.header, [_folded(name) for name in table.header]
    named = next((k for k in map(_position(folded), _NAMES) if k not in {None, table.place}), None)
    split = folded.index("split") if "split" in folded else None
    others = [i for i in range(len(header)) if i not in {table.place, named, split}]
    rows: list[Row] = []
    items: list[Mapping[str, str]] = []
    problems: list[Problem] = []
    cut: list[int] = []
    for row, values in _cells(text, table, problems):
        smiles, _, rest = values[table.place].strip().partition(" ")
        cut += [row] if _without_extension(rest.strip())[1] else []
        # What is neither a SMILES nor an extension behind one is named as it stands.
        smiles = smiles if rest.strip().startswith("|") else values[table.place].strip()
        part = "" if split is None else _SPLIT_WORDS.get(values[split].strip().lower())
        if part is None:
            word = values[split].strip() if split is not None else ""
            problems.append(Problem(row, "unknown part", f"expected train, val or test as split, got {word!r}", smiles))
            continue
        rows.append(Row(row, smiles, "" if named is None else values[named].strip(), part))
        items.append({header[i]: values[i] for i in others})
    kinds = typed(items, [row.row for row in rows])
    made = [
        Row(one.row, one.smiles, one.name, one.split, numbers, words)
        for one, numbers, words in zip(rows, kinds.numbers, kinds.words, strict=True)
    ]
    return SmilesList(made, problems, [*table.notes, *_cut(cut), *kinds.notes], [header[i] for i in others])


def _position(folded: Sequence[str]) -> Callable[[str], int | None]:
    return lambda name: folded.index(name) if name in folded else None


def _cells(text: str, table: _Table, problems: list[Problem]) -> Iterator[tuple[int, list[str]]]:
    """Rows of the right width with their lines; the others become problems."""
    reader = csv.reader(io.StringIO(text), delimiter=table.separator)
    waiting = table.headed
    try:
        for values in reader:
            if not any(value.strip() for value in values):
                continue
            if waiting:
                waiting = False
            elif len(values) == len(table.header):
                yield reader.line_num, values
            else:
                detail = f"expected {len(table.header)} columns, got {len(values)}"
                problems.append(Problem(reader.line_num, "another number of columns", detail))
    except csv.Error as error:
        problems.append(Problem(reader.line_num, "unreadable row", f"{error}; check the quotes: the rest is not read"))


def split_of(canonical: str) -> str:
    """Part of a set by the hash of the canonical SMILES: 80 % train, 10 % val, 10 % test.

    The same molecule falls into the same part in every set.
    """
    # The first 32 bits of SHA-1 modulo 100: no secret is kept here.
    place = int(hashlib.sha1(canonical.encode(), usedforsecurity=False).hexdigest()[:8], 16) % 100
    return "train" if place < 80 else "val" if place < 90 else "test"


def choose(numbers: Sequence[int], limit: int | None, seed: int) -> list[int]:
    """Places of a random subset of records, in the order of the file; a smaller limit chooses among those of a larger.

    Args:
        numbers: of the records in the file.
        limit: how many, or None for all.
        seed: of the choice.
    """
    if limit is None or limit >= len(numbers):
        return list(range(len(numbers)))
    ranked = sorted(range(len(numbers)), key=lambda i: hashlib.sha256(f"{seed}:{numbers[i]}".encode()).digest())
    return sorted(ranked[:limit])
