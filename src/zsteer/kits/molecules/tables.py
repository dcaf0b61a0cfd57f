"""The protocol ``geom-revisited``: valency, graphs, names, geometry, rings and composition of molecules with bonds.

Each table has the rows of ``Sets``. Judged are the bonds that the molecules have: nothing is added or repaired.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsteer.domains.molecules.container import Molecules
from zsteer.domains.molecules.metrics.graph import RINGS, Verdicts, agreement, rings, verdicts
from zsteer.evaluate.intervals import Draws
from zsteer.evaluate.report import Cell, Interval, Report, Table
from zsteer.kits.molecules.metrics.geometry import (
    Measured,
    angles,
    bond_lengths,
    clashing,
    compact,
    drift,
    known_kinds,
    redraw,
    torsions,
)
from zsteer.kits.molecules.metrics.names import known_names, known_values
from zsteer.kits.molecules.metrics.profile import GROUPS, VALUES, elements, groups, values
from zsteer.kits.molecules.metrics.valency import corrected, unlisted
from zsteer.kits.molecules.report import Sets, bare, names_cells, percent, plain

__all__ = ["geom_revisited"]

GEOMETRY = 5000
"""Molecules of each set that geometry is measured on."""
REFERENCE = 10_000
"""Known molecules that geometry is measured against, at random."""
PROFILED = 2000
"""Molecules of each set that are measured one by one: DetermineBonds, groups, properties."""


@dataclass(frozen=True)
class _Row:
    """One set with what the tables share."""

    molecules: Molecules
    found: Verdicts
    draws: Draws

    def first(self, n: int) -> "_Row":
        """Its first molecules."""
        return _Row(self.molecules.take(slice(0, n)), self.found.first(n), self.draws.first(n))


@dataclass(frozen=True)
class _Known:
    """Names of the reference, and values of the first known molecules: no molecule of RDKit is kept."""

    sets: Sets
    smiles: NDArray[Any]
    keys: NDArray[Any]
    values: Mapping[str, NDArray[np.float64]]

    @staticmethod
    def of(sets: Sets) -> "_Known":
        names = known_names(sets.reference, "graph")
        return _Known(sets, names["smiles"], names["keys"], known_values(sets.known.take(slice(0, PROFILED))))


def geom_revisited(sets: Sets, *, title: str) -> Report:
    """All tables of molecules with bonds."""
    rows = {name: _Row(one, verdicts(one), sets.draws[name]) for name, one in sets.rows.items()}
    few = {name: row.first(PROFILED) for name, row in rows.items()}
    reference = _Known.of(sets)
    tables = [
        _valency(rows),
        _graphs(rows),
        _names(rows, reference),
        _contacts(few),
        _geometry({name: row.first(GEOMETRY) for name, row in rows.items()}, sets.known.take(slice(0, REFERENCE))),
        _rings(rows),
        _elements(rows),
        _groups(few),
        _properties(few, reference),
    ]
    return Report(title, [_summary(rows), *sets.how], tables, facts={"protocol": "geom-revisited"})


def _summary(rows: Mapping[str, _Row]) -> str:
    shares = [f"{name}: {percent(row.draws.ratio(row.found.valid).value)}" for name, row in rows.items()]
    return "Sanitised, connected and without radicals: " + "; ".join(shares) + "."


def _valency(rows: Mapping[str, _Row]) -> Table:
    cells: list[list[Cell]] = []
    strange: set[str] = set()
    for name, row in rows.items():
        whole, plain = corrected(row.molecules), corrected(row.molecules, kekulised=True)
        strange |= set(unlisted(row.molecules)) if name != "shuffled" else set()
        cells.append(
            [
                name,
                row.draws.ratio(whole.counts, row.molecules.sizes),
                row.draws.ratio(whole.molecules),
                row.draws.ratio(plain.molecules),
                row.draws.n,
            ]
        )
    notes = ["an atom is stable if its (aromatic bonds, sum of other orders) is listed for its element and charge"]
    if strange:
        notes.append(f"not in the table at all, never stable: {', '.join(sorted(strange))}")
    return Table(
        "Corrected valency",
        ["set", "atoms stable", "molecules stable", "kekulised: molecules stable", "n"],
        cells,
        notes,
    )


def _graphs(rows: Mapping[str, _Row]) -> Table:
    cells: list[list[Cell]] = []
    for name, row in rows.items():
        found = row.found
        shares = (found.sanitised, found.connected, found.paired, found.valid)
        cells.append([name, *[row.draws.ratio(share) for share in shares], row.draws.n])
    notes = [
        "no radicals: sanitised and without unpaired electrons, hydrogens taken as they stand; valid: all three",
        *_reasons(rows["samples"].found),
    ]
    return Table("Graphs", ["set", "sanitised", "connected", "no radicals", "valid", "n"], cells, notes)


def _reasons(found: Verdicts) -> list[str]:
    """The commonest reasons why samples are refused, as a note."""
    kinds: dict[str, int] = {}
    for reason in found.reasons:
        if reason:
            kind = "".join(" " if letter.isdigit() or letter == "#" else letter for letter in reason)
            kinds[" ".join(kind.split())] = kinds.get(" ".join(kind.split()), 0) + 1
    kinds_first = sorted(kinds.items(), key=lambda pair: -pair[1])[:3]
    return [f"samples refused: {'; '.join(f'{count} x {kind}' for kind, count in kinds_first)}"] if kinds_first else []


def _names(rows: Mapping[str, _Row], known: _Known) -> Table:
    cells: list[list[Cell]] = []
    for name, row in rows.items():
        by_smiles = names_cells(row.found.smiles, known.sets.names_beside(name, known.smiles), row.draws)
        by_key = names_cells(row.found.keys(), known.sets.names_beside(name, known.keys), row.draws)
        cells.append([name, *by_smiles, *by_key, int(row.found.valid.sum())])
    columns = ["set", "unique (SMILES)", "novel (SMILES)", "unique (InChIKey-14)", "novel (InChIKey-14)", "n valid"]
    notes = [
        "of valid molecules, canonical names of their bonds without stereo; unique falls with n, compare at equal n",
        f"{known.sets.novelty}; InChIKey-14 joins tautomers",
    ]
    return Table("Uniqueness and novelty", columns, cells, notes)


def _contacts(rows: Mapping[str, _Row]) -> Table:
    cells: list[list[Cell]] = []
    charged: list[str] = []
    for name, row in rows.items():
        valid = row.found.valid
        agreed = agreement(row.found)
        outcomes = [row.draws.ratio(agreed.outcome == one, valid) for one in ("recovered", "different", "failed")]
        close = row.draws.ratio(clashing(row.molecules) & valid, valid)
        near = compact(row.molecules)
        cells.append([name, *outcomes, close, row.draws.mean(np.where(valid, near, np.nan)), int(valid.sum())])
        by_charge = [int(((agreed.outcome == "recovered") & (agreed.charge == charge)).sum()) for charge in (0, -1, 1)]
        charged.append(f"{name} {by_charge[0]}/{by_charge[1]}/{by_charge[2]}")
    columns = ["set", "recovered", "different", "failed", "clashing", "compact", "n valid"]
    notes = [
        f"of the valid among {PROFILED:,} at random: is it what DetermineBonds reads out of the coordinates",
        "DetermineBonds fails on real molecules as well: see data",
        f"recovered at charge 0/-1/+1: {', '.join(charged)}",
        "clashing: heavy atoms more than three bonds apart, within 0.7 of the sum of their van der Waals radii",
        "compact: bonds of heavy atoms 1.1 ... 1.8 angstrom, no other pair of them below 1.8 (C, N, O, F only)",
    ]
    return Table("Coordinates against bonds", columns, cells, notes)


def _geometry(rows: Mapping[str, _Row], known: Molecules) -> Table:
    measured = ((bond_lengths, "bonds [angstrom]"), (angles, "angles [degree]"), (torsions, "torsions [degree]"))
    part = known.take(slice(0, 4 * GEOMETRY))
    reference = {title: measure(part) for measure, title in measured}
    cells: list[list[Cell]] = []
    for name, row in rows.items():
        own = {title: measure(row.molecules) for measure, title in measured}
        each = [_apart(own[title], reference[title], row.draws) for title in own]
        seen = [plain(known_kinds(own[title], reference[title]), len(row.molecules)) for title in list(own)[:2]]
        cells.append([name, *each, *seen, len(row.molecules)])
    columns = ["set", *[title for _, title in measured], "bonds of known kinds", "angles of known kinds", "n"]
    notes = [
        "W_1 to the known molecules, mean over kinds weighted by their share in the reference",
        "kinds of bonds: elements and order; of angles: centre and number of neighbours; of torsions: central bond",
        f"{GEOMETRY:,} molecules at random, valid or not, against {REFERENCE:,} of the known",
        "kinds that these lack are in no distance",
        "50 bootstrap draws, laid around the figure: drawing again adds to a distance",
    ]
    return Table("Geometry: distance to the reference", columns, cells, notes)


def _apart(own: Measured, reference: Measured, draws: Draws) -> Interval:
    found = drift(own, reference)
    return draws.of_function(found.mean, lambda counts: redraw(own, reference, list(counts)), own.molecules)


def _rings(rows: Mapping[str, _Row]) -> Table:
    cells: list[list[Cell]] = []
    for name, row in rows.items():
        counts, valid = rings(row.found), row.found.valid
        per = [row.draws.ratio(counts[:, k] * valid, valid) for k in range(len(RINGS))]
        cells.append([name, *per, bare(row.draws.ratio(counts.sum(1) > 0, valid)), int(valid.sum())])
    notes = ["rings of each size in a valid molecule (smallest set of smallest rings); last: molecules with any ring"]
    return Table(
        "Rings per molecule", ["set", *[f"{size}-ring" for size in RINGS], "with rings", "n valid"], cells, notes
    )


def _elements(rows: Mapping[str, _Row]) -> Table:
    shares = {name: elements(row.molecules) for name, row in rows.items() if name != "shuffled"}
    names = list(dict.fromkeys(symbol for one in shares.values() for symbol in one))[:12]
    cells: list[list[Cell]] = []
    for name, share in shares.items():
        molecules = rows[name].molecules
        atoms = np.abs(molecules.charge.astype(np.int64))
        total = np.concatenate([[0], np.cumsum(atoms)])
        charged = (total[molecules.offsets[1:]] - total[molecules.offsets[:-1]]) > 0
        listed = [plain(share.get(symbol, 0.0), len(molecules)) for symbol in names]
        cells.append([name, *listed, rows[name].draws.ratio(charged), len(molecules)])
    notes = ["share of atoms, counted hydrogens among them; shuffling changes no element"]
    return Table("Elements", ["set", *names, "molecules with charges", "n"], cells, notes)


def _groups(rows: Mapping[str, _Row]) -> Table:
    shares = {name: _mean(groups(row.found)) for name, row in rows.items()}
    n = {name: int(row.found.valid.sum()) for name, row in rows.items()}
    cells: list[list[Cell]] = []
    for k, group in enumerate(GROUPS):
        cells.append([group, *[plain(float(share[k]), n[name]) for name, share in shares.items()]])
    apart = {name: float(np.abs(share - shares["data"]).mean()) for name, share in shares.items()}
    cells.append(["mean difference to data", *[plain(value, n[name]) for name, value in apart.items()]])
    notes = [f"share of the valid molecules among {PROFILED:,} at random that have the group"]
    return Table("Functional groups", ["group", *shares], cells, notes)


def _mean(table: NDArray[np.float64]) -> NDArray[np.float64]:
    there = table[np.isfinite(table).all(1)]
    return there.mean(0) if len(there) else np.full(table.shape[1], np.nan)


def _properties(rows: Mapping[str, _Row], known: _Known) -> Table:
    cells: list[list[Cell]] = []
    for name, row in rows.items():
        own = values(row.found)
        each = [_shift(own[key], known.values[key], row.draws) for key in VALUES]
        cells.append([name, *each, int(row.found.valid.sum())])
    notes = [
        "W_1 to the known molecules in standard deviations of these; 1 is as far as a shift by one deviation",
        f"valid molecules among {PROFILED:,} at random; qed, sas, logp of the graph; asphericity, rg of the geometry",
    ]
    return Table("Property drift", ["set", *VALUES, "n valid"], cells, notes)


def _shift(own: NDArray[np.float64], reference: NDArray[np.float64], draws: Draws) -> Interval:
    there = np.flatnonzero(np.isfinite(own))
    fixed = reference[np.isfinite(reference)]
    scale = max(float(fixed.std()), 1e-12) if len(fixed) else 1.0

    def as_measured(found: NDArray[np.float64]) -> Measured:
        return Measured(found / scale, np.zeros(len(found), np.int64), np.arange(len(found)), len(found))

    return _apart(as_measured(own[there]), as_measured(fixed), draws.only(there))
