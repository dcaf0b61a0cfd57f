r"""A reader of factors: images to one number in [0, 1] for each named attribute, with a known error.

It is trained on images whose factors are known, drawn faces for example, by the squared error of each factor. What it
says of edited images is a measurement, and its own error on held-out images, which its card names, belongs beside it.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from zsteer.core.artifact import Pretrained, Settings
from zsteer.core.batch import Batch
from zsteer.core.protocols import Turn
from zsteer.core.rng import Streams
from zsteer.core.sample_spec import SampleSpec
from zsteer.errors import InputError, nearest
from zsteer.nets.precision import at_least_single
from zsteer.nets.unet import PictureEncoder

__all__ = ["FactorReader", "FactorReaderSettings"]

AT_ONCE = 1024
"""Images that are read together: their number changes nothing but the memory."""


class FactorReaderSettings(Settings):
    """What the reader is built from."""

    datum: SampleSpec
    factors: tuple[str, ...] = Field(description="names of what it reads", min_length=1)
    width: int = Field(default=16, ge=2, description="channels of the finest level")
    features: int = Field(default=64, ge=2, description="width of the hidden layer")

    @model_validator(mode="after")
    def _fits(self) -> "FactorReaderSettings":
        if len(self.datum.shape) != 3 or self.datum.values not in {"binary", "unit"}:
            raise ValueError(f"the reader takes images in [0, 1], got {self.datum.values} of {self.datum.shape}")
        return self


class FactorReader(Pretrained, nn.Module):
    """Three convolutions, a hidden layer, and a number for each factor.

    Args:
        settings: what it is built from.
    """

    kind: ClassVar[str] = "factor-reader"
    Settings: ClassVar[type[FactorReaderSettings]] = FactorReaderSettings
    turns: Sequence[Turn] = (Turn("reader"),)

    def __init__(self, settings: FactorReaderSettings) -> None:
        super().__init__()
        self.settings = settings
        channels, height, width = settings.datum.shape
        self.body = PictureEncoder(channels, (height, width), settings.features, settings.width)
        self.head = nn.Linear(settings.features, len(settings.factors))

    def players(self) -> Mapping[str, list[nn.Parameter]]:
        """One player owns all weights."""
        return {"reader": list(self.parameters())}

    def losses(self, x: Batch, player: str, rng: Streams) -> Mapping[str, Float[Tensor, " b"]]:
        """Squared error over the factors; a factor that is not known (NaN) counts as read.

        Raises:
            InputError: if the batch has no factors.
        """
        del player, rng
        if "factors" not in x:
            raise InputError("a reader learns from images with factors: the batch has no field factors")
        gap = self.measure(x["x"]) - x["factors"]
        return {"squared_error": torch.where(gap.isfinite(), gap, 0.0).square().sum(1)}

    def measure(self, pixels: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        """All factors of pixels in [0, 1], with a gradient."""
        hidden = nn.functional.silu(self.body(2 * pixels - 1))
        return at_least_single(self.head(hidden))

    @torch.no_grad()
    def read(self, pixels: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        """All factors of pixels in [0, 1], float64.

        Raises:
            InputError: if the pictures have another shape.
        """
        if pixels.shape[1:] != self.settings.datum.shape:
            raise InputError(
                f"the reader takes images of shape {self.settings.datum.shape}, got {tuple(pixels.shape[1:])}"
            )
        weight = next(self.parameters())
        pieces = [self.measure(piece.to(weight)) for piece in pixels.split(AT_ONCE)]
        return torch.cat(pieces).double().cpu()

    def column(self, name: str) -> int:
        """The column of a factor.

        Raises:
            InputError: if it reads no such factor.
        """
        if name not in self.settings.factors:
            raise InputError(nearest(name, self.settings.factors, what="factor"))
        return self.settings.factors.index(name)
