r"""Bond lengths, angles and torsions beside those of a reference, and contacts that cannot be.

Values of one kind are compared by the first Wasserstein distance on a line,

.. math:: W_1 = \int | F(v) - G(v) | \, dv ,

for each kind of bond (elements and order), of angle (element and number of neighbours of its centre) and of torsion
(the bond that it turns about; absolute values, so that mirror images are alike). The mean over kinds is weighted
by their share in the reference; kinds that the reference has fewer than 20 times are left out. Everything is taken from
the bonds as they stand, for a whole set at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zsteer.domains.molecules.container import SYMBOLS, Molecules
from zsteer.errors import InputError

__all__ = [
    "Drift",
    "Measured",
    "angles",
    "bond_lengths",
    "clashing",
    "compact",
    "drift",
    "known_kinds",
    "name_of_bond",
    "redraw",
    "torsions",
]

FEWEST = 20
"""Values of a kind that the reference needs, for the kind to count."""
_PLACES = 256
_PIECE = 4_000_000
_BONDI = {
    "H": 1.2, "B": 1.92, "C": 1.7, "N": 1.55, "O": 1.52, "F": 1.47, "Si": 2.1, "P": 1.8, "S": 1.8, "Cl": 1.75,
    "As": 1.85, "Se": 1.9, "Br": 1.85, "I": 1.98,
}  # fmt: skip
"""Van der Waals radii. [angstrom]"""
_OTHER_RADIUS = 2.0
_CLASH = 0.7


@dataclass(frozen=True)
class Measured:
    """Values with their kinds.

    Args:
        values: lengths [angstrom] or angles [degree].
        kind: a code; equal codes mean equal kinds in every set.
        molecule: whose value it is.
        molecules: how many molecules were measured.
    """

    values: NDArray[np.float64]
    kind: NDArray[np.int64]
    molecule: NDArray[np.int64]
    molecules: int


def _ends(molecules: Molecules) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and second atom of every bond, counted over the whole set."""
    if molecules.bond_offsets is None:
        raise InputError("geometry is measured along bonds, and these molecules have none; have them perceived first")
    owner = np.repeat(molecules.offsets[:-1], np.diff(molecules.bond_offsets))
    return owner + molecules.bonds[:, 0], owner + molecules.bonds[:, 1]


def _of(molecules: Molecules, atom: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.searchsorted(molecules.offsets, atom, side="right") - 1


def _bond_kind(molecules: Molecules, i: NDArray[np.int64], j: NDArray[np.int64]) -> NDArray[np.int64]:
    """Elements and order of each bond; an aromatic one is of order 4."""
    z = molecules.z.astype(np.int64)
    order = np.where(molecules.aromatic, 4, molecules.order.astype(np.int64))
    return (np.minimum(z[i], z[j]) * _PLACES + np.maximum(z[i], z[j])) * 8 + order


def name_of_bond(kind: int) -> str:
    """A kind of bond in letters: C=O, or C:C for an aromatic one."""
    pair, order = divmod(kind, 8)
    first, second = (SYMBOLS[z] if z < len(SYMBOLS) else f"Z{z}" for z in divmod(pair, _PLACES))
    return f"{first}{'?-=#:'[order]}{second}"


def bond_lengths(molecules: Molecules) -> Measured:
    """Length of every bond. [angstrom]

    Raises:
        InputError: if there are no bonds.
    """
    i, j = _ends(molecules)
    x = molecules.xyz.astype(np.float64)
    length = np.linalg.norm(x[i] - x[j], axis=1)
    return _finite(length, _bond_kind(molecules, i, j), _of(molecules, i), len(molecules))


def _finite(values: NDArray[np.float64], kind: NDArray[np.int64], molecule: NDArray[np.int64], n: int) -> Measured:
    good = np.isfinite(values)
    return Measured(values[good], kind[good], molecule[good], n)


def _neighbours(molecules: Molecules) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Neighbours of all atoms behind each other, where those of each atom begin, and the bond each is reached by."""
    i, j = _ends(molecules)
    centre, other = np.concatenate([i, j]), np.concatenate([j, i])
    bond = np.concatenate([np.arange(len(i)), np.arange(len(i))])
    first = np.argsort(centre, kind="stable")
    begin = np.concatenate([[0], np.cumsum(np.bincount(centre, minlength=len(molecules.z)))])
    return other[first], begin.astype(np.int64), bond[first]


def _each(count: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For counts (2, 3): which (0, 0, 1, 1, 1), and the place within (0, 1, 0, 1, 2)."""
    which = np.repeat(np.arange(len(count)), count)
    return which, np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)


