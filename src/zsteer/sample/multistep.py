r"""Multistep solvers: one network call a step, and order 2 or 3 from the predictions that were made before.

Order 2 is DPM-Solver++ 2M, which takes the straight line through two predictions at the middle of the step,

.. math:: D = \hat x_0 + \frac{h}{2 h'} (\hat x_0 - \hat x_0') ;

order 3 takes the exact mean of the parabola through three (``maths.solvers.mean_weights``). The first steps have the
order that they have predictions for, and the step to t = 0, where lambda is infinite, is of order 1: x_0 itself.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor

from zsteer.core.protocols import Denoiser
from zsteer.core.rng import Streams
from zsteer.errors import SettingsError
from zsteer.maths.solvers import mean_weights, midpoint_weights
from zsteer.sample.times import ask, half_log_snr

__all__ = ["multistep"]


def multistep(
    denoiser: Denoiser, x: Float[Tensor, "b ..."], times: Sequence[float], rng: Streams, *, order: int = 2
) -> Float[Tensor, "b ..."]:
    """Walk from ``x`` at ``times[0]`` to ``times[-1]``, in either direction.

    Args:
        denoiser: what predicts x_0.
        x: where to start.
        times: falling, or rising from a time that has noise.
        rng: one stream for each sample; not read by Gaussian noise.
        order: 1 (DDIM), 2 or 3.

    Raises:
        SettingsError: if there is no such order.

    Source: Lu et al., "DPM-Solver++: fast solver for guided sampling of diffusion probabilistic models", 2022,
    algorithm 2.
    """
    if order not in {1, 2, 3}:
        raise SettingsError(f"expected order 1, 2 or 3, got {order}")
    weigh = midpoint_weights if order == 2 else mean_weights
    places = half_log_snr(denoiser.noise, times)
    past: list[tuple[float, Tensor]] = []
    for k, (t, s) in enumerate(pairwise(times)):
        said = ask(denoiser, x, t)
        past = [(places[k], said.x0), *past[: order - 1]]
        weights = weigh(places[k + 1] - places[k], [place - places[k] for place, _ in past])
        x0 = sum((w * x0 for w, (_, x0) in zip(weights[1:], past[1:], strict=True)), weights[0] * said.x0)
        x = denoiser.noise.step(x, replace(said, x0=x0), t, s, rng=rng.at(k), eta=0.0)
    return x
