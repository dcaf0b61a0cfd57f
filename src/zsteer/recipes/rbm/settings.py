"""Recipes of the restricted Boltzmann machine. Imports no torch."""

from typing import ClassVar, Literal

from pydantic import Field

from zsteer.recipes.base import Recipe
from zsteer.recipes.settings import VectorRecipe

__all__ = ["BoltzmannRecipe", "RBMRecipe", "ReceptorRBMRecipe"]


class BoltzmannRecipe(Recipe):
    """Keys of every restricted Boltzmann machine."""

    units: int | None = Field(default=None, ge=1, description="hidden units; default depends on --size")
    hidden: Literal["bernoulli", "gaussian", "relu"] = Field(default="bernoulli", description="kind of hidden unit")
    method: Literal["cd", "pcd", "pt"] = Field(
        default="pcd", description="chains from the data (cd), chains that go on (pcd), parallel tempering (pt)"
    )
    k: int | None = Field(default=None, ge=1, description="Gibbs sweeps in an update; default depends on --size")
    chains: int | None = Field(default=None, ge=1, description="persistent chains; default depends on --size")
    decay: float | None = Field(default=None, ge=0, description="weight decay; default depends on --size")
    centre: bool = Field(default=True, description="centred gradient")
    temperatures: int | None = Field(
        default=None, ge=100, description="steps of annealing for log Z; default depends on --size"
    )
    runs: int | None = Field(default=None, ge=10, description="annealed chains; default depends on --size")


class RBMRecipe(BoltzmannRecipe, VectorRecipe):
    """The restricted Boltzmann machine on images or a table."""

    name: ClassVar[str] = "rbm"
    summary: ClassVar[str] = "restricted Boltzmann machine; log-likelihood by forward and reverse AIS"
    builder: ClassVar[str] = "zsteer.recipes.rbm.build:machine"

    noise: float = Field(
        default=0.3, gt=0, description="standard deviation of real columns given the hidden units; real columns have 1"
    )


class ReceptorRBMRecipe(BoltzmannRecipe):
    """The machine with softmax units on CDR3-beta sequences."""

    name: ClassVar[str] = "rbm-tcr"
    summary: ClassVar[str] = "softmax restricted Boltzmann machine on CDR3-beta, beside independent sites"
    builder: ClassVar[str] = "zsteer.recipes.rbm.build:receptors"

    subset: Literal["permissive", "all"] = Field(default="permissive", description="which receptor tables are read")
