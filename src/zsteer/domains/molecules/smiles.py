"""Lists of SMILES: ``.smi`` (a SMILES and a name on each line) and ``.csv``, each also with ``.gz``.

Rows are counted as lines of the file, so that the header of a table is row 1. The column is called ``smiles`` in any
case of letters; ``split`` and ``name`` beside it are taken along, and so is every column that holds numbers.
"""

import csv
import gzip
import hashlib
import io
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from zsteer.errors import InputError

__all__ = ["COLUMNS", "SPLITS", "Row", "choose", "read_smiles", "read_text", "split_of"]

COLUMNS = ("smiles", "canonical_smiles", "smi", "structure")
"""Columns that are taken as SMILES, in this order, in any case of letters."""
SPLITS = ("train", "val", "test")
"""Names of the parts of a set."""

_NAMES = ("name", "id", "title", "zinc_id", "mol_id", "idx")
_SPLIT_WORDS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


@dataclass(frozen=True)
class Row:
    """One line of a list.

    Args:
        row: line of the file.
        smiles: as it stands there.
        name: or empty.
        split: ``train``, ``val``, ``test`` or empty.
        values: numbers of the other columns.
    """

    row: int
    smiles: str
    name: str = ""
    split: str = ""
    values: Mapping[str, float] = field(default_factory=dict[str, float])


def read_text(path: Path) -> str:
    """Text of a file, uncompressed where its name ends in ``.gz``.

    Raises:
        InputError: if it cannot be read, is no whole gzip file, or is not UTF-8; says which row.
    """
    try:
        raw = path.read_bytes()
        content = gzip.decompress(raw) if path.name.lower().endswith(".gz") else raw
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: expected a file, got a folder") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: not a whole gzip file ({error}); copy or compress it again") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = content[: error.start].count(b"\n") + 1
        raise InputError(f"{path}: row {row}: not UTF-8 text; save the file as UTF-8") from None
    if not text.strip():
        raise InputError(f"{path}: the file is empty")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_smiles(path: str | Path) -> list[Row]:
    """Read a list of SMILES by its ending.

    Raises:
        InputError: if the file cannot be read or has no column of SMILES.
    """
    path = Path(path)
    text = read_text(path)
    if path.name.lower().removesuffix(".gz").endswith((".smi", ".smiles")):
        return _lines(text)
    return _table(path, text)


def _lines(text: str) -> list[Row]:
    rows: list[Row] = []
    for number, line in enumerate(text.split("\n"), 1):
        words = line.split(maxsplit=1)
        # Some programs write a heading over the column.
        if words and not (number == 1 and words[0].lower() in COLUMNS):
            rows.append(Row(number, words[0], words[1].strip() if len(words) > 1 else ""))
    return rows


def _table(path: Path, text: str) -> list[Row]:
    separator = "\t" if ".tsv" in path.name.lower() else ","
    reader = csv.reader(io.StringIO(text), delimiter=separator)
    header = [name.strip() for name in next(reader)]
    folded = [name.lower() for name in header]
    place = next((folded.index(name) for name in COLUMNS if name in folded), None)
    if place is None:
        hint = "; save it with commas as .csv" if len(header) == 1 and any(word in header[0] for word in ";\t") else ""
        raise InputError(f"{path}: row 1: expected a column called smiles, got {', '.join(header)}{hint}")
    named = next((folded.index(name) for name in _NAMES if name in folded), None)
    split = folded.index("split") if "split" in folded else None
    others = [i for i in range(len(header)) if i not in {place, named, split}]
    rows: list[Row] = []
    try:
        for values in reader:
            if not any(value.strip() for value in values):
                continue
            row = reader.line_num
            if len(values) != len(header):
                raise InputError(f"{path}: row {row}: expected {len(header)} columns, got {len(values)}")
            numbers = {header[i]: number for i in others if (number := _number(values[i])) is not None}
            part = "" if split is None else _split_word(path, row, values[split])
            rows.append(Row(row, values[place].strip(), "" if named is None else values[named].strip(), part, numbers))
    except csv.Error as error:
        raise InputError(f"{path}: row {reader.line_num}: {error}; check the quotes") from None
    if not rows:
        raise InputError(f"{path}: there is a header but no row")
    return rows


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None


def _split_word(path: Path, row: int, word: str) -> str:
    known = _SPLIT_WORDS.get(word.strip().lower())
    if known is None:
        raise InputError(f"{path}: row {row}: expected train, val or test as split, got {word!r}")
    return known


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
