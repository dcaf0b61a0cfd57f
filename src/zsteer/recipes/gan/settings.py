"""Recipes of the adversarial models. Imports no torch."""

from typing import ClassVar, Literal

from pydantic import Field

from zsteer.recipes.settings import VectorRecipe

__all__ = ["AdversarialRecipe", "GanRecipe", "WassersteinGanRecipe"]


class AdversarialRecipe(VectorRecipe):
    """Keys of both adversarial recipes."""

    latent: int | None = Field(default=None, ge=1, description="width of the code; 2 to 64 by the data when absent")


class WassersteinGanRecipe(AdversarialRecipe):
    """WGAN: the critic estimates the Wasserstein distance, one switch holds its slope."""

    name: ClassVar[str] = "wgan"
    summary: ClassVar[str] = "Wasserstein GAN (lipschitz penalty, clip or spectral)"
    builder: ClassVar[str] = "zsteer.recipes.gan.build:adversarial"

    lipschitz: Literal["penalty", "clip", "spectral"] = Field(
        default="penalty",
        description="Lipschitz constraint: gradient penalty, weight clipping (the lecture's), spectral norm",
    )
    penalty: float | None = Field(
        default=None, gt=0, description="weight of the gradient penalty; 1 for tables and 10 for images when absent"
    )


class GanRecipe(AdversarialRecipe):
    """The first GAN, with the non-saturating or the minimax loss."""

    name: ClassVar[str] = "gan"
    summary: ClassVar[str] = "generative adversarial network (non-saturating or minimax loss)"
    builder: ClassVar[str] = "zsteer.recipes.gan.build:adversarial"

    loss: Literal["non-saturating", "minimax"] = Field(
        default="non-saturating", description="what the generator learns by; minimax fades where the critic is sure"
    )
    lipschitz: Literal["none", "penalty", "spectral"] = Field(
        default="none", description="Lipschitz constraint of the critic: none, gradient penalty, spectral norm"
    )
