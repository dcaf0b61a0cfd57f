r"""Where a walk stops on its way: times between noise (1) and data (0), and what a denoiser says at one of them.

Four spacings. ``time`` is even in t, as the chain itself, and ``power`` in t^{2/3}, half-way from there to the next:
denser near the data. ``log_snr`` is even in the log signal-to-noise ratio, in
which the solvers are polynomials. ``karras`` is even in sigma^{1/7} of x_t / signal, dense near the data. The last two
cannot reach t = 0, where the ratio is infinite: they end at ``first`` and then step to 0.

A walk that starts in between (partial noising) takes the later times of the same grid. Its first step is at least half
as long as the next: a start that lies on a time of the grid but for rounding would otherwise make a step of 1e-17, and
a multistep solver would follow the slope of that.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.core.protocols import Denoiser, Noise, Prediction
from zsteer.errors import SettingsError, nearest
from zsteer.sample.table import SPACINGS, Spacing

__all__ = ["SPACINGS", "Spacing", "ask", "half_log_snr", "steps_of", "times", "times_from"]

RHO = 7.0
POWER = 1.5
"""Of ``power``: t = u^1.5 for even u."""
ROUNDING = 1e-9
"""Times closer than this are one time: the rounding of a grid, never a step."""


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


def times_from(noise: Noise, start: float, steps: int, spacing: Spacing = "time") -> list[float]:
    """Times of a walk from a start in between to data: the start, and the later part of the grid of all times.

    Args:
        noise: whose log signal-to-noise ratio is asked.
        start: time of the start, in (0, 1].
        steps: number of steps of the grid from 1 to 0.
        spacing: of the grid.

    Returns:
        Falling times from ``start`` to 0; from 1 the grid as it is. From elsewhere the first step is no shorter than
        half of the one that follows.

    Raises:
        SettingsError: if the start is not in (0, 1], or as for ``times``.
    """
    if not 0 < start <= 1:
        raise SettingsError(f"expected a start above 0 and at most 1, got {start:g}")
    grid = times(noise, steps, spacing)
    if start == 1:
        return grid
    later = [time for time in grid if time < start]
    if len(later) > 1 and start - later[0] < (later[0] - later[1]) / 2:
        later = later[1:]
    return [start, *later]


def steps_of(times: Sequence[float]) -> Iterator[tuple[int, float, float]]:
    """The steps of a walk: their number, start and end. Times that are equal but for rounding are no step.

    Args:
        times: falling or rising.

    Raises:
        SettingsError: if the times turn round, leave [0, 1] or are no numbers.
    """
    if not all(0 <= time <= 1 for time in times):
        raise SettingsError(f"expected times from 0 to 1, got {next(time for time in times if not 0 <= time <= 1):g}")
    kept: list[float] = []
    for time in times:
        if not kept or abs(time - kept[-1]) > ROUNDING:
            kept.append(time)
    if kept and times[-1] == 0:
        kept[-1] = 0.0
    pairs = list(pairwise(kept))
    if any((t > s) != (kept[0] > kept[-1]) for t, s in pairs):
        raise SettingsError("expected times that fall or rise all the way")
    return ((k, t, s) for k, (t, s) in enumerate(pairs))
