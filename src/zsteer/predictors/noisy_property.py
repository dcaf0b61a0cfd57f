r"""Properties of noisy molecules, with their uncertainty: what classifier guidance asks of a property.

.. math:: p(y \mid x_t) = \mathcal{N}(y;\, \mu(x_t, t), \sigma^2(x_t, t)), \quad
          \text{minimise } \tfrac12 \log \sigma^2 + \frac{(y - \mu)^2}{2 \sigma^2}

for each property, in standard deviations. The gradient of log p(y | x_t) guides a walk towards a value y, as far as x_t
still leaves it open: where the noise hides the property the variance is that of the data and the pull is weak. At small
noise it is an estimate of the property of a molecule, which serves as a differentiable measure of a predicted x_0.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zsteer.core.artifact import Pretrained
from zsteer.core.batch import Batch
from zsteer.core.options import number
from zsteer.core.protocols import Conditional, Turn
from zsteer.core.rng import Streams
from zsteer.errors import InputError, SettingsError
from zsteer.models.edm.edm import property_named
from zsteer.models.edm.settings import TIMES, EDMSettings, noise_of
from zsteer.models.edm.states import sizes_of, states_of
from zsteer.nets.pairs import PairNet, PairNetSettings, pairs
from zsteer.nets.precision import at_least_single
from zsteer.nets.unet import time_features
from zsteer.noise.product import Product

__all__ = ["NoisyProperty"]

LEAST, MOST = -9.2, 1.4
"""Log-variances at either end, in standard deviations of the data."""
FIRM = -4.6
"""Least log-variance that a guide pulls with, a tenth of the data's deviation. A surer net is right near the data; on a
walk its pull, which grows as 1 / sigma^2, breaks more molecules than it brings nearer (docs/decisions/log.md)."""
NEAR = 0.02
"""Time at which a predicted x_0 is read: the least noise, and what is left of a prediction's own blur."""


