"""Conditions on properties: how near molecules come to the value asked for, on a ladder of baselines.

Values are asked for as held-out molecules have them, one for each molecule; an independent judge measures what came out
(RDKit's descriptors on the generated graph or geometry; GFN2-xTB for the dipole). The ladder, worst first:

* shuffled: the same molecules, targets permuted among them;
* size-shuffle: a model that is told the size only;
* atoms: no molecule, just the training set's mean of the property at that size;
* the model, by strength of guidance;
* data: the judge's own error on real molecules, stripped and completed as generated ones are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zsteer.bench.molecules.quality import model_named
from zsteer.core.batch import Batch, rows_of
from zsteer.core.catalog import load_model
from zsteer.core.protocols import Group
from zsteer.core.rng import Streams
from zsteer.domains.molecules.container import Molecules
from zsteer.domains.molecules.metrics.graph import Verdicts, verdicts
from zsteer.domains.molecules.sets import load_molecules
from zsteer.evaluate.report import Cell, Table
from zsteer.kits.molecules.kit import generated
from zsteer.kits.molecules.metrics.strain import installed
from zsteer.kits.molecules.metrics.values import values_of
from zsteer.models.edm.edm import EDM
from zsteer.predictors.noisy_property import NoisyProperty
from zsteer.steer.guide import ByClassifier
from zsteer.steer.options import DrawOptions, SamplingOptions
from zsteer.steer.rejection import draw_valid
from zsteer.steer.sampling import Guided, sample_guided, trajectory_of
from zsteer.train.threads import threads_of

__all__ = ["ladder", "tables"]

Watch = Callable[[dict[str, Any]], None]
SCALES = (1.0, 2.0)
CANDIDATES, MORE = 8, 16
"""Walks of which the guide keeps the nearest; and for the dipole, which it tells less surely."""
JUDGED = ("asphericity", "qed", "sas", "logp", "mu_debye")
"""Properties that can be measured on what came out; the dipole where tblite is installed."""
QUICK_JUDGED = JUDGED[:2]
COSTLY = 200
"""Targets of the dipole, which takes a third of a second a molecule."""


def tables(*, data: Path, quick: bool, watch: Watch, models: Path | None = None) -> Sequence[Table]:
    """The ladder of each property that the model has learned and a judge can measure.

    Args:
        data: the data folder.
        quick: few molecules, two properties, one strength.
        watch: called with progress.
        models: artifact or run folder of another model.
    """
    model = model_named(models, "qm9-edm")
    judge: NoisyProperty | None = None
    if models is None:
        guide: NoisyProperty = load_model("qm9-properties", kind=NoisyProperty.kind)
        guide.check(model)
        judge = guide
    n, scales = (4, (1.0,)) if quick else (500, SCALES)
    names = QUICK_JUDGED if quick else JUDGED
    return [ladder(model, "qm9-gfn2", data, n, watch=watch, scales=scales, judge=judge, names=names)]


def _row(name: str, rung: str, target: NDArray[np.float64], got: NDArray[np.float64], base: float) -> list[Cell]:
    there = np.isfinite(got)
    error = np.abs(got - target)[there]
    mae = float(error.mean()) if len(error) else float("nan")
    r = float(np.corrcoef(got[there], target[there])[0, 1]) if len(error) > 2 and np.ptp(got[there]) else float("nan")
    spread = float(error.std() / max(len(error), 1) ** 0.5) if len(error) else float("nan")
    return [name, rung, mae, spread, r, mae / base, 100 * float(there.mean()), int(there.sum())]


def ladder(
    model: EDM,
    dataset: str,
    data: Path | None,
    n: int,
    *,
    watch: Watch,
    scales: Sequence[float] = SCALES,
    judge: NoisyProperty | None = None,
    names: Sequence[str] = JUDGED,
) -> Table:
    """All rungs for all properties.

    Args:
        model: the model.
        dataset: set or file that it was trained on.
        data: the data folder.
        n: targets of each property.
        watch: called with progress.
        scales: strengths of classifier-free guidance; 1 is none.
        judge: noisy properties for classifier guidance; none when None.
        names: properties, of which those are asked for that the model has learned.
    """
    rows: list[list[Cell]] = []
    with threads_of(1):
        whole = load_molecules(dataset, data, largest=200, skip_invalid=False)
        sets = whole.heavy()
        chosen = Streams.of(0, 1).child("targets").permutation("rows", len(sets.held))[0][:n].numpy()
        held, sizes = sets.held.take(chosen), torch.from_numpy(sets.held.sizes[chosen])
        watch({"doing": "molecules that are told their size only"})
        blind = _made(model, n, {"atoms": sizes})
        for name in [name for name in model.settings.properties if name in names]:
            if name == "mu_debye" and not installed():
                continue
            m = min(n, COSTLY) if name == "mu_debye" else n
            watch({"doing": f"{name}, {m} targets"})
            wanted = held.take(slice(0, m))
            rungs = [("size-shuffle", values_of(blind.first(m), name)), ("atoms", _by_size(sets.train, wanted, name))]
            rows += _rungs(model, judge, name, wanted, rungs, scales)
    columns = ["property", "rung", "MAE", "se", "r", "of shuffled", "valid %", "n"]
    notes = NOTES if installed() else (*NOTES, "no dipole: tblite is not installed (pip install 'zsteer[qm]')")
    return Table(f"Conditions on properties, {dataset}, {n} targets of held-out molecules", columns, rows, notes)


NOTES = (
    "MAE over the molecules that are valid; of shuffled: MAE over that of the same molecules with permuted targets",
    "judges do not know the model: RDKit's QED, SAS and Crippen logP of the graph, asphericity of the geometry",
    "asphericity is mass-weighted, hydrogens placed by RDKit; sizes are drawn given the value, but in size-shuffle",
    f"the dipole by GFN2-xTB at the generated geometry, counted hydrogens placed and relaxed alone; {COSTLY} targets",
    "walks: sde2, 50 steps; scale: classifier-free guidance",
    "guided: the condition, and classifier guidance (mode mean) by noisy properties trained apart, at that strength",
    "nearest of 8, 16: of so many walks with the condition the valid molecule that the guide, not the judge, chooses",
)


@dataclass(frozen=True)
class Pull:
    """Classifier guidance by noisy properties.

    Args:
        judge: the guide.
        strength: of its pull; 0 chooses among candidates alone.
    """

    judge: NoisyProperty
    strength: float


def _rungs(
    model: EDM,
    judge: NoisyProperty | None,
    name: str,
    wanted: Molecules,
    rungs: Sequence[tuple[str, NDArray[np.float64]]],
    scales: Sequence[float],
) -> list[list[Cell]]:
    """The ladder of one property: the baselines, the model by strength of guidance, the judge's own error."""
    m, target = len(wanted), wanted.properties[name]
    order = Streams.of(1, 1).permutation("shuffled", m)[0].numpy()
    found = [values_of(_made(model, m, {name: target.tolist(), "scale": scale}), name) for scale in scales]
    there = np.isfinite(found[0])
    base = float(np.abs(found[0] - target[order])[there].mean()) if there.any() else float("nan")
    rows = [_row(name, "shuffled", target[order], found[0], base)]
    rows += [_row(name, rung, target, got, base) for rung, got in rungs]
    rows += [_row(name, f"model, scale {scale:g}", target, got, base) for scale, got in zip(scales, found, strict=True)]
    if judge is not None:
        many = MORE if name == "mu_debye" else CANDIDATES
        # What the guide does beside the condition: the strength of its pull, and the walks that it chooses from.
        for rung, strength, candidates in (("guided 1", 1.0, 1), (f"nearest of {many} by the guide", 0.0, many)):
            got = values_of(_made(model, m, {name: target.tolist()}, Pull(judge, strength), candidates), name)
            rows.append(_row(name, f"model, {rung}", target, got, base))
    return [*rows, _row(name, "data", target, values_of(verdicts(wanted), name), base)]


