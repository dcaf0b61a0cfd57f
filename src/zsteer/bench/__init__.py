"""Benchmarks: one module each, one table each, peers and baselines in the same run. Imports no torch."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from zsteer.core.catalog import load_name
from zsteer.errors import InputError, nearest

if TYPE_CHECKING:
    from zsteer.evaluate.report import Report

__all__ = ["BENCHMARKS", "IN_PARTS", "benchmark"]

IN_PARTS = ("classical", "design", "diffusion", "faces", "molecules")
"""Benchmarks of which one part can be run."""

BENCHMARKS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "classical": (
            "zsteer.bench.classical:bench",
            "RBMs, autoencoders, GANs and distances of the lecture's first half, with peers",
        ),
        "defaults": (
            "zsteer.bench.defaults:bench",
            "recipes of rows, pictures and ratings at size xs on sets that nothing was tuned on, beside baselines",
        ),
        "design": (
            "zsteer.bench.design:bench",
            "refitting a generator to an oracle: exact spaces, where everything is known, and a measured protein",
        ),
        "diffusion": (
            "zsteer.bench.diffusion:bench",
            "diffusion of images and sequences: cost, quality, guidance, likelihood, inversion, with peers",
        ),
        "edit": (
            "zsteer.bench.edit:bench",
            "edits of a code: the share that arrives in one step and in a loop, leaks and nulls, images and a table",
        ),
        "faces": (
            "zsteer.bench.faces:bench",
            "drawn faces edited by a diffusion autoencoder: what arrives, what leaks, beside rivals and nulls",
        ),
        "loop": ("zsteer.bench.loop:bench", "what the training loop costs over the bare PyTorch step"),
        "matrix": ("zsteer.bench.matrix:bench", "every method on every model and property, run, or why it cannot"),
        "molecules": (
            "zsteer.bench.molecules:bench",
            "molecules: the network beside its peer, cost, evaluator, quality of small and drug-like ones, conditions",
        ),
        "scale": ("zsteer.bench.sequences.scale:bench", "time and memory of 200,000 receptors steered and evaluated"),
        "segments": ("zsteer.bench.classical.lines:bench", "the lecture's two segments in every distance"),
        "tcr": ("zsteer.bench.sequences.tables:bench", "the lecture's table of receptor engineering, with a judge"),
    }
)
"""Name -> function and what it measures."""


def benchmark(name: str) -> "Callable[..., Report]":
    """The function of a benchmark.

    Raises:
        InputError: if there is no such benchmark; the nearest name is given.
    """
    if name not in BENCHMARKS:
        raise InputError(nearest(name, BENCHMARKS, what="benchmark"))
    return load_name(BENCHMARKS[name][0])
