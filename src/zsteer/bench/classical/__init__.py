"""``zsteer bench classical``: the lecture's first half, part by part, each with its peers and baselines beside it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from zsteer.bench.parts import Parts
from zsteer.evaluate.report import Report

__all__ = ["PARTS", "bench"]

PARTS: Mapping[str, str] = MappingProxyType(
    {
        "autoencoders": "zsteer.bench.classical.autoencoders:tables",
        "distances": "zsteer.bench.classical.distances:tables",
        "gan": "zsteer.bench.classical.gan:tables",
        "rbm": "zsteer.bench.classical.rbm:tables",
        "ratings": "zsteer.bench.classical.ratings:tables",
    }
)
"""Part -> the function that makes its tables."""


def bench(
    *,
    quick: bool = False,
    data: Path | None = None,
    part: str | None = None,
    watch: Callable[[dict[str, Any]], None] | None = None,
) -> Report:
    """Run the parts: ``Parts.run`` says what is needed and refused."""
    parts = Parts("classical", "The lecture's first half, measured", PARTS)
    return parts.run(quick=quick, data=data, part=part, watch=watch)
