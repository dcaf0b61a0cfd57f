"""``zsteer bench molecules``: the network, its cost, the evaluator, quality of small and drug-like ones, conditions."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from zsteer.evaluate.report import Report
from zsteer.recipes.bench.parts import Parts

__all__ = ["PARTS", "bench"]

PARTS: Mapping[str, str] = MappingProxyType(
    {
        "kernel": "zsteer.recipes.molecules.bench.kernel:tables",
        "cost": "zsteer.recipes.molecules.bench.cost:tables",
        "evaluator": "zsteer.recipes.molecules.bench.evaluator:evaluator",
        "quality": "zsteer.recipes.molecules.bench.quality:tables",
        "drugs": "zsteer.recipes.molecules.bench.drugs:tables",
        "conditions": "zsteer.recipes.molecules.bench.conditions:tables",
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
    """Run the parts: ``Parts.run`` says what is asked and refused."""
    parts = Parts("molecules", "Molecules, measured", PARTS)
    return parts.run(quick=quick, data=data, part=part, watch=watch, models=models, peer=peer)
