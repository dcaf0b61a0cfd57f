"""A toy of a molecule with known answers: centred coordinates, a number an atom and a kind an atom, all independent.

Coordinates are normal in the subspace of zero centre, the numbers normal, the kinds drawn from one distribution, so
that the denoiser is exact and the log-probability has a closed form.
"""

import math
from dataclasses import dataclass

import torch

from zsteer.core.protocols import Prediction
from zsteer.core.rng import Streams
from zsteer.maths.schedules import Schedule
from zsteer.noise.categorical import Categorical
from zsteer.noise.centred import Centred
from zsteer.noise.gaussian import Gaussian
from zsteer.noise.product import Part, Product

N, F, K = 4, 2, 3


def product(*, kernel="uniform", kinds=True, atoms=N, steps=100, gap=0.0, variance="posterior"):
    """Noise of the toy; ``kinds=False`` leaves the categorical part out."""
    smooth = Schedule("polynomial", rest=1e-6, gap=gap)
    parts = [
        Part("positions", (atoms, 3), Centred(smooth, steps, variance)),
        Part("charge", (atoms, F), Gaussian(smooth, steps, variance)),
    ]
    if kinds:
        own = Categorical(Schedule("cosine"), K, kernel, steps)
        parts.append(Part("kinds", (atoms, own.states), own))
    return Product(tuple(parts))


@dataclass(frozen=True)
class Molecule:
    """The exact denoiser."""

    noise: Product
    variance: float = 0.6
    mean: float = 0.3
    share: float = 0.5

    def _normal(self, name, x_t, t, mean, variance):
        now = self.noise.part(name).noise.abar(t, x_t)
        return mean + variance * now.sqrt() / (variance * now + 1 - now) * (x_t - now.sqrt() * mean)

    def log_kinds(self):
        rest = (1 - self.share) / (K - 1)
        return torch.tensor([self.share] + [rest] * (K - 1), dtype=torch.float64).log()

    def predict(self, x_t, t):
        parts = self.noise.split(x_t)
        found = {
            "positions": self._normal("positions", parts["positions"], t, 0.0, self.variance),
            "charge": self._normal("charge", parts["charge"], t, self.mean, self.variance / 2),
        }
        if "kinds" in parts:
            own = self.noise.part("kinds").noise
            prior = torch.nn.functional.pad(self.log_kinds(), (0, own.states - K), value=-1e4)
            found["kinds"] = own.evidence(parts["kinds"], t.double()) + prior
        return Prediction(self.noise.join(found).to(x_t.dtype))

    def like(self, n):
        """Data at zero, all of the first kind."""
        parts = {part.name: torch.zeros(n, *part.shape, dtype=torch.float64) for part in self.noise.parts}
        if "kinds" in parts:
            parts["kinds"][..., 0] = 1
        return self.noise.join(parts)

    def data(self, n, seed):
        """Samples of the toy without kinds."""
        rng = Streams.of(seed, n)
        at = self.noise.part("positions").noise
        atoms = self.noise.part("positions").shape[0]
        x = at.drawn("data", torch.zeros(n, atoms, 3, dtype=torch.float64), rng) * math.sqrt(self.variance)
        h = rng.normal("charge", (atoms, F), dtype=torch.float64) * math.sqrt(self.variance / 2) + self.mean
        return self.noise.join({"positions": x, "charge": h})

    def log_prob(self, x):
        """Exact, of the toy without kinds; coordinates in the (n - 1) 3 dimensions of the subspace."""
        parts = self.noise.split(x)
        free = 3 * (parts["positions"].shape[1] - 1)
        half = -0.5 * (free * math.log(2 * math.pi * self.variance))
        positions = half - parts["positions"].square().sum((1, 2)) / (2 * self.variance)
        v = self.variance / 2
        gaps = (parts["charge"] - self.mean).flatten(1)
        return positions - 0.5 * (gaps.square() / v + math.log(2 * math.pi * v)).sum(1)
