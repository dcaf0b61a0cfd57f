r"""Inversion: the noise from which the deterministic walk leads to given data.

A DDIM step from t to s is a map of x_t; its inverse has no formula, for the prediction is made at x_t. Explicit
inversion predicts at x_s in place of x_t, and the round trip shows the difference. Here the equation is solved,

.. math:: x_t \leftarrow x_t + \frac{\text{signal}_t}{\text{signal}_s} \left( x_s - \text{step}(x_t) \right) ,

one network call an iteration: step back, compare, move by the gap. On Gaussian data the gap shrinks by the factor
1 - e^{-h} or better, h the step in half the log signal-to-noise ratio, whatever their variance. Between modes it would
shrink slowly; from the second iteration on the secant of the last two (Anderson's mixing, one number a sample) makes up
for that. The first guess is free: the predictions of earlier steps, extrapolated.

The first step leaves t = 0, where x_0 is taken as it is: the data have no noise, the equation has no singularity there
(only explicit inversion needs a t_min), and the walk back ends in x_0 and not near it.

Source: Song, Meng, Ermon, "Denoising diffusion implicit models", 2020 (explicit inversion); Anderson, "Iterative
procedures for nonlinear integral equations", 1965.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.core.protocols import Denoiser, Prediction
from zsteer.core.rng import Streams
from zsteer.errors import CapabilityError, SettingsError
from zsteer.maths.solvers import value_weights
from zsteer.noise.gaussian import Gaussian
from zsteer.sample.times import Spacing, ask, half_log_snr, times

__all__ = ["Inversion", "invert"]

_MEMORY = 3
"""Predictions that the first guess is extrapolated from."""


@dataclass(frozen=True)
class Inversion:
    """What inversion found.

    Args:
        x: noise at t = 1.
        times: of the walk back, falling: ``ddim(denoiser, x, times, rng)`` leads to the data.
        calls: network calls that were made.
        gap: largest root mean square of a step's last move, for each sample, in units of the data.
    """

    x: Float[Tensor, "b ..."]
    times: list[float]
    calls: int
    gap: Float[Tensor, " b"]


def _guess(
    denoiser: Denoiser, x: Float[Tensor, "b ..."], past: list[tuple[float, Tensor]], ends: tuple[float, float, float]
) -> Float[Tensor, "b ..."]:
    """x_t by the step from s with the prediction that earlier ones lead to expect at t; ``ends`` are s, t, lambda_t."""
    s, t, there = ends
    newest = past[0][0]
    weights = value_weights(there - newest, [place - newest for place, _ in past])
    x0 = torch.stack([w * x0 for w, (_, x0) in zip(weights, past, strict=True)]).sum(0)
    # Nothing is drawn with eta = 0, so that any streams do.
    rng = Streams.of(0, len(x), device=x.device)
    return denoiser.noise.step(x, Prediction(x0), s, t, rng=rng, eta=0.0)


@torch.no_grad()
def invert(
    denoiser: Denoiser, x0: Float[Tensor, "b ..."], *, steps: int = 25, refine: int = 2, spacing: Spacing = "log_snr"
) -> Inversion:
    """Find the noise that leads to given data; ``steps * refine`` network calls.

    Args:
        denoiser: what predicts x_0, with Gaussian noise.
        x0: data, in the units of the denoiser.
        steps: of the walk, to noise and back.
        refine: iterations of each step.
        spacing: of the times.

    Raises:
        CapabilityError: if the noise is not Gaussian: a categorical state is drawn, and no map leads back.
        SettingsError: if there is no step or no iteration.
    """
    if not isinstance(denoiser.noise, Gaussian):
        kind = type(denoiser.noise).__name__
        raise CapabilityError(f"inversion is for Gaussian noise, the model has {kind}; corrupt data instead")
    if refine < 1:
        raise SettingsError(f"expected at least 1 iteration of each step, got refine={refine}")
    falling = times(denoiser.noise, steps, spacing)
    rising = falling[::-1]
    places = half_log_snr(denoiser.noise, rising)
    past: list[tuple[float, Tensor]] = []
    x, worst = x0, x0.new_zeros(len(x0))
    for k, (s, t) in enumerate(pairwise(rising)):
        ratio = math.exp(_log_signal(places[k + 1]) - _log_signal(places[k]))
        guess = _guess(denoiser, x, past, (s, t, places[k + 1])) if past else ratio * x
        x, predicted_x0, gap = _solved(denoiser, (x, guess), (s, t, ratio), refine)
        past = [(places[k + 1], predicted_x0), *past[: _MEMORY - 1]]
        worst = torch.maximum(worst, gap.flatten(1).square().mean(1).sqrt())
    return Inversion(x, falling, steps * refine, worst)


def _solved(
    denoiser: Denoiser,
    ends: tuple[Float[Tensor, "b ..."], Float[Tensor, "b ..."]],
    step: tuple[float, float, float],
    refine: int,
) -> tuple[Float[Tensor, "b ..."], Float[Tensor, "b ..."], Float[Tensor, "b ..."]]:
    """Solve one step for its start: x_t, the last prediction there and the last move.

    Args:
        denoiser: what predicts x_0.
        ends: x_s, and a guess of x_t.
        step: s, t, and signal_t / signal_s.
        refine: iterations.
    """
    (x_s, x_t), (s, t, ratio) = ends, step
    rng = Streams.of(0, len(x_s), device=x_s.device)
    predicted_x0 = move = torch.zeros_like(x_s)
    earlier: tuple[Tensor, Tensor] | None = None
    for _ in range(refine):
        prediction = ask(denoiser, x_t, t)
        predicted_x0, move = prediction.x0, ratio * (x_s - denoiser.noise.step(x_t, prediction, t, s, rng=rng, eta=0.0))
        then = x_t + move
        if earlier is not None:
            then = then - _secant(move, move - earlier[1]) * (x_t - earlier[0] + move - earlier[1])
        earlier, x_t = (x_t, move), then
    return x_t, predicted_x0, move


def _secant(move: Float[Tensor, "b ..."], change: Float[Tensor, "b ..."]) -> Float[Tensor, "b ..."]:
    """The share of the last iteration that makes the move smallest, were the map linear; one number a sample."""
    over = (move * change).flatten(1).sum(1) / change.flatten(1).square().sum(1).clamp(min=1e-30)
    # Where the last iteration changed nothing the quotient is rounding; a larger one than 10 is never needed.
    return over.clamp(-10, 10).reshape(-1, *[1] * (move.ndim - 1))


def _log_signal(place: float) -> float:
    """Log of the signal where signal^2 + sigma^2 = 1, from lambda: -log(1 + e^{-2 lambda}) / 2."""
    if place > 0:
        return -0.5 * math.log1p(math.exp(-2 * place))
    return place - 0.5 * math.log1p(math.exp(2 * place))
