"""What judging 10,000 molecules costs, beside the loop of e3_diffusion_for_molecules at equal counts.

The peer is a checkout that whoever runs this has fetched; its loop over pairs of atoms runs in a process of its own.
Without one the plain double loop of this module stands in its place, under its own name.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsteer.domains.molecules.container import SYMBOLS, Molecules
from zsteer.domains.molecules.data import load
from zsteer.domains.molecules.metrics.graph import first_seen, verdicts
from zsteer.evaluate.report import Cell, Table
from zsteer.kits.molecules.metrics.bonds import ALLOWED, MARGINS, lengths
from zsteer.kits.molecules.metrics.legacy import legacy_smiles, stability
from zsteer.kits.molecules.metrics.valency import corrected

__all__ = ["evaluator"]

MOLECULES = 10_000
TARGET = 10.0
"""For stability, validity, uniqueness and corrected valency of 10,000 molecules. [seconds]"""
TIMES = 100.0
"""Times less than the peer's loop."""
SCRIPT = Path(__file__).parents[4] / "benchmarks" / "peers" / "edm_evaluator.py"
Watch = Callable[[dict[str, Any]], None]


def evaluator(*, data: Path, quick: bool, watch: Watch, peer: Path | None = None) -> list[Table]:
    """Time the evaluator, and the peer's loop on the same molecules.

    Args:
        data: the data folder.
        quick: a fiftieth of the molecules.
        watch: called with progress.
        peer: a checkout of e3_diffusion_for_molecules.
    """
    watch({"part": "evaluator", "doing": "reading"})
    every = load("qm9-gfn2", data)
    n = MOLECULES // 50 if quick else MOLECULES
    molecules = every.take(np.linspace(0, len(every) - 1, n).astype(np.int64))
    rows, cost = _own(molecules)
    watch({"part": "evaluator", "doing": "the peer"})
    return [
        Table(
            f"Judging {n:,} molecules",
            ["what", "CPU [s]", "wall [s]", "result"],
            rows,
            [
                f"QM9-space molecules with hydrogens, {molecules.sizes.mean():.1f} atoms on average; one process",
                f"target: edm-2022 and corrected valency of {MOLECULES:,} molecules below {TARGET:.0f} s",
            ],
        ),
        _beside(molecules, cost, peer),
    ]


def _own(molecules: Molecules) -> tuple[list[list[Cell]], float]:
    """Rows of the evaluator, and CPU seconds of stability alone."""
    checks: Mapping[str, Callable[[], str]] = {
        "edm-2022: stability": lambda: f"{stability(molecules).molecules.mean():.4f} of molecules",
        "edm-2022: validity, uniqueness": lambda: _named(legacy_smiles(molecules)),
        "corrected valency, both views": lambda: (
            f"{corrected(molecules).molecules.mean():.4f}, "
            f"{corrected(molecules, kekulised=True).molecules.mean():.4f} of molecules"
        ),
    }
    rows: list[list[Cell]] = []
    total = [0.0, 0.0]
    for what, ask in checks.items():
        cpu, wall, result = _timed(ask)
        rows.append([what, cpu, wall, result])
        total = [total[0] + cpu, total[1] + wall]
    first = _timed(lambda: str(stability(molecules).molecules.sum()))[0]
    rows.append(["all of these", *total, "within the target" if total[1] < TARGET else "above the target"])
    rows.append(["geom-revisited: graphs (beside)", *_timed(lambda: f"{verdicts(molecules).valid.mean():.4f} valid")])
    return rows, first


def _named(names: NDArray[Any]) -> str:
    return f"{(names != '').mean():.4f} valid, {first_seen(names).sum() / max(1, (names != '').sum()):.4f} unique"


def _timed(ask: Callable[[], str]) -> tuple[float, float, str]:
    """CPU and wall seconds, and what came out."""
    clock, start = time.process_time(), time.perf_counter()
    result = ask()
    return time.process_time() - clock, time.perf_counter() - start, result


