"""Molecules of RDKit in and out: from SMILES, as records, as sets, and sanitised or the reason why not.

RDKit has no types, so its objects are called ``Mol`` here and live in few thin functions. Everything else of the folder
handles :class:`Record` and :class:`Molecules`. Nothing is repaired on the way: :func:`to_rdkit` gives a molecule as it
stands, however broken, and only :func:`sanitised` judges it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, RDLogger

from zsteer.domains.molecules.container import SYMBOLS, Molecules
from zsteer.errors import InputError

__all__ = [
    "Mol",
    "Record",
    "about_each",
    "ends_of",
    "from_rdkit",
    "gather",
    "graphs_of",
    "leaves_stereo_open",
    "parse_smiles",
    "place_hydrogens",
    "record_of",
    "sanitised",
    "smiles_of",
    "to_rdkit",
    "unmapped_smiles",
    "whole_record",
    "with_hydrogens",
]

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
        words: data items that are text, by name.
        labels: isotopes and atom maps by name, of each atom (see :class:`Molecules`); those that the molecule lacks are
            left away.
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
    words: Mapping[str, str] = field(default_factory=dict[str, str])
    labels: Mapping[str, Sequence[int]] = field(default_factory=dict[str, Sequence[int]])


_ORDERS = {Chem.BondType.SINGLE: 1, Chem.BondType.DOUBLE: 2, Chem.BondType.TRIPLE: 3, Chem.BondType.AROMATIC: 1}


LONGEST = 5000
"""Letters of a SMILES."""


def parse_smiles(smiles: str) -> Mol | str:
    """A sanitised molecule from SMILES, hydrogens folded in, or the reason why there is none."""
    if not smiles.strip():
        return "empty SMILES"
    if len(smiles) > LONGEST:
        return f"a SMILES of {len(smiles):,} letters, longer than any molecule that is taken ({LONGEST:,})"
    mol: Any = Chem.MolFromSmiles(smiles)
    if mol is not None:
        return mol
    raw: Any = Chem.MolFromSmiles(smiles, sanitize=False)
    return "not a SMILES" if raw is None else f"chemistry: {sanitised(raw)}"


def with_hydrogens(mol: Mol) -> Mol:
    """Hydrogens as atoms, behind the heavy atoms in their order; with coordinates where there is a conformer."""
    return Chem.AddHs(mol, addCoords=mol.GetNumConformers() > 0)


def sanitised(mol: Mol, *, repair: bool = True) -> str:
    """Sanitise a molecule in place: valences, rings, aromaticity; the reason if that fails, else an empty word.

    Args:
        mol: a molecule.
        repair: let RDKit rewrite groups that are often written with a wrong valence, as a nitro group with two N=O.
    """
    try:
        Chem.SanitizeMol(mol, Chem.SANITIZE_ALL if repair else Chem.SANITIZE_ALL & ~Chem.SANITIZE_CLEANUP)
    except ValueError as error:
        return " ".join(str(error).split())
    return ""


def record_of(mol: Mol, **about: Any) -> Record:
    """A molecule of RDKit as a record, sanitised or not.

    Bonds are kekulised (a copy is). Where that is impossible, aromatic bonds have order 1 and the flag, as molecules of
    a generator have that says no more.

    Args:
        mol: a molecule; its aromatic flags are taken as they are.
        about: fields of the record that the molecule does not know: name, properties, split, smiles.

    Raises:
        InputError: on a kind of bond that is neither single, double, triple nor aromatic.
    """
    mol.UpdatePropertyCache(False)
    if any(mol.GetBondWithIdx(k).GetIsAromatic() for k in range(mol.GetNumBonds())):
        mol = _kekulised(mol)
    bonds: list[tuple[int, int, int, bool]] = []
    # By index: RDKit's own iterators take several times as long.
    for k in range(mol.GetNumBonds()):
        bond = mol.GetBondWithIdx(k)
        order = _ORDERS.get(bond.GetBondType())
        if order is None:
            raise InputError(f"a bond of the kind {bond.GetBondType()}; expected single, double, triple or aromatic")
        i, j = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        bonds.append((min(i, j), max(i, j), order, bond.GetIsAromatic()))
    atoms = [mol.GetAtomWithIdx(i) for i in range(mol.GetNumAtoms())]
    return Record(
        z=[atom.GetAtomicNum() for atom in atoms],
        xyz=mol.GetConformer().GetPositions() if mol.GetNumConformers() else None,
        charge=[atom.GetFormalCharge() for atom in atoms],
        hydrogens=[atom.GetTotalNumHs() for atom in atoms],
        bonds=bonds,
        labels=_labels(atoms),
        **about,
    )


def _labels(atoms: Sequence[Any]) -> dict[str, Sequence[int]]:
    found = {"isotope": [one.GetIsotope() for one in atoms], "map": [one.GetAtomMapNum() for one in atoms]}
    return {name: values for name, values in found.items() if any(values)}


def whole_record(mol: Mol, **about: Any) -> Record:
    """The record of ``with_hydrogens(mol)`` without coordinates, in half the time: hydrogens stand behind the atoms.

    Args:
        mol: sanitised.
        about: as for :func:`record_of`.
    """
    one = record_of(mol, **about)
    z, bonds = list(one.z), list(one.bonds or ())
    for i, count in enumerate(one.hydrogens):
        bonds += [(i, len(z) + k, 1, False) for k in range(count)]
        z += [1] * count
    zeros = [0] * (len(z) - len(one.z))
    labels = {name: [*values, *zeros] for name, values in one.labels.items()}
    return replace(one, z=z, charge=[*one.charge, *zeros], hydrogens=[0] * len(z), bonds=bonds, xyz=None, labels=labels)


def _kekulised(mol: Mol) -> Mol:
    copy = Chem.Mol(mol)
    try:
        Chem.Kekulize(copy, clearAromaticFlags=False)
    except ValueError:
        return mol
    return copy


def to_rdkit(molecules: Molecules, i: int, *, completed: bool = False, placed: bool = True) -> Mol:
    """Molecule i as RDKit has it, not sanitised and not repaired.

    Args:
        molecules: the set; without bonds, the molecule has atoms alone.
        i: which.
        completed: let RDKit add the hydrogens that valences leave open; otherwise what is missing is a radical.
        placed: with its coordinates.
    """
    first, last = int(molecules.offsets[i]), int(molecules.offsets[i + 1])
    atoms = zip(
        molecules.z[first:last].tolist(),
        molecules.charge[first:last].tolist(),
        molecules.hydrogens[first:last].tolist(),
        strict=True,
    )
    mol = Chem.RWMol()
    for z, charge, hydrogens in atoms:
        atom = Chem.Atom(z)
        atom.SetFormalCharge(charge)
        atom.SetNumExplicitHs(hydrogens)
        atom.SetNoImplicit(not completed)
        mol.AddAtom(atom)
    _set_labels(mol, molecules, slice(first, last))
    if molecules.bond_offsets is not None:
        _add_bonds(mol, molecules, slice(int(molecules.bond_offsets[i]), int(molecules.bond_offsets[i + 1])))
    if placed:
        place = Chem.Conformer(last - first)
        place.SetPositions(np.asarray(molecules.xyz[first:last], np.float64))
        mol.AddConformer(place)
    return mol.GetMol()


def _set_labels(mol: Mol, molecules: Molecules, atoms: slice) -> None:
    for name, values in molecules.labels.items():
        for k, value in enumerate(values[atoms].tolist()):
            if value and name == "isotope":
                mol.GetAtomWithIdx(k).SetIsotope(value)
            elif value and name == "map":
                mol.GetAtomWithIdx(k).SetAtomMapNum(value)


_KINDS = (None, Chem.BondType.SINGLE, Chem.BondType.DOUBLE, Chem.BondType.TRIPLE)


def _add_bonds(mol: Mol, molecules: Molecules, rows: slice) -> None:
    order, aromatic = molecules.order[rows], molecules.aromatic[rows]
    # Aromatic bonds that are all of order 1 say no more than that they are aromatic (see record_of).
    plain = bool(aromatic.any()) and not bool((order[aromatic] > 1).any())
    for (a, b), one, ring in zip(molecules.bonds[rows].tolist(), order.tolist(), aromatic.tolist(), strict=True):
        if plain and ring:
            mol.AddBond(a, b, Chem.BondType.AROMATIC)
            mol.GetBondBetweenAtoms(a, b).SetIsAromatic(True)
            mol.GetAtomWithIdx(a).SetIsAromatic(True)
            mol.GetAtomWithIdx(b).SetIsAromatic(True)
        else:
            mol.AddBond(a, b, _KINDS[one])


def place_hydrogens(molecules: Molecules) -> tuple[Molecules, Sequence[str]]:
    """Make counted hydrogens atoms, with coordinates that fit their neighbours.

    Returns:
        The molecules, and for each the reason why its hydrogens could not be placed, or an empty word; one that cannot
        be sanitised stays as it is.
    """
    if not bool((molecules.hydrogens > 0).any()):
        return molecules, [""] * len(molecules)
    records: list[Record] = []
    reasons: list[str] = []
    for i in range(len(molecules)):
        mol = to_rdkit(molecules, i)
        reason = sanitised(mol)
        reasons.append(reason)
        records.append(record_of(to_rdkit(molecules, i) if reason else with_hydrogens(mol)))
    return replace(gather(records), **about_each(molecules)), reasons


def about_each(molecules: Molecules) -> dict[str, Any]:
    """What a set says of each molecule beside its atoms and bonds, as fields of a set."""
    return {name: getattr(molecules, name) for name in ("smiles", "names", "split", "properties", "words")}


def smiles_of(mol: Mol, stated: str = "") -> str:
    """Canonical SMILES of a sanitised molecule with its hydrogens folded in, and the stereo that its coordinates show.

    Args:
        mol: sanitised; with a conformer, its stereo is taken from that.
        stated: SMILES that the molecule came with, or empty: what it leaves open stays open, if it is the same molecule
            and the coordinates show what it says.
    """
    copy = Chem.Mol(mol)
    if copy.GetNumConformers():
        Chem.AssignStereochemistryFrom3D(copy)
    copy = Chem.RemoveHs(copy)
    other: Any = Chem.MolFromSmiles(stated) if stated else None
    if other is None:
        return Chem.MolToSmiles(copy)
    same = _flat_smiles(copy) == _flat_smiles(other) and copy.HasSubstructMatch(other, useChirality=True)
    return Chem.MolToSmiles(other if same else copy)


def _flat_smiles(mol: Mol) -> str:
    """Canonical SMILES without stereo and atom maps."""
    copy = Chem.Mol(mol)
    Chem.RemoveStereochemistry(copy)
    return unmapped_smiles(copy)


def unmapped_smiles(mol: Mol) -> str:
    """Canonical SMILES without atom maps: what a molecule is, however its atoms are numbered."""
    if any(atom.GetAtomMapNum() for atom in mol.GetAtoms()):
        mol = Chem.Mol(mol)
        for atom in mol.GetAtoms():
            atom.SetAtomMapNum(0)
        # A mapped hydrogen is an atom of its own, and any other is folded in.
        mol = Chem.RemoveHs(mol)
    return Chem.MolToSmiles(mol)


def leaves_stereo_open(mol: Mol) -> bool:
    """Whether a sanitised molecule has a centre or a double bond that could be either of two and does not say which."""
    return any(one.specified == Chem.StereoSpecified.Unspecified for one in Chem.FindPotentialStereo(mol))


def from_rdkit(mols: Iterable[Mol]) -> Molecules:
    """A set from molecules of RDKit with conformers; hydrogens stay atoms or numbers, as they are there.

    Raises:
        InputError: if one has no conformer, or a bond that a set cannot hold.
    """
    return gather(record_of(mol, name=mol.GetProp("_Name") if mol.HasProp("_Name") else "") for mol in mols)


def graphs_of(smiles: NDArray[Any], z: NDArray[np.uint8], offsets: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """Bonds, charges and aromatic flags that SMILES give to atoms in their order, the hydrogens behind.

    Args:
        smiles: one for each molecule.
        z: atomic numbers, to be compared one by one.
        offsets: of the molecules.

    Returns:
        ``charge``, ``bonds``, ``order``, ``aromatic`` and ``bond_offsets`` of a set.

    Raises:
        InputError: if a SMILES is not usable, or names other atoms.
    """
    bonds: list[tuple[int, int, int, bool]] = []
    charges: list[int] = []
    counts: list[int] = []
    for row, text in enumerate(smiles.tolist()):
        mol = parse_smiles(text)
        if isinstance(mol, str):
            raise InputError(f"molecule {row + 1}: {text!r} is no usable SMILES: {mol}")
        one = whole_record(mol)
        given = z[offsets[row] : offsets[row + 1]].tolist()
        if one.z != given:
            symbols = " ".join(SYMBOLS[k] for k in given)
            raise InputError(f"molecule {row + 1}: the atoms of {text} are not those of the record ({symbols})")
        bonds += one.bonds or ()
        charges += one.charge
        counts.append(len(one.bonds or ()))
    pairs = np.array(bonds, np.int32).reshape(-1, 4)
    return {
        "charge": np.array(charges, np.int8),
        "bonds": np.ascontiguousarray(pairs[:, :2]),
        "order": pairs[:, 2].astype(np.uint8),
        "aromatic": pairs[:, 3].astype(bool),
        "bond_offsets": ends_of(counts),
    }


def gather(records: Iterable[Record]) -> Molecules:
    """Join records into a set.

    A property that some records lack is NaN there, an item of text is empty; words that all lack are None in the set.

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
    texts = list(dict.fromkeys(name for one in every for name in one.words))
    words: dict[str, Any] = {"words": {n: np.array([one.words.get(n, "") for one in every], np.str_) for n in texts}}
    words |= {
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
        labels={name: _joined(every, name) for name in dict.fromkeys(name for one in every for name in one.labels)},
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


def _joined(records: Sequence[Record], name: str) -> NDArray[np.int32]:
    """A label of the atoms of all records."""
    return np.array([k for one in records for k in one.labels.get(name) or [0] * len(one.z)], np.int32)


def ends_of(sizes: Sequence[int]) -> NDArray[np.int64]:
    """Where each member of a ragged array begins, and the end of the last."""
    return np.concatenate([[0], np.cumsum(np.array(sizes, np.int64))]).astype(np.int64)
