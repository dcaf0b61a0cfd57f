"""Molecules of one size as dense arrays: what networks take. Imports numpy alone."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsteer.domains.molecules.container import Molecules, spans
from zsteer.errors import InputError

__all__ = ["dense", "ragged"]


def dense(molecules: Molecules, index: NDArray[np.integer], size: int) -> dict[str, NDArray[Any]]:
    """Arrays of chosen molecules that all have ``size`` atoms.

    Args:
        molecules: the set.
        index: which of them, shape ``(m,)``.
        size: atoms of each.

    Returns:
        ``xyz`` (m, size, 3) float32 without centre [angstrom]; ``z``, ``charge``, ``hydrogens`` (m, size) int64;
        ``bond`` (m, size, size) int64 with 0 for none, and ``aromatic`` (m, size, size) bool, where bonds are known;
        each property (m,) float32.

    Raises:
        InputError: if one has another size.
    """
    if bool((molecules.sizes[index] != size).any()):
        raise InputError(
            f"expected molecules of {size} atoms, got sizes {sorted(set(molecules.sizes[index].tolist()))}"
        )
    m, rows = len(index), spans(molecules.offsets, index)
    xyz = np.asarray(molecules.xyz[rows], np.float32).reshape(m, size, 3)
    found: dict[str, NDArray[Any]] = {"xyz": xyz - xyz.mean(1, keepdims=True)}
    for name in ("z", "charge", "hydrogens"):
        found[name] = np.asarray(getattr(molecules, name)[rows], np.int64).reshape(m, size)
    if molecules.bond_offsets is not None:
        own = spans(molecules.bond_offsets, index)
        row = np.repeat(np.arange(m), molecules.bond_offsets[index + 1] - molecules.bond_offsets[index])
        first, second = molecules.bonds[own].T
        found["bond"], found["aromatic"] = np.zeros((m, size, size), np.int64), np.zeros((m, size, size), np.bool_)
        for i, j in ((first, second), (second, first)):
            found["bond"][row, i, j] = molecules.order[own]
            found["aromatic"][row, i, j] = molecules.aromatic[own]
    for name, value in molecules.properties.items():
        found[name] = np.asarray(value[index], np.float32)
    return found


def ragged(arrays: dict[str, NDArray[Any]], real: NDArray[np.bool_], names: Sequence[str] = ()) -> Molecules:
    """The other way: padded arrays, and which atoms are real, as a set of molecules.

    Args:
        arrays: as ``dense`` gives them, over any number of atoms, padded behind.
        real: true on atoms, shape ``(m, n)``.
        names: further arrays ``(m,)`` that are properties.
    """
    sizes = real.sum(1)
    bonds: dict[str, Any] = {}
    if "bond" in arrays:
        pair = np.triu(arrays["bond"] > 0, 1) & real[:, :, None] & real[:, None, :]
        row, i, j = np.nonzero(pair)
        bonds = {
            "bonds": np.stack([i, j], 1).astype(np.int32),
            "order": arrays["bond"][row, i, j].astype(np.uint8),
            "aromatic": arrays["aromatic"][row, i, j].astype(np.bool_),
            "bond_offsets": np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(real)))]).astype(np.int64),
        }
    return Molecules(
        z=arrays["z"][real].astype(np.uint8),
        xyz=arrays["xyz"][real].astype(np.float32),
        offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        charge=arrays["charge"][real].astype(np.int8),
        hydrogens=arrays["hydrogens"][real].astype(np.int8),
        properties={name: arrays[name].astype(np.float64) for name in names},
        **bonds,
    )
