"""``zsteer bench diffusion``: diffusion of images and sequences, part by part, peers and baselines beside it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from zsteer.bench.parts import Parts
from zsteer.evaluate.report import Report

__all__ = ["PARTS", "bench"]

PARTS: Mapping[str, str] = MappingProxyType(
    {
        "speed": "zsteer.bench.diffusion.speed:tables",
        "peers": "zsteer.bench.diffusion.against:tables",
        "quality": "zsteer.bench.diffusion.quality:tables",
        "latency": "zsteer.bench.diffusion.quality:latency",
        "guidance": "zsteer.bench.diffusion.guidance:tables",
        "properties": "zsteer.bench.diffusion.guidance:properties",
        "truth": "zsteer.bench.diffusion.truth:tables",
        "likelihood": "zsteer.bench.diffusion.likelihood:tables",
        "inversion": "zsteer.bench.diffusion.inversion:tables",
        "multinomial": "zsteer.bench.multinomial:tables",
    }
)
"""Part -> the function that makes its tables."""


def bench(
    *,
    quick: bool = False,
    data: Path | None = None,
    part: str | None = None,
    models: Path | None = None,
    watch: Callable[[dict[str, Any]], None] | None = None,
) -> Report:
    """Run the parts: ``Parts.run`` says what is needed and refused."""
    parts = Parts("diffusion", "Diffusion models, measured", PARTS)
    return parts.run(quick=quick, data=data, part=part, watch=watch, models=models)
