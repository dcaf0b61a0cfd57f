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
from zsteer.models.mixture import MixtureDiffusion
from zsteer.noise.gaussian import Gaussian
from zsteer.sample.solvers import SOLVERS, walk
from zsteer.steer.guide import ByClassifier, ClassifierFree, ToValue

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
    return [_guidance(1000 if quick else 10_000, watch), _orders(watch)]


def _drawn(denoiser: Denoiser, n: int, solver: str, steps: int) -> Float[Tensor, "n 2"]:
    rng = Streams.of(0, n)
    return walk(denoiser, rng.normal("prior", (2,), dtype=torch.float64), rng, solver=solver, steps=steps)


def _guidance(n: int, watch: Watch) -> Table:
    model = _model()
    plain, own = model.denoiser(None, n), model.denoiser({"class": COMPONENT}, n)
    judge = partial(model.log_prob_of, COMPONENT)
    mean, variance = model.mixture.means[COMPONENT], model.mixture.variances[COMPONENT]
    jobs: list[tuple[str, Denoiser, str, int]] = [
        ("classifier-free, scale 1", ClassifierFree(own, plain, 1.0), "multistep2", 40),
        ("classifier, score, scale 1", ByClassifier(plain, judge, 1.0, "score"), "multistep2", 40),
        ("classifier, score, scale 1", ByClassifier(plain, judge, 1.0, "score"), "heun", 40),
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
    """Distance to a very fine walk from the same noise, and the order that its fall shows."""
    model, n = _model(), 200
    denoiser = model.denoiser(None, n)
    fine = _drawn(denoiser, n, "heun", 2000)
    rows: list[list[Cell]] = []
    for name, solver in SOLVERS.items():
        if solver.stochastic:
            continue
        watch({"doing": f"order of {name}"})
        errors = [float((_drawn(denoiser, n, name, k) - fine).square().mean().sqrt()) for k in (*STEPS, 80, 160)]
        shown = [f"{error:.1e}" for error in errors[: len(STEPS)]]
        rows.append([name, solver.calls, *shown, solver.order, math.log2(errors[-2] / errors[-1])])
    columns = ["solver", "calls a step", *(f"error, {k} steps" for k in STEPS), "order", "measured"]
    notes = [f"{n} walks from the same noise against 2,000 steps of heun; root mean square; order from 80 to 160 steps"]
    return Table("Solvers on the mixture", columns, rows, notes)
