"""Sequences in and out by file ending: ``.tsv`` (AIRR rearrangements), ``.csv``, ``.fasta``, each also with ``.gz``.

Convention: inside zsteer a CDR3 is the *junction*, from the conserved C to the conserved F or W, both included.
AIRR's ``cdr3_aa`` leaves these two out: it is read as C + cdr3_aa + F (all human and mouse TRBJ genes end in F), and
written beside ``junction_aa``. A column called cdr3, cdr3b, sequence, ... must hold the junction.

Only beta chains are taken: rows that say another chain (``domains.sequences.chains``) are left out and counted.

Rows are counted as lines of the file, so that the header of a table is row 1. A byte-order mark and Windows line ends
are accepted and noted in ``Table.notes``; everything else that is not as it should be is an error with file and row.
"""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from zsteer.core.batch import Batch
from zsteer.core.files import new_file
from zsteer.domains.sequences.chains import BETA, Chains, tally
from zsteer.domains.sequences.space import SequenceSpace
from zsteer.errors import InputError, OutputError

__all__ = ["ENDINGS", "JUNCTION_COLUMNS", "Skipped", "Table", "check_ending", "read", "write"]

ENDINGS = {".tsv": "\t", ".airr": "\t", ".csv": ",", ".fasta": ">", ".fa": ">", ".faa": ">"}
"""File ending -> separator of its columns; ``>`` stands for FASTA."""

JUNCTION_COLUMNS = (
    "junction_aa",
    "cdr3b",
    "cdr3_b",
    "cdr3b_aa",
    "cdr3",
    "cdr3.beta",
    "cdr3_beta",
    "aaseqcdr3",
    "amino_acid",
    "aminoacid",
    "sequence",
)
"""Columns that are taken as the junction, in this order, in any case of letters; ``cdr3_aa`` comes after them."""

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
class Skipped:
    """A row that could not be used, and why."""

    row: int
    reason: str


@dataclass(frozen=True)
class Table:
    """Sequences of a file with everything else that stood in their rows.

    Args:
        sequences: the junctions, ``b`` of them.
        batch: the same as a batch.
        columns: the other columns by name, ``b`` values each; they are carried through to the output.
        rows: row of each sequence in the file.
        skipped: rows left out under ``skip_invalid``.
        notes: what was accepted although it is unusual (byte-order mark, Windows line ends, cdr3_aa converted), and
            what was left out because it is no beta chain.
    """

    sequences: Sequence[str]
    batch: Batch
    columns: Mapping[str, Sequence[str]]
    rows: Sequence[int]
    skipped: Sequence[Skipped] = ()
    notes: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.sequences)


@dataclass(frozen=True)
class _Raw:
    """Rows before they are checked: row number, candidate sequence, other values, or why the row is broken."""

    names: Sequence[str]
    entries: Sequence[tuple[int, str, Sequence[str], str | None]]
    notes: Sequence[str] = ()


def _separator(path: Path) -> str:
    name = path.name.lower().removesuffix(".gz")
    for ending, separator in ENDINGS.items():
        if name.endswith(ending):
            return separator
    known = " ".join(ENDINGS)
    raise InputError(f"{path}: cannot tell the format from the ending; expected one of {known}, each also with .gz")


def check_ending(path: str | Path) -> None:
    """Refuse a file whose ending names no format that can be read and written.

    Raises:
        InputError: if the ending is unknown; names the known ones.
    """
    _separator(Path(path))


def read(
    path: str | Path,
    *,
    column: str | None = None,
    skip_invalid: bool = False,
    anchored: bool = True,
    space: SequenceSpace | None = None,
) -> Table:
    """Read sequences from a table or FASTA file.

    Args:
        path: file whose ending says the format.
        column: column that holds the junction; None looks for the usual names.
        skip_invalid: leave out rows that cannot be used and list them in ``Table.skipped``.
        anchored: demand that every sequence runs from C to F or W, as a junction does.
        space: which sequences are accepted; the default is 5 to 30 residues.

    Raises:
        InputError: on a file that cannot be read, a missing column, or the first unusable row.
    """
    path = Path(path)
    separator = _separator(path)
    text, notes = _text(path)
    raw = _of_beta(path, _fasta(path, text) if separator == ">" else _columns(path, text, separator, column))
    space = space or SequenceSpace()
    kept: list[tuple[int, str, Sequence[str]]] = []
    skipped: list[Skipped] = []
    for row, sequence, others, broken in raw.entries:
        reason = broken or space.problem(sequence) or (_anchors(sequence) if anchored else None)
        if reason is None:
            kept.append((row, sequence, others))
        elif skip_invalid:
            skipped.append(Skipped(row, reason))
        else:
            raise InputError(f"{path}: row {row}: {reason} (or pass --skip-invalid to leave such rows out)")
    if not kept:
        first = f"; the first is row {skipped[0].row}: {skipped[0].reason}" if skipped else ""
        raise InputError(f"{path}: no usable row among {len(raw.entries)}{first}")
    sequences = [sequence for _, sequence, _ in kept]
    columns = {name: [others[i] for _, _, others in kept] for i, name in enumerate(raw.names)}
    rows = [row for row, _, _ in kept]
    return Table(sequences, space.encode(sequences), columns, rows, tuple(skipped), (*notes, *raw.notes))


