"""Quality of generated molecules against steps, beside molecules of the data that no model has seen."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsteer.core.catalog import load_model
from zsteer.core.rng import Streams
from zsteer.domains.molecules.chemistry import parse_smiles
from zsteer.domains.molecules.container import Molecules
from zsteer.domains.molecules.metrics.chemist import folded, smiles_of
from zsteer.domains.molecules.metrics.graph import Verdicts, first_seen, novel, rings, verdicts
from zsteer.domains.molecules.sets import load_molecules
from zsteer.errors import MissingExtraError
from zsteer.evaluate.report import Cell, Table
from zsteer.kits.molecules.kit import generated
from zsteer.kits.molecules.metrics import geometry
from zsteer.kits.molecules.metrics.busters import busted
from zsteer.kits.molecules.metrics.strain import strain
from zsteer.kits.molecules.metrics.valency import corrected
from zsteer.models.edm.edm import EDM
from zsteer.steer.sampling import sample_by
from zsteer.train.threads import threads_of

__all__ = ["Beside", "Walk", "costly_cells", "known_names", "model_named", "ring_drift", "tables"]

Watch = Callable[[dict[str, Any]], None]
GUIDED = 1.1
"""Autoguidance of the walks that have it: more, and there are too few rings of three (docs/decisions/log.md)."""


@dataclass(frozen=True)
class Walk:
    """Words of one row.

    Args:
        solver: by name.
        steps: of the walk.
        spacing: of its times.
        autoguidance: 1 for none; more calls the net twice a step.
    """

    solver: str
    steps: int
    spacing: str
    autoguidance: float = 1.0

    @property
    def name(self) -> str:
        """What the row is called."""
        more = f", autoguidance {self.autoguidance:g}" if self.autoguidance != 1 else ""
        return f"{self.solver}, {self.spacing}{more}"


WALKS: Sequence[Walk] = (
    Walk("sde2", 4, "power"),
    Walk("sde2", 10, "power"),
    Walk("sde2", 20, "power"),
    Walk("sde2", 20, "power", GUIDED),
    Walk("sde2", 50, "power"),
    Walk("sde2", 50, "power", GUIDED),
    Walk("sde2", 250, "power"),
    Walk("sde2", 1000, "power"),
    Walk("ancestral", 20, "power"),
    Walk("ancestral", 50, "power"),
    Walk("ancestral", 50, "time"),
    Walk("multistep2", 20, "power"),
)
STRAINED, BUSTED = 50, 100
"""Molecules that are relaxed, and that are busted."""
LARGE = 100
"""Steps from which fewer molecules are made."""


def model_named(models: Path | None, name: str) -> EDM:
    """The model of a folder, or the shipped one.

    Args:
        models: an artifact or run folder; the shipped model when None.
        name: of the shipped model.
    """
    return load_model(name if models is None else models, kind=EDM.kind)


QUICK_KNOWN = 2000
"""Molecules of the training set that a quick run compares with."""


def known_names(molecules: Molecules) -> NDArray[Any]:
    """Canonical SMILES without stereo of molecules that bring their SMILES."""
    if molecules.smiles is None:
        return verdicts(molecules).smiles
    found = [parse_smiles(str(word)) for word in molecules.smiles.tolist()]
    return np.array([smiles_of(folded(mol)) for mol in found if not isinstance(mol, str)])


def ring_drift(found: NDArray[np.int64], data: NDArray[np.int64], good: int, count: int) -> float:
    """Largest relative difference from the data in rings of 3, 4, 5 and 6 atoms a molecule.

    Sizes that fewer than 2 % of the data's molecules have are left out.

    Args:
        found: rings of each size in each generated molecule.
        data: the same of the data.
        good: valid molecules among the generated ones.
        count: molecules of the data.
    """
    rate, truth = found.sum(0)[:4] / max(good, 1), data.sum(0)[:4] / max(count, 1)
    common = truth > 0.02
    return float(np.abs(rate - truth)[common].max(initial=0) if not common.any() else
                 (np.abs(rate - truth)[common] / truth[common]).max())  # fmt: skip


def tables(*, data: Path, quick: bool, watch: Watch, models: Path | None = None) -> Sequence[Table]:
    """Quality against steps for molecules of QM9's space.

    Args:
        data: the data folder.
        quick: few molecules and walks, novel beside a part of the set.
        watch: called with progress.
        models: artifact or run folder of another model.
    """
    model = model_named(models, "qm9-edm")
    sets = load_molecules("qm9-gfn2", data, largest=200, skip_invalid=False).heavy()
    watch({"doing": "names of the training set"})
    known, held = sets.train, sets.held
    if quick:
        known, held = known.take(slice(QUICK_KNOWN)), held.take(slice(QUICK_KNOWN // 4))
    beside = Beside("qm9-gfn2" if not quick else f"{len(known):,} of qm9-gfn2", known_names(known), held)
    return [steps_table(model, beside, (8, 8) if quick else (1000, 200), watch=watch, quick=quick)]


@dataclass(frozen=True)
class Beside:
    """What generated molecules are held against.

    Args:
        name: of the set.
        known: canonical SMILES that are not novel.
        held: molecules that no model has seen, without hydrogen atoms.
        strained: molecules that are relaxed by GFN2-xTB.
    """

    name: str
    known: NDArray[Any]
    held: Molecules
    strained: int = STRAINED


def steps_table(
    model: EDM,
    beside: Beside,
    counts: tuple[int, int],
    *,
    watch: Watch,
    quick: bool,
    walks: Sequence[Walk] = WALKS,
) -> Table:
    """Walks from the same streams.

    Args:
        model: the model.
        beside: what its molecules are held against.
        counts: molecules of short walks, and of those of more than 100 steps.
        watch: called with progress.
        quick: only walks of at most 20 steps.
        walks: solver, steps and spacing of each.
    """
    with threads_of(1):
        known = beside.known
        # Rings are counted on all held-out molecules: a thousand would leave an error of some five parts in a hundred.
        everyone = verdicts(beside.held)
        real = rings(everyone)
        chosen = Streams.of(0, 1).child("held").permutation("rows", len(beside.held))[0][: max(counts)].numpy()
        held, truth = beside.held.take(chosen), everyone.take(chosen)
        lengths = geometry.bond_lengths(held)
        rows: list[list[Cell]] = []
        for walk in walks:
            # A model without triangles has nothing to leave out.
            if (quick and walk.steps > 20) or (walk.autoguidance != 1 and not model.settings.triangles):
                continue
            n = counts[walk.steps > LARGE]
            watch({"doing": f"{walk.name}, {walk.steps} steps, {n} molecules"})
            started = time.process_time()
            x, _ = sample_by(model, n, asdict(walk), Streams.of(1, n))
            spent = time.process_time() - started
            made = generated(x, bonded=bool(model.settings.bonds)).molecules
            found = verdicts(made)
            cells = _figures(made, found, known, lengths)
            drift = ring_drift(rings(found), real, int(found.valid.sum()), len(beside.held))
            measured = walk.solver == "sde2" and walk.steps in {20, 50}
            costly = costly_cells(made, found, beside.strained) if measured else ["", ""]
            rows.append([walk.name, walk.steps, n, *cells, drift, *costly, 1000 * spent / n])
        figures = _figures(held, truth, known, lengths)
        drift = ring_drift(rings(truth), real, len(held), len(beside.held))
        rows.append(
            ["data (held out)", "", len(held), *figures, drift, *costly_cells(held, truth, beside.strained), ""]
        )
    columns = ["walk", "steps", "n", "valid %", "corrected %", "compact %", "unique %", "novel %", "bonds W1 pm",
               "rings 3/4/5/6", "ring drift", "strain kcal/mol", "PB-fast %", "CPU-ms each"]  # fmt: skip
    rates = " ".join(f"{rate:.3f}" for rate in real.sum(0)[:4] / len(beside.held))
    notes = (*NOTES, f"rings of all {len(beside.held):,} held-out molecules: {rates}")
    return Table(f"Quality against steps, {beside.name}", columns, rows, notes)


def costly_cells(molecules: Molecules, found: Verdicts, strained: int) -> list[Cell]:
    """Median strain [kcal/mol] and share that passes PoseBusters; a word where the extra is not installed."""
    chosen = found.take(np.flatnonzero(found.valid)[:strained])
    try:
        median: Cell = float(np.nanmedian(strain(chosen).energy)) if len(chosen.mols) else ""
    except MissingExtraError:
        median = "no tblite"
    try:
        passed: Cell = 100 * float(busted(molecules.take(slice(0, BUSTED)), fast=True).everything.mean())
    except MissingExtraError:
        passed = "no posebusters"
    return [median, passed]


NOTES = (
    "valid: RDKit sanitises it, it is one piece, no electron is unpaired; of all molecules that were made",
    "corrected: molecules whose atoms all have a valence of the corrected table; of all",
    "compact: of the valid, those whose bonds are 1.1 to 1.8 angstrom long and whose other pairs are farther apart",
    "unique: distinct among the valid; novel: of those, not in the training set (drug-like: in all of ZINC-250k)",
    "bonds W1: Wasserstein distance of bond lengths from held-out molecules, mean over kinds of bonds",
    f"strain: median of the first {STRAINED} valid by GFN2-xTB (small ones), hydrogens relaxed first; needs tblite",
    f"PB-fast: share of the first {BUSTED} molecules that pass PoseBusters without its energy ratio; needs posebusters",
    "both for sde2 walks of 20 and 50 steps and for data",
    "autoguidance: away from what the net says without its triangles; two calls of the net a step",
    "rings: of 3, 4, 5 and 6 atoms for each valid molecule; drift: largest relative difference from held-out ones",
)


def _figures(molecules: Molecules, found: Verdicts, known: NDArray[Any], lengths: geometry.Measured) -> list[Cell]:
    good = found.valid
    names = found.smiles
    first = first_seen(names)
    fine = molecules.take(good)
    apart = geometry.drift(geometry.bond_lengths(fine), lengths)
    counts = rings(found).sum(0)[:4] / max(int(good.sum()), 1)
    shares: Mapping[str, float] = {
        "valid": float(good.mean()),
        "corrected": float(corrected(molecules).molecules.mean()),
        "compact": float(np.nanmean(geometry.compact(fine))) if len(fine) else float("nan"),
        "unique": float(first.sum() / max(int(good.sum()), 1)),
        "novel": float((novel(names, known) & first).sum() / max(int(first.sum()), 1)),
    }
    return [*(100 * share for share in shares.values()), 100 * apart.mean, " ".join(f"{c:.2f}" for c in counts)]
