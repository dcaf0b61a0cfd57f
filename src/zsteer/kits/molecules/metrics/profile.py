"""What a set of molecules is made of: elements, functional groups, properties; and how to break it on purpose."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

from zsteer.core.rng import Streams
from zsteer.domains.molecules.chemistry import Mol
from zsteer.domains.molecules.container import SYMBOLS, Molecules
from zsteer.domains.molecules.descriptors import graph_values, shape_values
from zsteer.domains.molecules.metrics.chemist import folded
from zsteer.domains.molecules.metrics.graph import Verdicts

__all__ = ["GROUPS", "VALUES", "elements", "groups", "shuffled", "values"]

GROUPS: Mapping[str, str] = MappingProxyType(
    {
        "alcohol": "[CX4][OX2H]",
        "phenol": "c[OX2H]",
        "ether": "[#6;!$(C=O)][OX2;!r3][#6;!$(C=O)]",
        "epoxide or aziridine": "[O,N;r3]",
        "aldehyde or ketone": "[$([CX3H2]),$([CX3H][#6]),$([CX3]([#6])[#6])]=O",
        "acid or its anion": "[CX3](=O)[OX2H,OX1-]",
        "ester": "[#6][CX3](=O)[OX2][#6]",
        "amide": "[CX3](=O)[#7X3]",
        "amine": "[NX3,NX4+;!$(N-C=[O,S,N]);!$(N-S=O);!$([N+](=O)[O-])][#6]",
        "imine or amidine": "[CX3]=[NX2]",
        "nitrile": "C#N",
        "alkene": "[CX3]=[CX3]",
        "alkyne": "[CX2]#[CX2]",
        "nitro": "[NX3+](=O)[O-]",
        "sulfonyl": "S(=O)(=O)",
        "halogen": "[F,Cl,Br,I]",
        "aromatic ring": "a",
        "ring": "[R]",
    }
)
"""Functional groups that are counted, as SMARTS."""
VALUES = ("qed", "sas", "logp", "asphericity", "rg_A")
"""Properties that are compared."""


@cache
def _patterns() -> list[Mol]:
    return [Chem.MolFromSmarts(pattern) for pattern in GROUPS.values()]


def elements(molecules: Molecules) -> dict[str, float]:
    """Share of each element among the atoms, counted hydrogens among them, largest first."""
    count = np.bincount(molecules.z, minlength=256)
    count[1] += int(molecules.hydrogens.astype(np.int64).sum())
    total = max(1, int(count.sum()))
    order = [int(z) for z in np.argsort(-count, kind="stable") if count[z]]
    return {SYMBOLS[z] if z < len(SYMBOLS) else f"Z{z}": float(count[z]) / total for z in order}


def groups(found: Verdicts) -> NDArray[np.float64]:
    """Which functional groups each valid molecule has, shape ``(n, groups)``; rows of NaN for the others."""
    table = np.full((len(found.mols), len(GROUPS)), np.nan)
    good = found.valid
    for i, mol in enumerate(found.mols):
        if mol is not None and good[i]:
            plain = folded(mol)
            table[i] = [plain.HasSubstructMatch(pattern) for pattern in _patterns()]
    return table


def values(found: Verdicts) -> dict[str, NDArray[np.float64]]:
    """QED, SAS, logP, asphericity and radius of gyration [angstrom] of each valid molecule; NaN for the others.

    The last two see the atoms that are there: compare sets that both have hydrogens as atoms, or both not.
    """
    table = {name: np.full(len(found.mols), np.nan) for name in VALUES}
    good = found.valid
    for i, mol in enumerate(found.mols):
        if mol is not None and good[i] and mol.GetNumHeavyAtoms() > 1:
            values = graph_values(folded(mol)) | shape_values(mol)
            for name in VALUES:
                table[name][i] = values[name]
    return table


def shuffled(molecules: Molecules, rng: Streams) -> Molecules:
    """Elements with their charges change places among the atoms of each molecule; coordinates and bonds stay.

    Hydrogens that are only counted stay with the place, too. What a metric says of such molecules is what it says of
    molecules that are right in composition and shape and wrong in everything else.

    Args:
        molecules: at most as many as there are streams.
        rng: one stream for each molecule.
    """
    most = int(molecules.sizes.max()) if len(molecules) else 0
    keys = rng.take(slice(0, len(molecules))).uniform("places", (most,)).numpy()
    stay = np.arange(most) < molecules.sizes[:, None]
    owner = np.repeat(np.arange(len(molecules)), molecules.sizes)
    order = np.lexsort((keys[stay], owner))
    return replace(molecules, z=molecules.z[order], charge=molecules.charge[order], smiles=None, names=None)
