"""``zsteer bench faces``: edits of drawn faces whose true result is known, beside rivals and nulls, part by part."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from zsteer.bench.parts import Parts
from zsteer.evaluate.report import Report

__all__ = ["PARTS", "bench"]

PARTS: Mapping[str, str] = MappingProxyType(
    {
        "edits": "zsteer.bench.faces.edits:tables",
        "rivals": "zsteer.bench.faces.rivals:tables",
        "codes": "zsteer.bench.faces.codes:tables",
        "levels": "zsteer.bench.faces.levels:tables",
        "latency": "zsteer.bench.faces.codes:latency",
        "pixel-faces": "zsteer.bench.faces.pixel_faces:tables",
        "few-steps": "zsteer.bench.faces.few_steps:tables",
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
    parts = Parts("faces", "Drawn faces, edited and measured", PARTS)
    return parts.run(quick=quick, data=data, part=part, watch=watch)
