"""Sequences in and out by file ending: ``.tsv`` (AIRR rearrangements), ``.csv``, ``.txt``, ``.fasta``, also ``.gz``.

Convention: inside zsteer a CDR3 is the *junction*, from the conserved C to the conserved F or W, both included.
AIRR's ``cdr3_aa`` leaves these two out: it is read as C + cdr3_aa + F (all human and mouse TRBJ genes end in F), and
written beside ``junction_aa``. Which column is read says ``domains.sequences.exports``; only productive beta chains are
taken, others are left out and counted (``Table.notes``). Everything that is not as it should be is an error with file
and row.
"""

import csv
import gzip
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from zsteer.core.batch import Batch
from zsteer.core.files import new_file
from zsteer.core.reading import Inventory, left_out
from zsteer.domains.sequences.chains import fold
from zsteer.domains.sequences.exports import JUNCTION_COLUMNS
from zsteer.domains.sequences.rows import MAX_LENGTH, SHORTEST, Reader, Row, Skipped
from zsteer.domains.sequences.source import ENDINGS, separator_of
from zsteer.domains.sequences.space import SequenceSpace
from zsteer.errors import InputError, OutputError

__all__ = [
    "ENDINGS",
    "JUNCTION_COLUMNS",
    "Skipped",
    "Table",
    "blocks",
    "check_ending",
    "read",
    "recognises",
    "report",
    "write",
]

_AIRR_REQUIRED = (
    "sequence",
    "rev_comp",
    "productive",
    "v_call",
    "d_call",
    "j_call",
    "sequence_alignment",
    "germline_alignment",
    "junction",
    "v_cigar",
    "d_cigar",
    "j_cigar",
)


@dataclass(frozen=True)
class Table:
    """Sequences of a file with everything else that stood in their rows.

    Args:
        sequences: the junctions, ``b`` of them.
        batch: the same as a batch.
        columns: the other columns by name, ``b`` values each; they are carried through to the output.
        rows: row of each sequence in the file.
        skipped: rows left out under ``skip_invalid``.
        notes: what was left out because it is no productive beta chain, or assumed (Latin-1, cut ends put on).
    """

    sequences: Sequence[str]
    batch: Batch
    columns: Mapping[str, Sequence[str]]
    rows: Sequence[int]
    skipped: Sequence[Skipped] = ()
    notes: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.sequences)


def check_ending(path: str | Path) -> None:
    """Refuse a file whose ending names no format that can be read and written.

    Raises:
        InputError: if the ending is unknown; names the known ones.
    """
    separator_of(Path(path))


def read(
    path: str | Path,
    *,
    column: str | None = None,
    skip_invalid: bool = False,
    anchored: bool = True,
    space: SequenceSpace | None = None,
    keep: Sequence[str] | None = None,
) -> Table:
    """Read sequences from a table or FASTA file.

    Args:
        path: file whose ending says the format.
        column: column that holds the junction; None looks for the usual names.
        skip_invalid: leave out rows that cannot be used and list them in ``Table.skipped``.
        anchored: demand that every sequence is a junction: from C to F or W, 8 residues or more.
        space: which sequences are accepted; the default is up to 30 residues.
        keep: other columns that are wanted; all when None.

    Raises:
        InputError: on a file that cannot be read, a missing column, or the first unusable row.
    """
    space = space or SequenceSpace()
    reader = Reader(
        Path(path), column=column, skip_invalid=skip_invalid, anchored=anchored, **_range(space, anchored=anchored)
    )
    places = [k for k, name in enumerate(reader.names) if keep is None or name in keep]
    same: dict[str, str] = {}  # equal cells are held once
    rows = [
        Row(row.number, row.sequence, [same.setdefault(row.others[k], row.others[k]) for k in places]) for row in reader
    ]
    return _table(reader, rows, space, names=[reader.names[k] for k in places])


def blocks(
    path: str | Path, size: int, *, column: str | None = None, skip_invalid: bool = False, high: int = MAX_LENGTH
) -> Iterator[Table]:
    """Read junctions as a stream of tables, so that a large file is never held whole.

    Args:
        path: file whose ending says the format.
        size: rows of a table.
        column: column that holds the junction; None looks for the usual names.
        skip_invalid: leave out rows that cannot be used; the last table lists them all.
        high: most residues.

    Raises:
        InputError: as ``read`` does, when the row is reached.
    """
    reader = Reader(Path(path), column=column, skip_invalid=skip_invalid, high=high)
    held, space = list[Row](), SequenceSpace()
    for row in reader:
        if len(held) == size:
            yield _table(reader, held, space, last=False)
            held = []
        held.append(row)
    yield _table(reader, held, space)


def report(path: Path, *, skip_invalid: bool = False, column: str | None = None) -> Inventory:
    """What is read of a file: receptors, their lengths, the other columns, what was left out or assumed.

    Args:
        path: file whose ending says the format.
        skip_invalid: leave out rows that cannot be used.
        column: column that holds the junction; None looks for the usual names.

    Raises:
        InputError: as ``read``.
    """
    reader = Reader(path, column=column, skip_invalid=skip_invalid)
    lengths, distinct = Counter[int](), set[str]()
    for row in reader:
        lengths[len(row.sequence)] += 1
        distinct.add(row.sequence)
    usual, count = lengths.most_common(1)[0]
    named = "the records" if reader.layout is None else f"the column {reader.layout.name}"
    lines = [
        f"{lengths.total():,} receptors, {len(distinct):,} different, of {named}",
        f"residues: {min(lengths)} to {max(lengths)}, most often {usual} ({count:,})",
        f"other columns: {', '.join(reader.names) or 'none'}",
    ]
    left = left_out("rows", [f"row {one.row}: {one.reason}" for one in reader.skipped])
    return Inventory(tuple(lines), (*reader.notes, *left))


