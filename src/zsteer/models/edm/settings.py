"""What a diffusion model of molecules is built from: settings, and the noise and net that they name.

The lecture's EDM is ``target=eps, net=egnn`` without bonds: noise on coordinates and on one-hot rows at once. With
bonds the net works on pairs of atoms and says directly what x_0 is (``target=x0, net=pairs``).
"""

from typing import Literal

from pydantic import Field, model_validator
from torch import nn

from zsteer.core.artifact import Settings
from zsteer.core.protocols import Noise
from zsteer.maths.schedules import Schedule
from zsteer.nets.egnn import EGNN, EGNNSettings
from zsteer.nets.pairs import PairNet, PairNetSettings, pairs
from zsteer.noise.categorical import Categorical
from zsteer.noise.centred import Centred
from zsteer.noise.gaussian import Gaussian
from zsteer.noise.product import Part, Product

__all__ = ["BONDS", "EDMSettings", "Kind", "context_of", "net_of", "noise_of"]

BONDS = ("none", "single", "double", "triple", "aromatic")
"""What a pair of atoms can be."""
TIMES, VALUES = 32, 8
"""Numbers that a time, and a value of a property, are spread over."""

Kind = tuple[int, int, int]
"""Atomic number, formal charge, and 1 for an aromatic atom that carries a hydrogen (as in ``[nH]``)."""


class EDMSettings(Settings):
    """What the model is built from."""

    kinds: tuple[Kind, ...] = Field(
        description="kinds of atoms: atomic number, charge, 1 for an aromatic atom with a hydrogen", min_length=2
    )
    bonds: tuple[str, ...] = Field(
        default=BONDS[:4], description="kinds of bonds, none first; empty for a model without bonds"
    )
    hydrogens: Literal["implicit", "explicit"] = Field(
        default="implicit", description="whether hydrogens are atoms of the model, or follow from the bonds"
    )
    unit: float = Field(default=1.35, gt=0, description="coordinates are divided by it [angstrom]")
    features: Literal["gaussian", "categorical"] = Field(
        default="gaussian", description="noise of kinds and bonds: on scaled one-hot rows, or multinomial diffusion"
    )
    scale: float = Field(default=0.35, gt=0, description="of one-hot rows, for features=gaussian")
    numbers: float = Field(
        default=0.0, ge=0, description="scale of the atomic number as a further feature (EDM has 0.1); 0 for none"
    )
    schedule: Literal["linear", "cosine", "sigmoid", "polynomial"] = Field(
        default="cosine", description="noise schedule; EDM's is polynomial"
    )
    gap: float = Field(default=0.0, ge=0, lt=0.1, description="squared noise at t = 0; EDM has 1e-5")
    steps: int = Field(default=1000, ge=1, description="T of the discrete chain")
    target: Literal["eps", "x0"] = Field(default="x0", description="what the net predicts; the lecture's is eps")
    early: float = Field(
        default=2.0, gt=0, description="t = u^early in training: above 1, small noise is seen more often"
    )
    self_conditioning: bool = Field(default=True, description="self-conditioning: the net is shown its last prediction")
    properties: tuple[str, ...] = Field(default=(), description="properties that it can be conditioned on")
    means: tuple[float, ...] = Field(default=(), description="mean of each property in the training set")
    stds: tuple[float, ...] = Field(default=(), description="standard deviation of each property")
    ranges: tuple[tuple[float, float], ...] = Field(
        default=(), description="range of each property that 99.8 % of the training set lies in"
    )
    net: Literal["pairs", "egnn"] = Field(default="pairs", description="pairs: atoms and bonds; egnn: EDM's")
    width: int = Field(default=128, ge=2, description="features of an atom")
    pair_width: int = Field(default=96, ge=2, description="features of a pair, for net=pairs")
    layers: int = Field(default=6, ge=1, description="of the net")
    triangles: int = Field(default=0, ge=0, description="channels of products along triangles, for net=pairs; 0: none")
    push: float = Field(default=1.0, gt=0, description="factor of the forces of net=pairs: small for large molecules")
    largest: int = Field(default=9, ge=1, description="atoms of the largest molecule")

    @model_validator(mode="after")
    def _fits(self) -> "EDMSettings":
        if self.bonds and (self.bonds[0] != "none" or not set(self.bonds) <= set(BONDS) or len(self.bonds) < 2):
            raise ValueError(f"expected bonds that begin with none, out of {', '.join(BONDS)}, got {self.bonds}")
        if not len(self.properties) == len(self.means) == len(self.stds):
            raise ValueError("expected a mean and a standard deviation for each property")
        if any(not std > 0 for std in self.stds):
            raise ValueError("a property without spread is no condition")
        if self.net == "egnn" and (self.bonds or self.self_conditioning):
            raise ValueError(
                "net=egnn has neither bonds nor self-conditioning; set bonds=() and self_conditioning=false"
            )
        if self.net == "egnn" and self.triangles:
            raise ValueError("net=egnn has no pairs, and so no triangles; set triangles=0")
        if self.target == "eps" and (self.bonds or self.self_conditioning or self.features == "categorical"):
            raise ValueError("target=eps is EDM's: without bonds, self-conditioning or categorical features")
        if self.numbers and (self.features == "categorical" or self.net == "pairs"):
            raise ValueError("numbers is EDM's: with features=gaussian and net=egnn")
        if self.hydrogens == "explicit" and "aromatic" in self.bonds and any(kind[2] for kind in self.kinds):
            raise ValueError("where hydrogens are atoms, no kind of atom carries any")
        return self

    @property
    def aromatic(self) -> bool:
        """Whether aromatic bonds are a kind of their own."""
        return "aromatic" in self.bonds


def context_of(settings: EDMSettings) -> int:
    """Numbers that say what is given of the whole molecule: time, size, properties, whether a prediction is shown."""
    return TIMES + 1 + len(settings.properties) * (VALUES + 1) + int(settings.self_conditioning)


def noise_of(settings: EDMSettings, size: int) -> Product:
    """The noise of molecules of one size: on centred coordinates, on kinds, and on bonds."""
    curve = Schedule(settings.schedule, gap=settings.gap)
    kinds = len(settings.kinds)

    def rows(count: int) -> Noise:
        if settings.features == "categorical":
            return Categorical(curve, count, "uniform", settings.steps)
        return Gaussian(curve, settings.steps)

    parts = [Part("xyz", (size, 3), Centred(curve, settings.steps)), Part("kinds", (size, kinds), rows(kinds))]
    if settings.numbers:
        parts.append(Part("numbers", (size, 1), Gaussian(curve, settings.steps)))
    if settings.bonds and size > 1:
        parts.append(Part("bonds", (pairs(size), len(settings.bonds)), rows(len(settings.bonds))))
    return Product(tuple(parts))


def net_of(settings: EDMSettings) -> nn.Module:
    """The net that the settings name."""
    s, kinds, bonds = settings, len(settings.kinds), len(settings.bonds)
    seen = 2 if s.self_conditioning else 1
    if s.net == "egnn":
        out = kinds + int(s.numbers > 0)
        return EGNN(EGNNSettings(features=out + context_of(s), out=out, width=s.width, layers=s.layers))
    return PairNet(
        PairNetSettings(
            atoms=seen * kinds,
            pairs=seen * bonds,
            context=context_of(s),
            out_atoms=kinds,
            out_pairs=bonds,
            width=s.width,
            pair_width=s.pair_width,
            layers=s.layers,
            geometries=seen,
            push=s.push,
            triangles=s.triangles,
        )
    )
