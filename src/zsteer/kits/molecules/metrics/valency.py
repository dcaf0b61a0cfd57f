"""Corrected valency: the bonds of each atom, aromatic and other apart, against what its element and charge allow.

An aromatic bond is worth neither 1 nor 1.5 for every atom, so it is not turned into a number at all: an atom is stable
if the pair (aromatic bonds, sum of the other orders and of counted hydrogens) is listed for its element and formal
charge. The kekulised view asks the same of the pair (0, sum of all orders): stricter where the aromatic flag hides a
fault.

Source: Nikitin, Dunn, Koes, Isayev, "GEOM-Drugs revisited", 2025 (table of valid pairs).
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from zsteer.domains.molecules.container import ELEMENTS, SYMBOLS, Molecules
from zsteer.errors import InputError
from zsteer.kits.molecules.metrics.legacy import Stability

__all__ = ["TABLE", "corrected", "unlisted"]

TABLE = """
H 0: 0,1
C 0: 0,4 2,2 2,1 3,0
C -1: 0,3 2,1 3,0
C 1: 0,3 2,1 3,0
N 0: 0,3 2,0 2,1 3,0
N 1: 0,4 2,0 2,1 2,2 3,0
N -1: 0,2 2,0
N -2: 0,1
O 0: 0,2 2,0
O -1: 0,1
O 1: 0,3
F 0: 0,1
P 0: 0,3 0,5
P 1: 0,4
S 0: 0,2 0,3 0,6 2,0
S 1: 0,3 2,0 2,1 3,0
S 2: 0,4 2,1 2,2
S 3: 0,2 0,5
S -1: 0,1
Cl 0: 0,1
Cl 1: 0,2
Br 0: 0,1
Br 1: 0,2
I 0: 0,1
I 1: 0,2
I 2: 0,3
Si 0: 0,4
Si 1: 0,5
B -1: 0,4
B 0: 0,3
Bi 0: 0,3
Bi 2: 0,5
"""
"""Element, charge: the listed pairs (aromatic bonds, sum of other orders)."""
_CHARGE = 4
"""Charges of -4 ... 4 have a row."""
_MOST = 15


@cache
def _listed() -> NDArray[np.bool_]:
    """Shape ``(elements, charges, aromatic bonds, other orders)``."""
    table = np.zeros((len(SYMBOLS), 2 * _CHARGE + 1, _MOST + 1, _MOST + 1), bool)
    for line in TABLE.split("\n")[1:-1]:
        who, pairs = line.split(":")
        symbol, charge = who.split()
        for pair in pairs.split():
            aromatic, other = pair.split(",")
            table[ELEMENTS[symbol], int(charge) + _CHARGE, int(aromatic), int(other)] = True
    return table


def _sums(molecules: Molecules, *, kekulised: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Aromatic bonds of each atom, and the sum of its other orders and hydrogens."""
    if molecules.bond_offsets is None:
        raise InputError("valency needs bonds, and these molecules have none; have them perceived, or take edm-2022")
    n = len(molecules.z)
    owner = np.repeat(molecules.offsets[:-1], np.diff(molecules.bond_offsets))
    flag = np.zeros(len(molecules.bonds), bool) if kekulised else molecules.aromatic
    aromatic, other = np.zeros(n, np.int64), molecules.hydrogens.astype(np.int64)
    for end in (0, 1):
        atom = owner + molecules.bonds[:, end]
        aromatic += np.bincount(atom[flag], minlength=n)
        other += np.bincount(atom[~flag], molecules.order[~flag], n).astype(np.int64)
    return aromatic, other


def corrected(molecules: Molecules, *, kekulised: bool = False) -> Stability:
    """Atoms with a listed pair of (aromatic bonds, other orders), and molecules made of them.

    Args:
        molecules: with bonds.
        kekulised: count every bond by its kekulised order, none as aromatic.

    Raises:
        InputError: if there are no bonds.
    """
    aromatic, other = _sums(molecules, kekulised=kekulised)
    z = np.minimum(molecules.z, len(SYMBOLS) - 1)
    charge = molecules.charge.astype(np.int64)
    within = (molecules.z < len(SYMBOLS)) & (np.abs(charge) <= _CHARGE) & (other >= 0)
    row = np.clip(charge, -_CHARGE, _CHARGE) + _CHARGE
    good = _listed()[z, row, np.minimum(aromatic, _MOST), np.clip(other, 0, _MOST)]
    return Stability.of(good & within, molecules)


def unlisted(molecules: Molecules) -> list[str]:
    """Elements with charges that the table does not have at all, as "Se" or "O+2": their atoms are never stable."""
    some: NDArray[np.bool_] = np.any(_listed(), axis=(2, 3))
    pairs = np.unique(np.stack([molecules.z.astype(np.int64), molecules.charge.astype(np.int64)]), axis=1)
    names: list[str] = []
    for z, charge in pairs.T.tolist():
        if z >= len(SYMBOLS) or abs(charge) > _CHARGE or not some[z, charge + _CHARGE]:
            names.append((SYMBOLS[z] if z < len(SYMBOLS) else f"Z={z}") + (f"{charge:+d}" if charge else ""))
    return names
