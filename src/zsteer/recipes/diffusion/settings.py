"""Recipes of the diffusion models of images and rows. Imports no torch."""

from typing import ClassVar, Literal

from pydantic import Field

from zsteer.recipes.settings import VectorRecipe

__all__ = ["DiffusionRecipe", "NoisyClassifierRecipe"]


class DiffusionRecipe(VectorRecipe):
    """DDPM, conditioned on the classes where the data have any."""

    name: ClassVar[str] = "ddpm"
    summary: ClassVar[str] = "denoising diffusion of images or rows, of classes where there are any"
    builder: ClassVar[str] = "zsteer.recipes.diffusion.build:ddpm"
    headline: ClassVar[str] = "bits_per_dim"

    schedule: Literal["linear", "cosine", "sigmoid", "polynomial"] = Field(
        default="cosine", description="noise schedule"
    )
    target: Literal["auto", "eps", "x0", "v"] = Field(
        default="auto",
        description="what the net predicts: eps is the lecture's; auto: v, whose samples have the data's spread",
    )
    variance: Literal["posterior", "forward", "learned"] = Field(
        default="learned", description="of the reverse step: beta-tilde, beta, or learned between the two"
    )
    conditional: bool = Field(default=True, description="learn the classes, where the data have any")
    drop: float = Field(default=0.1, ge=0, lt=1, description="share of the samples shown without their class")
    net: Literal["auto", "unet", "unet2d"] = Field(
        default="auto",
        description="of images: unet, lean; unet2d, a common one in diffusers' format, at six times the cost",
    )
    width: int | None = Field(default=None, ge=2, description="channels of the U-Net; default depends on --size")
    patch: int = Field(default=2, ge=1, le=2, description="pixels along an edge folded into channels: 1 or 2")


class NoisyClassifierRecipe(VectorRecipe):
    """The classifier of noisy samples that classifier guidance asks."""

    name: ClassVar[str] = "ddpm-classifier"
    summary: ClassVar[str] = "classifier of noisy images or rows, for classifier guidance"
    builder: ClassVar[str] = "zsteer.recipes.diffusion.build:classifier"
    headline: ClassVar[str] = "accuracy"

    schedule: Literal["linear", "cosine", "sigmoid", "polynomial"] = Field(
        default="cosine", description="that of the diffusion model that it is to guide"
    )
