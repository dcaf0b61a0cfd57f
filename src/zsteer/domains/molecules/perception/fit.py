"""Bonds for atoms that have none: laid on by a SMILES whose graph fits the geometry, or perceived from it.

A SMILES says how many bonds there are: that many pairs of atoms, nearest by distance over the sum of their covalent
radii, are the graph of the geometry. (A fixed limit would bind across small cages.) A SMILES fits if its own graph with
all hydrogens, orders apart, is that graph; the orders and charges are then the SMILES's.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, rdBase
from rdkit.Chem import rdDetermineBonds

from zsteer.domains.molecules.checks import Problem
from zsteer.domains.molecules.chemistry import Mol, Record, about_each, gather, parse_smiles, record_of, whole_record
from zsteer.domains.molecules.container import Molecules
from zsteer.domains.molecules.perception.orders import bond_orders
from zsteer.domains.molecules.xyz import CHARGES

__all__ = ["Fitted", "Perceived", "fitted", "perceived"]

_TRIES = 2000
"""Assignments of bond orders that are tried before a molecule counts as failed."""
_CHARGES = (0, -1, 1, -2, 2)
_FAR = 1.35
"""Distance over the sum of covalent radii beyond which two atoms are not bound."""


@dataclass(frozen=True)
class Fitted:
    """A graph in the order of given atoms.

    Args:
        charge: formal charges.
        bonds: (first, second, order, aromatic).
        misfit: of the lengths of the bonds to their orders, where those were found by valence.
    """

    charge: Sequence[int]
    bonds: Sequence[tuple[int, int, int, bool]]
    misfit: float = 0.0


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


@dataclass(frozen=True)
class Perceived:
    """Molecules with bonds that were found.

    Args:
        molecules: those whose bonds were found.
        problems: with the others, numbered from 1.
        notes: what else would have fitted, a line each.
    """

    molecules: Molecules
    problems: Sequence[Problem]
    notes: Sequence[str] = ()


def perceived(molecules: Molecules, *, alternatives: bool = False) -> Perceived:
    """Find bonds: by the SMILES where there is one that fits, else by RDKit's DetermineBonds, else by valence.

    A total charge that the set states (property ``charge``) must come out; otherwise 0, -1, +1, -2 and +2 are tried in
    this order, and the first that fits is taken.

    Args:
        molecules: without bonds, hydrogens as atoms.
        alternatives: ask for other charges that fit too, and note them.
    """
    stated = _stated_charges(molecules)
    several: list[str] = []
    records: list[Record] = []
    kept: list[int] = []
    problems: list[Problem] = []
    for i in range(len(molecules)):
        atoms = slice(int(molecules.offsets[i]), int(molecules.offsets[i + 1]))
        z, xyz = molecules.z[atoms].tolist(), np.asarray(molecules.xyz[atoms], np.float64)
        word = "" if molecules.smiles is None else str(molecules.smiles[i])
        name = "" if molecules.names is None else str(molecules.names[i])
        own = stated[i]
        charges = _CHARGES if own is None else (own,)
        found = fitted(word, z, xyz) if word else None
        if found is not None and own is not None and sum(found.charge) != own:
            detail = f"{word} has the charge {_signed(sum(found.charge))}, and the record says {_signed(own)}"
            problems.append(Problem(i + 1, "two charges", detail, name))
            continue
        if found is None:
            fits = list(_determined(z, xyz, charges, every=alternatives))
            found = fits[0] if fits else None
            if len(fits) > 1:
                several.append(f"{i + 1} ({', '.join(_signed(sum(one.charge)) for one in fits)})")
        if found is None:
            tried = ", ".join(_signed(charge) for charge in charges)
            detail = (
                f"{word + ': ' if word else ''}no bonds fit at the charge {tried}; smiles=... in its heading says them"
            )
            problems.append(Problem(i + 1, "bonds cannot be perceived", detail, name))
            continue
        kept.append(i)
        records.append(Record(z=z, xyz=xyz, charge=found.charge, hydrogens=[0] * len(z), bonds=found.bonds))
    left = molecules.take(np.array(kept, np.int64))
    if not records:
        return Perceived(left, problems)
    notes = []
    if several:
        listed = ", ".join(several[:3]) + (", ..." if len(several) > 3 else "")
        notes.append(
            f"{len(several):,} molecules fit more than one total charge, and the first was taken: record {listed}; "
            "charge=N in the heading says which"
        )
    return Perceived(replace(gather(records), labels=left.labels, **about_each(left)), problems, notes)


def _signed(charge: int) -> str:
    return f"{charge:+d}" if charge else "0"


def _stated_charges(molecules: Molecules) -> list[int | None]:
    """The total charge that each molecule's record says, or None."""
    name = next((name for name in molecules.properties if name.lower() in CHARGES), None)
    if name is None:
        return [None] * len(molecules)
    return [int(one) if float(one).is_integer() else None for one in molecules.properties[name].tolist()]


