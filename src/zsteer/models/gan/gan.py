r"""``Gan``: a generator G and a critic that play against each other: GAN (two forms) and WGAN, on tables and images.

The critic ascends, the generator descends or ascends,

.. math:: \frac1m \sum_i \log D(x^{(i)}) + \log(1 - D(G(z^{(i)}))), \qquad
          \frac1m \sum_i f(x^{(i)}) - f(G(z^{(i)})) \quad \text{(WGAN)} .

One switch holds the critic's slope (``gan.critic``). The model watches itself: the gap between the critic's values
of data and made samples, and how often it has the wrong sign, are in the records and kept with the weights.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from zsteer.core.artifact import Pretrained, Settings
from zsteer.core.batch import Batch
from zsteer.core.protocols import Turn
from zsteer.core.rng import Streams, initialised
from zsteer.core.sample_spec import SampleSpec
from zsteer.errors import CapabilityError, InputError, SettingsError
from zsteer.maths.adversarial import (
    critic_loss,
    discriminator_loss,
    generator_loss,
    minimax_generator_loss,
    wasserstein_generator_loss,
)
from zsteer.models.gan.critic import Critic, Gap, Lipschitz
from zsteer.nets.convolutional import ConvGenerator
from zsteer.nets.mlp import MLP

__all__ = ["COLLAPSE", "WRONG_SIGN", "Gan", "GanSettings"]

WRONG_SIGN = "critic of the wrong sign"
COLLAPSE = "mode collapse"
_MEMORY = 0.02
"""Weight of the newest update in the running gap and the running share of wrong signs: a memory of 50 updates."""


class GanSettings(Settings):
    """What the two players are built from."""

    datum: SampleSpec = Field(description="what one sample is")
    latent: int = Field(default=16, ge=1, description="width of the code z, standard normal")
    categories: int = Field(
        default=0, ge=0, description="classes of a further, discrete part of the code, for data in separate pieces"
    )
    width: int = Field(default=256, ge=1, description="width of the hidden layers; channels for images")
    depth: int = Field(default=3, ge=1, description="hidden layers of the fully connected nets")
    loss: Literal["minimax", "non-saturating", "wasserstein"] = Field(
        default="wasserstein", description="minimax and non-saturating (GAN), or wasserstein (WGAN)"
    )
    lipschitz: Lipschitz = Field(
        default="penalty", description="what holds the critic's slope: none, clip, penalty or spectral"
    )
    clip: float = Field(default=0.01, gt=0, description="largest weight, for lipschitz=clip")
    penalty: float = Field(default=10.0, gt=0, description="weight of the gradient penalty, for lipschitz=penalty")
    frequencies: int = Field(
        default=0, ge=0, le=12, description="octaves of sines and cosines that the critic sees beside a table's numbers"
    )
    sharpness: float = Field(
        default=1.0, gt=0, description="factor on the generator's first weights: above 1 for data in separate pieces"
    )
    critic_steps: int = Field(default=5, ge=1, description="updates of the critic for each of the generator")
    seed: int = Field(default=0, description="of the initial weights")

    @model_validator(mode="after")
    def _fits(self) -> "GanSettings":
        if self.loss == "wasserstein" and self.lipschitz == "none":
            raise ValueError("a Wasserstein critic without a bound on its slope grows without end: set lipschitz")
        if self.frequencies and len(self.datum.shape) > 1:
            raise ValueError("frequencies are for tables, whose samples have one axis")
        if self.datum.values == "levels":
            raise ValueError("a GAN needs samples through which gradients flow: binary, unit or real values")
        return self


class Gan(Pretrained, nn.Module):
    """Generator and critic; a batch has the field ``x`` of shape ``(b, *datum.shape)``.

    Args:
        settings: what the nets are built from.
        critic: a net of one's own, from samples to ``(b, 1)``; such a model is not stored.
    """

    kind = "gan"
    Settings = GanSettings

    def __init__(self, settings: GanSettings, critic: nn.Module | None = None) -> None:
        super().__init__()
        self.settings = s = settings
        shape = s.datum.shape
        with initialised(s.seed):
            self.generator: nn.Module = (
                ConvGenerator(s.latent + s.categories, shape, s.width)
                if len(shape) == 3
                else MLP([s.latent + s.categories, *[s.width] * s.depth, s.datum.size])
            )
            self.critic = Critic(
                shape, s.width, s.depth, s.lipschitz, clip=s.clip, frequencies=s.frequencies, net=critic
            )
        with torch.no_grad():
            next(self.generator.parameters()).mul_(s.sharpness)
        # Of the critic: running mean of its gap, number of updates, running share of updates with a gap below zero.
        self.register_buffer("watched", torch.zeros(3))
        self.watched: Tensor
        self._seen: Tensor | None = None

    @property
    def turns(self) -> Sequence[Turn]:
        """The critic, several times; then the generator."""
        return (Turn("critic", self.settings.critic_steps), Turn("generator"))

    def players(self) -> Mapping[str, Iterable[nn.Parameter]]:
        """Who owns which weights."""
        return {"critic": list(self.critic.parameters()), "generator": list(self.generator.parameters())}

    def losses(self, x: Batch, player: str, rng: Streams) -> Mapping[str, Float[Tensor, " b"]]:
        """Terms of the player's loss."""
        if player == "generator":
            value = self.critic(self._made(rng))
            losses = {"minimax": minimax_generator_loss, "non-saturating": generator_loss}
            return {"loss": losses.get(self.settings.loss, wasserstein_generator_loss)(value)}
        real = self.settings.datum.flat(x).reshape(x["x"].shape)
        with torch.no_grad():
            made = self._made(rng)
        on_real, on_made = self.critic(torch.cat([real, made])).chunk(2)  # one pass costs less than two
        self._seen = (on_real - on_made).detach().mean()
        plain = critic_loss if self.settings.loss == "wasserstein" else discriminator_loss
        terms = {"loss": plain(on_real, on_made)}
        if self.settings.lipschitz == "penalty":
            terms["penalty"] = self.settings.penalty * self.critic.penalty(real, made, rng)
        return terms

    def after_step(self, player: str) -> None:
        """Hold the critic's slope, and take down its gap."""
        if player != "critic":
            return
        self.critic.after_step()
        if self._seen is not None:
            first = self.watched[1] == 0
            gap = torch.where(first, self._seen, torch.lerp(self.watched[0], self._seen, _MEMORY))
            wrong = torch.lerp(self.watched[2], (self._seen < 0).to(gap.dtype), _MEMORY)
            self.watched.copy_(torch.stack([gap, self.watched[1] + 1, wrong]))
            self._seen = None

    def figures(self, record: Mapping[str, float]) -> Mapping[str, float]:
        """The running gap of the critic, and the running share of updates at which its sign was wrong."""
        del record
        gap, _, wrong = self.watched.tolist()
        return {"critic/gap": gap, "critic/wrong_sign": wrong}

    def diagnoses(self) -> list[str]:
        """Named faults of the training of late: a critic worth its name sees made samples below data on the whole."""
        gap, updates, wrong = self.watched.tolist()
        if updates and gap < 0 and wrong > 0.5:
            return [f"{WRONG_SIGN}: running gap {gap:.3g}, below zero in {wrong:.0%} of the last updates"]
        return []

    def _made(self, rng: Streams) -> Float[Tensor, "b ..."]:
        """Made samples as the critic sees them: in (0, 1) for pixels, as they are for reals."""
        weight = next(self.generator.parameters())
        code = rng.normal("latent", (self.settings.latent,)).to(weight.dtype)
        if self.settings.categories:
            chosen = rng.integers("category", self.settings.categories)
            code = torch.cat([code, nn.functional.one_hot(chosen, self.settings.categories).to(code.dtype)], 1)
        out = self.generator(code)
        out = out.reshape(len(rng), *self.settings.datum.shape)
        return out if self.settings.datum.values == "real" else torch.sigmoid(out)

    @torch.no_grad()
    def sample(self, n: int, *, given: Mapping[str, object] | None = None, rng: Streams) -> Batch:
        """Make samples; binary ones are cut at 1/2.

        Raises:
            CapabilityError: if there is a condition; a GAN has none.
            InputError: if the number of streams differs.
        """
        if given:
            raise CapabilityError(f"a model of kind 'gan' takes no condition, got {sorted(given)}")
        if n != len(rng):
            raise InputError(f"expected one stream for each of {n} samples, got {len(rng)}")
        made = self._made(rng)
        return Batch({"x": (made > 0.5).to(made.dtype) if self.settings.datum.values == "binary" else made})

    def gap(self, x: Batch, rng: Streams) -> Gap:
        """What the critic says of data and as many made samples.

        Raises:
            SettingsError: if the critic is a discriminator, whose gap is no distance.
        """
        if self.settings.loss != "wasserstein":
            raise SettingsError(f"the critic of a GAN with loss={self.settings.loss} estimates no W1; use wasserstein")
        with torch.no_grad():
            made = self._made(rng)
        return self.critic.gap(x["x"].to(made.dtype), made, rng)
