"""RDKit's part in judging: molecules out of the arrays exactly as they are, sanitised or the reason why not.

RDKit has no types; its objects are ``Mol`` here. Nothing is repaired: a missing hydrogen becomes a radical, a broken
valence a reason.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import rdDetermineBonds
from rdkit.Geometry import Point3D

from zsteer.domains.molecules.chemistry import Mol, Record, gather, record_of
from zsteer.domains.molecules.container import Molecules
from zsteer.errors import InputError

__all__ = [
    "conformer_of",
    "folded",
    "key_of",
    "largest_fragment",
    "mols",
    "perceive",
    "perceived",
    "smiles_of",
    "unchecked",
]

_TYPES = (None, Chem.BondType.SINGLE, Chem.BondType.DOUBLE, Chem.BondType.TRIPLE)
_TRIES = 2000
"""Assignments of bond orders that are tried before a molecule counts as failed."""


def mols(molecules: Molecules, *, completed: bool = False) -> Iterator[Mol | str]:
    """Molecules as RDKit has them, sanitised; the reason where that fails.

    Args:
        molecules: with bonds.
        completed: let RDKit add the hydrogens that are missing; otherwise what is missing is a radical.

    Raises:
        InputError: if there are no bonds.
    """
    for i in range(len(molecules)):
        mol = unchecked(molecules, i, completed=completed)
        try:
            Chem.SanitizeMol(mol)
        except ValueError as error:
            yield " ".join(str(error).split())
        else:
            yield mol


def unchecked(molecules: Molecules, i: int, *, completed: bool = False) -> Mol:
    """Molecule i without any check of its chemistry and without coordinates."""
    if molecules.bond_offsets is None:
        raise InputError("these molecules have no bonds; take them from a file with bonds, or have them perceived")
    atoms = slice(int(molecules.offsets[i]), int(molecules.offsets[i + 1]))
    rows = slice(int(molecules.bond_offsets[i]), int(molecules.bond_offsets[i + 1]))
    mol = Chem.RWMol()
    charge, hydrogens = molecules.charge[atoms].tolist(), molecules.hydrogens[atoms].tolist()
    for z, q, count in zip(molecules.z[atoms].tolist(), charge, hydrogens, strict=True):
        atom = Chem.Atom(z)
        if q:
            atom.SetFormalCharge(q)
        if count:
            atom.SetNumExplicitHs(count)
        if not completed:
            atom.SetNoImplicit(True)
        mol.AddAtom(atom)
    for (a, b), order in zip(molecules.bonds[rows].tolist(), molecules.order[rows].tolist(), strict=True):
        mol.AddBond(a, b, _TYPES[order])
    return mol


def conformer_of(mol: Mol, xyz: NDArray[np.floating]) -> Mol:
    """The molecule with these coordinates and no others. [angstrom]"""
    made = Chem.Conformer(len(xyz))
    for i, point in enumerate(xyz.tolist()):
        made.SetAtomPosition(i, Point3D(*point))
    mol.RemoveAllConformers()
    mol.AddConformer(made)
    return mol


def largest_fragment(mol: Mol) -> Mol:
    """The fragment with most atoms, the first of equal ones."""
    return max(Chem.GetMolFrags(mol, asMols=True), default=mol, key=lambda part: part.GetNumAtoms())


def folded(mol: Mol) -> Mol:
    """The molecule with its hydrogens counted on their neighbours and without stereo; itself is not changed."""
    plain = Chem.RemoveHs(mol)
    Chem.RemoveStereochemistry(plain)
    return plain


def smiles_of(mol: Mol) -> str:
    """Canonical SMILES of the molecule as it is; empty if RDKit cannot write one."""
    try:
        return Chem.MolToSmiles(mol)
    except (ValueError, RuntimeError):
        return ""


def key_of(mol: Mol) -> str:
    """The first 14 letters of the InChIKey: the connectivity, without stereo and isotopes; empty if there is none."""
    return Chem.MolToInchiKey(mol, options="/LogLevel=0")[:14]


def perceive(z: NDArray[np.uint8], xyz: NDArray[np.float32], charge: int) -> Mol | None:
    """The molecule that RDKit's DetermineBonds reads out of elements and coordinates; None where it finds none."""
    mol = Chem.RWMol()
    for number in z.tolist():
        mol.AddAtom(Chem.Atom(number))
    conformer_of(mol, xyz)
    try:
        rdDetermineBonds.DetermineBonds(mol, charge=charge, embedChiral=False, maxIterations=_TRIES)
        Chem.SanitizeMol(mol)
    except (ValueError, RuntimeError):
        return None
    return mol


def perceived(molecules: Molecules) -> tuple[Molecules, int]:
    """Bonds that DetermineBonds reads out of the coordinates of neutral molecules, and how many it fails on.

    Those stay without any bond: they are judged as atoms that lie apart.
    """
    records: list[Record] = []
    failed = 0
    for i in range(len(molecules)):
        span = slice(int(molecules.offsets[i]), int(molecules.offsets[i + 1]))
        mol = perceive(molecules.z[span], molecules.xyz[span], 0)
        if mol is None:
            failed += 1
            z = molecules.z[span].tolist()
            records.append(Record(z, molecules.xyz[span], [0] * len(z), [0] * len(z), ()))
        else:
            records.append(record_of(mol))
    made = gather(records)
    kept = {name: getattr(molecules, name) for name in ("properties", "smiles", "names", "split")}
    return replace(made, **kept), failed
