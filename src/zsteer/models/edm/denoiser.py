"""A model of molecules, seen from samplers: one size, conditions bound, and a memory of the last prediction."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import Parameter

from zsteer.core.batch import Batch
from zsteer.core.protocols import Prediction
from zsteer.core.rng import Streams
from zsteer.domains.molecules.expectation import ExpectedMolecules
from zsteer.errors import InputError
from zsteer.models.edm.expectation import expected_molecules
from zsteer.models.edm.settings import EDMSettings
from zsteer.models.edm.states import molecules_of
from zsteer.noise.product import Product

__all__ = ["FixedSizeModel", "SelfConditionedDenoiser"]

Said = Mapping[str, Tensor]

FORGETS = 0.1
"""Time below which the last prediction is not shown: there it would hold sampling to choices that x_t itself, nearly
free of noise, tells better (measured: docs/decisions/log.md)."""


@runtime_checkable
class Predictor(Protocol):
    """What a denoiser of molecules of one size reads of their model."""

    settings: EDMSettings

    def parameters(self) -> Iterator[Parameter]: ...
    def wanted(self, given: Mapping[str, object] | None, n: int) -> dict[int, Float[Tensor, " n"]]: ...
    def context(self, t: Tensor, size: int, values: Tensor, known: Tensor) -> Float[Tensor, "b c"]: ...
    def predict(
        self, noise: Product, x_t: Tensor, t: Tensor, context: Tensor, before: Said | None, *, degraded: bool = False
    ) -> tuple[Prediction, Said | None]: ...


@dataclass(eq=False)
class SelfConditionedDenoiser:
    """A denoiser of one batch, which is shown its own last prediction (self-conditioning).

    The memory holds on a walk whose times fall, down to ``FORGETS``; it begins anew where they do not, so that a walk
    is the same whatever the denoiser was used for before.

    Args:
        model: the model.
        size: atoms of each molecule.
        noise: of that size.
        values: properties, in standard deviations from the mean, ``(b, k)``.
        known: which are given, ``(b, k)``.
        degraded: whether the net does without its products along triangles.
    """

    model: Predictor
    size: int
    noise: Product
    values: Float[Tensor, "b k"]
    known: Tensor
    degraded: bool = False
    _last: tuple[float, Said | None, Said | None] = field(default=(-1.0, None, None), repr=False)

    def predict(self, x_t: Float[Tensor, "b d"], t: Float[Tensor, " b"]) -> Prediction:
        """What the model says of x_0 at x_t."""
        now = float(t[0]) if len(t) and bool((t == t[0]).all()) else -1.0
        when, shown, answer = self._last
        # Asked twice at one time (a guide, a corrector) it is shown the same thing twice.
        before = answer if now < when else shown if now == when else None
        if now < FORGETS or (before is not None and len(before["xyz"]) != len(x_t)):
            before = None
        context = self.model.context(t, self.size, self.values, self.known)
        prediction, after = self.model.predict(self.noise, x_t, t, context, before, degraded=self.degraded)
        self._last = (now, before, after)
        return prediction


@dataclass(frozen=True)
class FixedSizeModel:
    """A diffusion model of molecules of one size.

    Args:
        model: the model.
        size: atoms of each molecule.
        noise: of that size.
    """

    model: Predictor
    size: int
    noise: Product

    @property
    def classes(self) -> Sequence[str]:
        """None: conditions are values."""
        return ()

    def denoiser(self, given: Mapping[str, object] | None, n: int) -> SelfConditionedDenoiser:
        """The denoiser of ``n`` molecules.

        Args:
            given: values of properties by name, each one for all or one for each.
            n: number of molecules.

        Raises:
            InputError: if a condition does not exist.
        """
        return self.bound(self.model.wanted(given, n), n)

    def degraded(self, given: Mapping[str, object] | None, n: int) -> SelfConditionedDenoiser:
        """The same without the products along triangles, for autoguidance to lead away from.

        Args:
            given: values of properties by name, each one for all or one for each.
            n: number of molecules.

        Raises:
            InputError: if a condition does not exist, or the net has no such products.
        """
        if not self.model.settings.triangles:
            raise InputError("autoguidance leads away from the net without its triangles, and this model has none")
        return replace(self.denoiser(given, n), degraded=True)

    def bound(self, wanted: Mapping[int, Float[Tensor, " n"]], n: int) -> SelfConditionedDenoiser:
        """The denoiser of ``n`` molecules with values in standard deviations, by the number of their property."""
        weight, count = next(self.model.parameters()), len(self.model.settings.properties)
        values = torch.zeros(n, count, dtype=weight.dtype, device=weight.device)
        known = torch.zeros(n, count, dtype=torch.bool, device=weight.device)
        for k, value in wanted.items():
            values[:, k], known[:, k] = value.to(values), True
        return SelfConditionedDenoiser(self.model, self.size, self.noise, values, known)

    def expectation(self, x0: Float[Tensor, "b d"]) -> ExpectedMolecules:
        """Expected molecules of predictions of x_0."""
        return expected_molecules(self.model.settings, self.noise, x0)

    def like(self, n: int, rng: Streams) -> Float[Tensor, "n d"]:
        """A tensor of the shape, type and device of ``n`` molecules inside the model."""
        del rng
        weight = next(self.model.parameters())
        # Ones, not zeros: a row of zeros is padding to a categorical noise.
        return torch.ones(n, self.noise.size, dtype=weight.dtype, device=weight.device)

    def finish(self, x: Float[Tensor, "n d"]) -> Batch:
        """What a walk ended at, as molecules."""
        return molecules_of(self.model.settings, self.noise, x)
