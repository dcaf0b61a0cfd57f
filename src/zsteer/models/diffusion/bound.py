r"""The likelihood of diffusion: the variational bound, exact or estimated, term by term.

.. math:: L = L_T + \sum_{t=1}^{T} \ell_t, \quad \ell_1 = L_0 = -\log p(x_0 \mid x_1), \quad
          \ell_t = L_{t-1} = \text{KL}(q(x_{t-1} \mid x_t, x_0) \,\Vert\, p(x_{t-1} \mid x_t)) .

The sum costs T network calls. Cut {1 ... T} into k strata and draw, for each sample, one t from each: the sum of the
terms found, each times the size of its stratum, has the same expectation for k calls. The strata are even in log t, for
the terms fall about as 1 / t; the first is {1} alone, so that L_0 is always there.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zsteer.core.protocols import Denoiser, Prediction
from zsteer.core.rng import Streams
from zsteer.errors import CapabilityError, SettingsError
from zsteer.maths import diffusion
from zsteer.noise.gaussian import Gaussian

__all__ = ["Bound", "between", "bound", "far", "strata", "term", "term_of"]


@dataclass(frozen=True)
class Bound:
    r"""An upper bound of -log p(x_0), term by term. [nats]

    Args:
        far: L_T of each sample.
        terms: of each sample, the term at one t of each stratum; column 0 is L_0.
        at: which t.
        sizes: of the strata.
        dims: numbers in a sample; of each sample where their lengths differ.
        length: -log p(length) of each sample where their lengths differ.
    """

    far: Float[Tensor, " b"]
    terms: Float[Tensor, "b k"]
    at: Int[Tensor, "b k"]
    sizes: Int[Tensor, " k"]
    dims: int | Int[Tensor, " b"]
    length: Float[Tensor, " b"] | None = field(default=None)

    @staticmethod
    def cat(pieces: "Sequence[Bound]") -> "Bound":
        """Join bounds of pieces of a set, made with the same strata.

        Raises:
            SettingsError: if there is none, or the strata differ.
        """
        if not pieces or any(not torch.equal(one.sizes, pieces[0].sizes) for one in pieces):
            raise SettingsError("expected bounds of at least one piece, all with the same strata")
        first = pieces[0]
        # What is one number for all samples, or is not there, is that of the first piece.
        each = [name for name in ("far", "terms", "at", "dims", "length") if isinstance(getattr(first, name), Tensor)]
        return replace(first, **{name: torch.cat([getattr(one, name) for one in pieces]) for name in each})

    @property
    def exact(self) -> bool:
        """Whether every term of the sum is there."""
        return bool((self.sizes == 1).all())

    @property
    def total(self) -> Float[Tensor, " b"]:
        r"""L of each sample: L_T, the KL terms in between, and L_0; and what its length costs.

        Lecture: ddpm.bound.terms
        """
        whole = self.far + (self.terms * self.sizes).sum(1)
        return whole if self.length is None else whole + self.length

    @property
    def _nats(self) -> float:
        """Nats of one bit in each dimension of a sample, on average over the samples."""
        dims = float(self.dims.double().mean()) if isinstance(self.dims, Tensor) else self.dims
        return math.log(2) * dims

    @property
    def bits(self) -> float:
        """Bits of all samples over the dimensions of all samples."""
        return float(self.total.double().mean()) / self._nats

    @property
    def se(self) -> float:
        """Standard error of ``bits``: of the samples and, where not exact, of the times; NaN for one sample."""
        total = self.total.double()
        # A ratio of two means: what a sample costs more than its dimensions would at the mean.
        rest = total - self.bits * math.log(2) * self.dims
        return float(rest.std()) / math.sqrt(len(total)) / self._nats

    def parts(self) -> dict[str, float]:
        """Means of L_T, the sum over t > 1, L_0 and the length, in bits per dimension; they sum to ``bits``."""
        nats = {
            "L_T": self.far.mean(),
            "L_t": (self.terms[:, 1:] * self.sizes[1:]).sum(1).mean(),
            "L_0": self.terms[:, 0].mean(),
        }
        if self.length is not None:
            nats["length"] = self.length.mean()
        return {name: float(value) / self._nats for name, value in nats.items()}

    def curve(self) -> list[tuple[float, float]]:
        """Mean t of each stratum, and its mean term in bits per dimension: what to draw over t."""
        bits = self.terms.mean(0) / self._nats
        return list(zip(self.at.double().mean(0).tolist(), bits.tolist(), strict=True))


def strata(steps: int, count: int, *, even: bool = False) -> list[tuple[int, int]]:
    """Cut 1 ... T into ``count`` runs of times, about even in log t: first and last time of each.

    Args:
        steps: T.
        count: how many; T gives every time its own.
        even: about even in t instead, after the first: for terms that do not fall with t, as those of categories.

    Raises:
        SettingsError: if ``count`` is not in 1 ... T.
    """
    if not 1 <= count <= steps:
        raise SettingsError(f"expected 1 to {steps} strata for a chain of {steps} steps, got {count}")
    ends = [0]
    for j in range(1, count + 1):
        # The first is 1 alone; each run has a time at least, and leaves one for each run that follows.
        wanted = round(1 + (steps - 1) * (j - 1) / max(count - 1, 1)) if even else round(steps ** (j / count))
        wanted = wanted if j > 1 else 1
        ends.append(steps if j == count else min(max(wanted, ends[-1] + 1), steps - (count - j)))
    return [(low + 1, high) for low, high in pairwise(ends)]


def term(
    denoiser: Denoiser, noise: Gaussian, x0: Float[Tensor, "b ..."], at: Int[Tensor, " b"], rng: Streams, levels: int
) -> Float[Tensor, " b"]:
    """The term of the bound at one t for each sample, from one draw of x_t. [nats]

    Args:
        denoiser: the model.
        noise: its noise.
        x0: data, flat or not.
        at: t in 1 ... T.
        rng: one stream for each sample.
        levels: number of even levels in [-1, 1] that the data lie on; 0 for data with a density.
    """
    t = at.double() / noise.steps
    x_t = noise.corrupt(x0, t, rng)
    # Networks read times in the type of the data; the coefficients are worked out in float64.
    return term_of(noise, (x0, x_t), denoiser.predict(x_t, t.to(x0.dtype)), at, levels)


def term_of(
    noise: Gaussian,
    pair: tuple[Float[Tensor, "b ..."], Float[Tensor, "b ..."]],
    prediction: Prediction,
    at: Int[Tensor, " b"],
    levels: int,
) -> Float[Tensor, " b"]:
    """The term of the bound at one t for each sample, given what the model says at x_t. [nats]

    Args:
        noise: the noise.
        pair: x_0 and x_t.
        prediction: the model's prediction at x_t.
        at: t in 1 ... T.
        levels: number of even levels in [-1, 1] that the data lie on; 0 for data with a density.
    """
    t, s = at.double() / noise.steps, (at - 1).double() / noise.steps
    found, first = between(noise, pair, prediction, (t, s)), at == 1
    if not bool(first.any()):
        return found
    mean, variance = noise.kernel(pair[1], prediction, t, s)
    if levels:
        near = -diffusion.discretised_log_probability(pair[0], mean, variance.log(), levels)
    else:
        near = -noise.log_density(pair[0], mean, variance)
    return torch.where(first, near, found)


def between(
    noise: Gaussian,
    pair: tuple[Float[Tensor, "b ..."], Float[Tensor, "b ..."]],
    prediction: Prediction,
    times: tuple[Float[Tensor, " b"], Float[Tensor, " b"]],
) -> Float[Tensor, " b"]:
    """KL(q(x_s | x_t, x_0) || p(x_s | x_t)), given what the model says at x_t. [nats]

    Args:
        noise: the noise.
        pair: x_0 and x_t.
        prediction: the model's prediction at x_t.
        times: t and s of each sample; where the posterior is a point (no noise at s) the number means nothing.
    """
    (x0, x_t), (t, s) = pair, times
    mean, variance = noise.kernel(x_t, prediction, t, s)
    true_mean, true_variance = noise.posterior(x0, x_t, t, s)
    some = torch.where(true_variance > 0, true_variance, torch.ones_like(true_variance))
    return noise.kl(true_mean, some, mean, variance)


def far(noise: Gaussian, x0: Float[Tensor, "b ..."]) -> Float[Tensor, " b"]:
    """L_T = KL(q(x_T | x_0) || N(0, I)) in the space of the noise. [nats]"""
    now = noise.abar(1.0, x0).to(x0.dtype)
    return noise.kl(now.sqrt() * x0, 1 - now, torch.zeros_like(x0), torch.ones_like(now))


@torch.no_grad()
def bound(
    denoiser: Denoiser, x0: Float[Tensor, "b ..."], rng: Streams, *, calls: int | None = None, levels: int = 0
) -> Bound:
    r"""Bound -log p(x_0) from above: E[-log p(x_0)] <= E_q[-log p(x_{0:T}) / q(x_{1:T} | x_0)] = L.

    Args:
        denoiser: the model, bound to the conditions of these samples.
        x0: data in the units of the denoiser.
        rng: one stream for each sample.
        calls: network calls, the number of strata; T (every term) when None.
        levels: 256 for images of 8 bits scaled to [-1, 1], which gives the probability of the levels; 0 for data with a
            density.

    Raises:
        CapabilityError: if the noise is not Gaussian.
        SettingsError: if ``calls`` is not in 1 ... T.

    Source: Ho, Jain, Abbeel, "Denoising diffusion probabilistic models", 2020, equation 5.

    Lecture: ddpm.bound
    """
    noise = denoiser.noise
    if not isinstance(noise, Gaussian):
        raise CapabilityError(f"this bound is for Gaussian noise, the model has {type(noise).__name__}")
    runs = strata(noise.steps, noise.steps if calls is None else calls)
    found, places = [], []
    for k, (low, high) in enumerate(runs):
        own = rng.child("bound").at(k)
        at = low + own.integers("t", high - low + 1).to(x0.device)
        found.append(term(denoiser, noise, x0, at, own, levels))
        places.append(at)
    sizes = torch.tensor([high - low + 1 for low, high in runs], device=x0.device)
    return Bound(far(noise, x0), torch.stack(found, 1), torch.stack(places, 1), sizes, x0[0].numel())
