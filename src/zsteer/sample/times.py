r"""Where a walk stops on its way: times between noise (1) and data (0), and what a denoiser says at one of them.

Four spacings. ``time`` is even in t, as the chain itself, and ``power`` in t^{2/3}, half-way from there to the next:
denser near the data. ``log_snr`` is even in the log signal-to-noise ratio, in
which the solvers are polynomials. ``karras`` is even in sigma^{1/7} of x_t / signal, dense near the data. The last two
cannot reach t = 0, where the ratio is infinite: they end at ``first`` and then step to 0.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.core.protocols import Denoiser, Noise, Prediction
from zsteer.errors import SettingsError, nearest
from zsteer.sample.table import SPACINGS, Spacing

__all__ = ["SPACINGS", "Spacing", "ask", "half_log_snr", "times"]

RHO = 7.0
POWER = 1.5
"""Of ``power``: t = u^1.5 for even u."""


def ask(denoiser: Denoiser, x: Float[Tensor, "b ..."], t: float) -> Prediction:
    """What the denoiser says when the whole batch is at one time."""
    return denoiser.predict(x, torch.full((len(x),), t, dtype=x.dtype, device=x.device))


def half_log_snr(noise: Noise, at: Sequence[float]) -> list[float]:
    """Half the ratio, lambda = log(signal / sigma) at each time, infinite where there is no noise."""
    return [float(value) / 2 for value in noise.log_snr(torch.tensor(list(at), dtype=torch.float64))]


def _inverse(fall: Callable[[Tensor], Tensor], wanted: Tensor) -> Tensor:
    """Times at which a falling function has the wanted values, by bisection."""
    low, high = torch.zeros_like(wanted), torch.ones_like(wanted)
    for _ in range(60):
        middle = (low + high) / 2
        early = fall(middle) > wanted
        low, high = torch.where(early, middle, low), torch.where(early, high, middle)
    return (low + high) / 2


def times(noise: Noise, steps: int, spacing: Spacing = "time", *, first: float | None = None) -> list[float]:
    """Times of a walk from noise to data; reversed they are those of the way back to noise.

    Args:
        noise: whose log signal-to-noise ratio is asked.
        steps: number of steps.
        spacing: ``time``, ``power``, ``log_snr`` or ``karras``.
        first: the last time before 0 of ``log_snr`` and ``karras``; when None a fifth of an even step, for what the
            last step leaves out is of the order of its length, but no earlier than 1 / T, the earliest time that a
            model of a chain of T steps was trained at.

    Returns:
        ``steps + 1`` falling times from 1 to 0.

    Raises:
        SettingsError: if there is no step or no such spacing, or ``first`` is not between 0 and 1.

    Source: Karras, Aittala, Aila, Laine, "Elucidating the design space of diffusion-based generative models", 2022,
    equation 5 (rho = 7).
    """
    if steps < 1:
        raise SettingsError(f"expected at least 1 step, got {steps}")
    if spacing not in SPACINGS:
        raise SettingsError(nearest(spacing, SPACINGS, what="spacing"))
    if spacing in {"time", "power"}:
        power = 1.0 if spacing == "time" else POWER
        return [(1 - i / steps) ** power for i in range(steps)] + [0.0]
    near = min(max(1 / noise.steps, 0.2 / steps), 0.5) if first is None else first
    if not 0 < near < 1:
        raise SettingsError(f"expected first between 0 and 1, got {near}")
    ends = noise.log_snr(torch.tensor([1.0, near], dtype=torch.float64))
    share = torch.arange(steps, dtype=torch.float64) / max(steps - 1, 1)
    if spacing == "log_snr":
        wanted = ends[0] + share * (ends[1] - ends[0])
    else:
        root = (-ends / (2 * RHO)).exp()
        wanted = -2 * RHO * (root[0] + share * (root[1] - root[0])).log()
    found = _inverse(noise.log_snr, wanted).tolist()
    found[0] = 1.0
    return [*found, 0.0]