RECOGNISED = 0.5
"""Share of the first rows with a CDR3, or another chain than beta, from which a table is one of receptors."""
TELLING = ("cdr3", "junction_aa")
"""In the name of a column that can hold nothing else."""


def recognises(path: Path, column: str | None = None) -> str:
    """What kind of receptors a file may be: FASTA, or a table with a column of CDR3; empty for none.

    Args:
        path: a file.
        column: of the CDR3; one of the usual names when None.
    """
    name = path.name.lower().removesuffix(".gz")
    if not path.is_file() or not name.endswith(tuple(ENDINGS)):
        return ""
    if separator_of(path) == ">":
        return "a FASTA file"
    try:
        reader = Reader(path, column=column, skip_invalid=True)
    except InputError:
        return ""
    named = "" if reader.layout is None else reader.layout.name
    told = any(word in fold(named) for word in TELLING) or reader.share() >= RECOGNISED
    return f"receptors in the column {named}" if told else ""


def _range(space: SequenceSpace, *, anchored: bool) -> dict[str, int]:
    low = max(SHORTEST, space.min_length) if anchored else space.min_length
    return {"low": low, "high": min(MAX_LENGTH, space.max_length)}


def _table(
    reader: Reader, rows: Sequence[Row], space: SequenceSpace, *, names: Sequence[str] | None = None, last: bool = True
) -> Table:
    sequences = [row.sequence for row in rows]
    columns = {name: [row.others[k] for row in rows] for k, name in enumerate(reader.names if names is None else names)}
    numbers = [row.number for row in rows]
    skipped, notes = (tuple(reader.skipped), reader.notes) if last else ((), ())
    return Table(sequences, space.encode(sequences), columns, numbers, skipped, notes)


def write(
    path: str | Path,
    sequences: Sequence[str],
    columns: Mapping[str, Sequence[object]] | None = None,
    *,
    overwrite: bool = False,
) -> None:
    """Write sequences with further columns; the file appears whole or not at all.

    ``.tsv`` gets every column that AIRR requires (empty where unknown), with ``junction_aa`` and ``cdr3_aa``; ``.csv``
    gets ``junction_aa``; FASTA gets ``>sequence_id name=value ...``.

    Args:
        path: file whose ending says the format.
        sequences: junctions, ``b`` of them.
        columns: further columns by name, ``b`` values each; ``junction_aa`` and ``cdr3_aa`` among them are replaced.
        overwrite: replace a file that exists.

    Raises:
        InputError: if the ending is unknown or a column has another length.
        OutputError: if the file exists and ``overwrite`` is false, or the disk refuses.
    """
    path = Path(path)
    separator = separator_of(path)
    table = {name: values for name, values in (columns or {}).items() if name not in {"junction_aa", "cdr3_aa"}}
    for name, values in table.items():
        if len(values) != len(sequences):
            raise InputError(f"column {name!r}: expected {len(sequences)} values, got {len(values)}")
    ids = [str(value) for value in table.pop("sequence_id", [f"s{i}" for i in range(1, len(sequences) + 1)])]
    fasta = separator == ">"
    content = _fasta_text(ids, sequences, table) if fasta else _table_text(ids, sequences, table, separator)
    data = content.encode("utf-8")
    with new_file(path, overwrite=overwrite) as partial:
        try:
            # No time stamp, so that equal content gives equal files.
            partial.write_bytes(gzip.compress(data, mtime=0) if path.name.lower().endswith(".gz") else data)
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror or error}; nothing was kept") from error


def _table_text(
    ids: Sequence[str], sequences: Sequence[str], table: Mapping[str, Sequence[object]], separator: str
) -> str:
    whole: dict[str, Sequence[object]] = {"sequence_id": ids, "junction_aa": sequences}
    if separator == "\t":
        whole["cdr3_aa"] = [sequence[1:-1] for sequence in sequences]
    whole |= table
    if separator == "\t":
        whole |= {name: [""] * len(sequences) for name in _AIRR_REQUIRED if name not in whole}
    out = io.StringIO()
    writer = csv.writer(out, delimiter=separator, lineterminator="\n")
    writer.writerow(whole)
    writer.writerows(zip(*([_cell(value) for value in values] for values in whole.values()), strict=True))
    return out.getvalue()


def _fasta_text(ids: Sequence[str], sequences: Sequence[str], table: Mapping[str, Sequence[object]]) -> str:
    records = []
    for i, (name, sequence) in enumerate(zip(ids, sequences, strict=True)):
        about = {key: " ".join(_cell(values[i]).split()) for key, values in table.items()}
        parts = [about.pop("description", ""), *(f"{key}={value}" for key, value in about.items() if value)]
        title = " ".join([name, *(part for part in parts if part)])
        records.append(f">{title}\n{sequence}\n")
    return "".join(records)


def _cell(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
