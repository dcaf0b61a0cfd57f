r"""Heun's solver: step, look at where that led, and step again with the mean of both predictions.

Two network calls a step, order 2, and no memory of earlier steps. The mean is that of the straight line between the
predictions at both ends, under the weight of the exact solution (``maths.solvers.mean_weights``).
"""

from collections.abc import Sequence
from dataclasses import replace

from jaxtyping import Float
from torch import Tensor

from zsteer.core.protocols import Denoiser
from zsteer.core.rng import Streams
from zsteer.maths.solvers import mean_weights
from zsteer.sample.times import ask, half_log_snr, steps_of

__all__ = ["heun"]


def heun(denoiser: Denoiser, x: Float[Tensor, "b ..."], times: Sequence[float], rng: Streams) -> Float[Tensor, "b ..."]:
    """Walk from ``x`` at ``times[0]`` to ``times[-1]``, in either direction.

    Args:
        denoiser: what predicts x_0.
        x: where to start.
        times: falling, or rising from a time that has noise; the step to t = 0 takes one call.
        rng: one stream for each sample; not read by Gaussian noise.

    Source: Karras, Aittala, Aila, Laine, "Elucidating the design space of diffusion-based generative models", 2022,
    algorithm 1 (there in sigma, here in the log signal-to-noise ratio).
    """
    noise = denoiser.noise
    for k, t, s in steps_of(times):
        prediction = ask(denoiser, x, t)
        there = noise.step(x, prediction, t, s, rng=rng.at(k), eta=0.0)
        if s > 0:
            now, then = half_log_snr(noise, (t, s))
            h = then - now
            here, ahead = mean_weights(h, [0.0, h])
            both = replace(prediction, x0=here * prediction.x0 + ahead * ask(denoiser, there, s).x0)
            there = noise.step(x, both, t, s, rng=rng.at(k), eta=0.0)
        x = there
    return x