def angles(molecules: Molecules) -> Measured:
    """Angle between every two bonds of an atom. [degree]

    Raises:
        InputError: if there are no bonds.
    """
    other, begin, _ = _neighbours(molecules)
    degree = np.diff(begin)
    centre, place = _each(degree)
    row, step = _each(degree[centre] - 1 - place)  # each neighbour with those behind it
    c, a = centre[row], other[row]
    b = other[begin[c] + place[row] + 1 + step]
    x = molecules.xyz.astype(np.float64)
    u, v = x[a] - x[c], x[b] - x[c]
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = (u * v).sum(1) / (np.linalg.norm(u, axis=1) * np.linalg.norm(v, axis=1))
    degrees = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    neighbours = degree[c] + molecules.hydrogens[c]
    return _finite(degrees, molecules.z[c].astype(np.int64) * 16 + neighbours, _of(molecules, c), len(molecules))


def torsions(molecules: Molecules) -> Measured:
    """Absolute torsion about every bond, for each pair of neighbours of its ends. [degree]

    Raises:
        InputError: if there are no bonds.
    """
    other, begin, _ = _neighbours(molecules)
    j, k = _ends(molecules)
    degree = np.diff(begin)
    bond, place = _each(degree[j] * degree[k])
    b, c = j[bond], k[bond]
    a, d = other[begin[b] + place // degree[c]], other[begin[c] + place % degree[c]]
    proper = (a != c) & (d != b) & (a != d)
    a, b, c, d, bond = (part[proper] for part in (a, b, c, d, bond))
    x = molecules.xyz.astype(np.float64)
    first, axis, last = x[b] - x[a], x[c] - x[b], x[d] - x[c]
    left, right = np.cross(first, axis), np.cross(axis, last)
    sine = np.linalg.norm(axis, axis=1) * (first * right).sum(1)
    degrees = np.degrees(np.arctan2(np.abs(sine), (left * right).sum(1)))
    return _finite(degrees, _bond_kind(molecules, j, k)[bond], _of(molecules, b), len(molecules))


@dataclass(frozen=True)
class Drift:
    """How far values are from a reference.

    Args:
        mean: over kinds, weighted with the reference. [unit of the values]
        kinds: each kind that counts.
        values: the distance of each of these; NaN where the samples have none.
        share: of the reference, each kind that counts.
        covered: share of the reference whose kinds the samples have at all.
    """

    mean: float
    kinds: NDArray[np.int64]
    values: NDArray[np.float64]
    share: NDArray[np.float64]
    covered: float


@dataclass(frozen=True)
class _Merged:
    """Values of samples and reference sorted by kind and value, ready for any weights of the samples' molecules."""

    kinds: NDArray[np.int64]
    kind: NDArray[np.int64]
    gap: NDArray[np.float64]
    molecule: NDArray[np.int64]
    reference: NDArray[np.float64]
    share: NDArray[np.float64]

    @staticmethod
    def of(samples: Measured, reference: Measured) -> "_Merged":
        kinds, count = np.unique(reference.kind, return_counts=True)
        kinds, count = kinds[count >= FEWEST], count[count >= FEWEST]
        mine, theirs = np.isin(samples.kind, kinds), np.isin(reference.kind, kinds)
        kind = np.searchsorted(kinds, np.concatenate([samples.kind[mine], reference.kind[theirs]]))
        values = np.concatenate([samples.values[mine], reference.values[theirs]])
        none = np.full(int(theirs.sum()), -1, np.int64)
        molecule = np.concatenate([samples.molecule[mine], none])
        first = np.lexsort((values, kind))
        kind, values, molecule = kind[first], values[first], molecule[first]
        gap = np.append(np.diff(values), 0.0)
        gap[np.append(np.diff(kind) != 0, True)] = 0.0
        weight = np.where(molecule < 0, 1 / count[kind], 0.0) if len(kind) else np.zeros(0)
        return _Merged(kinds, kind, gap, molecule, weight, count / max(1, count.sum()))

    def distances(self, weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """W_1 of each kind with these weights of the samples' molecules, and which kinds they have at all."""
        own = np.append(weights, 0.0)[self.molecule]  # values of the reference belong to molecule -1
        total = np.bincount(self.kind, own, len(self.kinds))
        own /= np.where(total > 0, total, 1.0)[self.kind]
        # Within a kind both sides sum to 1, so that the running difference is 0 again where the next kind begins.
        apart = np.abs(np.cumsum(np.where(total[self.kind] > 0, own - self.reference, 0.0)))
        found = np.bincount(self.kind, apart * self.gap, len(self.kinds))
        return np.where(total > 0, found, np.nan), total > 0

    def mean(self, weights: NDArray[np.float64]) -> float:
        found, has = self.distances(weights)
        return float((self.share[has] * found[has]).sum() / self.share[has].sum()) if has.any() else float("nan")


def drift(samples: Measured, reference: Measured) -> Drift:
    """First Wasserstein distance of each kind, and their mean."""
    merged = _Merged.of(samples, reference)
    found, has = merged.distances(np.ones(max(1, samples.molecules)))
    return Drift(
        merged.mean(np.ones(max(1, samples.molecules))),
        merged.kinds,
        found,
        merged.share,
        float(merged.share[has].sum()),
    )


def known_kinds(samples: Measured, reference: Measured) -> float:
    """Share of the samples' values whose kind counts, because the reference has it often enough."""
    kinds, count = np.unique(reference.kind, return_counts=True)
    known = np.isin(samples.kind, kinds[count >= FEWEST])
    return float(known.mean()) if len(known) else float("nan")


def redraw(samples: Measured, reference: Measured, counts: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """The mean distance again for other weights of the molecules: those of a bootstrap.

    Args:
        samples: values.
        reference: values, which stay as they are.
        counts: how often each molecule was drawn, one array for each draw.
    """
    merged = _Merged.of(samples, reference)
    return np.array([merged.mean(count) for count in counts])


def _distances(
    molecules: Molecules, index: NDArray[np.int64], size: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Atoms of molecules of one size, and all their distances ``(b, n, n)``."""
    rows = molecules.offsets[index][:, None] + np.arange(size)
    x = molecules.xyz[rows]
    with np.errstate(invalid="ignore", over="ignore"):
        return rows, np.sqrt(np.square(x[:, :, None] - x[:, None]).sum(-1))


def _bonded(molecules: Molecules, index: NDArray[np.int64], size: int) -> NDArray[np.bool_]:
    """Which atoms of molecules of one size share a bond, ``(b, n, n)``."""
    if molecules.bond_offsets is None:
        raise InputError("contacts are judged beside bonds, and these molecules have none; have them perceived first")
    begin, count = molecules.bond_offsets[index], np.diff(molecules.bond_offsets)[index]
    which, place = _each(count)
    pair = molecules.bonds[begin[which] + place]
    found = np.zeros((len(index), size, size), bool)
    found[which, pair[:, 0], pair[:, 1]] = found[which, pair[:, 1], pair[:, 0]] = True
    return found


def clashing(molecules: Molecules) -> NDArray[np.bool_]:
    """Which molecules have heavy atoms more than three bonds apart, nearer than 0.7 of the sum of their radii.

    Radii are van der Waals'. Hydrogens do not count: a hydrogen bond is as short. Coordinates that are not finite
    count as a clash.

    Raises:
        InputError: if there are no bonds.
    """
    radius = np.full(256, _OTHER_RADIUS, np.float32)
    for symbol, value in _BONDI.items():
        radius[SYMBOLS.index(symbol)] = value
    found = np.zeros(len(molecules), bool)
    for chosen, size in _batches(molecules):
        rows, distance = _distances(molecules, chosen, size)
        near = _bonded(molecules, chosen, size).astype(np.float32) + np.eye(size, dtype=np.float32)
        within = (near @ near @ near) > 0
        reach = radius[molecules.z[rows]]
        heavy = molecules.z[rows] > 1
        close = (distance < _CLASH * (reach[:, :, None] + reach[:, None])) & heavy[:, :, None] & heavy[:, None]
        found[chosen] = (close & ~within).any((1, 2)) | ~np.isfinite(distance).all((1, 2))
    return found


def compact(molecules: Molecules) -> NDArray[np.float64]:
    """1 where every bond of heavy atoms is 1.1 ... 1.8 angstrom long and every other pair of them farther, else 0.

    A rule for C, N, O and F alone, whose bonds end where their contacts begin; NaN for molecules with other elements.

    Raises:
        InputError: if there are no bonds.
    """
    found = np.full(len(molecules), np.nan)
    for chosen, size in _batches(molecules):
        rows, distance = _distances(molecules, chosen, size)
        heavy = molecules.z[rows] > 1
        pair = heavy[:, :, None] & heavy[:, None] & ~np.eye(size, dtype=bool)
        bonded = _bonded(molecules, chosen, size)
        good = np.where(bonded, (distance > 1.1) & (distance < 1.8), distance > 1.8)
        known = np.isin(molecules.z[rows], (1, 6, 7, 8, 9)).all(1)
        found[chosen] = np.where(known, (good | ~pair).all((1, 2)), np.nan)
    return found


def _batches(molecules: Molecules) -> list[tuple[NDArray[np.int64], int]]:
    """Molecules of one size together, in pieces that fit into memory."""
    found: list[tuple[NDArray[np.int64], int]] = []
    for size, index in molecules.groups():
        step = max(1, _PIECE // max(1, size * size))
        found += [(index[start : start + step], size) for start in range(0, len(index), step)]
    return found
