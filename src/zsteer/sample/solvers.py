"""The solvers by name, ours or the field's, and one entry that walks from noise to data with any of them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.core.protocols import Denoiser
from zsteer.core.rng import Streams
from zsteer.errors import SettingsError, nearest
from zsteer.sample.ancestral import ancestral
from zsteer.sample.ddim import ddim
from zsteer.sample.heun import heun
from zsteer.sample.multistep import multistep
from zsteer.sample.times import Spacing, times

__all__ = ["KNOWN_AS", "SOLVERS", "Solver", "solver_named", "walk"]


@dataclass(frozen=True)
class Solver:
    """One way to walk.

    Args:
        run: (denoiser, x, times, rng) -> x.
        order: of convergence to the exact deterministic walk; 0 for those that draw.
        stochastic: whether each step draws.
        calls: of the network at each step; a last step to t = 0 takes one.
        spacing: of the times, by default.
    """

    run: Callable[..., Tensor]
    order: int
    stochastic: bool = False
    calls: int = 1
    spacing: Spacing = "log_snr"

    def count(self, steps: int) -> int:
        """Network calls of a walk."""
        return self.calls * (steps - 1) + 1


SOLVERS: dict[str, Solver] = {
    "ancestral": Solver(ancestral, 0, stochastic=True, spacing="time"),
    "ddim": Solver(ddim, 1),
    "multistep2": Solver(partial(multistep, order=2), 2),
    "multistep3": Solver(partial(multistep, order=3), 3),
    "corrected": Solver(partial(multistep, order=2, corrected=True), 3),
    "heun": Solver(heun, 2, calls=2),
    "sde2": Solver(partial(multistep, order=2, eta=1.0), 0, stochastic=True),
}


KNOWN_AS: dict[str, str] = {"dpm++2m": "multistep2", "dpm++2m_sde": "sde2"}
"""Names that other packages have for a solver -> ours."""


def solver_named(name: str) -> Solver:
    """Look a solver up, by a name of ``SOLVERS`` or of ``KNOWN_AS``.

    Raises:
        SettingsError: if there is none of that name; the message has the nearest.
    """
    name = KNOWN_AS.get(name, name)
    if name not in SOLVERS:
        raise SettingsError(nearest(name, SOLVERS, what="solver"))
    return SOLVERS[name]


@torch.no_grad()
def walk(
    denoiser: Denoiser,
    x: Float[Tensor, "b ..."],
    rng: Streams,
    *,
    solver: str = "multistep2",
    steps: int = 20,
    spacing: Spacing | None = None,
    eta: float | None = None,
) -> Float[Tensor, "b ..."]:
    """Walk from noise at t = 1 to data at t = 0.

    Args:
        denoiser: what predicts x_0, with its conditions and guides.
        x: a draw from the noise's prior.
        rng: one stream for each sample.
        solver: a name of ``SOLVERS`` or ``KNOWN_AS``.
        steps: number of steps.
        spacing: of the times; the solver's own when None.
        eta: chance in the steps of ``ddim``, from 0 to 1.

    Raises:
        SettingsError: if there is no such solver or spacing, no step, or eta does not belong to the solver.
    """
    chosen = solver_named(solver)
    at = times(denoiser.noise, steps, spacing or chosen.spacing)
    if eta is None:
        return chosen.run(denoiser, x, at, rng)
    if solver != "ddim" or not 0 <= eta <= 1:
        raise SettingsError(f"eta from 0 to 1 belongs to solver=ddim, got eta={eta:g} with solver={solver}")
    return ddim(denoiser, x, at, rng, eta=eta)
