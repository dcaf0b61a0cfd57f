r"""The likelihood of a diffusion over things of several parts: EDM's variational bound.

.. math:: -\log p(x) \le L_T + \sum_t L_t + L_0 - \log p(N), \quad L_0 = -\log p(x \mid z_0)

Every term is the sum over the parts of the noise, coordinates in the (n - 1) 3 dimensions in which they are free. With
a schedule that has noise at t = 0 (EDM's) z_0 is not yet the data: L_0 is taken there, and all T terms stand between.
Without, the first step of the chain is L_0.

A part with categorical noise has the terms of multinomial diffusion. What else is not a density is a probability: of a
whole number the integral of the normal over half a unit to both sides, of a one-hot row that of each category around 1,
normalised over the categories. EDM reads both from the state itself.

Source: Hoogeboom, Satorras, Vignac, Welling, "Equivariant diffusion for molecule generation in 3D", 2022, section 3.2
and appendix A.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zsteer.core.batch import Batch
from zsteer.core.protocols import Denoiser, Noise, Prediction
from zsteer.core.rng import Streams
from zsteer.errors import CapabilityError, InputError
from zsteer.maths import categorical
from zsteer.maths.diffusion import log_normal_mass
from zsteer.models.diffusion.bound import Bound, between, far, strata
from zsteer.models.edm.denoiser import FixedSizeModel
from zsteer.models.edm.settings import EDMSettings
from zsteer.models.edm.sizes import SizePrior
from zsteer.models.edm.states import sizes_of, states_of
from zsteer.noise.categorical import Categorical
from zsteer.noise.centred import Centred
from zsteer.noise.gaussian import Gaussian
from zsteer.noise.product import Product

__all__ = ["CALLS", "Reading", "bound", "bound_by_size", "readings_of"]

CALLS = 20
"""Network calls of a likelihood by default."""


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
    """How the Gaussian parts of a model of molecules are read: coordinates per angstrom, kinds, numbers and bonds."""
    found = {"xyz": Reading(scale=1 / settings.unit)}
    if settings.features == "categorical":
        return found
    found["kinds"] = Reading("one-hot", settings.scale, 1 / len(settings.kinds))
    if settings.numbers:
        found["numbers"] = Reading("integer", settings.numbers)
    if settings.bonds:
        found["bonds"] = Reading("one-hot", settings.scale, 1 / len(settings.bonds))
    return found


def _parts(noise: Noise) -> tuple[Product, dict[str, Gaussian | Categorical]]:
    """The noise, and that of each part; parts without numbers are left out.

    Raises:
        CapabilityError: if a part has a noise of another kind.
    """
    if not isinstance(noise, Product):
        raise CapabilityError(f"this bound is for noise of several parts, the model has {type(noise).__name__}")
    found = {p.name: p.noise for p in noise.parts if p.size and isinstance(p.noise, (Gaussian, Categorical))}
    if len(found) < sum(part.size > 0 for part in noise.parts):
        kinds = ", ".join(f"{part.name} {type(part.noise).__name__}" for part in noise.parts)
        raise CapabilityError(f"this bound is for parts with Gaussian or categorical noise, got {kinds}")
    return noise, found


def _near(
    noise: Gaussian | Categorical, reading: Reading, x0: Float[Tensor, "b ..."], at: tuple[Tensor, Tensor, Tensor]
) -> Float[Tensor, " b"]:
    """-log p(x_0 | z) of one part. [nats]

    Args:
        noise: of the part.
        reading: of the part.
        x0: data.
        at: the state, the prediction of x_0, and the time of each sample.
    """
    z, prediction, t = at
    if isinstance(noise, Categorical):
        return -(noise.of_data(prediction).log_softmax(-1) * x0).flatten(1).sum(1)
    abar = noise.abar(t, z)
    variance = (1 - abar) / abar
    if reading.kind == "density":
        free = noise.free(x0) if isinstance(noise, Centred) else x0[0].numel()
        # Densities per unit of the data and not of the state.
        return -noise.log_density(x0, prediction, variance) - free * math.log(reading.scale)
    values, mean = (one / reading.scale + reading.shift for one in (x0, z / abar.sqrt()))
    log_std = 0.5 * variance.log() - math.log(reading.scale)
    if reading.kind == "integer":
        return -log_normal_mass(values.round() - mean, log_std, 0.5).flatten(1).sum(1)
    log_p = log_normal_mass(1 - mean, log_std, 0.5).log_softmax(-1)
    return -(log_p * values.round()).flatten(1).sum(1)


def _between(
    noise: Gaussian | Categorical,
    pair: tuple[Float[Tensor, "b ..."], Float[Tensor, "b ..."]],
    prediction: Float[Tensor, "b ..."],
    times: tuple[Float[Tensor, " b"], Float[Tensor, " b"]],
) -> Float[Tensor, " b"]:
    """KL(q(x_s | x_t, x_0) || p(x_s | x_t)) of one part; see ``models.diffusion.bound.between``. [nats]"""
    if isinstance(noise, Gaussian):
        return between(noise, pair, Prediction(prediction), times)
    (x0, x_t), (t, s) = pair, times
    at = (noise.abar(t, x_t), noise.abar(s, x_t), noise.rest(x_t))
    truth, model = categorical.posterior(x_t, x0, *at), categorical.reverse(x_t, noise.of_data(prediction), *at)
    return categorical.kl(truth, model).flatten(1).sum(1)


def _far(noise: Gaussian | Categorical, x0: Float[Tensor, "b ..."]) -> Float[Tensor, " b"]:
    """L_T of one part. [nats]"""
    if isinstance(noise, Gaussian):
        return far(noise, x0)
    last = categorical.marginal(x0, noise.shares(1.0, 0.0)[0], noise.rest(x0))
    return categorical.kl(last, noise.log_prior(x0)).flatten(1).sum(1)


def _free(noise: Gaussian | Categorical, x0: Float[Tensor, "b ..."]) -> int:
    """Free numbers of one part: one for each row of a categorical one."""
    if isinstance(noise, Centred):
        return noise.free(x0)
    return x0[0].numel() if isinstance(noise, Gaussian) else x0[0, ..., 0].numel()


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
        denoiser: the model, bound to the conditions of these samples; its noise is a product of parts.
        x0: data as flat states.
        rng: one stream for each sample.
        readings: how each part with Gaussian noise is read.
        calls: network calls; every term of the sum when None.

    Raises:
        CapabilityError: if a part has another noise than a Gaussian or a categorical one.
        InputError: if a part has no reading.
        SettingsError: if ``calls`` is more than the terms.
    """
    noise, own = _parts(denoiser.noise)
    if missing := {name for name, one in own.items() if isinstance(one, Gaussian)} - set(readings):
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
        prediction = noise.split(denoiser.predict(z.to(x0.dtype), t.to(x0.dtype)).x0.double())
        states = noise.split(z)
        if k == 0:
            each = [_near(own[n], readings.get(n, Reading()), whole[n], (states[n], prediction[n], t)) for n in own]
        else:
            times = (t, (at - 1).double() / noise.steps)
            each = [_between(own[n], (whole[n], states[n]), prediction[n], times) for n in own]
        found.append(torch.stack(each).sum(0))
        places.append(at)
    sizes = torch.tensor([high - low + 1 for low, high in runs], device=x0.device)
    last = torch.stack([_far(own[name], whole[name]) for name in own]).sum(0)
    dims = sum(_free(one, whole[name]) for name, one in own.items())
    return Bound(last, torch.stack(found, 1), torch.stack(places, 1), sizes, dims)


