r"""Multistep solvers: one network call a step, and order 2 or 3 from the predictions that were made before.

Order 2 is DPM-Solver++ 2M, which takes the straight line through two predictions at the middle of the step,

.. math:: D = \hat x_0 + \frac{h}{2 h'} (\hat x_0 - \hat x_0') ;

order 3 takes the exact mean of the parabola through three (``maths.solvers.mean_weights``). The first steps have the
order that they have predictions for, and the step to t = 0, where lambda is infinite, is of order 1: x_0 itself. A
prediction that lies nearer than an eighth of the step is not extrapolated from: its slope would be that of rounding, or
of the noise that was drawn in between, many times over.

With ``corrected`` each step is taken once more as soon as the prediction at its end is known, which the next step needs
anyway: the order rises by one at no further call (the idea of UniPC). Order 3 always does so for its first step, for
the error of order 1 there would stay in all that follows.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from jaxtyping import Float
from torch import Tensor

from zsteer.core.protocols import Denoiser
from zsteer.core.rng import Streams
from zsteer.errors import SettingsError
from zsteer.maths.solvers import mean_weights, midpoint_weights
from zsteer.sample.times import ask, half_log_snr, steps_of

__all__ = ["multistep"]

NEAREST = 1 / 8
"""Share of a step that a prediction must be away to be extrapolated from."""


def _sum(weights: Sequence[float], values: Sequence[Float[Tensor, "b ..."]]) -> Float[Tensor, "b ..."]:
    total = weights[0] * values[0]
    for weight, value in zip(weights[1:], values[1:], strict=True):
        total = total + weight * value
    return total


def multistep(
    denoiser: Denoiser,
    x: Float[Tensor, "b ..."],
    times: Sequence[float],
    rng: Streams,
    *,
    order: int = 2,
    corrected: bool = False,
    eta: float = 0.0,
) -> Float[Tensor, "b ..."]:
    """Walk from ``x`` at ``times[0]`` to ``times[-1]``, in either direction.

    Args:
        denoiser: what predicts x_0.
        x: where to start.
        times: falling, or rising from a time that has noise.
        rng: one stream for each sample; not read by Gaussian noise.
        order: 1 (DDIM), 2 or 3.
        corrected: take each step again with the prediction at its end.
        eta: share of the reverse kernel's noise that is drawn at each step; such a walk goes to data only, and is not
            corrected.

    Raises:
        SettingsError: if there is no such order, or a step that draws is to be corrected or of order 3.

    Source: Lu et al., "DPM-Solver++: fast solver for guided sampling of diffusion probabilistic models", 2022,
    algorithm 2; Zhao et al., "UniPC: a unified predictor-corrector framework for fast sampling of diffusion models",
    2023, for the correction; with eta = 1 order 2 is SDE-DPM-Solver++ 2M of the first.
    """
    if order not in {1, 2, 3}:
        raise SettingsError(f"expected order 1, 2 or 3, got {order}")
    if eta and (corrected or order == 3):
        raise SettingsError(f"expected order 1 or 2 without correction where noise is drawn, got eta={eta:g}")
    weigh = midpoint_weights if order == 2 else mean_weights
    noise = denoiser.noise
    past: list[tuple[float, Tensor]] = []
    before, last = x, 0.0
    for k, t, s in steps_of(times):
        prediction = ask(denoiser, x, t)
        now, then = half_log_snr(noise, (t, s))
        past = [(now, prediction.x0), *past[: order + 1]]
        # Nodes are the lambdas of the predictions, less that of the start of the step.
        if k and (corrected or (order == 3 and k == 1)):
            known = _apart(past, now - past[1][0])[: order + 1]
            weights = mean_weights(now - past[1][0], [place - past[1][0] for place, _ in known])
            better = replace(prediction, x0=_sum(weights, [x0 for _, x0 in known]))
            x = noise.step(before, better, last, t, rng=rng.at(k - 1), eta=0.0)
        known = _apart(past, then - now)[:order]
        weights = weigh(then - now, [place - now for place, _ in known])
        taken = replace(prediction, x0=_sum(weights, [x0 for _, x0 in known]))
        before, x, last = x, noise.step(x, taken, t, s, rng=rng.at(k), eta=eta), t
    return x


def _apart(past: Sequence[tuple[float, Tensor]], step: float) -> list[tuple[float, Tensor]]:
    """The newest prediction, and those before it that lie some way from each other."""
    least = NEAREST * abs(step) if math.isfinite(step) else 0.0
    kept = [past[0]]
    for one in past[1:]:
        if abs(one[0] - kept[-1][0]) >= least:
            kept.append(one)
    return kept
