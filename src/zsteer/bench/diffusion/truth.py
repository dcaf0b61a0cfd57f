"""Guidance and solvers on mixtures of normals, where everything has a closed form: deviations in standard errors."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.core.protocols import Denoiser
from zsteer.core.rng import Streams
from zsteer.evaluate.report import Cell, Table
from zsteer.maths.mixture import Mixture
from zsteer.maths.schedules import Schedule
from zsteer.models.diffusion.mixture import MixtureDiffusion
from zsteer.noise.gaussian import Gaussian
from zsteer.sample.solvers import SOLVERS, walk
from zsteer.steer.guide import ByClassifier, ClassifierFree, ToValue
from zsteer.train.threads import threads_of

__all__ = ["tables"]

Watch = Callable[[dict[str, Any]], None]
COMPONENT = 1
STEPS = (10, 20, 40)


def _model() -> MixtureDiffusion:
    """Three normals in the plane that overlap, with next to no signal left at t = 1."""
    mixture = Mixture(
        torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64),
        torch.tensor([[-1.0, 0.5], [0.8, 1.0], [0.3, -0.9]], dtype=torch.float64),
        torch.tensor([[0.10, 0.25], [0.20, 0.08], [0.15, 0.15]], dtype=torch.float64),
    )
    return MixtureDiffusion(mixture, Gaussian(Schedule("cosine", rest=1e-8), steps=1000))


def tables(*, data: Path, quick: bool, watch: Watch) -> Sequence[Table]:
    """Guidance against the posterior, and the solvers' orders.

    Args:
        data: not used; the mixture is generated.
        quick: fewer walks.
        watch: called with progress.
    """
    del data
    with threads_of(1):
        return [_guidance(200 if quick else 10_000, watch), _orders(watch)]


def _drawn(denoiser: Denoiser, n: int, solver: str, steps: int) -> Float[Tensor, "n 2"]:
    rng = Streams.of(0, n)
    return walk(denoiser, rng.normal("prior", (2,), dtype=torch.float64), rng, solver=solver, steps=steps)


def _guidance(n: int, watch: Watch) -> Table:
    model = _model()
    plain, own = model.denoiser(None, n), model.denoiser({"class": COMPONENT}, n)
    judge = partial(model.log_prob_of, COMPONENT)
    mean, variance = model.mixture.means[COMPONENT], model.mixture.variances[COMPONENT]
    jobs: list[tuple[str, Denoiser, str, int]] = [
        ("classifier-free, scale 1", ClassifierFree(own, plain, 1.0), "multistep2", 100),
        ("classifier, score, scale 1", ByClassifier(plain, judge, 1.0, "score"), "multistep2", 100),
        ("classifier, score, scale 1", ByClassifier(plain, judge, 1.0, "score"), "heun", 100),
        ("classifier, mean (Algorithm 1), scale 1", ByClassifier(plain, judge, 1.0, "mean"), "ancestral", 1000),
    ]
    rows: list[list[Cell]] = []
    for name, denoiser, solver, steps in jobs:
        watch({"doing": f"{name}, {solver}"})
        rows.append([name, solver, steps, *_deviation(_drawn(denoiser, n, solver, steps), mean, variance)])
    rows.append(_value(n))
    notes = [f"{n} walks in float64; truth: the posterior in closed form; largest of both coordinates, target 3"]
    columns = ["guidance", "solver", "steps", "mean, in standard errors", "variance, in standard errors"]
    return Table("Guidance on a mixture of three normals against p(x | y)", columns, rows, notes)


def _value(n: int) -> list[Cell]:
    """A linear property of one normal brought to a value, against Bayes' rule."""
    mean, variance = torch.tensor([0.3, -0.4]).double(), torch.tensor([0.3, 1.2]).double()
    slope, wanted, tolerance = torch.tensor([1.0, -0.5]).double(), 1.1, 0.2
    single = Mixture(torch.ones(1, dtype=torch.float64), mean[None], variance[None])
    model = MixtureDiffusion(single, Gaussian(Schedule("cosine", rest=1e-8), steps=1000))
    guided = ToValue(model.denoiser(None, n), lambda x: x @ slope, wanted, tolerance)
    gain = variance * slope / (tolerance**2 + (variance * slope.square()).sum())
    true_mean, true_variance = mean + gain * (wanted - mean @ slope), variance - gain * variance * slope
    found = _deviation(_drawn(guided, n, "multistep2", 60), true_mean, true_variance)
    return ["value of a property, one normal", "multistep2", 60, *found]


def _deviation(x: Float[Tensor, "n d"], mean: Tensor, variance: Tensor) -> tuple[float, float]:
    """Largest deviation of the coordinates' means and variances, in standard errors."""
    n = len(x)
    first = (x.mean(0) - mean) / (variance / n).sqrt()
    second = (x.var(0) - variance) / (variance * math.sqrt(2 / n))
    return float(first.abs().max()), float(second.abs().max())


def _orders(watch: Watch) -> Table:
    """Error of whole walks, and the order where the denoiser is smooth."""
    model, n = _model(), 200
    denoiser, rng = model.denoiser(None, n), Streams.of(0, n)
    start = rng.normal("prior", (2,), dtype=torch.float64)
    fine = walk(denoiser, start, rng, solver="corrected", steps=2000)
    smooth = _crossed(denoiser, "corrected", 400, start)
    rows: list[list[Cell]] = []
    for name, solver in SOLVERS.items():
        if solver.stochastic:
            continue
        watch({"doing": f"order of {name}"})
        whole = [_apart(walk(denoiser, start, rng, solver=name, steps=k), fine) for k in STEPS]
        rough, better = (_apart(_crossed(denoiser, name, k, start), smooth) for k in (40, 80))
        rows.append([name, solver.calls, *(f"{e:.1e}" for e in whole), solver.order, math.log2(rough / better)])
    columns = ["solver", "calls a step", *(f"error, {k} steps" for k in STEPS), "order", "measured"]
    whole_walks = f"error: root mean square of {n} walks from 1 to 0, from the same noise, against 2,000 steps"
    notes = [
        f"{whole_walks}; order: measured from 40 to 80 steps between t = 0.8 and 0.2, where the denoiser is smooth"
    ]
    return Table("Solvers on the mixture", columns, rows, notes)


@torch.no_grad()
def _crossed(denoiser: Denoiser, name: str, steps: int, x: Float[Tensor, "n 2"]) -> Float[Tensor, "n 2"]:
    """From t = 0.8 to 0.2 in even steps."""
    at = [0.8 - 0.6 * i / steps for i in range(steps + 1)]
    return SOLVERS[name].run(denoiser, x, at, Streams.of(0, len(x)))


def _apart(x: Float[Tensor, "n 2"], y: Float[Tensor, "n 2"]) -> float:
    return float((x - y).square().mean().sqrt())