@runtime_checkable
class Sized(Protocol):
    """What a likelihood reads of a model of molecules."""

    settings: EDMSettings
    sizes: SizePrior

    def for_size(self, size: int) -> FixedSizeModel: ...


@torch.no_grad()
def bound_by_size(model: Sized, x: Batch, rng: Streams, *, calls: int | None = None) -> Bound:
    """Bound -log p(x) of molecules of any sizes, what their size costs included.

    Coordinates count per angstrom, in the (n - 1) 3 dimensions that a molecule without centre has.

    Args:
        model: the model.
        x: molecules, as their space encodes them.
        rng: one stream for each.
        calls: network calls for each size; every term of the sum when None.

    Raises:
        InputError: if the batch has no mask, not as many streams, or holds what the model does not know.
    """
    if x.mask is None or not len(x) or len(rng) != len(x):
        raise InputError(
            f"expected molecules with a mask of their atoms and a stream for each, got {len(x)} and {len(rng)}; "
            f"encode them with their space"
        )
    settings = model.settings
    readings, sizes = readings_of(settings), x.mask.sum(1)
    cost = -model.sizes.log_p({}, len(x)).gather(1, (sizes - 1).clamp(min=0)[:, None])[:, 0]
    pieces: list[Bound] = []
    order: list[Tensor] = []
    for size, rows in sizes_of(x):
        own = model.for_size(size)
        states = states_of(settings, own.noise, x.take(rows), size, like=own.like(1, rng))
        streams = rng.take(rows.to(rng.ids.device))
        piece = bound(own.bound({}, len(rows)), states, streams, readings=readings, calls=calls)
        dims = torch.full((len(rows),), int(piece.dims), device=states.device)
        pieces.append(replace(piece, dims=dims, length=cost[rows]))
        order.append(rows)
    return _ordered(Bound.cat(pieces), torch.cat(order).argsort())


def _ordered(found: Bound, index: Int[Tensor, " b"]) -> Bound:
    each = ("far", "terms", "at", "dims", "length")
    return replace(found, **{name: getattr(found, name)[index] for name in each})
