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

from zsteer.domains.molecules.chemistry import Mol, sanitised, to_rdkit
from zsteer.domains.molecules.container import Molecules
from zsteer.domains.molecules.perception import fit
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
]

_TRIES = 2000
"""Assignments of bond orders that are tried before a molecule counts as failed."""


def mols(molecules: Molecules, *, completed: bool = False) -> Iterator[Mol | str]:
    """Molecules as RDKit has them, with their coordinates, sanitised; the reason where that fails.

    Args:
        molecules: with bonds.
        completed: let RDKit add the hydrogens that are missing; otherwise what is missing is a radical.

    Raises:
        InputError: if there are no bonds.
    """
    if molecules.bond_offsets is None:
        raise InputError("these molecules have no bonds; take them from a file with bonds, or have them perceived")
    for i in range(len(molecules)):
        mol = to_rdkit(molecules, i, completed=completed)
        yield sanitised(mol) or mol


def conformer_of(mol: Mol, xyz: NDArray[np.floating]) -> Mol:
    """The molecule with these coordinates and no others. [angstrom]"""
    made = Chem.Conformer(len(xyz))
    made.SetPositions(np.asarray(xyz, np.float64))
    mol.RemoveAllConformers()
    mol.AddConformer(made)
    return mol


def largest_fragment(mol: Mol) -> Mol:
    """The fragment with most atoms, the first of equal ones."""
    return max(Chem.GetMolFrags(mol, asMols=True), default=mol, key=lambda part: part.GetNumAtoms())


def folded(mol: Mol) -> Mol:
    """A copy with hydrogens counted on their neighbours, without stereo and atom maps."""
    plain = Chem.Mol(mol)
    for atom in plain.GetAtoms():
        atom.SetAtomMapNum(0)  # a hydrogen with a number would stay
    Chem.RemoveStereochemistry(plain)  # first: a hydrogen that tells E from Z would stay
    return Chem.RemoveHs(plain)


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
    """Bonds read out of the coordinates, and how many molecules that fails for.

    Those stay without any bond: they are judged as atoms that lie apart, not left out.
    """
    made = fit.perceived(molecules)
    found, lost = made.molecules, np.array([problem.record - 1 for problem in made.problems], np.int64)
    kept = np.delete(np.arange(len(molecules)), lost)
    bare = replace(molecules.take(lost), bond_offsets=np.zeros(len(lost) + 1, np.int64))
    whole = Molecules.cat([found, bare]) if len(kept) else bare
    return whole.take(np.argsort(np.concatenate([kept, lost]), kind="stable")), len(lost)
