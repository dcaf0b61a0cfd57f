"""Bonds for atoms that have none: laid on by a SMILES whose graph fits the geometry, or perceived from it.

A SMILES says how many bonds there are: that many pairs of atoms, nearest by distance over the sum of their covalent
radii, are the graph of the geometry. (A fixed limit would bind across small cages.) A SMILES fits if its own graph with
all hydrogens, orders apart, is that graph; the orders and charges are then the SMILES's.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, rdBase
from rdkit.Chem import rdDetermineBonds

from zsteer.domains.molecules.checks import Problem
from zsteer.domains.molecules.chemistry import Mol, Record, gather, parse_smiles, record_of, whole_record
from zsteer.domains.molecules.container import Molecules

__all__ = ["Fitted", "fitted", "perceived"]

_TRIES = 2000
"""Assignments of bond orders that are tried before a molecule counts as failed."""
_CHARGES = (0, -1, 1)
_FAR = 1.35
"""Distance over the sum of covalent radii beyond which two atoms are not bound."""


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


@cache
def _radii() -> NDArray[np.float64]:
    table = Chem.GetPeriodicTable()
    return np.array([table.GetRcovalent(z) for z in range(119)])


@cache
def _every_pair(n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    first, second = np.triu_indices(n, 1)
    return first.astype(np.int64), second.astype(np.int64)


def _nearest(z: Sequence[int], xyz: NDArray[np.floating], count: int) -> set[tuple[int, int]] | None:
    """The ``count`` nearest pairs; None where one of them is too far apart for a bond."""
    first, second = _every_pair(len(z))
    if not 0 < count <= len(first):
        return set() if count == 0 else None
    place, radius = np.asarray(xyz, np.float64), _radii()[np.asarray(z)]
    apart = place[first] - place[second]
    ratio = np.sqrt(np.einsum("ij,ij->i", apart, apart)) / (radius[first] + radius[second])
    rows = np.argpartition(ratio, count - 1)[:count]
    if ratio[rows].max() > _FAR:
        return None
    return set(zip(first[rows].tolist(), second[rows].tolist(), strict=True))


def _skeleton(z: Sequence[int], pairs: Iterable[tuple[int, int]]) -> Mol:
    """The graph alone: single bonds, no charges, no aromaticity."""
    plain: Any = Chem.RWMol()
    for number in z:
        bare = Chem.Atom(int(number))
        bare.SetNoImplicit(True)
        plain.AddAtom(bare)
    for i, j in pairs:
        plain.AddBond(i, j, Chem.BondType.SINGLE)
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
    one = whole_record(mol)
    bonds = one.bonds or ()
    if sorted(one.z) != sorted(z):
        return None
    near = _nearest(z, xyz, len(bonds))
    if near is None:
        return None
    own = {(i, j) for i, j, *_ in bonds}
    if one.z == list(z) and own == near:
        return Fitted(one.charge, bonds)
    place = _skeleton(z, sorted(near)).GetSubstructMatch(_skeleton(one.z, sorted(own)))
    if not place:
        return None
    charge = [0] * len(z)
    for mine, there in enumerate(place):
        charge[there] = one.charge[mine]
    moved = ((place[i], place[j], order, ring) for i, j, order, ring in bonds)
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
