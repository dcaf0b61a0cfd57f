"""T-cell receptor pairs and background, their splits and roles, and negatives drawn at run time.

Roles are kept apart by CDR3 cluster: generators and the design oracle learn from ``DESIGN`` (train + valid), the
judge from ``JUDGE`` (eval), thresholds and reference pass rates come from ``CALIBRATION`` (test).
The background has splits of its own by hash; its train part is cut once more, so that the design oracle and the judge
never see the same negative.

Negatives are not measured: half are receptors recorded for other peptides of the same host (``swap``), half are
background receptors. Binders of the peptide or of a relative (``epitopes.related``), in any split, never serve.

``subset="permissive"`` keeps rows that a permissively licensed repository has, and of these only CDR3b and peptide;
everything that ships is trained on it. ``"all"`` takes every row.
"""

import csv
import gzip
import hashlib
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int, Shaped, UInt8
from torch import Tensor

from zsteer.core.alphabet import PROTEIN
from zsteer.core.batch import Batch
from zsteer.core.rng import Streams
from zsteer.domains.sequences.chains import BETA, Chains, tally
from zsteer.domains.sequences.epitopes import host, relatives
from zsteer.domains.sequences.space import SequenceSpace
from zsteer.errors import InputError, nearest

__all__ = [
    "CALIBRATION",
    "DESIGN",
    "JUDGE",
    "Pairs",
    "TcrData",
    "Unlabelled",
    "background_part",
    "data_folder",
    "labelled",
    "load_tcr",
    "pools",
    "unlabelled",
]

DESIGN = ("train", "valid")
JUDGE = ("eval",)
CALIBRATION = ("test",)

Subset = Literal["permissive", "all"]
_PAIRS, _BACKGROUND = "tcr_pairs.csv.gz", "tcr_background_300k.csv.gz"


@dataclass(frozen=True)
class TcrData:
    """Receptors with the peptide they are recorded for, and unlabelled ones.

    Args:
        subset: which rows were kept.
        cdr3: CDR3b of each pair, ``(n,)``.
        peptide: peptide of each pair, ``(n,)``.
        split: train, valid, eval or test, ``(n,)``.
        tokens: the CDR3b as tokens, ``(n, 30)``.
        background: unlabelled human CDR3b, ``(m,)``.
        background_split: design, judge (together they are train), valid or test, ``(m,)``.
        background_tokens: the background as tokens, ``(m, 30)``.
        files: SHA-256 of each file used.
        notes: what was left out of the files, a line each.
        own: peptides of rows that are the user's own; what is left out of these is said aloud.
    """

    subset: Subset
    cdr3: Shaped[np.ndarray, " n"]
    peptide: Shaped[np.ndarray, " n"]
    split: Shaped[np.ndarray, " n"]
    tokens: UInt8[Tensor, "n 30"]
    background: Shaped[np.ndarray, " m"]
    background_split: Shaped[np.ndarray, " m"]
    background_tokens: UInt8[Tensor, "m 30"]
    files: Mapping[str, str]
    notes: tuple[str, ...] = ()
    own: frozenset[str] = frozenset()

    @property
    def digest(self) -> str:
        """One SHA-256 for all files and the subset."""
        lines = [self.subset, *(f"{name} {value}" for name, value in sorted(self.files.items()))]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def peptides(self, *, at_least: int, splits: Sequence[str] = DESIGN) -> list[str]:
        """Peptides with that many recorded receptors in the splits, most first."""
        names, counts = np.unique(self.peptide[np.isin(self.split, splits)], return_counts=True)
        order = np.lexsort((names, -counts))
        return [str(names[i]) for i in order if counts[i] >= at_least]

    def rows(self, peptide: str, splits: Sequence[str]) -> Int[np.ndarray, " k"]:
        """Rows of the receptors recorded for a peptide in the splits.

        Raises:
            InputError: if no receptor at all is recorded for the peptide.
        """
        of_peptide = self.peptide == peptide
        if not of_peptide.any():
            raise InputError(nearest(peptide, np.unique(self.peptide).tolist(), what="peptide"))
        return np.flatnonzero(of_peptide & np.isin(self.split, splits))

    def binders(self, peptide: str, splits: Sequence[str]) -> list[str]:
        """Receptors recorded for a peptide in the splits."""
        return self.cdr3[self.rows(peptide, splits)].tolist()

    def unlabelled(self, part: str) -> list[str]:
        """Background receptors of a part: design, judge, train (both), valid or test."""
        return self.background[self.background_rows(part)].tolist()

    def background_rows(self, part: str) -> Int[np.ndarray, " k"]:
        """Rows of a part of the background: design, judge, train (both), valid or test.

        Raises:
            InputError: if there is no such part.
        """
        if part not in {"design", "judge", "train", "valid", "test"}:
            raise InputError(f"expected a part design, judge, train, valid or test of the background, got {part!r}")
        if part == "train":
            return np.flatnonzero((self.background_split == "design") | (self.background_split == "judge"))
        return np.flatnonzero(self.background_split == part)

    def swaps(self, peptide: str, splits: Sequence[str]) -> Int[np.ndarray, " k"]:
        """Rows that may serve as swapped negatives: other peptides, same host, no binder of a relative."""
        names = np.unique(self.peptide).tolist()
        near = relatives(peptide, names)
        same_host = [name for name in names if name not in near and host(name) == host(peptide)]
        own = np.unique(self.cdr3[np.isin(self.peptide, list(near))])
        allowed = np.isin(self.peptide, same_host) & np.isin(self.split, splits) & ~np.isin(self.cdr3, own)
        return np.flatnonzero(allowed)


