r"""The Wasserstein autoencoder, with either penalty of the lecture.

.. math:: \mathbb{E}_{P_X} \mathbb{E}_{Q(Z|X)} [c(X, G(Z))] + \lambda \mathcal{D}_Z(Q_Z, P_Z)

``mmd`` (algorithm 2) needs no discriminator. ``gan`` (algorithm 1) plays a discriminator of codes against the encoder;
the known log p_Z(z) may stand in its logit, so that it need only learn -log q_Z(z).

The unit of lambda: the cost is the squared error summed over the numbers of a sample, the kernel is the mean (not the
sum) of its scales. ``PRESETS`` gives published choices in that unit.
"""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from zsteer.core.batch import Batch
from zsteer.core.protocols import Code, Turn
from zsteer.core.rng import Streams
from zsteer.errors import InputError, nearest
from zsteer.maths.adversarial import latent_autoencoder_loss, latent_discriminator_loss
from zsteer.maths.gaussian import log_density
from zsteer.maths.transport import SCALES, mmd_shares, wae_objective
from zsteer.models.autoencoder.base import Autoencoder, AutoencoderSettings
from zsteer.nets.mlp import MLP
from zsteer.nets.precision import at_least_single

__all__ = ["PRESETS", "WAE", "WAESettings"]

PRESETS: Mapping[str, float] = MappingProxyType(
    {
        "official-mnist-mmd": 10 / 0.05 * 7,
        "official-celeba-mmd": 100 / 0.05 * 7,
        "official-mnist-gan": 10 / 0.05,
        "official-celeba-gan": 100 / 0.05,
        "pythae-mmd": 0.03 * 7,
    }
)
"""Lambda of published settings in our unit: the official code multiplies the squared error by 0.05 and sums its seven
kernels, pythae takes the plain squared error and sums seven kernels."""


class WAESettings(AutoencoderSettings):
    """What a WAE is built from."""

    latent: int = Field(default=8, ge=1, description="width of the code")
    penalty: Literal["mmd", "gan"] = Field(default="mmd", description="D_Z: MMD (algorithm 2) or a game (algorithm 1)")
    weight: float = Field(default=10.0, gt=0, description="lambda, in squared error summed over a sample")
    opponent: tuple[int, ...] = Field(default=(256, 256), description="hidden layers of the latent discriminator")
    prior_in_logit: bool = Field(default=True, description="add the known log p_Z to the discriminator's logit")
    moment_steps: int = Field(default=0, ge=0, description="first steps, in which codes only match mean and covariance")


