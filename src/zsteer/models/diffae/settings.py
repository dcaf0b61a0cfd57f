"""What a diffusion autoencoder is built from."""

from typing import Literal

from pydantic import Field, model_validator

from zsteer.core.artifact import Settings
from zsteer.core.sample_spec import SampleSpec

__all__ = ["DiffAESettings"]


class DiffAESettings(Settings):
    """What the model is built from."""

    datum: SampleSpec
    semantic: int = Field(default=64, ge=1, description="width of the semantic code z")
    schedule: Literal["linear", "cosine", "sigmoid"] = Field(default="cosine", description="noise schedule")
    steps: int = Field(default=1000, ge=1, description="T of the discrete chain")
    target: Literal["eps", "v"] = Field(default="v", description="what the net predicts; the lecture's is eps")
    width: int = Field(default=32, ge=2, description="channels of the finest level of the U-Net")
    multiples: tuple[int, ...] = Field(default=(1, 2, 2), description="width of each level", min_length=1)
    blocks: int = Field(default=1, ge=1, description="blocks at each level")
    patch: int = Field(default=2, ge=1, le=2, description="pixels along an edge that are folded into channels")
    encoder: int = Field(default=32, ge=2, description="channels of the finest level of the encoder")
    hidden: tuple[int, ...] = Field(default=(256, 256, 256, 256), description="layers of the prior of z", min_length=1)
    calls: int = Field(default=8, ge=1, description="network calls of a decoding, and steps of its inversion")
    refine: int = Field(default=2, ge=1, description="network calls of each step of an inversion")
    reader: str = Field(default="", description="model that measures attributes of its pictures, by name")

    @model_validator(mode="after")
    def _fits(self) -> "DiffAESettings":
        if len(self.datum.shape) != 3:
            raise ValueError(f"a diffusion autoencoder takes images (c, h, w), got samples of shape {self.datum.shape}")
        return self

    @property
    def levels(self) -> int:
        """Levels of the U-Net, the finest first."""
        return len(self.multiples)
