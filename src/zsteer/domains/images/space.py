"""``ImageSpace``: what an image is. A batch holds ``x`` of shape ``(b, c, h, w)``, float32 in [0, 1]."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from zsteer.core.batch import Batch
from zsteer.domains.images.pictures import Shaping
from zsteer.errors import InputError, SettingsError

__all__ = ["THRESHOLD", "ImageSpace", "plain_shaping", "shaping_of"]

THRESHOLD = 127
"""Binary images are 1 where the pixel exceeds it."""


def shaping_of(settings: Mapping[str, Any]) -> Shaping:
    """The shaping of a description; one that changes nothing where it has none."""
    return Shaping(**settings.get("shaping", {}))


def plain_shaping(settings: dict[str, Any]) -> dict[str, Any]:
    """A description whose shaping is there only where it changes something."""
    own = {key: value for key, value in settings["shaping"].items() if value not in {None, "auto"}}
    return {key: value for key, value in settings.items() if key != "shaping"} | ({"shaping": own} if own else {})


@dataclass(frozen=True)
class ImageSpace:
    """Images of one size and number of channels.

    Args:
        channels: 1 (grey) or 3 (colour).
        height: [pixels]
        width: [pixels]
        binary: pixels are 0 or 1, cut at ``THRESHOLD``.
        shaping: what made the pictures of a training alike in size and colour.

    Raises:
        SettingsError: if an extent is not positive, or there are neither 1 nor 3 channels.
    """

    channels: int
    height: int
    width: int
    binary: bool = False
    shaping: Shaping = field(default_factory=Shaping)

    def __post_init__(self) -> None:
        if self.channels not in {1, 3} or self.height < 1 or self.width < 1:
            raise SettingsError(f"expected 1 or 3 channels and a positive size, got {self.shape}")

    @property
    def name(self) -> str:
        """Name of the space."""
        return "images"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one image."""
        return (self.channels, self.height, self.width)

    @property
    def values(self) -> Literal["binary", "unit"]:
        """What a pixel can be."""
        return "binary" if self.binary else "unit"

    @property
    def words(self) -> str:
        """Size and colour in words."""
        kind = "black and white" if self.binary else "grey" if self.channels == 1 else "colour"
        return f"{self.width} x {self.height} pixels, {kind}"

    def settings(self) -> dict[str, Any]:
        """A description that JSON can hold; ``ImageSpace.of`` takes it back."""
        return {"name": self.name, **plain_shaping(asdict(self))}

    @staticmethod
    def of(settings: dict[str, Any]) -> "ImageSpace":
        """The space of a description."""
        values = {key: value for key, value in settings.items() if key not in {"name", "shaping"}}
        return ImageSpace(**values, shaping=shaping_of(settings))

    @property
    def reading(self) -> Shaping:
        """What makes pictures of any size those of the training; pictures of its size stay."""
        return replace(self.shaping, size=(self.height, self.width))

    def encode(self, items: NDArray[np.uint8]) -> Batch:
        """Turn pixels into a batch.

        Args:
            items: pixels 0 ... 255, shape ``(b, h, w)`` or ``(b, h, w, c)``.

        Returns:
            ``x`` of shape ``(b, c, h, w)`` in [0, 1].

        Raises:
            InputError: if the size, the channels or the type of number differ.
        """
        if items.dtype != np.uint8:
            raise InputError(f"expected pixels as whole numbers 0 ... 255 (uint8), got {items.dtype}")
        shaped = items[..., None] if items.ndim == 3 else items
        if shaped.shape[1:] != (self.height, self.width, self.channels):
            raise InputError(
                f"expected images of {self.height} x {self.width} pixels with {self.channels} channel(s), "
                f"got shape {items.shape[1:]}"
            )
        pixels = torch.from_numpy(np.ascontiguousarray(shaped.transpose(0, 3, 1, 2)))
        return Batch({"x": (pixels > THRESHOLD).float() if self.binary else pixels.float() / 255})

    def decode(self, x: Batch) -> NDArray[np.uint8]:
        """Turn a batch back into pixels, shape ``(b, h, w)`` or ``(b, h, w, 3)``."""
        pixels = (x["x"].detach().clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
        return pixels[:, 0] if self.channels == 1 else np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))
