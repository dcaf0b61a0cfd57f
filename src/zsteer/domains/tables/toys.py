r"""Mixtures of equal normals with known centres: the standard tests of mode coverage.

.. math:: p(x) = \frac1K \sum_k N(x; m_k, \sigma^2 I)

The 25 centres of the grid are {-4, -2, 0, 2, 4}^2 with sigma 0.05; the 8 of the ring lie on the unit circle with
sigma 0.02.
"""

import math
from dataclasses import dataclass
from types import MappingProxyType

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zsteer.core.rng import Streams

__all__ = ["MIXTURES", "Mixture"]


@dataclass(frozen=True)
class Mixture:
    """A mixture of equal normals in the plane.

    Args:
        centres: m_k, ``k`` points.
        sd: standard deviation around each centre, in each direction.
    """

    centres: tuple[tuple[float, float], ...]
    sd: float

    def sample(self, rng: Streams) -> tuple[Float[Tensor, "b 2"], Int[Tensor, " b"]]:
        """One point for each stream, and the mode that it belongs to."""
        mode = rng.integers("mode", len(self.centres))
        centres = torch.tensor(self.centres, device=mode.device)
        return centres[mode] + self.sd * rng.normal("point", (2,)), mode

    def nearest(self, x: Float[Tensor, "b 2"]) -> tuple[Int[Tensor, " b"], Float[Tensor, " b"]]:
        """The nearest mode of each point, and its distance in standard deviations."""
        distance, mode = torch.cdist(x, torch.tensor(self.centres, dtype=x.dtype, device=x.device)).min(1)
        return mode, distance / self.sd


MIXTURES = MappingProxyType(
    {
        "grid-25": Mixture(tuple((float(i), float(j)) for i in range(-4, 5, 2) for j in range(-4, 5, 2)), 0.05),
        "ring-8": Mixture(tuple((math.cos(k * math.pi / 4), math.sin(k * math.pi / 4)) for k in range(8)), 0.02),
    }
)
"""Mixtures by name. Source: Srivastava et al., "VEEGAN", NeurIPS 2017 (grid); the ring is twice as wide as theirs."""
