"""Bonds for atoms that have none: laid on by a SMILES whose graph fits the geometry, or perceived from it.

Two atoms count as neighbours by distance (RDKit's rule on covalent radii). A SMILES fits if its graph with all
hydrogens, orders apart, is the graph of neighbours; the orders and charges are then the SMILES's own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, rdBase
from rdkit.Chem import rdDetermineBonds

from zsteer.domains.molecules.checks import Problem
from zsteer.domains.molecules.chemistry import Mol, Record, gather, parse_smiles, record_of, with_hydrogens
from zsteer.domains.molecules.container import Molecules

__all__ = ["Fitted", "fitted", "perceived"]

_TRIES = 2000
"""Assignments of bond orders that are tried before a molecule counts as failed."""
_CHARGES = (0, -1, 1)


@dataclass(frozen=True)
class Fitted:
    """The graph of a SMILES in the order of given atoms: formal charges and (first, second, order, aromatic)."""

    charge: Sequence[int]
    bonds: Sequence[tuple[int, int, int, bool]]


def _bare(z: Sequence[int], xyz: NDArray[np.floating]) -> Mol:
    mol: Any = Chem.RWMol()
    for number in z:
        atom = Chem.Atom(int(number))
        atom.SetNoImplicit(True)
        mol.AddAtom(atom)
    place = Chem.Conformer(len(z))
    place.SetPositions(np.asarray(xyz, np.float64))
    mol.AddConformer(place)
    return mol


def _skeleton(mol: Mol) -> Mol:
    """The graph alone: single bonds, no charges, no aromaticity."""
    plain: Any = Chem.RWMol()
    for atom in mol.GetAtoms():
        bare = Chem.Atom(atom.GetAtomicNum())
        bare.SetNoImplicit(True)
        plain.AddAtom(bare)
    for bond in mol.GetBonds():
        plain.AddBond(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), Chem.BondType.SINGLE)
    return plain


def fitted(smiles: str, z: Sequence[int], xyz: NDArray[np.floating]) -> Fitted | None:
    """Lay the bonds of a SMILES on atoms in any order; None where it is not the graph of the geometry.

    Args:
        smiles: of the whole molecule.
        z: atomic numbers, hydrogens among them.
        xyz: coordinates, shape ``(n, 3)``. [angstrom]
    """
    mol = parse_smiles(smiles)
    if isinstance(mol, str):
        return None
    whole = with_hydrogens(mol)
    if sorted(atom.GetAtomicNum() for atom in whole.GetAtoms()) != sorted(z):
        return None
    near = _bare(z, xyz)
    with rdBase.BlockLogs():
        rdDetermineBonds.DetermineConnectivity(near)
    if near.GetNumBonds() != whole.GetNumBonds():
        return None
    place = _skeleton(near).GetSubstructMatch(_skeleton(whole))
    if not place:
        return None
    one = record_of(whole)
    charge = [0] * len(z)
    for own, there in enumerate(place):
        charge[there] = one.charge[own]
    moved = ((place[i], place[j], order, ring) for i, j, order, ring in one.bonds or ())
    return Fitted(charge, sorted((min(i, j), max(i, j), order, ring) for i, j, order, ring in moved))


def perceived(molecules: Molecules) -> tuple[Molecules, list[Problem]]:
    """Find bonds: by the SMILES where there is one that fits, else by RDKit's DetermineBonds at charge 0, -1 or +1.

    Args:
        molecules: without bonds, hydrogens as atoms.

    Returns:
        Those whose bonds were found, with bonds, and the problems with the others, numbered from 1.
    """
    records: list[Record] = []
    kept: list[int] = []
    problems: list[Problem] = []
    for i in range(len(molecules)):
        atoms = slice(int(molecules.offsets[i]), int(molecules.offsets[i + 1]))
        z, xyz = molecules.z[atoms].tolist(), np.asarray(molecules.xyz[atoms], np.float64)
        word = "" if molecules.smiles is None else str(molecules.smiles[i])
        found = (fitted(word, z, xyz) if word else None) or _determined(z, xyz)
        if found is None:
            name = "" if molecules.names is None else str(molecules.names[i])
            problems.append(Problem(i + 1, "bonds cannot be perceived", word, name))
            continue
        kept.append(i)
        records.append(Record(z=z, xyz=xyz, charge=found.charge, hydrogens=[0] * len(z), bonds=found.bonds))
    left = molecules.take(np.array(kept, np.int64))
    if not records:
        return left, problems
    words = {name: getattr(left, name) for name in ("smiles", "names", "split")}
    return replace(gather(records), properties=left.properties, **words), problems


def _determined(z: Sequence[int], xyz: NDArray[np.floating]) -> Fitted | None:
    for charge in _CHARGES:
        mol = _bare(z, xyz)
        try:
            with rdBase.BlockLogs():
                rdDetermineBonds.DetermineBonds(mol, charge=charge, embedChiral=False, maxIterations=_TRIES)
                Chem.SanitizeMol(mol)
        except (ValueError, RuntimeError):
            continue
        if any(atom.GetNumRadicalElectrons() for atom in mol.GetAtoms()):
            continue
        one = record_of(mol)
        return Fitted(one.charge, one.bonds or ())
    return None
