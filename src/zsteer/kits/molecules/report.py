"""Samples of molecules beside data: three rows of every figure, by the protocols ``edm-2022`` and ``geom-revisited``.

A figure of molecules says little alone: real molecules fail some metrics, and broken ones pass others. So every table
has the row "data" (molecules of the reference that no model has seen, as many as there are samples) and the row
"shuffled" (the same with elements and charges permuted among the atoms of each molecule), and every figure its
bootstrap interval. Novelty of samples is taken against the whole reference; that of data and shuffled, and geometry,
against the rest of the reference. Without a reference the samples stand alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsteer.core.rng import Streams
from zsteer.domains.molecules.container import Molecules
from zsteer.domains.molecules.metrics.graph import first_seen, novel
from zsteer.errors import InputError
from zsteer.evaluate.intervals import Draws
from zsteer.evaluate.report import Cell, Interval, Report, Table
from zsteer.kits.molecules.metrics.legacy import foreign, legacy_smiles, stability
from zsteer.kits.molecules.metrics.names import known_names
from zsteer.kits.molecules.metrics.profile import shuffled

__all__ = ["ROWS", "Sets", "bare", "edm_2022", "names_cells", "percent", "plain"]

ROWS: Sequence[str] = ("samples", "data", "shuffled")
FEWEST = 10
"""Molecules on each side, at least."""


@dataclass(frozen=True)
class Sets:
    """Samples and what they are read beside.

    Args:
        rows: the three sets, by name, each in random order.
        draws: of the bootstrap, for each row.
        known: the part of the reference that a model may have seen, in random order.
        notes: how the sets came about.
        reference: the whole reference, in its own order.
        rest: which molecules of it the row "data" is compared with.
    """

    rows: Mapping[str, Molecules]
    draws: Mapping[str, Draws]
    known: Molecules
    notes: Sequence[str]
    reference: Molecules
    rest: NDArray[np.bool_]

    @staticmethod
    def alone(samples: Molecules, rng: Streams, *, most: int | None = None, absent: int = 0) -> "Sets":
        """Samples without a reference.

        Args:
            samples: to be judged.
            rng: streams, of which the first is used.
            most: molecules that are measured, for protocols that take seconds for each.
            absent: further samples that could not be read: they fail whatever is asked of all.
        """
        one = rng.take(slice(0, 1)).child("molecules")
        own, missing = _chosen(samples, one, most, absent)
        none, whole = samples.take([]), len(samples) + absent
        notes = [_asked(most, whole)] if most is not None and whole > most else []
        draws = {"samples": Draws.of(len(own), one, absent=missing)}
        return Sets({"samples": own}, draws, none, notes, none, np.zeros(0, bool))

    @staticmethod
    def of(
        samples: Molecules, reference: Molecules, rng: Streams, *, most: int | None = None, absent: int = 0
    ) -> "Sets":
        """Cut the reference into known and held-out molecules.

        Args:
            samples: to be judged.
            reference: real molecules; those of ``split`` train are the known ones, or a random half.
            rng: streams, of which the first is used.
            most: molecules of each row, for protocols that take seconds for each.
            absent: further samples that could not be read: they fail whatever is asked of all.

        Raises:
            InputError: if there are fewer than 10 samples, or of either part of the reference.
        """
        one = rng.take(slice(0, 1)).child("molecules")
        own, other, notes = _alike(samples, reference)
        rest, remarks = _rest(other, one)
        known, held = other.take(rest), other.take(~rest)
        for what, count in (("samples", len(own)), ("known molecules", len(known)), ("held-out molecules", len(held))):
            if count < FEWEST:
                raise InputError(f"expected at least {FEWEST} {what}, got {count}; give more molecules")
        if most is not None and len(own) + absent > most:
            notes = [*notes, _asked(most, len(own) + absent)]
        # Files are often sorted by size, and some tables ask the first molecules of a set only.
        own, missing = _chosen(own, one, most, absent)
        known = known.take(one.permutation("known", len(known))[0].numpy())
        n = min(len(own), len(held))
        data = held.take(one.permutation("held out", len(held))[0, :n].numpy())
        mixed = shuffled(data, Streams.of(rng.seed, n).child("shuffled molecules"))
        rows = dict(zip(ROWS, (own, data, mixed), strict=True))
        gone = {"samples": missing}
        draws = {name: Draws.of(len(row), one.child(name), absent=gone.get(name, 0)) for name, row in rows.items()}
        return Sets(rows, draws, known, [*remarks, *notes], other, rest)

    @property
    def how(self) -> list[str]:
        """What the rows are, for the notes of a report."""
        n = {name: f"{self.draws[name].n:,}" for name in self.rows}
        brackets = "in brackets the middle 95 % of 200 bootstrap draws of whole molecules"
        if "data" not in n:
            return [f"samples: {n['samples']} molecules; no reference", *self.notes, brackets]
        return [
            f"samples: {n['samples']} molecules; data: {n['data']} held-out molecules of the reference",
            "shuffled: the same, elements and charges permuted among the atoms of each, coordinates and bonds kept",
            *self.notes,
            brackets,
        ]

    def names_beside(self, name: str, names: NDArray[Any]) -> NDArray[Any]:
        """Names that novelty of a row is taken against, of the names of the reference: for samples all of them."""
        return names if name == "samples" else names[self.rest]

    @property
    def novelty(self) -> str:
        """What novelty means here, for the notes of a table."""
        return (
            f"novel: of the unique, the share that is none of the {len(self.reference):,} molecules of the whole "
            f"reference; for data and shuffled none of its {int(self.rest.sum()):,} others"
        )


def _chosen(samples: Molecules, rng: Streams, most: int | None, absent: int) -> tuple[Molecules, int]:
    """Samples in random order, at most so many with the absent ones, and how many of those are absent."""
    order = rng.permutation("samples", len(samples) + absent)[0, :most].numpy()
    there = order < len(samples)
    return samples.take(order[there]), int((~there).sum())


def _asked(most: int, count: int) -> str:
    return f"{most} of {count:,} samples are measured, chosen at random: each takes seconds"


def _alike(samples: Molecules, reference: Molecules) -> tuple[Molecules, Molecules, list[str]]:
    """Both with hydrogens as atoms, or both with counted ones: shapes and geometries compare only then."""
    counted = [bool(one.hydrogens.any()) for one in (samples, reference)]
    if not any(counted):
        return samples, reference, []
    pair: list[Molecules] = []
    for what, one in (("samples", samples), ("the reference", reference)):
        try:
            # A hydrogen that no atom can count stays an atom, so that its molecule is judged as it is.
            pair.append(one.heavy(strict=False) if bool((one.z == 1).any()) else one)
        except InputError as error:
            raise InputError(
                f"hydrogens are only counted in one of the sets and cannot be counted in {what}: {error}; "
                f"give a reference whose hydrogens are kept as those of the samples are"
            ) from None
    remarks = ["hydrogens are counted on their atoms in both sets, not placed"] if counted[0] != counted[1] else []
    return pair[0], pair[1], remarks


def _rest(reference: Molecules, rng: Streams) -> tuple[NDArray[np.bool_], list[str]]:
    """Which molecules are known; the others are held out, and the row "data" is taken from them."""
    split = reference.split
    train = np.zeros(len(reference), bool) if split is None else split == "train"
    if min(int(train.sum()), int((~train).sum())) >= FEWEST:
        return train, []
    order = rng.permutation("parts", len(reference))[0].numpy()
    half = np.zeros(len(reference), bool)
    half[order[: len(reference) // 2]] = True
    remarks = f"the reference has no {FEWEST} molecules each in split train and out of it: a random half is the known"
    return half, [remarks]


def percent(value: float) -> str:
    """A share for a sentence."""
    return "n/a" if np.isnan(value) else f"{100 * value:.1f} %"


def names_cells(names: NDArray[Any], known: NDArray[Any], draws: Draws) -> list[Cell]:
    """Share of distinct names, and of those that are not known, among the named."""
    first = first_seen(names)
    fresh = novel(names, known) & first
    # Drawing molecules again repeats names by itself, so that uniqueness has no bootstrap interval.
    return [bare(draws.ratio(first, names != "")), draws.ratio(fresh, first)]


def bare(figure: Interval) -> Interval:
    """A figure without an interval."""
    return replace(figure, low=float("nan"), high=float("nan"))


def plain(value: float, n: int) -> Interval:
    """A figure that comes without an interval."""
    return Interval(value, float("nan"), float("nan"), n)


def edm_2022(sets: Sets, *, title: str, single: bool = False) -> Report:
    """The lookup protocol.

    Args:
        sets: samples and their reference; hydrogens as atoms.
        title: of the report.
        single: build the molecules for validity with single bonds only, as the protocol has it on GEOM-Drugs.
    """
    known = known_names(sets.reference, "lookup, single bonds" if single else "lookup")["smiles"]
    rows: list[list[Cell]] = []
    for name, molecules in sets.rows.items():
        draws, found = sets.draws[name], stability(molecules)
        names = legacy_smiles(molecules, single=single)
        unique, fresh = names_cells(names, sets.names_beside(name, known), draws)
        cells: list[Cell] = [
            draws.ratio(found.counts, molecules.sizes),
            draws.ratio(found.molecules),
            draws.ratio(names != ""),
            bare(draws.ratio(first_seen(names))),
        ]
        rows.append([name, *cells, unique, fresh, draws.n])
    columns = ["set", "atoms stable", "molecules stable", "valid", "valid x unique", "unique", "novel", "n"]
    notes = [
        "bonds are looked up from distances; C=C below 139 pm makes benzene (139.6 pm) unstable, charges are not known",
        "valid: the lookup graph sanitises; its largest fragment is named, and missing hydrogens are added for it",
        "unique: of the valid, falls with n",
        sets.novelty,
        *(["validity by single bonds only, as the protocol has it on GEOM-Drugs"] if single else []),
    ]
    strange = int(foreign(sets.rows["samples"]).sum())
    if strange:
        notes.append(f"{strange:,} samples have an element that the protocol has no valence for: not stable, not valid")
    table = Table("Lookup stability and validity (edm-2022)", columns, rows, notes)
    summary = [
        "; ".join(f"{row[0]}: {percent(_value(row[2]))} of molecules stable" for row in rows) + ".",
        *sets.how,
    ]
    return Report(title, summary, [table], facts={"protocol": "edm-2022"})


def _value(cell: Cell) -> float:
    return float(getattr(cell, "value", float("nan")))
