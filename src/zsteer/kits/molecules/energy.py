"""The protocols ``posebusters`` and ``strain``: checks and energies that take seconds a molecule."""

import numpy as np
from numpy.typing import NDArray

from zsteer.domains.molecules.metrics.graph import verdicts
from zsteer.evaluate.report import Cell, Interval, Report, Table
from zsteer.kits.molecules.metrics.busters import busted
from zsteer.kits.molecules.metrics.strain import strain
from zsteer.kits.molecules.report import Sets, bare, percent, plain

__all__ = ["posebusters", "strained"]


def posebusters(sets: Sets, *, title: str, fast: bool) -> Report:
    """Share of molecules that pass each check, and all of them."""
    results = {name: busted(molecules, fast=fast) for name, molecules in sets.rows.items()}
    checks = results["samples"].checks
    configuration = results["samples"].configuration
    whole: list[list[Cell]] = []
    for name, one in results.items():
        whole.append([name, sets.draws[name].ratio(one.everything), sets.draws[name].n])
    each: list[list[Cell]] = []
    for k, check in enumerate(checks):
        each.append([check, *[bare(sets.draws[name].ratio(one.passed[:, k])) for name, one in results.items()]])
    text = "; ".join(f"{row[0]}: {percent(getattr(row[1], 'value', float('nan')))}" for row in whole)
    notes = [
        configuration,
        "counted hydrogens are placed by RDKit; molecules that do not sanitise are handed over as they are",
        *(["without the energy ratio"] if fast else []),
    ]
    tables = [
        Table("PoseBusters", ["set", "passes all", "n"], whole, notes),
        Table("PoseBusters, check by check", ["check", *results], each, ["share of molecules that pass"]),
    ]
    facts = {"protocol": "posebusters-fast" if fast else "posebusters", "configuration": configuration}
    return Report(title, [f"Passes every check of PoseBusters: {text}.", *sets.how], tables, facts=facts)


def strained(sets: Sets, *, title: str) -> Report:
    """Energy given up and movement in the relaxation by GFN2-xTB."""
    results = {name: strain(verdicts(molecules)) for name, molecules in sets.rows.items()}
    rows: list[list[Cell]] = []
    for name, one in results.items():
        draws = sets.draws[name]
        there = np.flatnonzero(np.isfinite(one.energy))
        medians = [_median(value[there], draws.only(there).counts) for value in (one.energy, one.heavy)]
        means = [draws.mean(value) for value in (one.bond, one.angle, one.torsion, one.rmsd)]
        rows.append([name, *medians, *means, int(one.failed.sum()), len(there)])
    columns = ["set", "strain [kcal/mol]", "of heavy atoms", "bonds [angstrom]", "angles [degree]", "torsions [degree]"]
    columns += ["RMSD [angstrom]", "failed", "n valid"]
    notes = [
        results["samples"].configuration,
        "of valid molecules: median energy given up on the way to the nearest minimum, mean absolute changes",
        "of heavy atoms: the same after all hydrogens were relaxed alone; RMSD: of heavy atoms, after alignment",
        "counted hydrogens are placed by RDKit and relaxed first, with the heavy atoms where they are",
        "failed: no self-consistent field or no minimum within 300 steps",
    ]
    table = Table("Strain by GFN2-xTB", columns, rows, notes)
    text = "; ".join(f"{row[0]}: {row[1]}, of heavy atoms {row[2]}" for row in rows)
    facts = {"protocol": "strain", "configuration": results["samples"].configuration}
    read = "Read that of heavy atoms: the first also counts hydrogens, which are often placed by a rule."
    return Report(title, [f"Median strain [kcal/mol]: {text}.", read, *sets.how], [table], facts=facts)


def _median(energy: NDArray[np.float64], counts: NDArray[np.float32]) -> Interval:
    """Median with its bootstrap interval."""
    if not len(energy):
        return plain(float("nan"), 0)
    again = [np.median(np.repeat(energy, count.astype(np.int64))) for count in counts if count.sum()]
    low, high = np.quantile(np.array(again), [0.025, 0.975])
    return Interval(float(np.median(energy)), float(low), float(high), len(energy))
