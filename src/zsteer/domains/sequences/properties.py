"""Properties of amino-acid sequences, declared: functions of texts, and measures of expected residues."""

from collections.abc import Mapping
from types import MappingProxyType

from zsteer.core.property import Property, lazy

__all__ = ["PROPERTIES"]

_AT = "zsteer.domains.sequences.measures"

PROPERTIES: Mapping[str, Property] = MappingProxyType(
    {
        "charge": Property(
            "charge",
            lazy(f"{_AT}:charge_of"),
            lazy(f"{_AT}:charge"),
            unit="e",
            reach=(-6, 6),
            spread=1.0,
            tolerance=0.5,
            help="net charge of the side chains at neutral pH",
        ),
        "hydropathy": Property(
            "hydropathy",
            lazy(f"{_AT}:hydropathy_of"),
            lazy(f"{_AT}:hydropathy"),
            low=-4.5,
            high=4.5,
            spread=0.5,
            tolerance=0.5,
            help="mean hydropathy (Kyte, Doolittle), positive is hydrophobic",
        ),
        "length": Property(
            "length",
            lazy(f"{_AT}:length_of"),
            unit="residues",
            low=1,
            reach=(8, 30),
            spread=1.7,
            tolerance=0.5,
            help="residues",
        ),
    }
)
"""By name."""
