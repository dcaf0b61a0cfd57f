r"""DDIM: the walk with as much or as little chance as is wanted.

One step is :math:`x_s = \text{signal}_s \hat x_0 + \sigma_s \hat\epsilon` with eta = 0, which runs either way in time;
eta = 1 is Algorithm 2 with the posterior's variance.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from zsteer.core.protocols import Denoiser
from zsteer.core.rng import Streams
from zsteer.sample.times import ask, steps_of

__all__ = ["ddim"]


def ddim(
    denoiser: Denoiser, x: Float[Tensor, "b ..."], times: Sequence[float], rng: Streams, *, eta: float = 0.0
) -> Float[Tensor, "b ..."]:
    """Walk from ``x`` at ``times[0]`` to ``times[-1]``; of order 1 with eta = 0.

    Args:
        denoiser: what predicts x_0.
        x: where to start.
        times: falling; with eta = 0 also rising, from a time that has noise.
        rng: one stream for each sample; not read by Gaussian noise with eta = 0.
        eta: share of the posterior's noise that is drawn anew at each step.

    Source: Song, Meng, Ermon, "Denoising diffusion implicit models", 2020, equations 12 and 16.
    """
    for k, t, s in steps_of(times):
        x = denoiser.noise.step(x, ask(denoiser, x, t), t, s, rng=rng.at(k), eta=eta)
    return x
