"""What a prediction of x_0 stands for: expected coordinates and masses of atoms, for properties of the shape.

Masses are what is expected of each atom: its kinds by their probability and, where hydrogens are not atoms of the
model, those that its expected bonds leave room for, put at the heavy atom. Shapes are those of RDKit's descriptors up
to where the hydrogens lie.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.domains.molecules.expectation import ExpectedMolecules
from zsteer.errors import InputError
from zsteer.models.edm.settings import BONDS, EDMSettings
from zsteer.models.edm.states import parts_of
from zsteer.noise.product import Product

__all__ = ["MASSES", "VALENCES", "expected_masses", "expected_molecules"]

MASSES = {
    1: 1.008, 5: 10.812, 6: 12.011, 7: 14.007, 8: 15.999, 9: 18.998, 14: 28.086, 15: 30.974, 16: 32.067, 17: 35.453,
    35: 79.904, 53: 126.904,
}  # fmt: skip
"""Atomic weights. [dalton]"""
VALENCES = {1: 1, 5: 3, 6: 4, 7: 3, 8: 2, 9: 1, 14: 4, 15: 3, 16: 2, 17: 1, 35: 1, 53: 1}
"""Bonds that a neutral atom makes at least before it takes no further hydrogen."""
ORDERS = {"none": 0.0, "single": 1.0, "double": 2.0, "triple": 3.0, "aromatic": 1.5}


def expected_masses(settings: EDMSettings, parts: dict[str, Float[Tensor, "b ..."]]) -> Float[Tensor, "b n"]:
    """Expected mass of each atom, hydrogens counted. [dalton]

    Args:
        settings: of the model.
        parts: coordinates and probabilities, as ``states.parts_of`` gives them.

    Raises:
        InputError: if an element has no mass here.
    """
    s, kinds = settings, parts["kinds"].clamp(0, 1)
    unknown = [kind[0] for kind in s.kinds if kind[0] not in MASSES]
    if unknown:
        raise InputError(f"no mass is known of the element with atomic number {unknown[0]}")
    mass = kinds @ kinds.new_tensor([MASSES[kind[0]] for kind in s.kinds])
    if s.hydrogens == "explicit" or "bonds" not in parts:
        return mass
    order = parts["bonds"].clamp(0, 1) @ kinds.new_tensor([ORDERS[name] for name in s.bonds if name in BONDS])
    size = kinds.shape[1]
    i, j = torch.triu_indices(size, size, 1, device=order.device)
    used = torch.zeros_like(mass).index_add(1, i, order).index_add(1, j, order)
    room = kinds @ kinds.new_tensor([VALENCES[kind[0]] + (kind[1] if kind[0] in {7, 8} else 0) for kind in s.kinds])
    return mass + MASSES[1] * (room - used).clamp(min=0)


def expected_molecules(settings: EDMSettings, noise: Product, x0: Float[Tensor, "b d"]) -> ExpectedMolecules:
    """Predictions of x_0 of molecules of one size as expected molecules; gradients flow.

    Args:
        settings: of the model.
        noise: of that size.
        x0: predictions.
    """
    parts = parts_of(settings, noise, x0)
    return ExpectedMolecules(parts["xyz"], expected_masses(settings, parts))
