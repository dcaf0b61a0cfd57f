"""``zsteer bench diffusion``: diffusion of images and sequences, part by part, peers and baselines beside it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from zsteer.evaluate.report import Report
from zsteer.recipes.bench.parts import Parts

__all__ = ["PARTS", "bench"]

PARTS: Mapping[str, str] = MappingProxyType(
    {
        "speed": "zsteer.recipes.diffusion.bench.speed:tables",
        "peers": "zsteer.recipes.diffusion.bench.against:tables",
        "quality": "zsteer.recipes.diffusion.bench.quality:tables",
        "latency": "zsteer.recipes.diffusion.bench.quality:latency",
        "guidance": "zsteer.recipes.diffusion.bench.guidance:tables",
        "properties": "zsteer.recipes.diffusion.bench.guidance:properties",
        "truth": "zsteer.recipes.diffusion.bench.truth:tables",
        "likelihood": "zsteer.recipes.diffusion.bench.likelihood:tables",
        "inversion": "zsteer.recipes.diffusion.bench.inversion:tables",
        "multinomial": "zsteer.recipes.multinomial.bench:tables",
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
    """Run the parts: ``Parts.run`` says what is asked and refused."""
    parts = Parts("diffusion", "Diffusion models, measured", PARTS)
    return parts.run(quick=quick, data=data, part=part, watch=watch, models=models)