def data_folder(folder: str | Path | None = None) -> Path:
    """Find the folder with the receptor data.

    Args:
        folder: the folder, or its parent; None takes the environment variable ZSTEER_DATA.

    Raises:
        InputError: if nothing is set, or the files are not there.
    """
    named = folder if folder is not None else os.environ.get("ZSTEER_DATA")
    if not named:
        raise InputError(f"no data folder is given; pass --data FOLDER or set ZSTEER_DATA (it holds {_PAIRS})")
    for path in (Path(named), Path(named) / "tcr"):
        if (path / _PAIRS).is_file() and (path / _BACKGROUND).is_file():
            return path
    raise InputError(f"expected {_PAIRS} and {_BACKGROUND} in {named} or {Path(named) / 'tcr'}; neither has both")


def load_tcr(folder: str | Path | None = None, *, subset: Subset = "permissive") -> TcrData:
    """Read the receptor pairs and the background.

    Args:
        folder: the folder, or its parent; None takes the environment variable ZSTEER_DATA.
        subset: ``"permissive"`` or ``"all"`` rows of the pairs.

    Raises:
        InputError: if a file is missing, damaged, or lacks a column.
    """
    path = data_folder(folder)
    notes: list[str] = []
    pairs = _columns(path / _PAIRS, ("cdr3b", "peptide", "split", "sources"), notes)
    back = _columns(path / _BACKGROUND, ("cdr3b",), notes)["cdr3b"]
    keep = [i for i, source in enumerate(pairs["sources"]) if subset == "all" or _permissive(source)]
    notes += _other_sources(path / _PAIRS, pairs["sources"], keep)
    cdr3 = [pairs["cdr3b"][i] for i in keep]
    space = SequenceSpace()
    mine = {name for name, source in zip(pairs["peptide"], pairs["sources"], strict=True) if not _public(source)}
    return TcrData(
        subset,
        np.array(cdr3),
        np.array([pairs["peptide"][i] for i in keep]),
        np.array([pairs["split"][i] for i in keep]),
        space.encode(cdr3)["tokens"].to(torch.uint8),
        np.array(back),
        np.array([background_part(sequence) for sequence in back]),
        space.encode(back)["tokens"].to(torch.uint8),
        {name: hashlib.sha256((path / name).read_bytes()).hexdigest() for name in (_PAIRS, _BACKGROUND)},
        tuple(notes),
        frozenset(mine),
    )


def _public(sources: str) -> bool:
    """Whether a row stands in one of the public repositories that the tables are made of."""
    return any(name in {"titan", "immrep23"} or name.startswith(("ergo_", "vdjdb")) for name in sources.split("|"))


def _other_sources(path: Path, sources: Sequence[str], keep: Sequence[int]) -> list[str]:
    """What the subset leaves out of the user's own rows.

    Raises:
        InputError: if it leaves nothing.
    """
    held = set(keep)
    out = [source for i, source in enumerate(sources) if i not in held]
    mine = [source or "none" for source in out if not _public(source)]
    hint = "the subset permissive takes titan, immrep23 and ergo_* alone; pass --subset all"
    if sources and not keep:
        raise InputError(f"{path}: no row is left of {len(sources)}; their sources are {tally(out)}: {hint}")
    origins = tally(mine)
    return [f"{path}: {len(mine)} rows were left out for their sources ({origins[:200]}): {hint}"] if mine else []


