"""Properties of generated molecules, measured on what came out."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from zsteer.core.catalog import load_name
from zsteer.domains.molecules.chemistry import with_hydrogens
from zsteer.domains.molecules.descriptors import GRAPH, SHAPE, graph_values, shape_values
from zsteer.domains.molecules.metrics.chemist import folded
from zsteer.domains.molecules.metrics.graph import Verdicts
from zsteer.kits.molecules.metrics.strain import dipoles

__all__ = ["COMPUTED", "values_by", "values_of"]

COMPUTED = (*GRAPH, *SHAPE)
"""Properties that RDKit computes by their definition."""


def values_of(found: Verdicts, name: str) -> NDArray[np.float64]:
    """A property of each valid molecule, NaN for the others.

    Hydrogens are placed by RDKit for shapes, and relaxed besides for the dipole (``mu_debye``), which GFN2-xTB tells.

    Args:
        found: molecules.
        name: of the property, with its unit.

    Raises:
        MissingExtraError: for the dipole, if tblite is not installed.
    """
    if name == "mu_debye":
        return dipoles(found)
    values = np.full(len(found.mols), np.nan)
    good = found.valid
    for i, mol in enumerate(found.mols):
        if mol is None or not good[i]:
            continue
        if name in GRAPH:
            values[i] = graph_values(folded(mol))[name]
        elif mol.GetNumHeavyAtoms() > 1:
            values[i] = shape_values(with_hydrogens(mol))[name]
    return values


def values_by(found: Verdicts, target: str) -> NDArray[np.float64]:
    """A number of each valid molecule by any function, NaN for the others.

    Args:
        found: molecules.
        target: ``module:function`` of one RDKit molecule without hydrogen atoms.
    """
    value: Callable[..., float] = load_name(target)
    pairs = zip(found.mols, found.valid, strict=True)
    return np.array([value(folded(mol)) if mol is not None and good else np.nan for mol, good in pairs], np.float64)
