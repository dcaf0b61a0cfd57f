"""``zsteer bench design``: refitting where everything is known, and on a measured protein landscape."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from zsteer.bench.parts import Parts
from zsteer.evaluate.report import Report

__all__ = ["PARTS", "bench"]

PARTS: Mapping[str, str] = MappingProxyType(
    {"exact": "zsteer.bench.design.exact:tables", "gb1": "zsteer.bench.design.gb1:tables"}
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
    parts = Parts("design", "Design under an oracle, measured", PARTS)
    return parts.run(quick=quick, data=data, part=part, watch=watch)