class NoisyProperty(Pretrained, nn.Module):
    """A net that tells properties of noisy molecules.

    Args:
        settings: those of a diffusion model of the same molecules, with at least one property.

    Raises:
        SettingsError: if there is no property.
    """

    kind: ClassVar[str] = "noisy-property"
    Settings: ClassVar[type[EDMSettings]] = EDMSettings
    turns: Sequence[Turn] = (Turn("regressor"),)

    def __init__(self, settings: EDMSettings) -> None:
        super().__init__()
        if not settings.properties or settings.self_conditioning or settings.net != "pairs":
            raise SettingsError("expected at least one property, net=pairs and self_conditioning=false")
        self.settings = settings
        s, wide = settings, settings.width
        self.net = PairNet(
            PairNetSettings(
                atoms=len(s.kinds),
                pairs=len(s.bonds),
                context=TIMES + 1,
                out_atoms=wide,
                out_pairs=0,
                width=wide,
                pair_width=s.pair_width,
                layers=s.layers,
                push=s.push,
                triangles=s.triangles,
            )
        )
        # Sums serve properties that add up over atoms, means those that do not.
        self.head = nn.Sequential(
            nn.Linear(2 * wide + TIMES + 1, wide), nn.SiLU(), nn.Linear(wide, 2 * len(s.properties))
        )

    def players(self) -> Mapping[str, list[nn.Parameter]]:
        """One player owns all weights."""
        return {"regressor": list(self.parameters())}

    def noise_of(self, size: int) -> Product:
        """The noise of molecules of one size."""
        return noise_of(self.settings, size)

    def losses(self, x: Batch, player: str, rng: Streams) -> Mapping[str, Float[Tensor, " b"]]:
        """Minus the log-density of the known properties at one time for each molecule. [nats, without constant]

        Raises:
            InputError: if the batch has no mask, or lacks a property.
        """
        del player
        s = self.settings
        t = (rng.uniform("t", dtype=torch.float64) ** s.early).clamp(min=1 / s.steps)
        values = torch.stack([x[name] for name in s.properties], 1)
        wanted = (values - values.new_tensor(s.means)) / values.new_tensor(s.stds)
        found = torch.zeros(len(x), dtype=next(self.parameters()).dtype, device=x.device)
        for size, rows in sizes_of(x):
            noise = self.noise_of(size)
            x0 = states_of(s, noise, x.take(rows), size, like=next(self.parameters()))
            own = t[rows].to(x0)
            mean, log_var = self.believed(noise.corrupt(x0, own, rng.take(rows)), own, size)
            y = wanted[rows].to(mean)
            known = y.isfinite()
            each = 0.5 * (log_var + (torch.where(known, y, 0.0) - mean).square() * (-log_var).exp())
            found = found.index_add(0, rows, (each * known).sum(1) / known.sum(1).clamp(min=1))
        return {"nll": found}

    def believed(
        self, x_t: Float[Tensor, "b d"], t: Float[Tensor, " b"], size: int
    ) -> tuple[Float[Tensor, "b k"], Float[Tensor, "b k"]]:
        """Mean and log-variance of every property, in standard deviations of the data.

        Args:
            x_t: noisy states of molecules of one size.
            t: their times.
            size: atoms of each.
        """
        parts = self.noise_of(size).split(x_t)
        context = torch.cat([time_features(t, TIMES), torch.full_like(t, size / self.settings.largest)[:, None]], 1)
        bonds = parts.get("bonds", x_t.new_zeros(len(x_t), pairs(size), len(self.settings.bonds)))
        atoms, _, _ = self.net(parts["kinds"], bonds, parts["xyz"], context)
        pooled = torch.cat([atoms.mean(1), atoms.sum(1) / self.settings.largest**0.5, context], 1)
        mean, log_var = at_least_single(self.head(pooled)).chunk(2, 1)
        # The deviation stays between a hundredth of the data's and about twice it.
        return mean, LEAST + (MOST - LEAST) * torch.sigmoid(log_var)

    def _number(self, name: str) -> int:
        return self.settings.properties.index(property_named(name, self.settings.properties))

    def log_prob(
        self, size: int, name: str, value: float | Float[Tensor, " b"]
    ) -> Callable[[Float[Tensor, "b d"], Float[Tensor, " b"]], Float[Tensor, " b"]]:
        """The function (x_t, t) -> log p(value | x_t) of molecules of one size. [nats, without constant]

        A deviation below a tenth of the data's counts as one.

        Args:
            size: atoms.
            name: of the property.
            value: in the property's own unit, one for all or one for each.
        """
        k = self._number(name)
        wanted = (torch.as_tensor(value) - self.settings.means[k]) / self.settings.stds[k]

        def log_prob(x_t: Float[Tensor, "b d"], t: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
            mean, log_var = self.believed(x_t, t, size)
            firm = log_var[:, k].clamp(min=FIRM)
            return -0.5 * (firm + (wanted.to(mean) - mean[:, k]).square() * (-firm).exp())

        return log_prob

    def measure(self, size: int, name: str) -> Callable[[Float[Tensor, "b d"]], Float[Tensor, " b"]]:
        """The function x_0 -> property, in its own unit, of predicted molecules of one size.

        Args:
            size: atoms.
            name: of the property.
        """
        k = self._number(name)

        def measured(x0: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
            mean, _ = self.believed(x0, torch.full((len(x0),), NEAR, dtype=x0.dtype, device=x0.device), size)
            return mean[:, k] * self.settings.stds[k] + self.settings.means[k]

        return measured

    def check(self, model: object) -> None:
        """Refuse a diffusion model whose states it does not read.

        Raises:
            InputError: if kinds, bonds, noise or unit differ.
        """
        same = ("kinds", "bonds", "hydrogens", "features", "scale", "schedule", "gap", "steps", "unit")
        theirs = getattr(model, "settings", None)
        wrong = [name for name in same if getattr(theirs, name, None) != getattr(self.settings, name)]
        if wrong:
            raise InputError(
                f"the guide reads other molecules than the model makes: they differ in {', '.join(wrong)}; a "
                "guide goes with the model of its own set alone (qm9-properties with qm9-edm); train one by the recipe "
                "molecule-properties, or omit --guide"
            )

    def targets(self, name: str, value: object, n: int) -> Float[Tensor, " n"]:
        """The value of each sample, in the property's own unit.

        Raises:
            InputError: if it has no such property, or a value is no number.
        """
        self._number(name)
        values = value if isinstance(value, Tensor) else torch.tensor([number(value, f"--toward {name}")])
        return values.double().expand(n)

    def log_prob_at(
        self, model: Conditional, name: str, targets: Float[Tensor, " b"]
    ) -> Callable[[Tensor, Tensor], Float[Tensor, " b"]]:
        """``log_prob`` of the targets, of molecules of the model's size."""
        return self.log_prob(_size_of(model), name, targets)

    @torch.no_grad()
    def values(self, x: Batch, name: str) -> Float[Tensor, " b"]:
        """A property of whole molecules, read at the least noise, in its own unit.

        Args:
            x: molecules, as their space encodes them.
            name: of the property.
        """
        found = torch.zeros(len(x), dtype=torch.float64)
        for size, rows in sizes_of(x):
            noise = self.noise_of(size)
            x0 = states_of(self.settings, noise, x.take(rows), size, like=next(self.parameters()))
            found[rows] = self.measure(size, name)(x0).double().cpu()
        return found


def _size_of(model: Conditional) -> int:
    noise = model.noise
    if not isinstance(noise, Product):
        raise InputError("the guide reads states of several parts, and the model's noise has one")
    return noise.part("xyz").shape[0]