def _determined(
    z: Sequence[int], xyz: NDArray[np.floating], charges: Sequence[int], *, every: bool
) -> Iterator[Fitted]:
    """Bonds at the first charge that fits; with ``every`` also at others that the lengths of the bonds speak for.

    RDKit tries the charges 0, -1 and +1 only: beyond them it gives orders that are none.
    """
    taken = next((one for charge in charges if (one := _by_rdkit(z, xyz, charge)) is not None), None)
    ranked = taken or next((one for charge in charges if (one := _by_orders(z, xyz, charge)) is not None), None)
    if ranked is None:
        return
    yield ranked
    own = sum(ranked.charge)
    # Charges of other parity would leave an electron unpaired.
    others = [charge for charge in charges if every and charge != own and not (charge - own) % 2]
    bound = _by_orders(z, xyz, own) if others else None
    for charge in others if bound is not None else ():
        found = _by_orders(z, xyz, charge)
        if found is not None and bound is not None and found.misfit < bound.misfit:
            yield found


def _by_rdkit(z: Sequence[int], xyz: NDArray[np.floating], charge: int) -> Fitted | None:
    if abs(charge) > 1:
        return None
    mol = _bare(z, xyz)
    try:
        with rdBase.BlockLogs():
            rdDetermineBonds.DetermineBonds(mol, charge=charge, embedChiral=False, maxIterations=_TRIES)
    except (ValueError, RuntimeError):
        return None
    return _judged(mol)


def _by_orders(z: Sequence[int], xyz: NDArray[np.floating], charge: int) -> Fitted | None:
    mol: Any = Chem.RWMol(_bare(z, xyz))
    with rdBase.BlockLogs():
        rdDetermineBonds.DetermineConnectivity(mol)
    pairs = np.array([[bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()] for bond in mol.GetBonds()], np.int64)
    if not len(pairs):
        return None
    apart = np.linalg.norm(np.asarray(xyz, np.float64)[pairs[:, 0]] - np.asarray(xyz, np.float64)[pairs[:, 1]], axis=1)
    found = bond_orders(z, pairs, apart / _radii()[np.asarray(z)][pairs].sum(1), charge)
    if found is None:
        return None
    for bond, order in zip(mol.GetBonds(), found.order.tolist(), strict=True):
        bond.SetBondType((Chem.BondType.SINGLE, Chem.BondType.DOUBLE, Chem.BondType.TRIPLE)[order - 1])
    for atom, formal in zip(mol.GetAtoms(), found.charge.tolist(), strict=True):
        atom.SetFormalCharge(formal)
    made = _judged(mol)
    return None if made is None else replace(made, misfit=found.misfit)


def _judged(mol: Mol) -> Fitted | None:
    """The bonds of a molecule that was made up, if its chemistry holds and it has no unpaired electron."""
    try:
        Chem.SanitizeMol(mol)
    except (ValueError, RuntimeError):
        return None
    if any(atom.GetNumRadicalElectrons() for atom in mol.GetAtoms()):
        return None
    one = record_of(mol)
    return Fitted(one.charge, one.bonds or ())
