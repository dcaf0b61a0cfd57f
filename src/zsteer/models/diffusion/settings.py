"""What a diffusion model of plain numbers is built from: settings, and the nets that they name."""

from typing import Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn

from zsteer.core.artifact import Settings
from zsteer.core.sample_spec import SampleSpec
from zsteer.maths.schedules import Listed, Schedule
from zsteer.nets.mlp import MLP
from zsteer.nets.unet import UNet, time_features
from zsteer.nets.unet2d import UNet2D, UNet2DSettings
from zsteer.noise.gaussian import Gaussian

__all__ = ["DDPMSettings", "TimedMLP", "net_of", "noise_of"]


class DDPMSettings(Settings):
    """What the model is built from."""

    datum: SampleSpec
    schedule: Literal["linear", "cosine", "sigmoid", "polynomial", "listed"] = Field(
        default="cosine", description="noise schedule; listed: by the betas given"
    )
    betas: tuple[float, ...] = Field(default=(), description="beta_1 ... beta_T, for schedule=listed")
    steps: int = Field(default=1000, ge=1, description="T of the discrete chain")
    target: Literal["eps", "x0", "v"] = Field(default="eps", description="what the net predicts; the lecture's is eps")
    variance: Literal["posterior", "forward", "learned"] = Field(
        default="posterior", description="of the reverse step: beta-tilde, beta, or learned between the two"
    )
    classes: tuple[str, ...] = Field(default=(), description="names of the classes it can be conditioned on")
    drop: float = Field(default=0.1, ge=0, lt=1, description="share of the samples that are shown without their class")
    net: Literal["unet", "mlp", "unet2d"] = Field(
        default="unet", description="unet for images, mlp for rows; unet2d: a net that diffusers reads and writes"
    )
    unet2d: UNet2DSettings | None = Field(default=None, description="settings of the net, for net=unet2d")
    width: int = Field(default=48, ge=2, description="channels of the finest level of the U-Net")
    multiples: tuple[int, ...] = Field(default=(1, 2), description="width of each level of the U-Net", min_length=1)
    blocks: int = Field(default=2, ge=1, description="blocks at each level of the U-Net")
    patch: int = Field(default=2, ge=1, le=2, description="pixels along an edge that the U-Net folds into channels")
    hidden: tuple[int, ...] = Field(default=(256, 256, 256), description="hidden layers of the mlp", min_length=1)
    low: tuple[float, ...] = Field(default=(), description="least value of x_0, for each number of a row of reals")
    high: tuple[float, ...] = Field(default=(), description="largest value of x_0, likewise; without both no bound")

    @model_validator(mode="after")
    def _fits(self) -> "DDPMSettings":
        if self.net != "mlp" and len(self.datum.shape) != 3:
            raise ValueError(
                f"the {self.net} takes images (c, h, w), got samples of shape {self.datum.shape}; take net=mlp"
            )
        if len(self.classes) == 1:
            raise ValueError("one class is no condition: give two or more, or none")
        if len(self.betas) != (self.steps if self.schedule == "listed" else 0):
            raise ValueError(f"betas belong to schedule=listed, one for each of {self.steps} steps")
        bounds = {len(self.low), len(self.high)}
        if bounds != {0} and (bounds != {self.datum.size} or self.datum.values != "real"):
            raise ValueError(f"low and high belong to reals, one for each of {self.datum.size} numbers")
        if (self.net == "unet2d") != (self.unet2d is not None):
            raise ValueError("settings of a unet2d belong to net=unet2d")
        if self.unet2d is not None:
            self._fits_unet2d(self.unet2d)
        return self

    def _fits_unet2d(self, net: UNet2DSettings) -> None:
        channels, rows = self.datum.shape[0], net.num_class_embeds or 0
        if (net.in_channels, net.out_channels) != (channels, channels * self.per_value):
            raise ValueError(f"expected a unet2d from {channels} to {channels * self.per_value} channels")
        if rows - len(self.classes) not in ({0, 1} if self.classes else {0}):
            raise ValueError(
                f"expected num_class_embeds of {len(self.classes)} classes, or one more for none, got {rows}"
            )

    @property
    def per_value(self) -> int:
        """Numbers that the net gives for each number of a sample: the prediction, and the spread of the variance."""
        return 2 if self.variance == "learned" else 1


class TimedMLP(nn.Module):
    """Fully connected denoiser of flat rows.

    Args:
        size: numbers in a row.
        out: numbers in a prediction.
        hidden: widths of the hidden layers.
        classes: number of classes; 0 for none.
    """

    WIDTH = 32

    def __init__(self, size: int, out: int, hidden: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.label = nn.Embedding(classes + 1, self.WIDTH) if classes else None
        self.body = MLP([size + self.WIDTH * (2 if classes else 1), *hidden, out])

    def forward(
        self, x: Float[Tensor, "b d"], t: Float[Tensor, " b"], y: Int[Tensor, " b"] | None = None
    ) -> Float[Tensor, "b o"]:
        """Predict from rows, their times in [0, 1] and their classes (-1 or None for none)."""
        parts = [x, time_features(t, self.WIDTH)]
        if self.label is not None:
            none = torch.full((len(t),), self.classes, device=t.device) if y is None else y % (self.classes + 1)
            parts.append(self.label(none))
        return self.body(torch.cat(parts, 1))


def noise_of(settings: DDPMSettings) -> Gaussian:
    """The noise that the settings name; a learned variance takes the place of the posterior's."""
    fixed = "posterior" if settings.variance == "learned" else settings.variance
    curve = Listed(settings.betas) if settings.schedule == "listed" else Schedule(settings.schedule)
    return Gaussian(curve, settings.steps, fixed)


def net_of(settings: DDPMSettings) -> nn.Module:
    """The net that the settings name."""
    datum, classes = settings.datum, len(settings.classes)
    if settings.net == "mlp":
        return TimedMLP(datum.size, datum.size * settings.per_value, settings.hidden, classes)
    if settings.unet2d is not None:
        null = settings.unet2d.num_class_embeds == classes + 1
        return UNet2D(settings.unet2d, steps=settings.steps, null=null)
    return UNet(
        datum.shape[0],
        datum.shape[0] * settings.per_value,
        width=settings.width,
        multiples=settings.multiples,
        blocks=settings.blocks,
        patch=settings.patch,
        classes=classes,
    )