def _made(
    model: EDM,
    n: int,
    given: dict[str, Any],
    pull: Pull | None = None,
    candidates: int = 1,
) -> Verdicts:
    names = [name for name in given if name != "atoms" and name not in SamplingOptions.model_fields]
    own = {name: value for name, value in given.items() if name in SamplingOptions.model_fields}
    conditions = {name: value for name, value in given.items() if name not in own}
    trajectory = trajectory_of(model.sampling, SamplingOptions.model_validate(own))

    def guides(group: Group) -> list[Guided]:
        if pull is None or not pull.strength:
            return []
        return [_guide(pull, group, name, torch.tensor(given[name])[group.rows]) for name in names]

    def draw(rows: Tensor, streams: Streams) -> tuple[Batch, dict[str, Any]]:
        mine = {name: rows_of(value, rows, n) for name, value in conditions.items()}
        return sample_guided(model, len(rows), mine, streams, trajectory=trajectory, guides=guides, rows=rows)

    def distance(x: Batch, rows: Tensor) -> Tensor:
        total = torch.zeros(len(rows), dtype=torch.float64)
        if pull is None:
            return total
        for name in names:
            std = model.settings.stds[model.settings.properties.index(name)]
            total = total + ((pull.judge.values(x, name) - torch.tensor(given[name])[rows]) / std).square()
        return total

    options = DrawOptions(best_of=candidates, max_retries=0)
    drawing = draw_valid(
        draw,
        Streams.of(2, n),
        options=options,
        problems=lambda x: generated(x).problems,
        distance=distance if pull is not None else None,
    )
    return verdicts(generated(drawing.batch).molecules)


def _guide(pull: Pull, group: Group, name: str, value: Tensor) -> Guided:
    log_prob = pull.judge.log_prob_at(group.model, name, value)
    return lambda inner: ByClassifier(inner, log_prob, pull.strength, "mean")


def _by_size(train: Molecules, held: Molecules, name: str) -> NDArray[np.float64]:
    """The training set's mean of a property at the size of each held-out molecule; the whole mean where none is."""
    values, sizes = train.properties[name], train.sizes
    most = int(max(sizes.max(), held.sizes.max())) + 1
    count = np.bincount(sizes, minlength=most)
    total = np.bincount(sizes, values, minlength=most)
    mean = np.where(count > 0, total / np.maximum(count, 1), values.mean())
    return mean[held.sizes]
