"""Which column of an export holds what: the CDR3 of the beta chain, its conserved ends or not, and if a row counts.

Known are AIRR, Cell Ranger (contigs and clonotypes), MiXCR, immunoSEQ (v1 to v4), IMGT/HighV-QUEST, VDJtools, TRUST4,
VDJdb, McPAS, IEDB (also with two rows of headings), tcrdist3, scirpy, NetTCR and ERGO-II. Columns are known by their
headings, folded (``chains.fold``), and by what stands in them: a column of nucleotides is passed over. No torch.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from zsteer.domains.sequences.chains import BETA, MISSING, Chains, fold
from zsteer.errors import InputError, nearest

__all__ = ["CUT_COLUMNS", "JUNCTION_COLUMNS", "Cell", "Layout", "layout_of", "nucleotides"]

CUT_COLUMNS = (
    "cdr3_aa",
    "cdr3_imgt",
    "chain_2_cdr3_calculated",
    "chain_2_cdr3_curated",
    "b3",
)
"""Columns of the CDR3 without its conserved ends; each row is judged for itself, since exports mix both."""

JUNCTION_COLUMNS = (
    *("junction_aa", "cdr3_b_aa", "cdr3b_aa", "cdr3_beta_aa", "trb_junction_aa", "aa_junction"),
    *(
        "vdj_1_junction_aa",
        "ir_vdj_1_junction_aa",
        "ir_vdj_1_cdr3",
        "aaseqcdr3",
        "aaseqimputedcdr3",
        "cdr3aa",
        "cdr3s_aa",
    ),
    *("chain_2_cdr3_calculated", "chain_2_cdr3_curated", "cdr3b", "cdr3_b", "cdr3_beta", "cdr3beta", "cdr3_trb"),
    *("trb_cdr3", "cdr3_amino_acid", "amino_acid", "aminoacid", "cdr3_aa", "cdr3", "cdr3_imgt", "junction", "b3"),
    *("trb", "tcrb", "tcr_beta", "tcr", "sequence"),
)
"""Columns that are taken as the CDR3, in this order, folded; those that say amino acids stand before the others."""

OTHERWISE = {"chain_2_cdr3_calculated": "chain_2_cdr3_curated"}
"""Column -> where to look in a row that has nothing there."""

_NO = {"f", "false", "0", "no", "n", "unproductive", "nonproductive", "non-productive", "out", "stop"}
_PRODUCTIVE = (
    *("productive", "functionality", "v_domain_functionality", "frame_type", "frametype", "sequencestatus"),
    "vj_in_frame",
)
_ALPHA = re.compile(r"(.*_)?(tra|tcra|alpha)(_.*)?|cdr3_?a(_aa|lpha.*)?|chain_1_.*|a3|(ir_)?vj_1_.*")
_PART = re.compile(r"^\s*(TR[ABGD]|IG[HKL])\s*:\s*(\S*)\s*$")


def nucleotides(text: str) -> bool:
    """Whether a text can only be nucleotides: a CDR3 of amino acids has other letters at its end."""
    return len(text) >= 9 and set("ACGTUN").issuperset(text.upper())


@dataclass(frozen=True)
class Cell:
    """What a row holds.

    Args:
        sequence: the CDR3 with both ends, as far as it can be read.
        problem: why the row cannot be used, or empty.
        left: why the row has no part in the file's receptors: its chain, or that it is not productive; or empty.
        completed: whether the conserved ends were put on.
    """

    sequence: str
    problem: str = ""
    left: str = ""
    completed: bool = False


@dataclass(frozen=True)
class Layout:
    """Where a table holds what.

    Args:
        header: names of its columns.
        headings: rows of headings.
        separator: of columns.
        place: of the column to read.
        cut: whether that column leaves the conserved ends out.
    """

    header: Sequence[str]
    headings: int
    separator: str
    place: int
    cut: bool = False

    @property
    def name(self) -> str:
        """The column that is read."""
        return self.header[self.place]

    @cached_property
    def chains(self) -> Chains:
        """What says the chain of a row."""
        return Chains(self.header)

    @cached_property
    def _productive(self) -> list[int]:
        folded = [fold(name) for name in self.header]
        return [folded.index(name) for name in _PRODUCTIVE if name in folded]

    @cached_property
    def _other(self) -> int | None:
        folded = [fold(name) for name in self.header]
        other = OTHERWISE.get(folded[self.place], "")
        return folded.index(other) if other in folded else None

    def cell(self, values: Sequence[str]) -> Cell:
        """What a row holds; it has as many values as there are columns."""
        chain = self.chains.of(values)
        if chain and chain != BETA:
            return Cell("", left=chain)
        text = values[self.place].strip()
        if self._other is not None and text.lower() in MISSING:
            text = values[self._other].strip()
        if any(values[place].strip().lower().split(" ")[0] in _NO for place in self._productive):
            return Cell(text, left="not productive")
        if ":" in text:
            return _parts(text)
        if text.lower() in MISSING:
            content = f": the cell says {text!r}" if text else ""
            return Cell("", f"there is no CDR3 in the column {self.name}{content}")
        if nucleotides(text):
            return Cell(text, f"{text[:20]!r} are nucleotides; expected amino acids")
        return _completed(text, self.name) if self.cut else Cell(text)


def _parts(text: str) -> Cell:
    """The beta chain of a cell such as ``TRA:CAV...F;TRB:CASS...F``."""
    found = [_PART.match(part) for part in text.split(";") if part.strip()]
    if not found or any(part is None for part in found):
        return Cell(text, f"{text[:40]!r} is no CDR3; expected residues, or chains as in TRA:...;TRB:...")
    beta = [part[2] for part in found if part is not None and part[1] == BETA]
    if not beta:
        return Cell("", left="/".join(dict.fromkeys(part[1] for part in found if part is not None)))
    if len(beta) > 1:
        return Cell(beta[0], f"{len(beta)} beta chains in one cell ({text[:60]}); keep one, or give each a row")
    return Cell(beta[0])


def _completed(text: str, name: str) -> Cell:
    """A CDR3 of a column that leaves the conserved ends out; one that has both is taken as it is."""
    if text[0] == "C" and text[-1] in "FW":
        return Cell(text)
    if text[0] == "C":
        return Cell(text, f"{text!r} begins with C but does not end with F or W; expected both ends in {name} or none")
    return Cell(f"C{text}F", completed=True)


def layout_of(path: Path, rows: Sequence[Sequence[str]], separator: str, column: str | None) -> Layout:
    """The layout of a table.

    Args:
        path: for messages.
        rows: the headings and the first rows.
        separator: of columns.
        column: the column to read; None finds it.

    Raises:
        InputError: if no column can be read, or one name stands twice.
    """
    header, headings = _header(path, rows)
    folded = [fold(name) for name in header]
    if column is not None:
        wanted = fold(column)
        if wanted not in folded:
            raise InputError(f"{path}: row 1: {nearest(column, header, what='column')}")
        if _ALPHA.fullmatch(wanted):
            raise InputError(f"{path}: row 1: the column {column!r} is of the alpha chain; name that of the beta chain")
        return Layout(header, headings, separator, folded.index(wanted), wanted in CUT_COLUMNS)
    able = [folded.index(name) for name in JUNCTION_COLUMNS if name in folded]
    filled = [place for place in able if _filled(rows[headings:], place)]
    written = [place for place in filled if not _nucleotides(rows[headings:], place)]
    if able and filled and not written:
        names = ", ".join(header[place] for place in filled)
        raise InputError(f"{path}: row 1: {names} holds nucleotides; expected a column of amino acids, junction_aa")
    if not able:
        raise InputError(
            f"{path}: row 1: no column with sequences: expected one of {', '.join(JUNCTION_COLUMNS[:4])}, cdr3, ...; "
            f"found {', '.join(map(repr, header[:30]))}; say which: --column NAME"
        )
    place = (written or able)[0]
    return Layout(header, headings, separator, place, folded[place] in CUT_COLUMNS)


def _values(rows: Sequence[Sequence[str]], place: int) -> list[str]:
    found = [row[place].strip() for row in rows if len(row) > place]
    return [text for text in found if text.lower() not in MISSING]


def _filled(rows: Sequence[Sequence[str]], place: int) -> bool:
    return bool(_values(rows, place))


def _nucleotides(rows: Sequence[Sequence[str]], place: int) -> bool:
    found = _values(rows, place)
    return 2 * sum(map(nucleotides, found)) > len(found)


def _header(path: Path, rows: Sequence[Sequence[str]]) -> tuple[list[str], int]:
    """Names of the columns, and how many rows they take."""
    header = _named(rows[0])
    twice = _twice(header)
    if twice and len(rows) > 1 and len(rows[1]) == len(header):
        joined = _named([f"{above} - {below}".strip(" -") for above, below in zip(rows[0], rows[1], strict=True)])
        if not _twice(joined) and any(fold(name) in JUNCTION_COLUMNS for name in joined):
            return joined, 2
    if twice:
        raise InputError(f"{path}: row 1: the column {twice!r} stands there twice; rename one")
    return header, 1


def _named(header: Sequence[str]) -> list[str]:
    return [name.strip() or f"column_{k}" for k, name in enumerate(header, 1)]


def _twice(header: Sequence[str]) -> str:
    seen: Mapping[str, int] = {name.lower(): k for k, name in enumerate(header)}
    return next((name for k, name in enumerate(header) if seen[name.lower()] != k), "")
