"""Values of a molecule that the data sets carry: drug-likeness, ease of synthesis, lipophilicity, and shape.

QED, SAS and logP see the graph without hydrogens; asphericity, the principal moment ratios and the radius of gyration
see the geometry with its hydrogens, weighted by mass. These are RDKit's own definitions and defaults.
"""

import importlib.util
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from rdkit import RDConfig
from rdkit.Chem import QED, Crippen, rdMolDescriptors

from zsteer.domains.molecules.chemistry import Mol
from zsteer.errors import MissingExtraError

__all__ = ["GRAPH", "SHAPE", "graph_values", "sas", "shape_values"]

GRAPH = ("qed", "sas", "logp")
"""Values of the graph."""
SHAPE = ("asphericity", "npr1", "npr2", "rg_A")
"""Values of the geometry."""


@cache
def _sascorer() -> Callable[[Mol], float]:
    """RDKit's contributed program for the score of Ertl and Schuffenhauer, with the table it brings."""
    path = Path(RDConfig.RDContribDir) / "SA_Score" / "sascorer.py"
    spec = importlib.util.spec_from_file_location("_zsteer_sascorer", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise MissingExtraError("RDKit's Contrib folder", None, "the SAS score")
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves the file of its table open
        module.readFragmentScores()
    return module.calculateScore


def sas(mol: Mol) -> float:
    """Synthetic accessibility, from 1 (easy) to 10 (hard).

    Source: Ertl, Schuffenhauer, "Estimation of synthetic accessibility score of drug-like molecules", 2009.
    """
    return float(_sascorer()(mol))


def graph_values(mol: Mol) -> dict[str, float]:
    """QED, SAS and logP of a sanitised molecule without hydrogen atoms."""
    return {"qed": float(QED.qed(mol)), "sas": sas(mol), "logp": float(Crippen.MolLogP(mol))}  # pyright: ignore[reportAttributeAccessIssue]


def shape_values(mol: Mol) -> dict[str, float]:
    """Asphericity, NPR1, NPR2 and radius of gyration [angstrom] of a molecule with a conformer and its hydrogens."""
    return {
        "asphericity": float(rdMolDescriptors.CalcAsphericity(mol)),
        "npr1": float(rdMolDescriptors.CalcNPR1(mol)),
        "npr2": float(rdMolDescriptors.CalcNPR2(mol)),
        "rg_A": float(rdMolDescriptors.CalcRadiusOfGyration(mol)),
    }
