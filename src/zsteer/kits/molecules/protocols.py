"""The protocols for molecules: a file of them against data, and against broken data.

``zsteer evaluate mols.sdf --protocol geom-revisited --reference FILE``: any file of molecules that is read, or the name
of a set of the data folder (qm9-gfn2, geom-like, qm7). Generated molecules are read as they stand: what is broken
counts, it is not left out.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zsteer.core.rng import Streams
from zsteer.domains.molecules import data
from zsteer.domains.molecules.container import SYMBOLS, Molecules
from zsteer.domains.molecules.files import LISTS, Reading, ending_of, read
from zsteer.domains.molecules.metrics.chemist import perceived
from zsteer.errors import InputError
from zsteer.evaluate.report import Report
from zsteer.kits.base import Samples
from zsteer.kits.molecules.energy import posebusters, strained
from zsteer.kits.molecules.kit import GeneratedMolecules
from zsteer.kits.molecules.report import Sets, edm_2022
from zsteer.kits.molecules.tables import geom_revisited
from zsteer.kits.protocols import EvaluationRequest

__all__ = ["Found", "MoleculeProtocol", "busters", "busters_fast", "by_lookup", "by_strain", "revisited"]

SMALL = ("H", "C", "N", "O", "F")
"""Elements of QM9; with others the lookup protocol takes single bonds for validity, as on GEOM-Drugs."""


@dataclass(frozen=True)
class Found:
    """Molecules of a file.

    Args:
        where: the file.
        molecules: what it holds.
        problems: records that could not be read, a line each.
        notes: what was assumed, a line each.
        absent: how many of the problems count as molecules that are not valid.
    """

    where: str
    molecules: Molecules
    problems: Sequence[str] = ()
    notes: Sequence[str] = ()
    absent: int = 0


Judge = Callable[[Sets, str], Report]


@dataclass(frozen=True)
class MoleculeProtocol:
    """A way to judge molecules beside a reference.

    Args:
        name: of the protocol.
        judge: makes the report of three sets and a title.
        bonded: it judges bonds; they are perceived where a file has none.
        most: molecules of each set that are measured, or None for all.
        alone: it judges molecules without a reference too.
    """

    name: str
    judge: Judge
    bonded: bool
    most: int | None = None
    alone: bool = False

    def read(self, path: Path, *, skip_invalid: bool, column: str | None = None) -> Found:
        """Read molecules as they stand, broken chemistry and all.

        Records that nothing can be read of count as molecules that are not valid; ``skip_invalid`` leaves them out.
        """
        loaded = read(path, Reading(skip_invalid=True, checked=False, column=column))
        notes = list(loaded.notes)
        if ending_of(path) in LISTS:
            notes.append("a list of SMILES has no geometry: those judged are ETKDGv3's and a force field's")
        problems = [problem.line for problem in loaded.problems]
        return Found(str(path), loaded.molecules, problems, notes, 0 if skip_invalid else len(problems))

    def evaluate(self, samples: Any, request: EvaluationRequest) -> Report:
        """The report.

        Args:
            samples: what ``read`` gave, ``Molecules``, or what a model of molecules made.
            request: with the reference.

        Raises:
            InputError: if there is no reference, or a goal is given.
        """
        if request.goal.toward:
            raise InputError(f"the protocol {self.name} takes no --toward")
        own, rng = _found(samples), Streams.of(request.seed, 1)
        other = (
            None
            if request.reference is None
            else _reference(request.reference, skip=bool(request.reading.get("skip_invalid")))
        )
        mine, remarks = self._bonded(own)
        if other is not None:
            theirs, more = self._bonded(other)
            sets = Sets.of(mine, theirs, rng, most=self.most, absent=own.absent)
            remarks = [*remarks, *more, *other.notes]
        elif self.alone:
            sets = Sets.alone(mine, rng, most=self.most, absent=own.absent)
        else:
            raise InputError(
                f"the protocol {self.name} needs --reference FILE: real molecules to compare with (a file, or the name "
                f"of a set of the data folder: {', '.join(data.SETS)}); validity, posebusters-fast and strain need none"
            )
        beside = "" if other is None else f" against {Path(other.where).name}"
        title = f"{Path(own.where).name}{beside} by {self.name}"
        report = self.judge(sets, title)
        what = "count as not valid" if own.absent else "were left out"
        listed = f"{len(own.problems)} records could not be read and {what}: {'; '.join(own.problems[:3])}"
        left = [listed] if own.problems else []
        facts: dict[str, Any] = {
            "samples": own.molecules.digest(),
            "molecules": len(own.molecules),
            "seed": request.seed,
        }
        if other is not None:
            facts |= {"reference": other.molecules.digest(), "reference molecules": len(other.molecules)}
        summary = [*report.summary, *left, *own.notes, *remarks]
        return Report(report.title, summary, report.tables, report.blocks, {**report.facts, **facts})

    def _bonded(self, found: Found) -> tuple[Molecules, list[str]]:
        """Bonds for a set that has none, where they are needed."""
        molecules = found.molecules
        if not self.bonded or molecules.bond_offsets is not None:
            return molecules, []
        made, failed = perceived(molecules)
        remarks = (
            f"{Path(found.where).name} has no bonds: those of {len(made) - failed:,} molecules were read from "
            f"coordinates; {failed:,} others stay without bonds and count as invalid"
        )
        return made, [remarks]


def _found(samples: Any) -> Found:
    if isinstance(samples, Found):
        return samples
    molecules = samples.items if isinstance(samples, Samples) else samples
    molecules = molecules.molecules if isinstance(molecules, GeneratedMolecules) else molecules
    if isinstance(molecules, Molecules):
        return Found("the samples", molecules)
    raise InputError(f"expected a file of molecules, or molecules of a model, got {type(samples).__name__}")


def _reference(path: Path, *, skip: bool) -> Found:
    """A file, or a set of the data folder by its name."""
    if path.exists() or str(path) not in data.SETS:
        loaded = read(path, Reading(skip_invalid=skip, checked=False))
        left = [f"{len(loaded.problems)} records of the reference could not be read"] if loaded.problems else []
        return Found(str(path), loaded.molecules, notes=[*loaded.notes, *left])
    folder = os.environ.get("ZSTEER_DATA")
    return Found(str(path), data.load(str(path), Path(folder) if folder else None))


def _by_lookup(sets: Sets, title: str) -> Report:
    known = [SYMBOLS.index(symbol) for symbol in SMALL]
    single = not all(bool(np.isin(one.z, known).all()) for one in (sets.rows["samples"], sets.known))
    return edm_2022(sets, title=title, single=single)


def _asks_nothing(models: Path | None, protocol: MoleculeProtocol) -> MoleculeProtocol:
    """The protocol itself; it asks no model.

    Raises:
        InputError: if a model is given.
    """
    if models is not None:
        raise InputError(f"the protocol {protocol.name} asks no model; omit --models")
    return protocol


def by_lookup(models: Path | None) -> MoleculeProtocol:
    """The lookup of 2022, for comparison with published figures."""
    return _asks_nothing(models, MoleculeProtocol("edm-2022", _by_lookup, bonded=False))


def revisited(models: Path | None) -> MoleculeProtocol:
    """Corrected valency, graphs, geometry and composition."""
    made = MoleculeProtocol("geom-revisited", lambda sets, title: geom_revisited(sets, title=title), bonded=True)
    return _asks_nothing(models, made)


def busters(models: Path | None) -> MoleculeProtocol:
    """PoseBusters with the energy ratio."""
    made = MoleculeProtocol(
        "posebusters", lambda sets, title: posebusters(sets, title=title, fast=False), bonded=True, most=200, alone=True
    )
    return _asks_nothing(models, made)


def busters_fast(models: Path | None) -> MoleculeProtocol:
    """PoseBusters without it."""
    made = MoleculeProtocol(
        "posebusters-fast",
        lambda sets, title: posebusters(sets, title=title, fast=True),
        bonded=True,
        most=1000,
        alone=True,
    )
    return _asks_nothing(models, made)


def by_strain(models: Path | None) -> MoleculeProtocol:
    """Relaxation by GFN2-xTB."""
    made = MoleculeProtocol(
        "strain", lambda sets, title: strained(sets, title=title), bonded=True, most=100, alone=True
    )
    return _asks_nothing(models, made)
