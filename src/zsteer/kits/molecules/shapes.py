"""Properties of a molecule's shape as differentiable functions of a model's prediction.

Masses are what is expected of each atom: its kinds by their probability and, where hydrogens are not atoms of the
model, those that its expected bonds leave room for, put at the heavy atom. The values are those of RDKit's descriptors
up to where the hydrogens lie.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.errors import InputError, nearest
from zsteer.maths import geometry
from zsteer.models.edm.denoiser import OfSize
from zsteer.models.edm.settings import BONDS
from zsteer.models.edm.states import parts_of

__all__ = ["MASSES", "SHAPES", "VALENCES", "masses_of", "measure_of"]

SHAPES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "asphericity": geometry.asphericity,
    "rg": geometry.radius_of_gyration,
}
"""Name -> function of coordinates [angstrom] and masses; rg is in angstrom."""
MASSES = {
    1: 1.008, 5: 10.812, 6: 12.011, 7: 14.007, 8: 15.999, 9: 18.998, 14: 28.086, 15: 30.974, 16: 32.067, 17: 35.453,
    35: 79.904, 53: 126.904,
}  # fmt: skip
"""Atomic weights. [dalton]"""
VALENCES = {1: 1, 5: 3, 6: 4, 7: 3, 8: 2, 9: 1, 14: 4, 15: 3, 16: 2, 17: 1, 35: 1, 53: 1}
"""Bonds that a neutral atom makes at least before it takes no further hydrogen."""
ORDERS = {"none": 0.0, "single": 1.0, "double": 2.0, "triple": 3.0, "aromatic": 1.5}


def masses_of(model: OfSize, parts: dict[str, Float[Tensor, "b ..."]]) -> Float[Tensor, "b n"]:
    """Expected mass of each atom, hydrogens counted. [dalton]

    Args:
        model: of one size.
        parts: coordinates and probabilities, as ``edm_states.parts_of`` gives them.

    Raises:
        InputError: if an element has no mass here.
    """
    s, kinds = model.model.settings, parts["kinds"].clamp(0, 1)
    unknown = [kind[0] for kind in s.kinds if kind[0] not in MASSES]
    if unknown:
        raise InputError(f"no mass is known of the element with atomic number {unknown[0]}")
    mass = kinds @ kinds.new_tensor([MASSES[kind[0]] for kind in s.kinds])
    if s.hydrogens == "explicit" or "bonds" not in parts:
        return mass
    order = parts["bonds"].clamp(0, 1) @ kinds.new_tensor([ORDERS[name] for name in s.bonds if name in BONDS])
    i, j = torch.triu_indices(model.size, model.size, 1, device=order.device)
    used = torch.zeros_like(mass).index_add(1, i, order).index_add(1, j, order)
    room = kinds @ kinds.new_tensor([VALENCES[kind[0]] + (kind[1] if kind[0] in {7, 8} else 0) for kind in s.kinds])
    return mass + MASSES[1] * (room - used).clamp(min=0)


def measure_of(model: OfSize, name: str) -> Callable[[Float[Tensor, "b d"]], Float[Tensor, " b"]]:
    """A shape as a function of predictions of x_0.

    Raises:
        InputError: if there is no such shape, or a molecule is too small to have it.
    """
    if name not in SHAPES:
        raise InputError(nearest(name, SHAPES, what="shape"))
    if model.size < 3:
        raise InputError(f"a molecule of {model.size} atoms has no {name}; ask for atoms=3 or more")
    shape = SHAPES[name]

    def measure(x0: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        parts = parts_of(model.model.settings, model.noise, x0)
        return shape(parts["xyz"], masses_of(model, parts))

    return measure
