"""The protocol ``validity``: how many molecules of a file are valid, unique and novel, by their graphs alone.

``zsteer evaluate mols.sdf`` (it is the default for molecules), with ``--reference FILE`` for novelty against all of its
molecules. A list of SMILES is judged as it stands, without geometries; an SD file record by record; both a part at a
time, on the free cores. Records that cannot be parsed count as invalid.
"""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsteer.core.rng import Streams
from zsteer.domains.molecules import data
from zsteer.domains.molecules.checks import raise_first, summary
from zsteer.domains.molecules.container import Molecules
from zsteer.domains.molecules.files import LISTS, Reading, ending_of, read
from zsteer.domains.molecules.metrics.chemist import perceived
from zsteer.domains.molecules.metrics.graph import first_seen, novel
from zsteer.domains.molecules.prepared import is_prepared
from zsteer.domains.molecules.smiles import read_smiles
from zsteer.errors import InputError
from zsteer.evaluate.intervals import Draws
from zsteer.evaluate.report import Cell, Report, Table
from zsteer.kits.base import Samples
from zsteer.kits.molecules.kit import GeneratedMolecules
from zsteer.kits.molecules.metrics.names import Named, known_names, name_part, named_set, sdf_parts, smiles_parts
from zsteer.kits.molecules.report import bare, percent
from zsteer.kits.protocols import EvaluationRequest
from zsteer.scoring.pool import Pool
from zsteer.train.threads import free_threads

__all__ = ["NamedFile", "ValidityProtocol", "validity"]

POOLED = 10_000
"""Molecules from which on several processes are worth their start."""


@dataclass(frozen=True)
class NamedFile:
    """Names of the molecules of a file.

    Args:
        where: the file.
        named: names and kinds of faults.
        left: lines about what was left out or assumed.
    """

    where: str
    named: Named
    left: Sequence[str] = field(default_factory=list[str])


@dataclass(frozen=True)
class ValidityProtocol:
    """Validity, uniqueness and novelty."""

    def read(self, path: Path, *, skip_invalid: bool, column: str | None = None) -> NamedFile:
        """Names of a file of molecules; rows that have no place for a SMILES are problems."""
        ending = ending_of(path)
        if ending in LISTS:
            listed = read_smiles(path, column)
            raise_first(path, listed.problems, skip_invalid=skip_invalid)
            left = [*listed.notes, *summary(listed.problems)]
            return NamedFile(str(path), _judged(smiles_parts([row.smiles for row in listed.rows])), left)
        if ending in {".sdf", ".sd", ".mol"} and path.is_file():
            named = _judged(sdf_parts(path))
            if len(named.smiles):
                return NamedFile(str(path), named)
        loaded = read(path, Reading(skip_invalid=skip_invalid, checked=False, column=column))
        return NamedFile(str(path), *_of_set(loaded.molecules, [*loaded.notes, *summary(loaded.problems)]))

    def evaluate(self, samples: Any, request: EvaluationRequest) -> Report:
        """The report.

        Args:
            samples: what ``read`` gave, ``Molecules``, or what a model of molecules made.
            request: with the reference, or without.

        Raises:
            InputError: if a goal is given, or there is nothing to judge.
        """
        if request.goal.toward:
            raise InputError("the protocol validity takes no --toward")
        own = _found(samples)
        known = None if request.reference is None else self._known(request.reference, request)
        n = len(own.named.smiles)
        if not n:
            raise InputError(f"{own.where}: no molecule to judge")
        draws, names = Draws.of(n, Streams.of(request.seed, 1).child("validity")), own.named.smiles
        valid, first = names != "", first_seen(names)
        unique = bare(draws.ratio(first, valid))
        cells: list[Cell] = [draws.ratio(valid), unique, bare(draws.ratio(first))]
        text = f"Valid: {percent(float(valid.mean()))}; unique of the valid: {percent(unique.value)}"
        columns = ["set", "valid", "unique", "valid x unique"]
        notes = [
            "valid: sanitised, in one piece, no unpaired electron, hydrogens taken as they stand",
            "unique: of the valid, different canonical SMILES without stereo; falls with n, compare at equal n",
        ]
        if known is not None:
            there = known.named.smiles[known.named.smiles != ""]
            fresh = draws.ratio(novel(names, there) & first, first)
            cells.append(fresh)
            columns.append("novel")
            text += f"; novel of the unique: {percent(fresh.value)}"
            count = f"{len(np.unique(there)):,} different of the {len(known.named.smiles):,} molecules"
            notes.append(f"novel: of the unique, the share that is none of the {count} of {Path(known.where).name}")
        faults = Counter(kind for kind in own.named.kinds.tolist() if kind)
        table = Table("Validity, uniqueness, novelty", [*columns, "n"], [["samples", *cells, n]], notes)
        tables = [table]
        if faults:
            rows: list[list[Cell]] = [[kind, count] for kind, count in faults.most_common(12)]
            tables.append(Table("Not valid", ["reason", "molecules"], rows, ["the first that is wrong with each"]))
        title = f"{Path(own.where).name} by validity"
        facts = {"protocol": "validity", "molecules": n, "valid": int(valid.sum()), "seed": request.seed}
        return Report(title, [f"{text}.", *own.left, *([] if known is None else known.left)], tables, facts=facts)

    def _known(self, path: Path, request: EvaluationRequest) -> NamedFile:
        """Names of a reference: a file, or a set of the data folder by its name."""
        if not path.exists() and str(path) in data.SETS:
            folder = os.environ.get("ZSTEER_DATA")
            known = data.load(str(path), Path(folder) if folder else None)
            return NamedFile(str(path), *_of_set(known, []))
        if ending_of(path) == ".npz" and is_prepared(path):
            found = read(path, Reading(checked=False)).molecules
            return NamedFile(str(path), *_of_set(found, []))
        return self.read(path, skip_invalid=bool(request.reading.get("skip_invalid")))


