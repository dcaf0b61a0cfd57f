"""WGAN and GAN on the grid of 25 modes; and W1 by a critic against W1 that is known or exact.

The critic's estimate is its gap at the slope that its penalty allows (``gan.dual``). Exact figures come in closed
form, or by assignment on samples, beside what two real samples of that size show.
"""

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zsteer.core.batch import Batch
from zsteer.core.rng import Streams
from zsteer.errors import SettingsError
from zsteer.evaluate.report import Table, Value
from zsteer.maths.distances import wasserstein
from zsteer.maths.segments import points
from zsteer.models.gan.dual import Dual
from zsteer.models.gan.gan import COLLAPSE, WRONG_SIGN, Gan
from zsteer.recipes.base import Experiment
from zsteer.recipes.gan.build import adversarial, modes_of
from zsteer.recipes.gan.settings import GanRecipe, WassersteinGanRecipe
from zsteer.recipes.sets import load_set
from zsteer.train.loop import Fit, Optim, Plan
from zsteer.train.source import Shuffled

__all__ = ["by_critic", "tables"]

SAMPLES = 10_000
PAIRS = 20_000
ASSIGNED = 4000
Watch = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class _Trained:
    """One run: the model, its seconds, and copies of the model on the way, by step."""

    model: Gan
    seconds: float
    on_the_way: dict[int, Gan]


def _train(experiment: Experiment[Gan], seed: int, keep: Sequence[int], watch: Watch) -> _Trained:
    if experiment.source is None or experiment.plan is None:
        raise SettingsError("an adversarial experiment has a source and a plan")
    fit = Fit(experiment.model, experiment.source, experiment.plan, seed=seed)
    kept: dict[int, Gan] = {}
    started = time.process_time()
    while fit.step < experiment.plan.steps:
        record = fit.advance()
        if record is not None:
            watch({"step": fit.step, "steps": experiment.plan.steps, **record})
        if fit.step in keep:
            kept[fit.step] = _gan(copy.deepcopy(fit.result)).eval()
    return _Trained(_gan(fit.result).eval(), time.process_time() - started, kept)


def _gan(model: object) -> Gan:
    if not isinstance(model, Gan):
        raise SettingsError(f"expected a Gan, got {type(model).__name__}")
    return model


@dataclass(frozen=True)
class ByCritic:
    """W1 by a critic trained to the end, the largest slope found, and CPU-seconds."""

    value: float
    slope: float
    seconds: float


def by_critic(x: Tensor, made: Tensor, *, frequencies: int = 0, steps: int = 2000, seed: int = 0) -> ByCritic:
    """Train a critic between two sets of equal size.

    Args:
        x: rows.
        made: as many rows.
        frequencies: octaves of sines and cosines, for sets with fine structure.
        steps: updates of the critic.
        seed: of weights, order and places.
    """
    both = Batch({"x": x, "made": made})
    model = Dual(x.shape[1], frequencies=frequencies, seed=seed)
    optim = Optim(lr=3e-3, betas=(0.0, 0.9), clip=1e9, decay="cosine")
    fit = Fit(model, Shuffled(both, 256), Plan(steps=steps, optim=optim, ema=0.99), seed=seed)
    started = time.process_time()
    while fit.step < steps:
        fit.advance()
    seconds = time.process_time() - started
    trained = fit.result
    if not isinstance(trained, Dual):
        raise SettingsError(f"expected a Dual, got {type(trained).__name__}")
    trained.eval()
    rng = Streams.of(seed, len(x)).child("places")
    gap = trained.gap(both, rng)
    return ByCritic(trained.wasserstein(gap.value), gap.slope, seconds)


def _known(seed: int, n: int) -> list[tuple[str, Tensor, Tensor, float]]:
    """Pairs whose W1 is known: a shift, a scaling (points move out along their radius), the lecture's segments."""
    a, b = (Streams.of(seed, n).normal(name, (2,)) for name in ("known a", "known b"))
    y_p, y_q = (Streams.of(seed, n).uniform(name) for name in ("known p", "known q"))
    shift = torch.tensor([0.5, 0.0])
    return [
        ("N(0, I) and N(m, I), |m| = 0.5", a, b + shift, 0.5),
        ("N(0, I) and N(0, 4 I), plane", a, 2 * b, math.sqrt(math.pi / 2)),
        ("segments at theta = 0.5", points(y_p), points(y_q, 0.5), 0.5),
    ]


def _row(name: str, truth: float, null: str, runs: Sequence[ByCritic]) -> list[Any]:
    value = Value.of([run.value for run in runs])
    off = 100 * (value.mean / truth - 1)
    sd = "" if value.sd is None else f" +- {value.sd:.4f}"
    seconds = Value.of([run.seconds for run in runs])
    slope = max(run.slope for run in runs)
    return [name, f"{truth:.4f}", null, f"{value.mean:.4f}{sd}", f"{off:+.1f} %", f"{slope:.2f}", len(runs), seconds]


