r"""``steps="auto"``: the fewest steps whose samples match a fine walk from the same noise.

Deterministic solvers make the error of a walk measurable: the same noise leads to the same sample, up to the error of
the steps. The error of n steps is

.. math:: e_n = \sqrt{\frac{E |x_n - x_{ref}|^2}{E |x_{ref} - E x_{ref}|^2}} ,

over a small pilot, relative to the spread of the samples themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from zsteer.core.protocols import Denoiser
from zsteer.core.rng import Streams
from zsteer.errors import CapabilityError, SettingsError
from zsteer.sample.solvers import solver_named, walk
from zsteer.sample.times import Spacing

__all__ = ["CANDIDATES", "Auto", "auto"]

CANDIDATES = (4, 5, 6, 8, 10, 12, 15, 18, 20, 25, 30, 40, 50, 65, 80)


@dataclass(frozen=True)
class Auto:
    """The steps that were chosen.

    Args:
        steps: the fewest that meet the tolerance; those of the reference when none does.
        error: relative error of a walk with them, found on the pilot.
        tried: error of each number of steps that was tried.
        calls: network calls of the pilot, for each of its samples.
        met: whether the tolerance is met by fewer steps than the reference has.
    """

    steps: int
    error: float
    tried: dict[int, float]
    calls: int
    met: bool


def auto(
    denoiser: Denoiser,
    x: Float[Tensor, "b ..."],
    rng: Streams,
    *,
    solver: str = "multistep2",
    tolerance: float = 0.05,
    reference: int = 100,
    spacing: Spacing | None = None,
    candidates: Sequence[int] = CANDIDATES,
) -> Auto:
    """Choose the number of steps on a pilot.

    Args:
        denoiser: bound to the pilot's conditions.
        x: noise of the pilot, a draw from the prior for at least 2 samples; 8 are plenty.
        rng: streams of the pilot.
        solver: a name of ``SOLVERS`` that does not draw.
        tolerance: largest relative error.
        reference: steps of the fine walk.
        spacing: of the times; the solver's own when None.
        candidates: numbers of steps to try, rising.

    Raises:
        CapabilityError: if the solver draws at each step, so that walks cannot be compared.
        SettingsError: if the tolerance is not positive, or the pilot has fewer than 2 samples.
    """
    chosen = solver_named(solver)
    if chosen.stochastic:
        raise CapabilityError(
            f"steps=auto compares walks from the same noise, and {solver} draws anew; take multistep2"
        )
    if tolerance <= 0 or len(x) < 2:
        raise SettingsError(f"expected a tolerance > 0 and at least 2 samples, got {tolerance:g} and {len(x)}")
    fine = walk(denoiser, x, rng, solver=solver, steps=reference, spacing=spacing)
    spread = float((fine - fine.mean(0)).square().mean().sqrt()) or 1.0
    tried: dict[int, float] = {}
    calls = chosen.count(reference)
    for steps in (n for n in sorted(candidates) if n < reference):
        rough = walk(denoiser, x, rng, solver=solver, steps=steps, spacing=spacing)
        tried[steps] = float((rough - fine).square().mean().sqrt()) / spread
        calls += chosen.count(steps)
        if tried[steps] <= tolerance:
            return Auto(steps, tried[steps], tried, calls, met=True)
    return Auto(reference, 0.0, tried, calls, met=False)
