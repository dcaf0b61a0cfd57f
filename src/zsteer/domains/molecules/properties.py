"""Properties of molecules, declared: the one list of them. Imports neither torch nor RDKit.

A function takes the graphs of molecules (``metrics.graph.Verdicts``) and is NaN where a molecule is not valid; a
measure takes expected molecules. To add a property, add its row here (``_each`` names a function of one RDKit
molecule), or give one of your own (``--property name=module:function``, which takes RDKit molecules).
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from zsteer.core.property import Property, lazy

__all__ = ["PROPERTIES"]

_EACH = lazy("zsteer.kits.molecules.metrics.values:values_by")
_VALUES = lazy("zsteer.kits.molecules.metrics.values:values_of")
_SHAPES = "zsteer.domains.molecules.expectation"


def _function(key: str) -> Callable[[Any], Any]:
    """The values of a name, with its unit."""
    return lambda found: _VALUES(found, key)


def _each(target: str) -> Callable[[Any], Any]:
    """The values of ``module:function``, which takes one RDKit molecule without hydrogen atoms."""
    return lambda found: _EACH(found, target)


PROPERTIES: Mapping[str, Property] = MappingProxyType(
    {
        "qed": Property(
            "qed", _function("qed"), low=0, high=1, direction="up", spread=0.14, tolerance=0.05, cost=2e-3,
            help="drug-likeness",
        ),
        "sas": Property(
            "sas", _function("sas"), low=1, high=10, direction="down", spread=0.85, tolerance=0.3, cost=1e-3,
            help="synthetic accessibility, 1 easy to 10 hard",
        ),
        "logp": Property(
            "logp", _each("rdkit.Chem.Crippen:MolLogP"), reach=(-5, 8), spread=1.2, tolerance=0.3, cost=1e-3,
            help="octanol-water partition (Crippen)",
        ),
        "asphericity": Property(
            "asphericity", _function("asphericity"), lazy(f"{_SHAPES}:asphericity"), low=0, high=1, spread=0.17,
            tolerance=0.05, cost=2e-3,
            help="0 a sphere to 1 a rod; measured of all atoms with their hydrogens, a guide sees heavy atoms",
        ),
        "rg": Property(
            "rg", _function("rg_A"), lazy(f"{_SHAPES}:radius_of_gyration"), unit="A", low=0, reach=(0.5, 7), spread=0.4,
            tolerance=0.05, cost=2e-3,
            help="radius of gyration; measured of all atoms with their hydrogens, a guide sees heavy atoms",
        ),
        "npr1": Property(
            "npr1", _function("npr1"), low=0, high=1, spread=0.1, tolerance=0.05, cost=2e-3,
            help="first ratio of principal moments, with hydrogens",
        ),
        "npr2": Property(
            "npr2", _function("npr2"), low=0, high=1, spread=0.1, tolerance=0.05, cost=2e-3,
            help="second ratio of principal moments, with hydrogens",
        ),
        "mu": Property(
            "mu", None, unit="debye", low=0, reach=(0, 15), spread=1.5, tolerance=0.3,
            help="dipole moment; only a model tells it (--guide qm9-properties)",
        ),
    }
)  # fmt: skip
"""By name."""