class WAE(Autoencoder):
    """Encoder, decoder and the penalty on the aggregate of the codes.

    Args:
        settings: what it is built from.
    """

    kind: ClassVar[str] = "wae"
    Settings: ClassVar[type[WAESettings]] = WAESettings
    age: Tensor

    def __init__(self, settings: WAESettings) -> None:
        super().__init__(settings, 1)
        if settings.penalty == "gan":
            self.opponent = MLP([settings.latent, *settings.opponent, 1])
        self.register_buffer("age", torch.zeros((), dtype=torch.long))
        self._band: tuple[int, float] | None = None
        self._codes = 0

    @property
    def turns(self) -> Sequence[Turn]:
        """Algorithm 1 moves the discriminator first; algorithm 2 has none."""
        return (
            (Turn("discriminator"), Turn("autoencoder")) if self.settings.penalty == "gan" else (Turn("autoencoder"),)
        )

    def players(self) -> Mapping[str, list[nn.Parameter]]:
        """Encoder and decoder together, and the discriminator."""
        found = {"autoencoder": [*self.encoder.parameters(), *self.decoder.parameters()]}
        if self.settings.penalty == "gan":
            found["discriminator"] = list(self.opponent.parameters())
        return found

    def losses(self, x: Batch, player: str, rng: Streams) -> Mapping[str, Float[Tensor, " b"]]:
        """Cost and weighted penalty, or what the discriminator minimises."""
        rows = self.settings.datum.flat(x)
        prior = rng.normal("prior", (self.settings.latent,)).to(rows.dtype)
        if player == "discriminator":
            with torch.no_grad():
                code = at_least_single(self.encoder(rows))
            return {"game": latent_discriminator_loss(self._logit(prior), self._logit(code), self.settings.weight)}
        code = at_least_single(self.encoder(rows))
        if self.settings.moment_steps and int(self.age) < self.settings.moment_steps:
            return {"moments": moment_mismatch(code)}
        cost = (rows - self.mean(code)).square().sum(-1)
        if self.settings.penalty == "gan":
            return {"objective": latent_autoencoder_loss(cost, self._logit(code), self.settings.weight)}
        self._codes = len(code)
        penalty = mmd_shares(prior, code)
        objective = wae_objective(torch.zeros_like(cost), penalty, self.settings.weight)
        return {"cost": cost, "penalty": objective}

    def after_step(self, player: str) -> None:
        """Count the autoencoder's steps: the first of them only match moments."""
        if player == "autoencoder":
            self.age += 1

    def figures(self, record: Mapping[str, float]) -> Mapping[str, float]:
        """The null band beside the MMD penalty: how large it is between two draws from the prior itself."""
        found = record.get("autoencoder/penalty")
        if found is None or self._codes < 2:
            return {}
        if self._band is None or self._band[0] != self._codes:
            self._band = (self._codes, null_band(self._codes, self.settings.latent))
        mmd = found / self.settings.weight
        return {"mmd": mmd, "mmd_null_sd": self._band[1], "mmd_in_null_sd": mmd / self._band[1]}

    def _logit(self, z: Float[Tensor, "b l"]) -> Float[Tensor, " b"]:
        logit = at_least_single(self.opponent(z)[:, 0])
        if not self.settings.prior_in_logit:
            return logit
        zero = z.new_zeros(z.shape[-1])
        return logit + log_density(z, zero, zero)

    @torch.no_grad()
    def encode(self, x: Batch, rng: Streams) -> Code:
        """The code as part ``z``."""
        del rng
        return {"z": self.encoder(self.settings.datum.flat(x))}

    @torch.no_grad()
    def sample(self, n: int, *, given: Mapping[str, object] | None = None, rng: Streams) -> Batch:
        """Draw z from N(0, I) and give G(z); binary data are drawn with G(z) as probabilities.

        Raises:
            InputError: if there is a condition, or the number of streams differs.
        """
        for name in given or {}:
            raise InputError("--given: " + nearest(name, (), what="condition"))
        if len(rng) != n:
            raise InputError(f"expected {n} streams for {n} samples, got {len(rng)}")
        datum = self.settings.datum
        made = self.mean(rng.normal("prior", (self.settings.latent,)))
        if datum.values == "binary":
            made = (rng.uniform("x", (datum.size,)) < made).float()
        return datum.batch(made)


def moment_mismatch(code: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
    r"""Squared distance of mean and covariance of the codes from 0 and I, the same for each sample.

    .. math:: \| \bar z \|^2 + \| \operatorname{cov}(z) - I \|_F^2
    """
    centred = code - code.mean(0)
    cov = centred.T @ centred / len(code)
    gap = code.mean(0).square().sum() + (cov - torch.eye(code.shape[1], device=code.device)).square().sum()
    return gap.expand(len(code))


def null_band(n: int, d: int, *, repeats: int = 40) -> float:
    """Standard deviation of the unbiased MMD between two draws of ``n`` from N(0, I); its mean is 0."""
    rng = Streams.of(0, n).child("null")
    found = [
        float(mmd_shares(rng.at(i).normal("a", (d,)), rng.at(i).normal("b", (d,)), SCALES).mean())
        for i in range(repeats)
    ]
    return math.sqrt(sum(value**2 for value in found) / repeats)
