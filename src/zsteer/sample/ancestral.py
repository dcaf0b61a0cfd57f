"""Algorithm 2 of the lecture for every noise: draw x_T, then from the reverse kernel at each earlier time."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from zsteer.core.protocols import Denoiser
from zsteer.core.rng import Streams
from zsteer.sample.times import ask, steps_of

__all__ = ["ancestral"]


def ancestral(
    denoiser: Denoiser, x: Float[Tensor, "b ..."], times: Sequence[float], rng: Streams
) -> Float[Tensor, "b ..."]:
    """Walk from ``x`` at ``times[0]`` to ``times[-1]``, drawing at every step from the reverse kernel.

    Args:
        denoiser: what predicts x_0.
        x: where to start: a draw from the noise's prior when ``times[0]`` is 1.
        times: falling times; T + 1 of them from 1 to 0 make the lecture's Algorithm 2.
        rng: one stream for each sample.

    Lecture: ddpm.sample
    """
    for k, t, s in steps_of(times):
        x = denoiser.noise.step(x, ask(denoiser, x, t), t, s, rng=rng.at(k), eta=1.0)
    return x
