"""``Autoencoder``: what the VAE and the WAE share: two halves on plain numbers, the mean of a code, decoding."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from zsteer.core.artifact import Pretrained, Settings
from zsteer.core.batch import Batch
from zsteer.core.protocols import Code
from zsteer.core.rng import Streams
from zsteer.core.sample_spec import SampleSpec
from zsteer.errors import InputError
from zsteer.maths.directions import mix
from zsteer.nets.codec import decoder, encoder
from zsteer.nets.precision import at_least_single

__all__ = ["Autoencoder", "AutoencoderSettings"]


class AutoencoderSettings(Settings):
    """What both halves are built from."""

    datum: SampleSpec
    latent: int = Field(default=16, ge=1, description="width of the code")
    net: Literal["mlp", "conv"] = Field(default="mlp", description="kind of encoder and decoder")
    hidden: tuple[int, ...] = Field(default=(400,), description="hidden layers of the mlp kind")
    width: int = Field(default=32, ge=1, description="channels of the conv kind")

    @model_validator(mode="after")
    def _no_levels(self) -> "AutoencoderSettings":
        if self.datum.values == "levels":
            raise ValueError("an autoencoder takes binary, unit or real values, not levels")
        return self


class Autoencoder(Pretrained, nn.Module):
    """Encoder and decoder.

    Args:
        settings: what they are built from.
        features: numbers that the encoder gives for each number of the code: 1, or 2 for mean and log-variance.
    """

    parts: Sequence[str] = ("z",)

    def __init__(self, settings: AutoencoderSettings, features: int) -> None:
        super().__init__()
        self.settings = settings
        net, shape, hidden, width = settings.net, settings.datum.shape, settings.hidden, settings.width
        self.encoder = encoder(net, shape, features * settings.latent, hidden=hidden, width=width)
        self.decoder = decoder(net, shape, settings.latent, hidden=hidden, width=width)

    def mean(self, z: Float[Tensor, "b l"], decode: nn.Module | None = None) -> Float[Tensor, "b d"]:
        """Mean of the data given a code, by the decoder or its packed form: in (0, 1) unless the values are real."""
        out = at_least_single((decode or self.decoder)(z))
        return out if self.settings.datum.values == "real" else torch.sigmoid(out)

    @torch.no_grad()
    def decode(self, code: Code, rng: Streams) -> Batch:
        """The mean of the data given the part ``z`` of a code."""
        del rng
        return self.settings.datum.batch(self.mean(code["z"]))

    @abstractmethod
    def encode(self, x: Batch, rng: Streams) -> Code:
        """The code of data, as part ``z``."""

    @torch.no_grad()
    def propose(self, x: Batch, strength: float, rng: Streams) -> Batch:
        """Step in z: mix the code with a draw from the prior, and decode; binary data are drawn.

        Args:
            x: where to step from.
            strength: share of the prior, in (0, 1].
            rng: one stream for each.

        Raises:
            InputError: if the strength is outside (0, 1], or there is not one stream for each.
        """
        if not 0 < strength <= 1 or len(rng) != len(x):
            raise InputError(
                f"expected a strength in (0, 1] and one stream for each of {len(x)} samples, got {strength:g} and "
                f"{len(rng)}"
            )
        z = self.encode(x, rng)["z"]
        made = self.mean(mix(z, rng.normal("propose", z.shape[1:]).to(z), strength))
        if self.settings.datum.values == "binary":
            made = (rng.uniform("propose x", (self.settings.datum.size,)) < made).float()
        return self.settings.datum.batch(made)