def _judged(parts: Sequence[Any]) -> Named:
    """Names of parts, on several processes where that pays."""
    workers = free_threads()
    if workers < 2 or sum(len(part[1]) for part in parts) < POOLED:
        return Named.cat([name_part(part) for part in parts])
    with Pool("zsteer.kits.molecules.metrics.names:name_part", workers=workers) as pool:
        outcomes = pool.map(parts)
    gone = [f"takes the program down: {one.status}"[:80] for one in outcomes]
    made = [
        one.value if one.status == "ok" else ([""] * len(part[1]), [why] * len(part[1]))
        for one, part, why in zip(outcomes, parts, gone, strict=True)
    ]
    return Named.cat(made)


def _of_set(molecules: Molecules, left: Sequence[str]) -> tuple[Named, list[str]]:
    """Names of a set in memory; bonds are perceived where it has none."""
    lines = list(left)
    if molecules.bond_offsets is None:
        molecules, failed = perceived(molecules)
        lines.append(f"no bonds: they were read from coordinates; {failed:,} molecules stay without, and are not valid")
    if len(molecules) < POOLED:
        return named_set(molecules), lines
    names: NDArray[Any] = known_names(molecules, "smiles")["smiles"]
    return Named(names, np.where(names == "", "not valid", "")), lines


def _found(samples: Any) -> NamedFile:
    if isinstance(samples, NamedFile):
        return samples
    molecules = samples.items if isinstance(samples, Samples) else samples
    molecules = molecules.molecules if isinstance(molecules, GeneratedMolecules) else molecules
    if isinstance(molecules, Molecules):
        return NamedFile("the samples", *_of_set(molecules, []))
    raise InputError(f"expected a file of molecules, or molecules of a model, got {type(samples).__name__}")


def validity(models: Path | None) -> ValidityProtocol:
    """The protocol; it asks no model.

    Raises:
        InputError: if a model is given.
    """
    if models is not None:
        raise InputError("the protocol validity asks no model; omit --models")
    return ValidityProtocol()
