"""``zsteer bench molecules``: the network, its cost, the evaluator, quality of small and drug-like ones, conditions."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from zsteer.bench.parts import Parts
from zsteer.evaluate.report import Report

__all__ = ["PARTS", "bench"]

PARTS: Mapping[str, str] = MappingProxyType(
    {
        "kernel": "zsteer.bench.molecules.kernel:tables",
        "cost": "zsteer.bench.molecules.cost:tables",
        "evaluator": "zsteer.bench.molecules.evaluator:evaluator",
        "quality": "zsteer.bench.molecules.quality:tables",
        "drugs": "zsteer.bench.molecules.drugs:tables",
        "conditions": "zsteer.bench.molecules.conditions:tables",
    }
)
"""Part -> the function that makes its tables."""


def bench(
    *,
    quick: bool = False,
    data: Path | None = None,
    part: str | None = None,
    models: Path | None = None,
    peer: Path | None = None,
    watch: Callable[[dict[str, Any]], None] | None = None,
) -> Report:
    """Run the parts: ``Parts.run`` says what is needed and refused."""
    parts = Parts("molecules", "Molecules, measured", PARTS)
    return parts.run(quick=quick, data=data, part=part, watch=watch, models=models, peer=peer)
