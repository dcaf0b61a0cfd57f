"""``Molecules``: a set of molecules as a few flat arrays, ready to be memory-mapped.

Atoms of all molecules lie behind each other; molecule i has the rows ``offsets[i]:offsets[i + 1]`` of every array over
atoms, and likewise ``bond_offsets`` for bonds. Bonds name atoms within their molecule, are kekulised (orders 1, 2, 3)
and carry a flag where they are aromatic, so that both views are there. Hydrogens are atoms, or a number on their heavy
atom (``hydrogens``), never both. Imports numpy alone.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsteer.errors import InputError

__all__ = ["ELEMENTS", "SYMBOLS", "Molecules", "spans"]

_TABLE = (
    "X H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb "
    "Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au "
    "Hg Tl Pb Bi"
)
SYMBOLS = tuple(_TABLE.split())
"""Symbol of each atomic number; ``X`` for 0."""
ELEMENTS: Mapping[str, int] = MappingProxyType({symbol: z for z, symbol in enumerate(SYMBOLS) if z})
"""Atomic number of each symbol."""


def spans(offsets: NDArray[np.integer], index: NDArray[np.integer]) -> NDArray[np.int64]:
    """Rows of the chosen members of a ragged array, one member after the other.

    Args:
        offsets: where each member begins, and the end of the last.
        index: which members, in which order.
    """
    begin, size = offsets[index].astype(np.int64), (offsets[index + 1] - offsets[index]).astype(np.int64)
    ends = np.cumsum(size)
    return np.arange(ends[-1] if len(ends) else 0, dtype=np.int64) + np.repeat(begin - (ends - size), size)


def _ends(offsets: NDArray[np.integer], index: NDArray[np.integer]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum((offsets[index + 1] - offsets[index]).astype(np.int64))])


@dataclass(frozen=True)
class Molecules:
    """A set of molecules.

    Args:
        z: atomic numbers, uint8, shape ``(atoms,)``.
        xyz: coordinates, float32, shape ``(atoms, 3)``. [angstrom]
        offsets: first atom of each molecule and the end, int64, shape ``(molecules + 1,)``.
        charge: formal charges, int8, shape ``(atoms,)``.
        hydrogens: hydrogens on each atom that are not atoms themselves, int8, shape ``(atoms,)``.
        bonds: pairs of atoms, counted within their molecule, int32, shape ``(bonds, 2)``, the smaller first.
        order: 1, 2 or 3, kekulised, uint8, shape ``(bonds,)``.
        aromatic: which bonds are aromatic, bool, shape ``(bonds,)``.
        bond_offsets: first bond of each molecule and the end; None where bonds are not known.
        properties: values by name, float64, each of shape ``(molecules,)``; NaN where there is none.
        smiles: of each molecule; empty strings where there is none. None for none at all.
        names: of each molecule. None for none at all.
        split: ``train``, ``val`` or ``test`` of each molecule. None for none at all.
        words: data items that are text by name, each of shape ``(molecules,)``; empty where there is none.
        labels: what chemists write on atoms by name, int32, each of shape ``(atoms,)``; 0 where there is none.
            ``isotope`` is the mass number, ``map`` the number of an atom map.

    Raises:
        InputError: if the lengths of the arrays contradict each other.
    """

    z: NDArray[np.uint8]
    xyz: NDArray[np.float32]
    offsets: NDArray[np.int64]
    charge: NDArray[np.int8]
    hydrogens: NDArray[np.int8]
    bonds: NDArray[np.int32] = field(default_factory=lambda: np.zeros((0, 2), np.int32))
    order: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))
    aromatic: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    bond_offsets: NDArray[np.int64] | None = None
    properties: Mapping[str, NDArray[np.float64]] = field(default_factory=lambda: MappingProxyType({}))
    smiles: NDArray[Any] | None = None
    names: NDArray[Any] | None = None
    split: NDArray[Any] | None = None
    words: Mapping[str, NDArray[Any]] = field(default_factory=lambda: MappingProxyType({}))
    labels: Mapping[str, NDArray[np.int32]] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        for name in ("properties", "words", "labels"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        atoms, n = len(self.z), len(self.offsets) - 1
        sizes = {"xyz": len(self.xyz), "charge": len(self.charge), "hydrogens": len(self.hydrogens)}
        sizes |= {f"label {name}": len(value) for name, value in self.labels.items()}
        wrong = [f"{name} has {size}" for name, size in sizes.items() if size != atoms]
        if n < 0 or int(self.offsets[-1]) != atoms:
            wrong.append(f"offsets end at {int(self.offsets[-1]) if n >= 0 else 'nothing'}")
        if wrong:
            raise InputError(f"expected arrays over {atoms} atoms, {'; '.join(wrong)}")
        ends = [] if self.bond_offsets is None else [len(self.bond_offsets) - 1]
        each = [
            len(value)
            for value in (*self.properties.values(), *self.words.values(), self.smiles, self.names, self.split)
            if value is not None
        ]
        if any(size != n for size in (*ends, *each)):
            raise InputError(f"expected one value for each of {n} molecules, got arrays of {sorted({*ends, *each})}")
        bonds = 0 if self.bond_offsets is None else int(self.bond_offsets[-1])
        if not len(self.bonds) == len(self.order) == len(self.aromatic) == bonds:
            raise InputError(
                f"expected arrays over {bonds} bonds, got {len(self.bonds)}, {len(self.order)} and {len(self.aromatic)}"
            )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Atoms of each molecule."""
        return np.diff(self.offsets).astype(np.int64)

    def take(self, index: NDArray[np.integer] | NDArray[np.bool_] | slice | Sequence[int]) -> "Molecules":
        """Select molecules, in the order of ``index``."""
        rows = index if isinstance(index, slice) else np.asarray(index)
        # An empty list has no type of its own; as an index it would be one of floats.
        chosen = np.arange(len(self))[rows if isinstance(rows, slice) or len(rows) else slice(0)]
        atoms = spans(self.offsets, chosen)
        bonds: dict[str, NDArray[np.generic] | None] = {}
        if self.bond_offsets is not None:
            rows = spans(self.bond_offsets, chosen)
            bonds = {name: getattr(self, name)[rows] for name in ("bonds", "order", "aromatic")}
            bonds["bond_offsets"] = _ends(self.bond_offsets, chosen)
        each: dict[str, Any] = {
            name: value[chosen] for name in ("smiles", "names", "split") if (value := getattr(self, name)) is not None
        }
        over = {name: getattr(self, name)[atoms] for name in ("z", "xyz", "charge", "hydrogens")}
        each |= {
            name: {key: value[rows] for key, value in getattr(self, name).items()}
            for name, rows in (("properties", chosen), ("words", chosen), ("labels", atoms))
        }
        return replace(self, offsets=_ends(self.offsets, chosen), **over, **bonds, **each)

    def with_properties(self, **values: NDArray[np.float64]) -> "Molecules":
        """Add or replace properties."""
        return replace(self, properties={**self.properties, **values})

    def with_words(self, **values: Sequence[str]) -> "Molecules":
        """Add or replace data items that are text."""
        return replace(self, words={**self.words, **{name: np.array(list(v), np.str_) for name, v in values.items()}})

    def labelled(self, name: str) -> NDArray[np.bool_]:
        """Which atoms carry a label, shape ``(atoms,)``."""
        return self.labels[name] != 0 if name in self.labels else np.zeros(len(self.z), bool)

    def heavy(self, *, strict: bool = True) -> "Molecules":
        """Without hydrogen atoms: each counts on the atom that it is bound to.

        Args:
            strict: refuse hydrogens that cannot be counted: isotopes (deuterium), and those without exactly one heavy
                neighbour; otherwise such stay atoms.

        Raises:
            InputError: if bonds are not known, or a hydrogen cannot be counted.
        """
        if self.bond_offsets is None:
            raise InputError(
                "hydrogens are counted on the atom that they are bound to, and these molecules have no bonds"
            )
        owner = np.repeat(self.offsets[:-1], np.diff(self.bond_offsets))
        ends = self.bonds.astype(np.int64) + owner[:, None]
        light = self.z == 1
        first, second = light[ends[:, 0]], light[ends[:, 1]]
        to_hydrogen = first != second
        partner = np.where(first, ends[:, 1], ends[:, 0])[to_hydrogen]
        bound = np.bincount(np.where(first, ends[:, 0], ends[:, 1])[to_hydrogen], minlength=len(self.z))
        odd, marked = light & (bound != 1), light & self.labelled("isotope")
        odd[ends[first & second].ravel()] = True
        stays = np.flatnonzero(odd | marked)
        if strict and len(stays):
            record = int(np.searchsorted(self.offsets, stays[0], side="right"))
            isotope = "marked as an isotope, which a count of hydrogens cannot say"
            what = "not bound to exactly one heavy atom" if odd[stays[0]] else isotope
            raise InputError(f"molecule {record} has a hydrogen that is {what}")
        if len(stays):
            light[stays] = False
            first, second = light[ends[:, 0]], light[ends[:, 1]]
            to_hydrogen = first != second
            partner = np.where(first, ends[:, 1], ends[:, 0])[to_hydrogen]
        hydrogens = self.hydrogens + np.bincount(partner, minlength=len(self.z)).astype(np.int8)
        left, molecule = ~light, np.repeat(np.arange(len(self)), self.sizes)
        place = np.cumsum(left) - 1
        sizes = np.bincount(molecule[left], minlength=len(self))
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        stay = ~(first | second)
        of_bond = np.repeat(np.arange(len(self)), np.diff(self.bond_offsets))[stay]
        bonds = (place[ends[stay]] - offsets[of_bond][:, None]).astype(np.int32)
        kept = np.concatenate([[0], np.cumsum(np.bincount(of_bond, minlength=len(self)))]).astype(np.int64)
        return replace(
            self,
            z=self.z[left],
            xyz=self.xyz[left],
            charge=self.charge[left],
            hydrogens=hydrogens[left],
            labels={name: value[left] for name, value in self.labels.items()},
            offsets=offsets,
            bonds=bonds,
            order=self.order[stay],
            aromatic=self.aromatic[stay],
            bond_offsets=kept,
        )

    def groups(self) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Number of atoms, and which molecules have it, in rising order."""
        for size in np.unique(self.sizes):
            yield int(size), np.flatnonzero(self.sizes == size)

    def digest(self) -> str:
        """Hash of what the molecules are: atoms and their labels, coordinates, charges, bonds; not names or values."""
        found = hashlib.sha256()
        for name in ("z", "xyz", "offsets", "charge", "hydrogens", "bonds", "order", "aromatic", "bond_offsets"):
            value = getattr(self, name)
            found.update(name.encode())
            if value is not None:
                found.update(np.ascontiguousarray(value).tobytes())
        for name, value in sorted(self.labels.items()):
            if bool(value.any()):
                found.update(name.encode() + np.ascontiguousarray(value).tobytes())
        return found.hexdigest()

    @staticmethod
    def cat(pieces: "Sequence[Molecules]") -> "Molecules":
        """Join sets; what not all of them have (bonds, a property, names) must be missing in all.

        Raises:
            InputError: if there is none, or they do not have the same things.
        """
        if not pieces:
            raise InputError("expected at least one set of molecules to join, got none")
        first = pieces[0]
        optional = ("bond_offsets", "smiles", "names", "split")
        for other in pieces[1:]:
            if any(set(getattr(other, name)) != set(getattr(first, name)) for name in ("properties", "words")) or any(
                (getattr(other, name) is None) != (getattr(first, name) is None) for name in optional
            ):
                raise InputError("expected sets that all have the same properties, bonds, SMILES, names and splits")
        flat = ("z", "xyz", "charge", "hydrogens", "bonds", "order", "aromatic")
        joined: dict[str, Any] = {name: np.concatenate([getattr(one, name) for one in pieces]) for name in flat}
        each = [name for name in ("smiles", "names", "split") if getattr(first, name) is not None]
        joined |= {name: np.concatenate([getattr(one, name) for one in pieces]) for name in each}
        for name in ("offsets", "bond_offsets"):
            if getattr(first, name) is not None:
                ends = np.concatenate([np.diff(getattr(one, name)) for one in pieces])
                joined[name] = np.concatenate([[0], np.cumsum(ends)]).astype(np.int64)
        for name in ("properties", "words"):
            joined[name] = {
                key: np.concatenate([getattr(one, name)[key] for one in pieces]) for key in getattr(first, name)
            }
        marks = dict.fromkeys(key for one in pieces for key in one.labels)
        joined["labels"] = {
            key: np.concatenate([one.labels.get(key, np.zeros(len(one.z), np.int32)) for one in pieces])
            for key in marks
        }
        return replace(first, **joined)
