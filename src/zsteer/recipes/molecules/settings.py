"""Recipes of molecules. Imports no torch."""

from typing import ClassVar, Literal

from pydantic import Field

from zsteer.recipes.base import Recipe

__all__ = [
    "BondedRecipe",
    "EDMRecipe",
    "MoleculeDiffusionRecipe",
    "MoleculeRecipe",
    "NoisyPropertyRecipe",
]


class MoleculeRecipe(Recipe):
    """Keys of every model of molecules."""

    dataset: str = Field(
        default="qm9-gfn2",
        description="a named set of --data (qm9-gfn2, geom-like, qm7) or a file: .sdf .npz .xyz .smi .csv",
    )
    properties: str = Field(
        default="auto", description="properties to condition on, as mu,logp; auto: all of the usual ones; none"
    )
    largest: int = Field(default=60, ge=2, description="molecules with more heavy atoms are left out, and counted")
    width: int | None = Field(default=None, ge=2, description="features of an atom; default depends on --size")
    layers: int | None = Field(default=None, ge=1, description="layers of the net; default depends on --size")
    skip_invalid: bool = Field(default=False, description="leave out molecules that cannot be used, and count them")


class BondedRecipe(MoleculeRecipe):
    """Keys of the models that know bonds."""

    hydrogens: Literal["implicit", "explicit"] = Field(
        default="implicit", description="hydrogens follow from the bonds, or are atoms of the model"
    )
    bonds: Literal["kekulised", "aromatic"] = Field(
        default="kekulised", description="single, double and triple; or aromatic as a kind of its own"
    )
    pair_width: int | None = Field(default=None, ge=2, description="features of a pair; default depends on --size")
    triangles: int | None = Field(
        default=None,
        ge=0,
        description="channels of triangle products, 0 for none; default depends on --size",
    )
    optimiser: Literal["muon", "adamw"] = Field(
        default="muon", description="muon; or adamw, whose rate is a tenth of muon's"
    )


class MoleculeDiffusionRecipe(BondedRecipe):
    """Diffusion of molecules with their bonds; a net on pairs of atoms predicts x_0."""

    name: ClassVar[str] = "molecules"
    summary: ClassVar[str] = "3D molecules with bonds, from noise; conditions on properties"
    builder: ClassVar[str] = "zsteer.recipes.molecules.build:molecules"
    headline: ClassVar[str] = "valid_50_steps"

    features: Literal["gaussian", "categorical"] = Field(
        default="gaussian", description="noise of kinds and bonds: on scaled one-hot rows, or multinomial diffusion"
    )
    self_conditioning: bool = Field(
        default=False, description="self-conditioning: each call of the net is shown its last prediction"
    )
    init_from: str | None = Field(
        default=None, description="fine-tune this model, a name or folder (as qm9-edm): its net, atoms and properties"
    )


class NoisyPropertyRecipe(BondedRecipe):
    """Properties of noisy molecules: the guide of a model that the recipe ``molecules`` made of the same set."""

    name: ClassVar[str] = "molecule-properties"
    summary: ClassVar[str] = "property predictor for noisy molecules: a guide towards values"
    builder: ClassVar[str] = "zsteer.recipes.molecules.build:properties"
    headline: ClassVar[str] = "mu_debye_r"


class EDMRecipe(MoleculeRecipe):
    """The lecture's EDM: coordinates and one-hot atoms with hydrogens, no bonds; the net predicts the noise."""

    name: ClassVar[str] = "edm"
    summary: ClassVar[str] = "the lecture's EDM: atoms with hydrogens; bonds are looked up afterwards"
    builder: ClassVar[str] = "zsteer.recipes.molecules.build:edm"
    headline: ClassVar[str] = "xyz"

    properties: str = Field(default="none", description="properties to condition on, as mu,logp; auto; none")
    numbers: bool = Field(default=True, description="the atomic number is a further feature, as EDM has it")
