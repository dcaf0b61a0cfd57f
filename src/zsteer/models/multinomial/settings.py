"""What a multinomial diffusion model is built from: settings, and the noise and net that they name."""

from typing import Literal

from pydantic import Field, model_validator
from torch import nn

from zsteer.core.artifact import Settings
from zsteer.core.sample_spec import SampleSpec
from zsteer.maths.schedules import Schedule
from zsteer.nets.positions import PictureNet, PositionNet
from zsteer.nets.unet import UNet
from zsteer.noise.categorical import Categorical

__all__ = ["MultinomialSettings", "net_of", "noise_of"]


class MultinomialSettings(Settings):
    """What the model is built from."""

    datum: SampleSpec
    variable: bool = Field(
        default=False, description="sequences: field tokens, and a mask that says which positions are real"
    )
    shortest: int = Field(default=1, ge=1, description="fewest positions of a sequence")
    kernel: Literal["uniform", "absorbing"] = Field(
        default="uniform", description="noise replaces by any category (the lecture), or by a mask"
    )
    schedule: Literal["linear", "cosine", "sigmoid", "polynomial"] = Field(
        default="cosine", description="noise schedule"
    )
    steps: int = Field(default=100, ge=1, description="T of the discrete chain")
    times: Literal["importance", "even"] = Field(
        default="importance", description="how t is drawn in training: in proportion to the size of L_t, or evenly"
    )
    classes: tuple[str, ...] = Field(default=(), description="names of the classes it can be conditioned on")
    drop: float = Field(default=0.1, ge=0, lt=1, description="share of the samples that are shown without their class")
    net: Literal["transformer", "unet"] = Field(default="transformer", description="for sequences, or for pictures")
    width: int = Field(default=64, ge=2, description="features of a position; channels of the U-Net's finest level")
    heads: int = Field(default=4, ge=1, description="of the transformer's attention")
    layers: int = Field(default=3, ge=1, description="blocks of the transformer, or of each level of the U-Net")
    multiples: tuple[int, ...] = Field(default=(1, 2), description="width of each level of the U-Net", min_length=1)
    patch: int = Field(default=2, ge=1, le=2, description="pixels along an edge that the U-Net folds into channels")

    @model_validator(mode="after")
    def _fits(self) -> "MultinomialSettings":
        if self.datum.values != "levels":
            raise ValueError(f"multinomial diffusion takes values=levels, got values={self.datum.values}")
        if self.net == "unet" and len(self.datum.shape) != 3:
            raise ValueError(f"the unet takes pictures (c, h, w), got samples of shape {self.datum.shape}")
        if self.variable and len(self.datum.shape) != 1:
            raise ValueError(f"sequences have one axis, got samples of shape {self.datum.shape}")
        if self.shortest > self.datum.size:
            raise ValueError(f"expected shortest in 1 ... {self.datum.size}, got {self.shortest}")
        if self.variable and self.net == "unet":
            raise ValueError("sequences of their own length need net=transformer")
        if len(self.classes) == 1:
            raise ValueError("one class is no condition: give two or more, or none")
        return self


def noise_of(settings: MultinomialSettings) -> Categorical:
    """The noise that the settings name."""
    return Categorical(Schedule(settings.schedule), settings.datum.levels, settings.kernel, settings.steps)


def net_of(settings: MultinomialSettings) -> nn.Module:
    """The net that the settings name."""
    s, states = settings, noise_of(settings).states
    if s.net == "transformer":
        return PositionNet(
            states=states,
            length=s.datum.size,
            width=s.width,
            heads=s.heads,
            layers=s.layers,
            classes=len(s.classes),
        )
    channels, height, width = s.datum.shape
    inside = UNet(
        channels * states,
        channels * states,
        width=s.width,
        multiples=s.multiples,
        blocks=s.layers,
        patch=s.patch,
        classes=len(s.classes),
    )
    return PictureNet(states, (channels, height, width), inside)