def _permissive(sources: str) -> bool:
    return any(name in {"titan", "immrep23"} or name.startswith("ergo_") for name in sources.split("|"))


def background_part(sequence: str) -> str:
    """The part of the background that a receptor belongs to, by a hash."""
    bucket = int(hashlib.sha1(sequence.encode(), usedforsecurity=False).hexdigest()[:8], 16) % 100
    if bucket < 50:
        return "design"
    if bucket < 80:
        return "judge"
    return "valid" if bucket < 90 else "test"


def _columns(path: Path, names: Sequence[str], notes: list[str]) -> dict[str, list[str]]:
    """Columns of a file, rows of other chains than beta left out with a note.

    Raises:
        InputError: if it cannot be read, or lacks a column.
    """
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            missing = [name for name in names if name not in header]
            if missing:
                raise InputError(f"{path}: row 1: no column {', '.join(missing)}; found {', '.join(header)}")
            rows = list(reader)
    except (OSError, EOFError, UnicodeDecodeError, zlib.error, csv.Error) as error:
        raise InputError(f"{path}: cannot be read ({error}); fetch the file again") from error
    short = next((i for i, row in enumerate(rows, 2) if len(row) < len(header)), None)
    if short is not None:
        raise InputError(f"{path}: row {short}: expected {len(header)} columns; fetch the file again")
    chains = Chains(header)
    found = [chains.of(row) or BETA for row in rows]
    strange = [chain for chain in found if chain != BETA]
    if rows and len(strange) == len(rows):
        raise InputError(f"{path}: no row is a beta chain (TRB): {tally(strange)}")
    if strange:
        notes.append(
            f"{path}: {len(strange)} of {len(rows)} rows are no beta chain and were left out: {tally(strange)}"
        )
    rows = [row for row, chain in zip(rows, found, strict=True) if chain == BETA]
    return {name: [row[header.index(name)] for row in rows] for name in names}


@dataclass(frozen=True)
class Unlabelled:
    """Training batches of receptors without a label, a ``Source``: ``tokens`` (b, 30) and mask.

    Args:
        tokens: receptors to draw from, ``(m, 30)``.
        size: rows of a batch.
    """

    tokens: UInt8[Tensor, "m 30"]
    size: int = 256

    def batch(self, update: int, rng: Streams) -> Batch:
        """The batch of an update: the same for the same seed and update."""
        own = Streams(rng.seed, torch.arange(self.size), (*rng.path, "unlabelled"), update)
        tokens = self.tokens[own.integers("row", len(self.tokens))].long()
        return PROTEIN.batch(tokens)


def unlabelled(data: TcrData, part: str = "train", *, size: int = 256) -> Unlabelled:
    """Prepare to draw training batches from a part of the background."""
    return Unlabelled(data.background_tokens[torch.from_numpy(data.background_rows(part))], size)


@dataclass(frozen=True)
class _Pool:
    """Rows to draw from for each of ``p`` peptides, one after the other."""

    flat: Int[Tensor, " k"]
    start: Int[Tensor, " p"]
    size: Int[Tensor, " p"]

    @staticmethod
    def of(parts: Sequence[np.ndarray]) -> "_Pool":
        size = torch.tensor([len(part) for part in parts])
        return _Pool(torch.from_numpy(np.concatenate(parts).astype(np.int64)), size.cumsum(0) - size, size)

    def draw(self, which: Int[Tensor, " b"], u: Shaped[Tensor, " b"]) -> Int[Tensor, " b"]:
        """One row for each: of peptide ``which``, at the place ``u`` in (0, 1); any row where that has none."""
        if not len(self.flat):
            return torch.zeros_like(which)
        size = self.size[which]
        row = self.start[which] + torch.minimum((u * size).long(), size - 1)
        return self.flat[row.clamp(0, len(self.flat) - 1)]


