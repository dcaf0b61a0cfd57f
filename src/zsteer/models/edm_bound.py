r"""The likelihood of a diffusion over things of several parts: EDM's variational bound.

.. math:: -\log p(x) \le L_T + \sum_t L_t + L_0 - \log p(N), \quad L_0 = -\log p(x \mid z_0)

Every term is the sum over the parts of the noise, coordinates in the (n - 1) 3 dimensions in which they are free. With
a schedule that has noise at t = 0 (EDM's) z_0 is not yet the data: L_0 is asked there, and all T terms stand between.
Without, the first step of the chain is L_0.

What is not a density is a probability: of a whole number the integral of the normal over half a unit to both sides, of
a one-hot row that of each category around 1, normalised over the categories. EDM reads both from the state itself.

Source: Hoogeboom, Satorras, Vignac, Welling, "Equivariant diffusion for molecule generation in 3D", 2022, section 3.2
and appendix A.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zsteer.core.batch import Batch
from zsteer.core.protocols import Denoiser, Noise, Prediction
from zsteer.core.rng import Streams
from zsteer.errors import CapabilityError, InputError
from zsteer.maths.diffusion import log_normal_mass
from zsteer.models.bound import Bound, between, far, strata
from zsteer.models.edm_denoiser import OfSize
from zsteer.models.edm_settings import EDMSettings
from zsteer.models.edm_states import states_of
from zsteer.noise.centred import Centred
from zsteer.noise.gaussian import Gaussian
from zsteer.noise.product import Product

__all__ = ["CALLS", "Likely", "Reading", "bound", "readings_of"]

CALLS = 50
"""Network calls of a likelihood, where none are asked for."""


@dataclass(frozen=True)
class Reading:
    """How a part of the state is read as data.

    Args:
        kind: ``density`` of real numbers, ``integer``, or ``one-hot`` rows over the last axis.
        scale: a unit of the data is so much in the state.
        shift: what is added to state / scale: where rows are centred, the mean of a one-hot row.
    """

    kind: Literal["density", "integer", "one-hot"] = "density"
    scale: float = 1.0
    shift: float = 0.0


def readings_of(settings: EDMSettings) -> dict[str, Reading]:
    """How the parts of a model of molecules are read: coordinates per angstrom, kinds, atomic numbers and bonds.

    Raises:
        CapabilityError: if kinds and bonds have categorical noise.
    """
    if settings.features != "gaussian":
        raise CapabilityError("this bound is for Gaussian noise on all parts; the model has features=categorical")
    found = {
        "xyz": Reading(scale=1 / settings.unit),
        "kinds": Reading("one-hot", settings.scale, 1 / len(settings.kinds)),
    }
    if settings.numbers:
        found["numbers"] = Reading("integer", settings.numbers)
    if settings.bonds:
        found["bonds"] = Reading("one-hot", settings.scale, 1 / len(settings.bonds))
    return found


def _gaussian(noise: Noise) -> tuple[Product, dict[str, Gaussian]]:
    """The noise, and that of each part.

    Raises:
        CapabilityError: if a part has another noise.
    """
    if not isinstance(noise, Product):
        raise CapabilityError(f"this bound is for noise of several parts, the model has {type(noise).__name__}")
    found = {part.name: part.noise for part in noise.parts if isinstance(part.noise, Gaussian)}
    if len(found) < len(noise.parts):
        kinds = ", ".join(f"{part.name} {type(part.noise).__name__}" for part in noise.parts)
        raise CapabilityError(f"this bound is for parts that all have Gaussian noise, got {kinds}")
    return noise, found


def _near(
    noise: Gaussian, reading: Reading, x0: Float[Tensor, "b ..."], at: tuple[Tensor, Tensor, Tensor]
) -> Float[Tensor, " b"]:
    """-log p(x_0 | z) of one part. [nats]

    Args:
        noise: of the part.
        reading: of the part.
        x0: data.
        at: the state, the prediction of x_0, and the squared signal there.
    """
    z, said, abar = at
    variance = (1 - abar) / abar
    if reading.kind == "density":
        free = noise.free(x0) if isinstance(noise, Centred) else x0[0].numel()
        # Densities per unit of the data and not of the state.
        return -noise.log_density(x0, said, variance) - free * math.log(reading.scale)
    values, mean = (one / reading.scale + reading.shift for one in (x0, z / abar.sqrt()))
    log_std = 0.5 * variance.log() - math.log(reading.scale)
    if reading.kind == "integer":
        return -log_normal_mass(values.round() - mean, log_std, 0.5).flatten(1).sum(1)
    log_p = log_normal_mass(1 - mean, log_std, 0.5).log_softmax(-1)
    return -(log_p * values.round()).flatten(1).sum(1)


@torch.no_grad()
def bound(
    denoiser: Denoiser,
    x0: Float[Tensor, "b d"],
    rng: Streams,
    *,
    readings: Mapping[str, Reading],
    calls: int | None = None,
) -> Bound:
    """Bound -log p(x_0 | N) from above, for things of one size.

    Args:
        denoiser: the model, bound to the conditions of these samples; its noise is a product of Gaussian parts.
        x0: data as flat states.
        rng: one stream for each sample.
        readings: how each part is read.
        calls: network calls; every term of the sum when None.

    Raises:
        CapabilityError: if a part has another noise than a Gaussian one.
        InputError: if a part has no reading.
        SettingsError: if ``calls`` is more than the terms.
    """
    noise, own = _gaussian(denoiser.noise)
    if missing := set(own) - set(readings):
        raise InputError(f"expected a reading of each part, none for {', '.join(sorted(missing))}")
    whole = noise.split(x0.double())
    start = torch.zeros(1, dtype=torch.float64)
    # A gap: noise at t = 0, so that z_0 is a state of its own before the data.
    early = all(float(one.schedule.variance(start)) > 0 for one in own.values())
    count = noise.steps + int(early)
    runs = strata(count, count if calls is None else calls)
    found, places = [], []
    for k, (low, high) in enumerate(runs):
        streams = rng.child("bound").at(k)
        at = low - int(early) + streams.integers("t", high - low + 1).to(x0.device)
        t = at.double() / noise.steps
        z = noise.corrupt(x0.double(), t, streams)
        said = noise.split(denoiser.predict(z.to(x0.dtype), t.to(x0.dtype)).x0.double())
        states = noise.split(z)
        if k == 0:
            abar = {name: one.abar(t, states[name]) for name, one in own.items()}
            each = [_near(own[n], readings[n], whole[n], (states[n], said[n], abar[n])) for n in own]
        else:
            times = (t, (at - 1).double() / noise.steps)
            each = [between(own[n], (whole[n], states[n]), Prediction(said[n]), times) for n in own]
        found.append(torch.stack(each).sum(0))
        places.append(at)
    sizes = torch.tensor([high - low + 1 for low, high in runs], device=x0.device)
    last = torch.stack([far(own[name], whole[name]) for name in own]).sum(0)
    dims = sum(
        one.free(whole[name]) if isinstance(one, Centred) else whole[name][0].numel() for name, one in own.items()
    )
    return Bound(last, torch.stack(found, 1), torch.stack(places, 1), sizes, dims)


class Likely:
    """Likelihood of a model of molecules; a mixin that reads its settings, its sizes and the model of one size."""

    settings: Any
    sizes: Any
    bound: Literal["lower"] = "lower"

    def of_size(self, size: int) -> OfSize:
        """The model of molecules of one size."""
        raise NotImplementedError

    @torch.no_grad()
    def bound_of(self, x: Batch, rng: Streams, *, calls: int | None = None) -> Bound:
        """Bound -log p(x) of molecules of any sizes, what their size costs included.

        Coordinates count per angstrom, in the (n - 1) 3 dimensions that a molecule without centre has.

        Args:
            x: molecules, as their space encodes them.
            rng: one stream for each.
            calls: network calls for each size; every term of the sum when None.

        Raises:
            CapabilityError: if kinds and bonds have categorical noise.
            InputError: if the batch has no mask, not as many streams, or holds what the model does not know.
        """
        if x.mask is None or not len(x) or len(rng) != len(x):
            raise InputError(
                f"expected molecules with a mask of their atoms and a stream for each, got {len(x)} and {len(rng)}; "
                f"encode them with their space"
            )
        settings: EDMSettings = self.settings
        readings, sizes = readings_of(settings), x.mask.sum(1)
        cost = -self.sizes.log_p({}, len(x)).gather(1, (sizes - 1).clamp(min=0)[:, None])[:, 0]
        pieces: list[Bound] = []
        order: list[Tensor] = []
        for size in sizes.unique().tolist():
            rows = (sizes == size).nonzero()[:, 0]
            model = self.of_size(size)
            states = states_of(settings, model.noise, x.take(rows), size, like=model.like(1, rng))
            own = rng.take(rows.to(rng.ids.device))
            piece = bound(model.bound({}, len(rows)), states, own, readings=readings, calls=calls)
            dims = torch.full((len(rows),), int(piece.dims), device=states.device)
            pieces.append(replace(piece, dims=dims, length=cost[rows]))
            order.append(rows)
        return _ordered(Bound.cat(pieces), torch.cat(order).argsort())

    def log_prob(self, x: Batch, rng: Streams) -> Float[Tensor, " b"]:
        """Minus the variational bound, estimated from ``CALLS`` strata of times. [nats]"""
        return -self.bound_of(x, rng, calls=min(CALLS, self.settings.steps)).total.float()

    def likelihood_notes(self) -> list[str]:
        """How ``log_prob`` comes about, for a report."""
        calls = min(CALLS, self.settings.steps)
        return [
            f"variational bound, estimated without bias from {calls} of its {self.settings.steps} terms a molecule",
            "coordinates per angstrom in the (n - 1) 3 dimensions of zero centre; the size of a molecule counts",
        ]


def _ordered(found: Bound, index: Int[Tensor, " b"]) -> Bound:
    each = ("far", "terms", "at", "dims", "length")
    return replace(found, **{name: getattr(found, name)[index] for name in each})
