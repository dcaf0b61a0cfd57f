"""Recipes of multinomial diffusion. Imports no torch."""

from typing import ClassVar, Literal

from pydantic import Field

from zsteer.recipes.base import Recipe
from zsteer.recipes.settings import VectorRecipe

__all__ = ["MultinomialRecipe", "ReceptorDiffusionRecipe", "SegmentDiffusionRecipe"]


class MultinomialRecipe(Recipe):
    """Keys of every multinomial diffusion model."""

    kernel: Literal["uniform", "absorbing"] = Field(
        default="absorbing", description="noise replaces by any category (uniform, the lecture's) or by a mask"
    )
    schedule: Literal["linear", "cosine", "sigmoid", "polynomial"] = Field(
        default="cosine", description="noise schedule"
    )
    chain: int = Field(default=100, ge=1, description="T, steps of the discrete chain")
    times: Literal["importance", "even"] = Field(
        default="importance", description="how t is drawn in training: in proportion to the size of L_t, or evenly"
    )
    width: int | None = Field(default=None, ge=2, description="features of a position; default depends on --size")
    layers: int | None = Field(default=None, ge=1, description="blocks of the net; default depends on --size")
    conditional: bool = Field(default=False, description="learn classes, for class conditions and their guidance")
    drop: float = Field(default=0.1, ge=0, lt=1, description="share of the samples shown without their class")


class ReceptorDiffusionRecipe(MultinomialRecipe):
    """Multinomial diffusion of CDR3-beta sequences; with ``conditional`` the peptides of the core panel are classes."""

    name: ClassVar[str] = "tcr-diffusion"
    summary: ClassVar[str] = "multinomial diffusion of CDR3-beta sequences, in bits a residue"
    builder: ClassVar[str] = "zsteer.recipes.multinomial.build:receptors"

    subset: Literal["permissive", "all"] = Field(default="permissive", description="which receptor tables are read")


class SegmentDiffusionRecipe(MultinomialRecipe, VectorRecipe):
    """Multinomial diffusion of pictures cut into a few grey levels."""

    name: ClassVar[str] = "segments-diffusion"
    summary: ClassVar[str] = "multinomial diffusion of pictures cut into segments of a few grey levels"
    builder: ClassVar[str] = "zsteer.recipes.multinomial.build:segments"

    conditional: bool = Field(default=True, description="learn the classes, where the data have any")
    levels: int = Field(default=4, ge=2, le=16, description="grey levels, chosen by k-means of the training pixels")
    shrink: int = Field(default=1, ge=1, le=4, description="pixels along an edge that are averaged before the cut")
