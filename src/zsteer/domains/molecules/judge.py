"""Judging a molecule that somebody hands over: can it be learnt from, or what is wrong with it?

A depiction (2-D given as 3-D) is detected by three signs: the record says ``2D`` of itself; or all atoms lie in z = 0
while an atom has four neighbours or a carbon with single bonds alone has three heavy ones, which no plane can hold; or
the atoms all stand in one point. Benzene in the plane z = 0 passes.
"""

from collections.abc import Container
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

from zsteer.domains.molecules.chemistry import Mol, sanitised
from zsteer.domains.molecules.container import SYMBOLS

__all__ = ["Fault", "coordinates_fault", "graph_fault"]

_FEW = 3


@dataclass(frozen=True)
class Fault:
    """What is wrong: a kind to count by, and the detail."""

    kind: str
    detail: str = ""


def coordinates_fault(xyz: NDArray[np.floating]) -> Fault | None:
    """NaN or infinite coordinates, or atoms that all stand in one point."""
    bad = np.flatnonzero(~np.isfinite(xyz).all(1))
    if len(bad):
        return Fault("coordinates are not numbers", f"atom {int(bad[0]) + 1}")
    if len(xyz) > 1 and bool((np.abs(xyz - xyz[0]) < 1e-6).all()):
        return Fault("no coordinates", "all atoms stand in one point")
    return None


def depiction_fault(mol: Mol, xyz: NDArray[np.floating], *, declared_flat: bool) -> Fault | None:
    """A 2-D depiction given as 3-D; ``declared_flat`` where the record itself says 2D."""
    if bool((np.abs(xyz[:, 2]) > 1e-6).any()):
        return None
    heavy = [atom for atom in mol.GetAtoms() if atom.GetAtomicNum() > 1]
    if declared_flat and len(heavy) > 1:
        return Fault("2-D depiction", "the record says 2D; make a geometry from its SMILES")
    if len(heavy) <= _FEW:
        return None
    for atom in heavy:
        orders = [bond.GetBondType() for bond in atom.GetBonds()]
        single = all(one == Chem.BondType.SINGLE for one in orders) and atom.GetAtomicNum() == 6
        around = sum(other.GetAtomicNum() > 1 for other in atom.GetNeighbors())
        # Four bonds never lie in a plane; nor do three single bonds of a carbon that has a hydrogen besides.
        if len(orders) >= 4 or (single and around >= 3 and atom.GetFormalCharge() == 0):
            return Fault("2-D depiction", f"all atoms in z = 0, but atom {atom.GetIdx() + 1} cannot be flat")
    return None


def graph_fault(mol: Mol, elements: Container[int] | None = None) -> Fault | None:
    """Unknown elements, several fragments, broken chemistry or unpaired electrons; sanitises the molecule.

    Args:
        mol: not sanitised yet.
        elements: atomic numbers that may occur, or None for all.
    """
    numbers = [atom.GetAtomicNum() for atom in mol.GetAtoms()]
    if not numbers:
        return Fault("no atoms")
    pieces = len(Chem.GetMolFrags(mol))
    if pieces > 1:
        return Fault("several fragments", f"{pieces} pieces; a salt or solvent? keep its main part")
    if 0 in numbers:
        point = numbers.index(0) + 1
        return Fault("attachment point", f"atom {point} is * or an R group, no element; cap it (with H, CH3) first")
    known = range(1, len(SYMBOLS)) if elements is None else elements
    unknown = sorted({z for z in numbers if z not in known})
    if unknown:
        return Fault(
            "unknown element", " ".join(SYMBOLS[z] if 0 < z < len(SYMBOLS) else f"number {z}" for z in unknown)
        )
    reason = sanitised(mol)
    if reason:
        return Fault("chemistry", reason)
    radical = next((atom for atom in mol.GetAtoms() if atom.GetNumRadicalElectrons()), None)
    return None if radical is None else Fault("radical", f"atom {radical.GetIdx() + 1} ({radical.GetSymbol()})")
