"""The solvers and the spacings of their times, declared: the one list of them. Imports no torch: help is instant.

To add a solver, add its file and its row here: flags, help pages, Python and the tests of convergence follow from it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, Literal, get_args

from zsteer.core.catalog import load_name

__all__ = ["KNOWN_AS", "SOLVERS", "SPACINGS", "Solver", "Spacing"]

Spacing = Literal["time", "power", "log_snr", "karras"]
SPACINGS: tuple[str, ...] = get_args(Spacing)


@dataclass(frozen=True)
class Solver:
    """One way from noise to data.

    Args:
        target: its function, ``module:function``: (denoiser, x, times, rng) -> x.
        order: of convergence to the exact deterministic trajectory; 0 for those that draw.
        stochastic: whether each step draws.
        calls: of the network at each step; a last step to t = 0 takes one.
        spacing: of the times, by default.
        options: further keywords of the function.
    """

    target: str
    order: int
    stochastic: bool = False
    calls: int = 1
    spacing: Spacing = "log_snr"
    options: Mapping[str, object] = field(default_factory=dict[str, object])

    @property
    def run(self) -> Callable[..., Any]:
        """The function, imported now, with its keywords in place."""
        return partial(load_name(self.target), **self.options)

    def count(self, steps: int) -> int:
        """Network calls of a trajectory."""
        return self.calls * (steps - 1) + 1


_MULTISTEP = "zsteer.sample.multistep:multistep"

SOLVERS: Mapping[str, Solver] = MappingProxyType(
    {
        "ancestral": Solver("zsteer.sample.ancestral:ancestral", 0, stochastic=True, spacing="time"),
        "ddim": Solver("zsteer.sample.ddim:ddim", 1),
        "multistep2": Solver(_MULTISTEP, 2, options={"order": 2}),
        "multistep3": Solver(_MULTISTEP, 3, options={"order": 3}),
        "corrected": Solver(_MULTISTEP, 3, options={"order": 2, "corrected": True}),
        "heun": Solver("zsteer.sample.heun:heun", 2, calls=2),
        "sde2": Solver(_MULTISTEP, 0, stochastic=True, options={"order": 2, "eta": 1.0}),
    }
)
"""By name."""

KNOWN_AS: Mapping[str, str] = MappingProxyType({"dpm++2m": "multistep2", "dpm++2m_sde": "sde2"})
"""Names that other packages have for a solver -> ours."""
