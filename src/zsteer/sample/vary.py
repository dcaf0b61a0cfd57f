r"""Variants of given samples: noise them to a time t in (0, 1], and walk back.

.. math:: x_t \sim q(x_t | x_0), \quad x_0' = \text{walk}(x_t, t \to 0)

The later t, the less is left of x_0; at t = 1 nothing is, and the walk makes a new sample.

Source: Meng et al., "SDEdit: guided image synthesis and editing with stochastic differential equations", 2022.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.core.protocols import Denoiser
from zsteer.core.rng import Streams
from zsteer.errors import InputError
from zsteer.sample.solvers import solver_named
from zsteer.sample.times import Spacing, times_from

__all__ = ["vary"]


@torch.no_grad()
def vary(
    denoiser: Denoiser,
    x0: Float[Tensor, "b ..."],
    strength: float,
    rng: Streams,
    *,
    solver: str = "multistep2",
    steps: int = 12,
    spacing: Spacing | None = None,
) -> Float[Tensor, "b ..."]:
    """One variant of each sample.

    Args:
        denoiser: what predicts x_0.
        x0: samples inside the model.
        strength: the time t that they are noised to.
        rng: one stream for each.
        solver: a name of ``solvers.SOLVERS``.
        steps: of a whole walk; only those below t are taken.
        spacing: of the times; the solver's own when None.

    Raises:
        InputError: if the strength is not in (0, 1].
    """
    if not 0 < strength <= 1:
        raise InputError(f"expected a strength in (0, 1], got {strength:g}")
    chosen = solver_named(solver)
    at = times_from(denoiser.noise, strength, steps, spacing or chosen.spacing)
    x_t = denoiser.noise.corrupt(x0, torch.full((len(x0),), strength, dtype=x0.dtype, device=x0.device), rng)
    return chosen.run(denoiser, x_t, at, rng)
