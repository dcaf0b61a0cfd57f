"""Is each molecule a molecule: sanitised, in one piece, without radicals; its name and rings; do coordinates agree?

A molecule is valid if RDKit sanitises its bonds, all atoms hang together and no electron is unpaired; hydrogens are
never added to make it so. Whether the coordinates show the same molecule is asked of DetermineBonds apart from that:
its failures are its own as often as the molecule's (on real molecules it misses some in a hundred).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from zsteer.domains.molecules.chemistry import Mol, with_hydrogens
from zsteer.domains.molecules.container import Molecules
from zsteer.domains.molecules.metrics.chemist import (
    folded,
    key_of,
    mols,
    perceive,
    smiles_of,
)

__all__ = ["RINGS", "Agreement", "Verdicts", "agreement", "first_seen", "novel", "rings", "verdicts"]

RINGS = ("3", "4", "5", "6", "7", "8+")
"""Sizes of rings that are counted apart."""

Outcome = Literal["recovered", "different", "failed"]


@dataclass(frozen=True)
class Verdicts:
    """What is known of the graph of each of n molecules.

    Args:
        mols: as RDKit has them, with the coordinates; None where sanitising fails.
        reasons: why sanitising fails, or empty.
        connected: one piece, counted bonds and all.
        paired: no unpaired electron (false where sanitising fails).
        smiles: canonical SMILES without stereo, hydrogens folded in; empty unless valid.
    """

    mols: Sequence[Mol | None]
    reasons: Sequence[str]
    connected: NDArray[np.bool_]
    paired: NDArray[np.bool_]
    smiles: NDArray[Any]

    @property
    def sanitised(self) -> NDArray[np.bool_]:
        """RDKit accepts the bonds."""
        return np.array([mol is not None for mol in self.mols], bool)

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Sanitised, connected and without radicals."""
        return self.sanitised & self.connected & self.paired

    def first(self, n: int) -> "Verdicts":
        """Those of the first molecules."""
        return self.take(np.arange(min(n, len(self.mols))))

    def take(self, index: NDArray[np.int64]) -> "Verdicts":
        """Those of some molecules."""
        mols, reasons = [self.mols[int(i)] for i in index], [self.reasons[int(i)] for i in index]
        return Verdicts(mols, reasons, self.connected[index], self.paired[index], self.smiles[index])

    def keys(self) -> NDArray[Any]:
        """InChIKey-14 of each valid molecule, else empty: names the connectivity, tautomers of one kind alike."""
        good = self.valid
        return np.array([key_of(mol) if good[i] else "" for i, mol in enumerate(self.mols)], np.str_)


def verdicts(molecules: Molecules) -> Verdicts:
    """Judge each molecule by its bonds, charges and hydrogens as they stand.

    Raises:
        InputError: if there are no bonds.
    """
    made: list[Mol | None] = []
    reasons: list[str] = []
    names: list[str] = []
    paired = np.zeros(len(molecules), bool)
    connected = _connected(molecules)
    for i, mol in enumerate(mols(molecules)):
        if isinstance(mol, str):
            made.append(None)
            reasons.append(mol)
            names.append("")
            continue
        paired[i] = all(atom.GetNumRadicalElectrons() == 0 for atom in mol.GetAtoms())
        names.append(smiles_of(folded(mol)) if paired[i] and connected[i] else "")
        made.append(mol)
        reasons.append("")
    return Verdicts(made, reasons, connected, paired, np.array(names, np.str_))


def _connected(molecules: Molecules) -> NDArray[np.bool_]:
    """Which molecules are one piece: labels of atoms fall to the smallest of their neighbours until nothing moves."""
    if molecules.bond_offsets is None or len(molecules) == 0:
        return np.zeros(len(molecules), bool)
    owner = np.repeat(molecules.offsets[:-1], np.diff(molecules.bond_offsets))
    i, j = owner + molecules.bonds[:, 0], owner + molecules.bonds[:, 1]
    label = np.arange(len(molecules.z))
    while True:
        low = np.minimum(label[i], label[j])
        moved = label.copy()
        np.minimum.at(moved, i, low)
        np.minimum.at(moved, j, low)
        moved = moved[moved]  # halves the way to the smallest label
        if bool((moved == label).all()):
            break
        label = moved
    roots = np.concatenate([[0], np.cumsum(label == np.arange(len(label)))])
    return (roots[molecules.offsets[1:]] - roots[molecules.offsets[:-1]]) == 1


def first_seen(names: NDArray[Any]) -> NDArray[np.bool_]:
    """Which names are neither empty nor repeats of an earlier one: their share of the named is the uniqueness."""
    found = np.zeros(len(names), bool)
    found[np.unique(names, return_index=True)[1]] = True
    return found & (names != "")


def novel(names: NDArray[Any], known: NDArray[Any]) -> NDArray[np.bool_]:
    """Which names are not empty and not among the known."""
    return (names != "") & ~np.isin(names, known)


def rings(found: Verdicts) -> NDArray[np.int64]:
    """Rings of each size (smallest set of smallest rings) in each valid molecule, shape ``(n, 6)``; 0 elsewhere."""
    counts = np.zeros((len(found.mols), len(RINGS)), np.int64)
    good = found.valid
    for i, mol in enumerate(found.mols):
        if mol is not None and good[i]:
            for ring in mol.GetRingInfo().AtomRings():
                counts[i, min(len(ring), 8) - 3] += 1
    return counts


@dataclass(frozen=True)
class Agreement:
    """What DetermineBonds reads out of the coordinates of each valid molecule, beside its own bonds.

    Args:
        outcome: recovered (the same graph), different (another graph) or failed (none); empty where not asked.
        charge: total charge at which the graph was recovered, 0 elsewhere.
    """

    outcome: NDArray[Any]
    charge: NDArray[np.int64]

    def share(self, outcome: Outcome) -> NDArray[np.bool_]:
        """Which molecules came out so."""
        return self.outcome == outcome


def agreement(found: Verdicts) -> Agreement:
    """Ask DetermineBonds for each valid molecule: at charge 0, then -1 and +1 where that does not give its graph.

    Hydrogens that are only counted are placed by RDKit first: it then judges the heavy atoms.
    """
    outcome: list[str] = []
    charges = np.zeros(len(found.mols), np.int64)
    good = found.valid
    for i, mol in enumerate(found.mols):
        if mol is None or not good[i]:
            outcome.append("")
            continue
        whole = with_hydrogens(mol)
        z = np.array([atom.GetAtomicNum() for atom in whole.GetAtoms()], np.uint8)
        xyz = whole.GetConformer().GetPositions().astype(np.float32)
        result: Outcome = "failed"
        for charge in (0, -1, 1):
            other = perceive(z, xyz, charge)
            if other is not None and smiles_of(folded(other)) == found.smiles[i]:
                result, charges[i] = "recovered", charge
                break
            result = "failed" if other is None and result == "failed" else "different"
        outcome.append(result)
    return Agreement(np.array(outcome, "U9"), charges)
