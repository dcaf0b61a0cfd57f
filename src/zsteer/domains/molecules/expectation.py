"""Molecules as a model expects them: coordinates and masses with gradients, which properties of the shape read."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from zsteer.errors import InputError
from zsteer.maths import geometry

__all__ = ["ExpectedMolecules", "asphericity", "radius_of_gyration"]


@dataclass(frozen=True)
class ExpectedMolecules:
    """Expected molecules of one size.

    Args:
        xyz: coordinates, shape ``(b, n, 3)``. [angstrom]
        mass: of each atom with its hydrogens, shape ``(b, n)``. [dalton]
    """

    xyz: Float[Tensor, "b n 3"]
    mass: Float[Tensor, "b n"]

    def __post_init__(self) -> None:
        if self.xyz.shape[1] < 3:
            raise InputError(f"a molecule of {self.xyz.shape[1]} atoms has no shape; pass --given atoms=3, or more")


def asphericity(x: ExpectedMolecules) -> Float[Tensor, " b"]:
    """0 (a sphere) to 1 (a rod)."""
    return geometry.asphericity(x.xyz, x.mass)


def radius_of_gyration(x: ExpectedMolecules) -> Float[Tensor, " b"]:
    """Root of the mean squared distance from the centre of mass. [angstrom]"""
    return geometry.radius_of_gyration(x.xyz, x.mass)
