r"""The variational autoencoder, and its importance-weighted form.

The lecture's loss, per sample:

.. math:: \|x - d(z)\|^2 + \text{KL}[N(\mu_x, \sigma_x), N(0, I)], \quad z = \mu_x + \sigma_x \epsilon

is minus the evidence bound of a Gaussian decoder with the fixed variance 1/2 (and the constant of that density left
out). ``decoder`` makes the choice plain: ``lecture`` (variance 1/2), ``gaussian`` (one learnt variance), ``bernoulli``
(binary data, on logits). With k > 1 samples: ``elbo`` averages k bounds, ``iwae`` is the importance-weighted bound,
``dreg`` the same bound with the doubly reparameterised gradient. ``log_prob`` is the importance-weighted bound.
"""

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from zsteer.core.batch import Batch
from zsteer.core.options import Option
from zsteer.core.protocols import Code, Turn
from zsteer.core.rng import Streams
from zsteer.errors import CapabilityError, InputError, nearest
from zsteer.maths.bernoulli import log_probability
from zsteer.maths.divergences import vae_loss
from zsteer.maths.gaussian import kl_to_standard_normal, log_density, reparameterise
from zsteer.maths.importance import doubly_reparameterised, importance_bound
from zsteer.models.autoencoder.base import Autoencoder, AutoencoderSettings
from zsteer.nets.mlp import packed
from zsteer.nets.precision import at_least_single
from zsteer.train.refit import refit_net

__all__ = ["VAE", "VAESettings"]

ROWS = 1024
"""Rows of the decoder's largest call when a likelihood is estimated."""
LECTURE = math.log(0.5)
"""Log-variance of the decoder that the lecture's squared error implies."""


class VAESettings(AutoencoderSettings):
    """What a VAE is built from."""

    latent: int = Field(default=20, ge=1, description="width of the code")
    decoder: Literal["lecture", "gaussian", "bernoulli"] = Field(
        default="lecture", description="p(x | z): Gaussian of variance 1/2, of a learnt variance, or Bernoulli"
    )
    objective: Literal["elbo", "iwae", "dreg"] = Field(default="elbo", description="bound and its gradient")
    samples: int = Field(default=1, ge=1, description="k, samples of the code in training")
    estimate: int = Field(default=500, ge=1, description="k of log_prob")

    @model_validator(mode="after")
    def _fits(self) -> "VAESettings":
        if (self.decoder == "bernoulli") != (self.datum.values == "binary"):
            raise ValueError(
                f"the bernoulli decoder is for binary values and only for them; got {self.decoder} and "
                f"values={self.datum.values}"
            )
        return self