def _assigned(x: Tensor, made: Tensor, size: int, repeats: int = 2) -> tuple[float, float]:
    """Exact W1 by assignment on disjoint parts, and that of two real parts."""
    parts = [slice(k * size, (k + 1) * size) for k in range(2 * repeats)]
    found = [float(wasserstein(x[p], made[p])) for p in parts[:repeats]]
    null = [float(wasserstein(x[p], x[q])) for p, q in zip(parts[:repeats], parts[repeats:], strict=True)]
    return sum(found) / repeats, sum(null) / repeats


def _estimates(way: dict[int, Gan], seeds: Sequence[int], *, quick: bool) -> Table:
    n, pairs, size, steps = (1000, 2000, 500, 50) if quick else (PAIRS, PAIRS, ASSIGNED, 2000)
    rows = [
        _row(name, truth, "-", [by_critic(x, made, steps=steps, seed=seed) for seed in seeds])
        for name, x, made, truth in _known(0, n)
    ]
    held = load_set("grid-25", None).train["x"][:pairs]
    for step, model in way.items():
        made = model.sample(pairs, rng=Streams.of(9, pairs))["x"]
        truth, null = _assigned(held, made, size)
        runs = [by_critic(held, made, frequencies=4, steps=2 * steps, seed=seed) for seed in seeds[:1]]
        rows.append(_row(f"grid and WGAN after {step} steps", truth, f"{null:.4f}", runs))
    notes = [
        f"critic: 3 x 96, one-sided penalty of weight 30, {steps} updates on {n} rows (grid: {2 * steps}, {pairs})",
        f"exact: closed form, or assignment on 2 x {size} rows (standardised units) with its null beside it",
        "n: seeds of the critic; +- is the standard deviation over them; CPU seconds for one critic",
    ]
    columns = ["pair", "exact W1", "real vs real", "by critic", "off by", "largest slope", "n", "CPU s"]
    return Table("W1 by a critic against exact W1", columns, rows, notes)


def tables(*, data: Path, quick: bool, watch: Watch) -> Sequence[Table]:
    """Tables of the part ``gan``.

    Args:
        data: not needed; the grid is generated.
        quick: a short training: the figures show that it runs, not how good it is.
        watch: called with progress.
    """
    del data
    seeds = [0]  # one seed takes about ten minutes of a core
    steps = 60 if quick else None
    made: dict[str, list[_Trained]] = {"WGAN, gradient penalty": [], "GAN, non-saturating": []}
    for seed in seeds:
        recipe = WassersteinGanRecipe(dataset="grid-25", steps=steps, seed=seed)
        keep = ([20] if quick else [500, 1500]) if seed == 0 else []
        made["WGAN, gradient penalty"].append(_train(_ready(recipe), seed, keep, watch))
        plain = GanRecipe(dataset="grid-25", steps=steps, seed=seed)
        made["GAN, non-saturating"].append(_train(_ready(plain), seed, [], watch))
    rows = [_toy_row(name, runs) for name, runs in made.items()]
    first = made["WGAN, gradient penalty"][0]
    count = first.model.settings
    notes = [
        f"{SAMPLES} samples a run; high quality: within 3 standard deviations of a mode; captured: 1 % of the samples",
        f"both: {count.depth} x {count.width} nets, code of {count.latent}, averaged weights; +- over the seeds",
    ]
    columns = ["model", "modes, each seed", "high quality", "reverse KL [nats]", "faults", "n", "CPU s"]
    grid = Table("Grid of 25 modes", columns, rows, notes)
    last = {**first.on_the_way, first.model.watched[1].int().item() // count.critic_steps: first.model}
    return [grid, _estimates(last, seeds, quick=quick)]


def _ready(recipe: WassersteinGanRecipe | GanRecipe) -> Experiment[Gan]:
    return adversarial(recipe, None, torch.device("cpu"))


def _toy_row(name: str, runs: Sequence[_Trained]) -> list[Any]:
    found = []
    for k, run in enumerate(runs):
        spread = modes_of(run.model, "grid-25", Streams.of(100 + k, SAMPLES))
        if spread is not None:
            found.append(spread)
    high = Value.of([spread.high_quality.value for spread in found])
    reverse = Value.of([spread.reverse_kl for spread in found])
    faults = [WRONG_SIGN] if any(run.model.diagnoses() for run in runs) else []
    faults += [COLLAPSE] if any(spread.captured < spread.total for spread in found) else []
    return [
        name,
        ", ".join(f"{spread.captured} of {spread.total}" for spread in found),
        f"{high.mean:.3f}" + ("" if high.sd is None else f" +- {high.sd:.3f}"),
        f"{reverse.mean:.3f}" + ("" if reverse.sd is None else f" +- {reverse.sd:.3f}"),
        ", ".join(faults) or "none",
        len(runs),
        Value.of([run.seconds for run in runs]),
    ]
