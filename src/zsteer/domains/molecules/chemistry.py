"""The one place that talks to RDKit: molecules from SMILES and graphs, their records, and what they are worth.

RDKit has no types, so its objects are called ``Mol`` here and live in few thin functions. Everything else of the folder
handles :class:`Record` and :class:`Molecules`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, RDLogger

from zsteer.domains.molecules.container import Molecules
from zsteer.errors import InputError

__all__ = ["Mol", "Record", "gather", "parse_smiles", "record_of", "with_hydrogens"]

Mol = Any
"""A molecule of RDKit."""

RDLogger.DisableLog("rdApp.*")  # pyright: ignore[reportAttributeAccessIssue]  # reasons are asked for and counted


@dataclass(frozen=True)
class Record:
    """One molecule, before it joins a set.

    Args:
        z: atomic numbers of ``n`` atoms.
        xyz: coordinates, shape ``(n, 3)``, or None where there are none. [angstrom]
        charge: formal charges.
        hydrogens: hydrogens that are no atoms, of each atom.
        bonds: (first, second, order, aromatic), the smaller atom first; None where bonds are not known.
        properties: values by name.
        smiles: or empty.
        name: or empty.
        split: or empty.
    """

    z: Sequence[int]
    xyz: NDArray[np.floating] | None
    charge: Sequence[int]
    hydrogens: Sequence[int]
    bonds: Sequence[tuple[int, int, int, bool]] | None
    properties: Mapping[str, float] = field(default_factory=dict[str, float])
    smiles: str = ""
    name: str = ""
    split: str = ""


_ORDERS = {Chem.BondType.SINGLE: 1, Chem.BondType.DOUBLE: 2, Chem.BondType.TRIPLE: 3}


def parse_smiles(smiles: str) -> Mol | str:
    """A sanitised molecule from SMILES, or the reason why there is none."""
    mol = Chem.MolFromSmiles(smiles, sanitize=False) if smiles.strip() else None
    if mol is None:
        return "not a SMILES" if smiles.strip() else "empty SMILES"
    try:
        Chem.SanitizeMol(mol)
        # The parser's own order: hydrogens written as atoms fold into their neighbours.
        return Chem.RemoveHs(mol)
    except ValueError as error:
        return f"chemistry: {' '.join(str(error).split())}"


def with_hydrogens(mol: Mol) -> Mol:
    """Hydrogens as atoms, behind the heavy atoms in their order; with coordinates where there is a conformer."""
    return Chem.AddHs(mol, addCoords=mol.GetNumConformers() > 0)


def record_of(mol: Mol, **about: Any) -> Record:
    """A molecule of RDKit as a record; it is kekulised on the way (a copy of it).

    Args:
        mol: a molecule; its aromatic flags are taken as they are.
        about: fields of the record that the molecule does not know: name, properties, split, smiles.

    Raises:
        InputError: on a kind of bond that is neither single, double, triple nor aromatic, or a ring that cannot be
            kekulised.
    """
    if any(bond.GetIsAromatic() for bond in mol.GetBonds()):
        mol = Chem.Mol(mol)
        try:
            Chem.Kekulize(mol, clearAromaticFlags=False)
        except ValueError as error:
            raise InputError(f"an aromatic ring cannot be kekulised: {' '.join(str(error).split())}") from None
    bonds: list[tuple[int, int, int, bool]] = []
    for bond in mol.GetBonds():
        order = _ORDERS.get(bond.GetBondType())
        if order is None:
            raise InputError(f"a bond of the kind {bond.GetBondType()}; expected single, double, triple or aromatic")
        i, j = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        bonds.append((min(i, j), max(i, j), order, bond.GetIsAromatic()))
    atoms = list(mol.GetAtoms())
    return Record(
        z=[atom.GetAtomicNum() for atom in atoms],
        xyz=mol.GetConformer().GetPositions() if mol.GetNumConformers() else None,
        charge=[atom.GetFormalCharge() for atom in atoms],
        hydrogens=[atom.GetTotalNumHs() for atom in atoms],
        bonds=bonds,
        **about,
    )


def gather(records: Iterable[Record]) -> Molecules:
    """Join records into a set.

    A property that some records lack is NaN there; words that all lack are None in the set.

    Raises:
        InputError: if a record has no coordinates, or only some of the records have bonds.
    """
    every = list(records)
    bare = next((i for i, one in enumerate(every, 1) if one.xyz is None), None)
    if bare is not None:
        raise InputError(f"molecule {bare} has no coordinates; make them with zsteer convert")
    known = {one.bonds is not None for one in every}
    if len(known) > 1:
        raise InputError("some molecules have bonds and others do not; read them from one kind of file")
    sizes = [len(one.z) for one in every]
    bonds = [bond for one in every for bond in one.bonds or ()]
    pairs = np.array(bonds, np.int32).reshape(-1, 4)
    names = list(dict.fromkeys(name for one in every for name in one.properties))
    words: dict[str, Any] = {
        name: np.array(column, np.str_)
        for name, column in (
            ("smiles", [one.smiles for one in every]),
            ("names", [one.name for one in every]),
            ("split", [one.split for one in every]),
        )
        if any(column)
    }
    empty = np.zeros((0, 3), np.float32)
    return Molecules(
        z=np.array([z for one in every for z in one.z], np.uint8),
        xyz=np.concatenate([empty, *(np.asarray(one.xyz, np.float32).reshape(-1, 3) for one in every)]),
        offsets=ends_of(sizes),
        charge=np.array([charge for one in every for charge in one.charge], np.int8),
        hydrogens=np.array([number for one in every for number in one.hydrogens], np.int8),
        bonds=np.ascontiguousarray(pairs[:, :2]),
        order=pairs[:, 2].astype(np.uint8),
        aromatic=pairs[:, 3].astype(bool),
        bond_offsets=ends_of([len(one.bonds or ()) for one in every]) if known != {False} else None,
        properties={
            name: np.array([one.properties.get(name, float("nan")) for one in every], np.float64) for name in names
        },
        **words,
    )


def ends_of(sizes: Sequence[int]) -> NDArray[np.int64]:
    """Where each member of a ragged array begins, and the end of the last."""
    return np.concatenate([[0], np.cumsum(np.array(sizes, np.int64))]).astype(np.int64)