@dataclass(frozen=True)
class Pairs:
    """Training batches of receptors and peptides, a ``Source``; made by ``pools``.

    Batch fields: ``tokens`` (b, 30), ``peptide`` (b,) index into ``peptides``, ``label`` (b,) 1.0 recorded pair, 0.0
    negative. Of every ``1 + negatives`` rows one is a recorded pair; negatives are by turns swapped and background.
    A peptide is drawn with a probability that grows with the ``power`` of its number of pairs.
    """

    data: TcrData
    peptides: tuple[str, ...]
    size: int
    negatives: int
    power: float
    positive: _Pool
    swap: _Pool
    background: Int[Tensor, " m"]

    def batch(self, update: int, rng: Streams) -> Batch:
        """The batch of an update: the same for the same seed and update."""
        own = Streams(rng.seed, torch.arange(self.size), (*rng.path, "pairs"), update)
        weight = self.positive.size.double() ** self.power
        edges = (weight / weight.sum()).cumsum(0)
        u = own.uniform("peptide", dtype=torch.float64)
        which = torch.searchsorted(edges, u).clamp(max=len(self.peptides) - 1)
        place = own.uniform("row", dtype=torch.float64)
        turn = torch.arange(self.size) % (1 + self.negatives)
        # Turn 0 is the pair; swapped and background negatives alternate, also across groups of an odd number.
        count = torch.arange(self.size) // (1 + self.negatives) * self.negatives + turn - 1
        return self.compose(which, turn == 0, count % 2 == 0, place)

    def compose(
        self,
        which: Int[Tensor, " b"],
        positive: Shaped[Tensor, " b"],
        swapped: Shaped[Tensor, " b"],
        place: Shaped[Tensor, " b"],
    ) -> Batch:
        """Rows of given peptides and kinds, each at the place ``place`` in (0, 1) of its pool."""
        swapped = swapped & (self.swap.size[which] > 0)
        of_pair = torch.where(positive, self.positive.draw(which, place), self.swap.draw(which, place))
        of_back = self.background[(place * len(self.background)).long().clamp(max=len(self.background) - 1)]
        paired = positive | swapped
        tokens = torch.where(
            paired[:, None],
            self.data.tokens[torch.where(paired, of_pair, 0)],
            self.data.background_tokens[torch.where(paired, 0, of_back)],
        ).long()
        return Batch({"tokens": tokens, "peptide": which, "label": positive.float()}, PROTEIN.real(tokens))


def pools(
    data: TcrData,
    peptides: Sequence[str],
    *,
    splits: Sequence[str] = DESIGN,
    background: str = "design",
    size: int = 256,
    negatives: int = 1,
    power: float = 0.5,
) -> Pairs:
    """Prepare to draw training batches.

    Args:
        data: receptors.
        peptides: peptides to draw from; their order gives the index in the field ``peptide``.
        splits: splits of the pairs.
        background: part of the background: design, judge, train, valid or test.
        size: rows of a batch.
        negatives: negatives for each pair.
        power: 0 draws all peptides alike, 1 in proportion to their pairs.

    A peptide without others of its host has background alone for negatives.

    Raises:
        InputError: if a peptide has no pair in the splits.
    """
    own = [data.rows(peptide, splits) for peptide in peptides]
    swaps = [data.swaps(peptide, splits) for peptide in peptides]
    for peptide, rows in zip(peptides, own, strict=True):
        if not len(rows):
            raise InputError(f"{peptide}: no recorded receptor in {', '.join(splits)} of the {data.subset} rows")
    back = torch.from_numpy(data.background_rows(background))
    return Pairs(data, tuple(peptides), size, negatives, power, _Pool.of(own), _Pool.of(swaps), back)


def labelled(source: Pairs, peptide: str, rng: Streams, *, negatives: int = 3, swapped: bool | None = None) -> Batch:
    """Every recorded pair of a peptide once, then ``negatives`` drawn for each.

    Args:
        source: where to draw from.
        peptide: one of its peptides.
        rng: gives seed and purpose.
        negatives: negatives for each pair.
        swapped: True for swapped negatives alone, False for background alone, None for half and half.

    Raises:
        InputError: if the peptide is not one of the source.
    """
    if peptide not in source.peptides:
        raise InputError(nearest(peptide, source.peptides, what="peptide"))
    index = source.peptides.index(peptide)
    pairs = int(source.positive.size[index])
    total = pairs * (1 + negatives)
    own = Streams(rng.seed, torch.arange(total), (*rng.path, "labelled", peptide))
    place = own.uniform("row", dtype=torch.float64)
    place[:pairs] = (torch.arange(pairs) + 0.5) / pairs
    positive = torch.arange(total) < pairs
    half = torch.arange(total) % 2 == 0
    kind = half if swapped is None else torch.full((total,), swapped)
    return source.compose(torch.full((total,), index), positive, kind, place)
