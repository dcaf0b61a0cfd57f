"""Bits per dimension of test images: every term of the bound, and its unbiased estimates with their errors."""

import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from zsteer.bench.diffusion.judging import shipped_model
from zsteer.core.rng import Streams
from zsteer.evaluate.report import Cell, Table
from zsteer.models.diffusion.bound import Bound
from zsteer.recipes.sets import load_set
from zsteer.train.threads import threads_of

__all__ = ["tables"]

Watch = Callable[[dict[str, Any]], None]
STRATA = (8, 32, 128)


def tables(*, data: Path, quick: bool, watch: Watch) -> Sequence[Table]:
    """The whole bound of some test images, estimates of the same, and the estimate over all of them.

    Args:
        data: the data folder.
        quick: few images and strata, no whole bound.
        watch: called with progress.
    """
    model = shipped_model()
    test = load_set("fashion-mnist", data).test
    some, every = (16, 32) if quick else (64, len(test))
    rows: list[list[Cell]] = []
    kept: Bound | None = None
    with threads_of(1):
        whole: list[tuple[int, int | None]] = [] if quick else [(some, None)]
        jobs = [*whole, *((some, calls) for calls in STRATA[: 2 if quick else None]), (every, 32)]
        for n, calls in jobs:
            watch({"doing": f"{n} images, {calls or 'all'} terms"})
            started = time.process_time()
            found = model.bound_of(test.take(slice(n)), Streams.of(0, n), calls=calls)
            spent = time.process_time() - started
            name = f"{n} images, {'every term' if calls is None else f'{calls} strata'}"
            parts = found.parts()
            rows.append([name, found.bits, found.se, parts["L_T"], parts["L_t"], parts["L_0"], spent])
            kept = found if calls is None or kept is None else kept
    settings = f"class-conditional, {model.settings.steps} steps, {model.settings.variance} variance, one thread"
    error = "+- is the standard error over images, and over times where strata are drawn"
    notes = [f"{settings}; {error}"]
    columns = ["estimate", "bits/dim", "+-", "L_T", "sum of L_t", "L_0", "CPU-seconds"]
    made = [Table("Bits per dimension of Fashion-MNIST test images", columns, rows, notes)]
    return [*made, _curve(kept)] if kept is not None else made


def _curve(found: Bound) -> Table:
    """The terms over t, in a few bands."""
    curve = found.curve()
    weights = found.sizes.tolist()
    edges = [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]
    rows: list[list[Cell]] = []
    for low, high in pairwise(edges):
        inside = [bits * size for (t, bits), size in zip(curve, weights, strict=True) if low < t <= high]
        if inside:
            rows.append([f"t = {low + 1} ... {high}" if high > low + 1 else f"t = {high}", sum(inside)])
    return Table("Where the bits are", ["times", "bits/dim"], rows, [f"mean over {len(found.far)} images"])