class VAE(Autoencoder):
    """Encoder, decoder and the bound.

    Args:
        settings: what it is built from.
    """

    kind: ClassVar[str] = "vae"
    Settings: ClassVar[type[VAESettings]] = VAESettings
    turns: Sequence[Turn] = (Turn("autoencoder"),)
    bound: Literal["exact", "lower", "unnormalised"] = "lower"

    def __init__(self, settings: VAESettings) -> None:
        super().__init__(settings, 2)
        if settings.decoder == "gaussian":
            self.log_var = nn.Parameter(torch.tensor(-2.0))

    def players(self) -> Mapping[str, list[nn.Parameter]]:
        """One player owns all weights."""
        return {"autoencoder": list(self.parameters())}

    def losses(self, x: Batch, player: str, rng: Streams) -> Mapping[str, Float[Tensor, " b"]]:
        """Minus the bound; with one sample its two terms apart. [nats]"""
        del player
        rows = self.settings.datum.flat(x)
        mu, log_var = self._posterior(rows)
        k = self.settings.samples
        if self.settings.objective == "elbo":
            kl = kl_to_standard_normal(mu, log_var)
            draws = [reparameterise(mu, log_var, rng.normal(f"z{i}", (mu.shape[1],))) for i in range(k)]
            if self.settings.decoder == "lecture":
                return {"squared_error_and_kl": sum(vae_loss(rows, self.mean(z), mu, log_var) for z in draws) / k}
            fits = sum((-self._log_likelihood(rows[:, None], z[:, None])[:, 0] for z in draws), torch.zeros_like(kl))
            return {"reconstruction": fits / k, "kl": kl}
        eps = rng.normal("z", (k, mu.shape[1]))
        z = reparameterise(mu[:, None], log_var[:, None], eps)
        if self.settings.objective == "iwae":
            return {"bound": -importance_bound(self._log_weights(rows, z, mu, log_var))}
        return {"bound": -doubly_reparameterised(self._log_weights(rows, z, mu.detach(), log_var.detach()), z)}

    def _posterior(self, rows: Float[Tensor, "b d"]) -> tuple[Float[Tensor, "b l"], Float[Tensor, "b l"]]:
        """Mean and log-variance of q(z | x)."""
        mu, log_var = at_least_single(self.encoder(rows)).chunk(2, -1)
        return mu, log_var.clamp(-12, 8)

    def _log_likelihood(
        self, rows: Float[Tensor, "b 1 d"], z: Float[Tensor, "b k l"], decode: nn.Module | None = None
    ) -> Float[Tensor, "b k"]:
        """Log p(x | z) for k codes of each sample. [nats]"""
        flat = z.reshape(-1, z.shape[-1])
        if self.settings.decoder == "bernoulli":
            return log_probability(
                rows[:, 0], at_least_single((decode or self.decoder)(flat)).reshape(*z.shape[:2], -1)
            )
        log_var = self._log_var(z)
        means = self.mean(flat, decode).reshape(*z.shape[:2], -1)
        return log_density(rows, means, log_var.expand(means.shape[-1]))

    def _log_weights(
        self,
        rows: Float[Tensor, "b d"],
        z: Float[Tensor, "b k l"],
        mu: Tensor,
        log_var: Tensor,
        decode: nn.Module | None = None,
    ) -> Float[Tensor, "b k"]:
        """Log of p(x | z) p(z) / q(z | x)."""
        prior = log_density(z, torch.zeros_like(mu)[:, None], torch.zeros_like(mu)[:, None])
        own = log_density(z, mu[:, None], log_var[:, None])
        return self._log_likelihood(rows[:, None], z, decode) + prior - own

    @torch.no_grad()
    def log_weights(self, x: Batch, rng: Streams, samples: int) -> Float[Tensor, "b k"]:
        """Log importance weights of ``samples`` codes of each sample; their log-mean is the bound. [nats]

        Args:
            x: data.
            rng: one stream for each.
            samples: k.

        Raises:
            InputError: if there are not as many streams as samples.
        """
        if len(rng) != len(x):
            raise InputError(f"expected one stream for each of {len(x)} samples, got {len(rng)}")
        rows = self.settings.datum.flat(x)
        at_once, decode = max(1, ROWS // samples), packed(self.decoder)
        found: list[Tensor] = []
        for start in range(0, len(rows), at_once):
            piece = slice(start, start + at_once)
            mu, log_var = self._posterior(rows[piece])
            eps = rng.take(piece).normal("bound", (samples, mu.shape[1]))
            parts = [
                self._log_weights(rows[piece], reparameterise(mu[:, None], log_var[:, None], some), mu, log_var, decode)
                for some in eps.split(ROWS, 1)
            ]
            found.append(torch.cat(parts, 1))
        return torch.cat(found)

    def log_prob(self, x: Batch, rng: Streams) -> Float[Tensor, " b"]:
        """Importance-weighted lower bound on log p(x), with ``estimate`` samples of the code. [nats]"""
        return importance_bound(self.log_weights(x, rng, self.settings.estimate))

    @property
    def options(self) -> tuple[Option, ...]:
        """Noise of the decoder, as a flag of sampling."""
        usual = "no" if self.settings.datum.values == "unit" else "yes"
        text = f"whether samples come with the decoder's noise: yes or no; {usual} when absent"
        return (Option("noise", "sample", "flag", text),)

    def likelihood_notes(self) -> list[str]:
        """How ``log_prob`` comes about, for a report."""
        return [f"importance-weighted bound with k = {self.settings.estimate} samples of the code"]

    @torch.no_grad()
    def encode(self, x: Batch, rng: Streams) -> Code:
        """The mean of q(z | x) as part ``z``."""
        del rng
        return {"z": self._posterior(self.settings.datum.flat(x))[0]}

    @torch.no_grad()
    def sample(self, n: int, *, given: Mapping[str, object] | None = None, rng: Streams) -> Batch:
        """Draw z from N(0, I), then x from p(x | z).

        Args:
            n: how many.
            given: ``noise``: yes or no; without noise x is the mean of p(x | z). By default images in shades of grey
                or colour come without, binary ones and tables with.
            rng: one stream for each.

        Raises:
            InputError: if there is another condition, or the number of streams differs.
        """
        datum = self.settings.datum
        noisy = _noisy(given, default=datum.values != "unit")
        if len(rng) != n:
            raise InputError(f"expected {n} streams for {n} samples, got {len(rng)}")
        mean = self.mean(rng.normal("prior", (self.settings.latent,)))
        if not noisy:
            return datum.batch(mean)
        if datum.values == "binary":
            return datum.batch((rng.uniform("x", (datum.size,)) < mean).float())
        made = mean + (0.5 * self._log_var(mean)).exp() * rng.normal("x", (datum.size,))
        return datum.batch(made.clamp(0, 1) if datum.values == "unit" else made)

    @torch.no_grad()
    def path(self, n: int, rng: Streams) -> Batch:
        """Draw codes, and samples with the decoder's noise; a path is both, the code as field ``z``.

        Args:
            n: how many.
            rng: one stream for each.

        Raises:
            CapabilityError: if the decoder's noise is the lecture's fixed variance, and samples are images.
            InputError: if the number of streams differs.
        """
        datum = self.settings.datum
        if len(rng) != n:
            raise InputError(f"expected {n} streams for {n} samples, got {len(rng)}")
        if datum.values == "unit" and self.settings.decoder == "lecture":
            raise CapabilityError(
                "the lecture's decoder draws pixels with a variance of 1/2, which is noise; train a vae with "
                "decoder=gaussian to refit it"
            )
        z = rng.normal("prior", (self.settings.latent,))
        mean = self.mean(z)
        if datum.values == "binary":
            made = (rng.uniform("x", (datum.size,)) < mean).float()
        else:
            made = mean + (0.5 * self._log_var(mean)).exp() * rng.normal("x", (datum.size,))
        return datum.batch(made).with_fields(z=z)

    def log_prob_of_path(self, x: Batch) -> Float[Tensor, " b"]:
        """Log p(x | z) + log p(z) at the code that made each sample. [nats]"""
        z = x["z"]
        with torch.no_grad():
            fit = self._log_likelihood(self.settings.datum.flat(x)[:, None], z[:, None])[:, 0]
            return fit + log_density(z, torch.zeros_like(z), torch.zeros_like(z))

    def refit(self, x: Batch, weight: Float[Tensor, " b"], rng: Streams) -> "VAE":
        """A copy that learns on from weighted samples, by the bound in place of log q(x).

        Args:
            x: paths, of which the samples are learned from.
            weight: of each.
            rng: decides the order of the rows.
        """
        return refit_net(self, Batch({name: x[name] for name in x.fields if name != "z"}, x.mask), weight, rng)

    def _log_var(self, like: Tensor) -> Tensor:
        """Log-variance of the decoder's noise."""
        return self.log_var if self.settings.decoder == "gaussian" else torch.full((), LECTURE, device=like.device)


def _noisy(given: Mapping[str, object] | None, *, default: bool) -> bool:
    for name in given or {}:
        if name != "noise":
            raise InputError("--given: " + nearest(name, ["noise"], what="condition"))
    word = str((given or {}).get("noise", "yes" if default else "no")).lower()
    if word not in {"yes", "no", "true", "false"}:
        raise InputError(f"--given noise takes yes or no, got {word!r}")
    return word in {"yes", "true"}
