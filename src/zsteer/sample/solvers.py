"""One entry that walks from noise to data with any solver of ``sample.table``, by our name or the field's."""

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.core.protocols import Denoiser
from zsteer.core.rng import Streams
from zsteer.errors import SettingsError, nearest
from zsteer.sample.ddim import ddim
from zsteer.sample.table import KNOWN_AS, SOLVERS, Solver, Spacing
from zsteer.sample.times import times

__all__ = ["KNOWN_AS", "SOLVERS", "Solver", "solver_named", "walk"]


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
