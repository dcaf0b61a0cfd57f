"""A user's own receptors to learn from: one table of CDR3-beta and peptide, cut into clusters and splits here.

Two receptors are of one cluster if a chain of single edits between recorded receptors joins them; a cluster is never
cut, so that what is tested has no near copy in what was learned from. Clusters go to the splits by a hash of their
least sequence: 60 % train, 5 % valid, 20 % eval (for a judge), 15 % test. The same file is always split alike, by every
recipe.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from zsteer.domains.sequences.chains import MISSING, fold
from zsteer.domains.sequences.data import TcrData, background_part
from zsteer.domains.sequences.rows import LETTERS, Reader
from zsteer.domains.sequences.space import SequenceSpace
from zsteer.errors import InputError

__all__ = ["LEAST", "clusters", "load_own", "split_of"]

LEAST = 20
"""Receptors in train and valid that a peptide of one's own needs to be learned, where nothing else is asked for."""

PEPTIDES = ("peptide", "epitope", "epitope_peptide", "antigen_epitope", "epitope_name", "antigen", "epitope_sequence")
LABELS = ("label", "binder", "binds", "binding")
_YES, _NO = (
    {"1", "1.0", "true", "t", "yes", "y", "+", "positive"},
    {"0", "0.0", "false", "f", "no", "n", "-", "negative"},
)
_PARTS = ((60, "train"), (65, "valid"), (85, "eval"), (100, "test"))


@dataclass(frozen=True)
class _Pairs:
    cdr3: Sequence[str]
    peptide: Sequence[str]


def load_own(
    path: Path, background: Sequence[str], *, column: str | None = None, skip_invalid: bool = False
) -> TcrData:
    """Read a table of receptors and peptides, and split it.

    Args:
        path: table with a column of CDR3-beta, one called peptide (or epitope), and perhaps one called label (1 or 0).
        background: receptors of no known peptide.
        column: that holds the CDR3; None looks for the usual names.
        skip_invalid: leave out rows that cannot be used.

    Raises:
        InputError: if the table lacks the peptide, a row cannot be used, or no binder is left.
    """
    reader = Reader(path, column=column, skip_invalid=skip_invalid)
    pairs, notes = _pairs(reader)
    unknown = [text for text in background if text not in set(pairs.cdr3)]
    space = SequenceSpace()
    groups = dict(zip(pairs.cdr3, clusters(pairs.cdr3), strict=True))
    return TcrData(
        "all",
        np.array(pairs.cdr3),
        np.array(pairs.peptide),
        np.array([split_of(groups[text]) for text in pairs.cdr3]),
        space.encode(pairs.cdr3)["tokens"].to(torch.uint8),
        np.array(unknown),
        np.array([background_part(text) for text in unknown]),
        space.encode(unknown)["tokens"].to(torch.uint8),
        {path.name: hashlib.sha256(path.read_bytes()).hexdigest()},
        tuple(f"{path}: {note}" for note in notes),
        own=frozenset(pairs.peptide),
    )


def _pairs(reader: Reader) -> tuple[_Pairs, list[str]]:
    folded = [fold(name) for name in reader.names]
    place = next((folded.index(name) for name in PEPTIDES if name in folded), None)
    if place is None:
        raise InputError(
            f"{reader.path}: row 1: no column with peptides: expected one of {', '.join(PEPTIDES[:4])}; found "
            f"{', '.join(map(repr, reader.names[:30]))}"
        )
    label = next((folded.index(name) for name in LABELS if name in folded), None)
    found: dict[tuple[str, str], None] = {}
    none, twice, strange = 0, 0, list[str]()
    for row in reader:
        peptide = row.others[place].strip()
        reason = _no_peptide(peptide) or (label is not None and _no_label(row.others[label]))
        if reason and not reader.skip_invalid:
            raise InputError(
                f"{reader.path}: row {row.number}: {reason} (or pass --skip-invalid to leave such rows out)"
            )
        if reason:
            strange.append(f"row {row.number}: {reason}")
        elif label is not None and row.others[label].strip().lower() in _NO:
            none += 1
        else:
            twice += (row.sequence, peptide) in found
            found[row.sequence, peptide] = None
    if not found:
        raise InputError(f"{reader.path}: no row is a binder of a peptide; expected label 1 where there are labels")
    notes = list(reader.notes)
    broken = [*(f"row {entry.row}: {entry.reason}" for entry in reader.skipped), *strange]
    if broken:
        notes.append(f"{len(broken)} rows cannot be used and were left out: {'; '.join(broken[:5])}")
    if none:
        notes.append(f"{none} rows with label 0 were left out: negatives are drawn from other peptides and background")
    if twice:
        notes.append(f"{twice} rows stand there twice, and count once")
    return _Pairs([cdr3 for cdr3, _ in found], [peptide for _, peptide in found]), notes


def _no_peptide(text: str) -> str:
    if text.lower() in MISSING:
        return f"there is no peptide (the cell says {text!r})"
    if not 4 <= len(text) <= 60 or not set(LETTERS).issuperset(text):
        return f"{text[:60]!r} is no peptide; expected 4 to 60 amino acids in capital letters"
    return ""


def _no_label(text: str) -> str:
    known = text.strip().lower() in _YES | _NO
    return "" if known else f"{text[:40]!r} is no label; expected 1 for a binder and 0 for none"


def clusters(items: Sequence[str]) -> list[str]:
    """The least sequence of the cluster of each receptor, joined by single edits.

    Two sequences one edit apart share a form with one residue left out, or one is such a form of the other, so that no
    pairs need be compared.
    """
    parent = {text: text for text in items}

    def root(text: str) -> str:
        while parent[text] != text:
            parent[text] = parent[parent[text]]
            text = parent[text]
        return text

    holder: dict[tuple[int, str], str] = {}
    for text in parent:
        forms = [(k, text[:k] + text[k + 1 :]) for k in range(len(text))]
        # A substitution leaves the same form at the same place; an insertion makes the shorter text a form.
        near = [holder.setdefault(form, text) for form in forms]
        near += [shorter for _, shorter in forms if shorter in parent]
        for other in near:
            a, b = sorted((root(text), root(other)))
            parent[b] = a
    return [root(text) for text in items]


def split_of(cluster: str) -> str:
    """The split of a cluster, by a hash of its name."""
    bucket = int(hashlib.sha1(cluster.encode(), usedforsecurity=False).hexdigest()[:8], 16) % 100
    return next(name for limit, name in _PARTS if bucket < limit)
