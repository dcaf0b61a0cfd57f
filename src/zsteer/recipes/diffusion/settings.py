"""Recipes of the diffusion models of images and rows. Imports no torch."""

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from zsteer.recipes.vectors.settings import VectorRecipe

__all__ = ["Diffusion", "DiffusionKnobs", "NoisyClassifierRecipe"]


class Diffusion(VectorRecipe):
    """DDPM, conditioned on the classes where the data have any."""

    name: ClassVar[str] = "ddpm"
    summary: ClassVar[str] = "denoising diffusion of images or rows, class-conditional where there are classes"
    builder: ClassVar[str] = "zsteer.recipes.diffusion.build:ddpm"

    schedule: Literal["linear", "cosine", "sigmoid", "polynomial"] = Field(
        default="cosine", description="how fast the data drown"
    )
    target: Literal["auto", "eps", "x0", "v"] = Field(
        default="auto", description="what the net predicts: eps is the lecture's; auto: v for images, eps for rows"
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
    width: int | None = Field(default=None, ge=2, description="channels of the U-Net; by the size dial when absent")
    patch: int = Field(default=2, ge=1, le=2, description="pixels along an edge folded into channels: 1 or 2")


class NoisyClassifierRecipe(VectorRecipe):
    """The classifier of noisy samples that classifier guidance asks."""

    name: ClassVar[str] = "ddpm-classifier"
    summary: ClassVar[str] = "classifier of noisy images or rows, for classifier guidance"
    builder: ClassVar[str] = "zsteer.recipes.diffusion.build:classifier"

    schedule: Literal["linear", "cosine", "sigmoid", "polynomial"] = Field(
        default="cosine", description="that of the diffusion model that it is to guide"
    )


class DiffusionKnobs(BaseModel):
    """Knobs of steering a diffusion model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int = Field(default=16, ge=1, description="new samples, where there is no --input")
    steps: int = Field(default=20, ge=1, description="steps of the walk")
    solver: str = Field(
        default="multistep2", description="ancestral, ddim, multistep2, multistep3, corrected, heun or sde2"
    )
    strength: float = Field(default=1.0, ge=0, description="of the gradient: of the classifier, or of the property")
    tolerance: float = Field(default=0.02, gt=0, description="how near a property should come to its value")
    guide: str = Field(default="fashion-guide", description="classifier of noisy samples, for --toward class=NAME")
    mode: Literal["score", "mean"] | None = Field(
        default=None, description="of the classifier: score (every solver) or mean (the lecture's); by the solver"
    )
    depth: float = Field(default=0.5, gt=0, lt=1, description="time that --input is taken back to; more changes more")

    def words(self) -> dict[str, object]:
        """The words about the walk."""
        return {"steps": self.steps, "solver": self.solver}
