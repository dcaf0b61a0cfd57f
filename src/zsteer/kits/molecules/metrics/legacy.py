"""The protocol ``edm-2022``: bonds looked up from distances, atom and molecule stability, validity of the lookup graph.

Kept for comparison with published numbers, not because it is right: C=C below 139 pm makes benzene (139.6 pm) six
carbons of valence 3, hence unstable, and validity judges the largest fragment alone. A whole set is judged at once:
molecules of one size together, distances in one array, orders from an integer table.

Source: Hoogeboom, Satorras, Vignac, Welling, ICML 2022, section 5 and appendix.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsteer.domains.molecules.container import SYMBOLS, Molecules
from zsteer.errors import InputError
from zsteer.kits.molecules.metrics.bonds import ALLOWED, thresholds, valences

__all__ = ["Stability", "foreign", "legacy_smiles", "lookup", "stability"]

_PIECE = 2_000_000
"""Pairs of atoms handled at once."""


@dataclass(frozen=True)
class Stability:
    """Which atoms have an allowed valence, and which molecules consist of such atoms.

    Args:
        atoms: of each atom of the set, shape ``(atoms,)``.
        molecules: of each molecule, shape ``(molecules,)``; a molecule without atoms is not stable.
        counts: stable atoms of each molecule, shape ``(molecules,)``.
    """

    atoms: NDArray[np.bool_]
    molecules: NDArray[np.bool_]
    counts: NDArray[np.int64]

    @staticmethod
    def of(atoms: NDArray[np.bool_], molecules: Molecules) -> "Stability":
        """Molecules are stable where all their atoms are."""
        good = np.concatenate([[0], np.cumsum(atoms)]).astype(np.int64)
        counts = good[molecules.offsets[1:]] - good[molecules.offsets[:-1]]
        return Stability(atoms, (counts == molecules.sizes) & (molecules.sizes > 0), counts)


def foreign(molecules: Molecules) -> NDArray[np.bool_]:
    """Molecules with an element that the protocol has no valence for: neither stable nor valid, shape ``(n,)``."""
    known = np.zeros(256, bool)
    known[[SYMBOLS.index(symbol) for symbol in ALLOWED]] = True
    owner = np.repeat(np.arange(len(molecules)), molecules.sizes)
    return np.bincount(owner[~known[molecules.z]], minlength=len(molecules)) > 0


def _listed(molecules: Molecules) -> Molecules:
    """The set with the element ``X``, which is bound to nothing, where the protocol has no valence."""
    known = np.isin(molecules.z, [SYMBOLS.index(symbol) for symbol in ALLOWED])
    return molecules if bool(known.all()) else replace(molecules, z=np.where(known, molecules.z, 0).astype(np.uint8))


def _checked(molecules: Molecules) -> None:
    if bool(molecules.hydrogens.any()):
        record = int(np.searchsorted(molecules.offsets, np.flatnonzero(molecules.hydrogens)[0], side="right"))
        raise InputError(
            f"edm-2022 looks bonds up from distances and needs every hydrogen as an atom; molecule {record} only "
            f"counts some: write the molecules with hydrogens, or take geom-revisited"
        )


def _pieces(molecules: Molecules) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]]:
    """Bond orders, a piece of equal molecules at a time.

    Yields:
        The molecules of the piece, their atoms ``(b, n)`` and the order of each pair i < j ``(b, pairs)``.
    """
    table = thresholds()
    for size, index in molecules.groups():
        i, j = np.triu_indices(size, 1)
        step = max(1, _PIECE // max(1, len(i)))
        for start in range(0, len(index), step):
            chosen = index[start : start + step]
            rows = molecules.offsets[chosen][:, None] + np.arange(size)
            pair = molecules.z[rows][:, i].astype(np.int32) * len(SYMBOLS) + molecules.z[rows][:, j]
            xyz = molecules.xyz[rows]
            with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is bound to nothing
                gap = [xyz[:, i, k] - xyz[:, j, k] for k in range(3)]
                square = gap[0] * gap[0] + gap[1] * gap[1] + gap[2] * gap[2]
                distance = np.float32(100.0) * np.sqrt(square)
            single = distance < table[0][pair]
            # Thresholds fall from single to triple, so that the order is how many of them are passed.
            order = single.astype(np.uint8)
            near = np.nonzero(single)
            order[near] += (distance[near] < table[1][pair[near]]).astype(np.uint8)
            order[near] += (distance[near] < table[2][pair[near]]).astype(np.uint8)
            yield chosen, rows, order


def stability(molecules: Molecules) -> Stability:
    """Atom and molecule stability by the lookup, from elements and coordinates alone.

    Raises:
        InputError: if hydrogens are counted and not atoms.
    """
    _checked(molecules)
    strange, molecules = foreign(molecules), _listed(molecules)
    allowed = valences()
    atoms = np.zeros(len(molecules.z), bool)
    for _, rows, order in _pieces(molecules):
        size = rows.shape[1]
        i, j = np.triu_indices(size, 1)
        valence = np.zeros(rows.size, np.int64)
        which, pair = np.nonzero(order)
        for end in (i, j):
            valence += np.bincount(which * size + end[pair], order[which, pair], rows.size).astype(np.int64)
        flat = rows.ravel()
        atoms[flat] = allowed[molecules.z[flat], np.minimum(valence, allowed.shape[1] - 1)]
    atoms &= ~np.repeat(strange, molecules.sizes) | (molecules.z != 0)
    return Stability.of(atoms, molecules)


def lookup(molecules: Molecules, *, single: bool = False) -> Molecules:
    """The same molecules with the bonds that the lookup finds, no charges and no aromatic flags.

    Args:
        molecules: elements and coordinates.
        single: every bond is a single one, as the protocol has it for validity on GEOM-Drugs.

    Raises:
        InputError: as ``stability``.
    """
    _checked(molecules)
    molecules = _listed(molecules)
    found: list[tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.uint8]]] = []
    for chosen, rows, order in _pieces(molecules):
        i, j = np.triu_indices(rows.shape[1], 1)
        which, pair = np.nonzero(order)
        ends = np.stack([i[pair], j[pair]], 1).astype(np.int32)
        found.append((chosen[which], ends, order[which, pair]))
    of = np.concatenate([np.zeros(0, np.int64), *(piece[0] for piece in found)])
    first = np.argsort(of, kind="stable")
    bonds = np.concatenate([np.zeros((0, 2), np.int32), *(piece[1] for piece in found)])[first]
    order = np.concatenate([np.zeros(0, np.uint8), *(piece[2] for piece in found)])[first]
    return replace(
        molecules,
        bonds=bonds,
        order=np.ones_like(order) if single else order,
        aromatic=np.zeros(len(bonds), bool),
        bond_offsets=np.concatenate([[0], np.cumsum(np.bincount(of, minlength=len(molecules)))]).astype(np.int64),
        charge=np.zeros_like(molecules.charge),
    )


def legacy_smiles(molecules: Molecules, *, single: bool = False, whole: bool = False) -> NDArray[Any]:
    """Canonical SMILES of the lookup graph, empty where it does not sanitise: the protocol's validity.

    The molecule's largest fragment is named, and missing hydrogens are added without a word, as the protocol has it;
    SMILES are with hydrogens as atoms.

    Args:
        molecules: elements and coordinates.
        single: as in ``lookup``.
        whole: name all fragments, as the protocol does for the training set that novelty is measured against.
    """
    from zsteer.domains.molecules.metrics.chemist import largest_fragment, mols, smiles_of  # RDKit, only here

    words = [
        "" if strange or isinstance(mol, str) else smiles_of(mol if whole else largest_fragment(mol))
        for strange, mol in zip(
            foreign(molecules).tolist(), mols(lookup(molecules, single=single), completed=True), strict=True
        )
    ]
    return np.array(words, np.str_)