def _beside(molecules: Molecules, cost: float, peer: Path | None) -> Table:
    """Our stability beside a loop, at equal counts."""
    found = stability(molecules)
    ours: list[Cell] = ["zsteer", len(molecules), cost, f"{1e6 * cost / len(molecules):.1f}", "", "1"]
    rows = [ours]
    if peer is not None:
        rows.append(_row("e3_diffusion_for_molecules", _peer(molecules, peer), found.molecules, found.counts, cost))
        part = 0
    else:
        rows.append(["e3_diffusion_for_molecules", 0, math.nan, "", "not there: fetch it and pass --peer FOLDER", ""])
        part = min(len(molecules), 500)
    if part:
        few = molecules.take(slice(0, part))
        clock = time.process_time()
        stable, atoms = _loop(few)
        facts = {"cpu": time.process_time() - clock, "stable": stable, "atoms": atoms}
        share = cost * part / len(molecules)
        rows.append(_row("a plain double loop (ours)", facts, found.molecules[:part], found.counts[:part], share))
    columns = ["who", "molecules", "CPU [s]", "CPU a molecule [us]", "counts", "times ours"]
    notes = [
        f"atom and molecule stability by edm-2022 from elements and coordinates; target: {TIMES:.0f} times less",
        "counts: stable atoms of every molecule, and every stable molecule, compared one by one",
    ]
    return Table("Stability beside a loop over pairs of atoms", columns, rows, notes)


def _row(
    who: str, facts: Mapping[str, Any], stable: NDArray[np.bool_], atoms: NDArray[np.int64], cost: float
) -> list[Cell]:
    if "missing" in facts:
        return [who, 0, math.nan, "", str(facts["missing"]), ""]
    same = bool((np.array(facts["stable"]) == stable).all()) and bool((np.array(facts["atoms"]) == atoms).all())
    cpu, n = float(facts["cpu"]), len(facts["stable"])
    return [who, n, cpu, f"{1e6 * cpu / n:.1f}", "equal" if same else "DIFFERENT", f"{cpu / cost:.0f}"]


def _peer(molecules: Molecules, folder: Path) -> Mapping[str, Any]:
    """What the peer's own function says, from a process of its own; the reason where it does not run."""
    if not SCRIPT.is_file() or not (folder / "qm9" / "analyze.py").is_file():
        return {"missing": f"no checkout of it in {folder.name}, or no benchmarks/peers beside the package"}
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "molecules.npz"
        np.savez(path, z=molecules.z, xyz=molecules.xyz, offsets=molecules.offsets)
        done = subprocess.run(
            [sys.executable, str(SCRIPT), str(folder), str(path)],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 or not lines:
        return {"missing": f"failed: {(done.stderr.strip().splitlines() or ['it printed nothing'])[-1][:120]}"}
    return json.loads(lines[-1])


def _loop(molecules: Molecules) -> tuple[list[bool], list[int]]:
    """Stable molecules and stable atoms of each, pair by pair."""
    tables = [lengths(order) for order in (1, 2, 3)]
    stable: list[bool] = []
    atoms: list[int] = []
    for i in range(len(molecules)):
        span = slice(int(molecules.offsets[i]), int(molecules.offsets[i + 1]))
        names, xyz = [SYMBOLS[z] for z in molecules.z[span].tolist()], molecules.xyz[span]
        sums = [0] * len(names)
        for a in range(len(names)):
            for b in range(a + 1, len(names)):
                distance = 100 * np.sqrt(np.sum((xyz[a] - xyz[b]) ** 2))
                pair, order = (names[a], names[b]), 0
                while order < 3 and distance < tables[order].get(pair, -math.inf) + MARGINS[order]:
                    order += 1
                sums[a] += order
                sums[b] += order
        good = sum(total in ALLOWED[name] for name, total in zip(names, sums, strict=True))
        stable.append(good == len(names))
        atoms.append(good)
    return stable, atoms