def _of_beta(path: Path, raw: _Raw) -> _Raw:
    """The rows of beta chains, with a note on the others.

    Raises:
        InputError: if there is no other row.
    """
    chains = Chains(raw.names)
    found = [chains.of(others) or BETA for _, _, others, _ in raw.entries]
    strange = [chain for chain in found if chain != BETA]
    if not strange:
        return raw
    if len(strange) == len(found):
        raise InputError(
            f"{path}: no row is a beta chain (TRB), which is all that the models know; of {len(found)} rows: "
            f"{tally(strange)}"
        )
    entries = [entry for entry, chain in zip(raw.entries, found, strict=True) if chain == BETA]
    note = f"{len(strange)} of {len(found)} rows are no beta chain (TRB) and were left out: {tally(strange)}"
    return _Raw(raw.names, entries, (*raw.notes, note))


def _anchors(sequence: str) -> str | None:
    if sequence[0] == "C" and sequence[-1] in "FW":
        return None
    return (
        f"{sequence!r} is no whole junction: expected C ... F or W; "
        "if the two anchors are cut off, name the column cdr3_aa"
    )


def _text(path: Path) -> tuple[str, list[str]]:
    """The text of a file with plain line ends, and what was unusual about it."""
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
    if content.startswith(b"\x1f\x8b"):
        raise InputError(f"{path}: the content is gzip-compressed; add .gz to its name")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{path}: row 1: the text is UTF-16; save it as UTF-8")
    notes = []
    if content.startswith(b"\xef\xbb\xbf"):
        content = content[3:]
        notes.append("a byte-order mark at the start was left out")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        row = content[: error.start].count(b"\n") + 1
        byte = content[error.start]
        raise InputError(
            f"{path}: row {row}: byte 0x{byte:02x} at offset {error.start} is not UTF-8; save the file as UTF-8"
        ) from None
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        notes.append("Windows line ends were read")
    if "\0" in text:
        row = text[: text.index("\0")].count("\n") + 1
        raise InputError(f"{path}: row {row}: a zero byte; this is not a text file")
    if not text.strip():
        raise InputError(f"{path}: the file is empty; expected a header and at least one row")
    return text, notes


def _columns(path: Path, text: str, separator: str, column: str | None) -> _Raw:
    reader = csv.reader(io.StringIO(text), delimiter=separator, strict=True)
    lines = _lines(path, reader)
    _, header = next(lines)
    header = [name.strip() for name in header]
    _check_header(path, header, separator)
    place, cut = _find(path, header, column)
    carried = [i for i in range(len(header)) if i != place]
    entries: list[tuple[int, str, Sequence[str], str | None]] = []
    for row, values in lines:
        broken = None
        if len(values) != len(header):
            broken = f"expected {len(header)} columns, got {len(values)}"
        full = [*values, *[""] * (len(header) - len(values))]
        entries.append((row, full[place].strip(), [full[i] for i in carried], broken))
    if not entries:
        raise InputError(f"{path}: there is a header but no row")
    notes = []
    if cut:
        _check_cut(path, header[place], [sequence for _, sequence, _, _ in entries])
        entries = [(row, f"C{seq}F" if seq else "", others, broken) for row, seq, others, broken in entries]
        notes.append(f"the column {header[place]} was read as C + {header[place]} + F")
    return _Raw([header[i] for i in carried], entries, notes)


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


def _check_header(path: Path, header: Sequence[str], separator: str) -> None:
    names = {"\t": "tabs", ",": "commas", ";": "semicolons"}
    if len(header) == 1:
        for other in "\t,;":
            if other != separator and other in header[0]:
                hint = {",": "name it .csv", "\t": "name it .tsv"}.get(other, "save it with commas as .csv")
                raise InputError(
                    f"{path}: row 1: the columns are separated by {names[other]}, "
                    f"but the ending promises {names[separator]}; {hint}"
                )
    seen: set[str] = set()
    for name in header:
        if name.lower() in seen:
            raise InputError(f"{path}: row 1: the column {name!r} stands there twice; rename one")
        seen.add(name.lower())


def _find(path: Path, header: Sequence[str], column: str | None) -> tuple[int, bool]:
    """Place of the column to read, and whether its anchors are cut off."""
    folded = [name.lower().replace(" ", "_") for name in header]
    wanted = (*JUNCTION_COLUMNS, "cdr3_aa") if column is None else (column.lower().replace(" ", "_"),)
    for name in wanted:
        if name in folded:
            return folded.index(name), name == "cdr3_aa"
    expected = f"one of {', '.join(wanted)}" if column is None else repr(column)
    raise InputError(f"{path}: row 1: no column with sequences: expected {expected}; found {', '.join(header)}")


def _check_cut(path: Path, name: str, sequences: Sequence[str]) -> None:
    whole = sum(seq[:1] == "C" and seq[-1:] in {"F", "W"} for seq in sequences)
    if 2 * whole > len(sequences):
        raise InputError(
            f"{path}: {whole} of {len(sequences)} values of {name} run from C to F or W, so the anchors are not "
            "cut off as AIRR demands of cdr3_aa; rename the column to junction_aa"
        )


def _fasta(path: Path, text: str) -> _Raw:
    entries: list[tuple[int, str, Sequence[str], str | None]] = []
    row, title, parts = 0, "", []

    def finish() -> None:
        if row:
            name, _, rest = title.partition(" ")
            broken = None if parts else f"the record {name!r} has no sequence"
            entries.append((row, "".join(parts), [name, rest.strip()], broken))

    for number, line in enumerate(map(str.strip, text.split("\n")), 1):
        if line.startswith(">"):
            finish()
            row, title, parts = number, line[1:].strip(), []
        elif line and not row:
            raise InputError(f"{path}: row {number}: expected a line that starts with '>', got {line[:40]!r}")
        elif line:
            parts.append(line)
    finish()
    return _Raw(["sequence_id", "description"], entries)


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
    separator = _separator(path)
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
