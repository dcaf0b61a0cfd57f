"""Quality against steps: solvers, network calls, Frechet distance, agreement and CPU-seconds, beside 1,000 steps."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from zsteer.bench.diffusion.judging import Judge, Judged, drawn, judge_of, shipped_model
from zsteer.core.rng import Streams
from zsteer.evaluate.report import Cell, Table
from zsteer.models.diffusion.ddpm import DDPM
from zsteer.sample.solvers import SOLVERS
from zsteer.steer.sampling import sample_by
from zsteer.train.threads import threads_of

__all__ = ["latency", "steps_table", "tables"]

Watch = Callable[[dict[str, Any]], None]
WALKS: Sequence[tuple[str, int]] = (
    ("multistep2", 5),
    ("multistep2", 10),
    ("multistep2", 15),
    ("multistep2", 20),
    ("corrected", 10),
    ("corrected", 15),
    ("corrected", 20),
    ("sde2", 10),
    ("sde2", 15),
    ("sde2", 20),
    ("multistep3", 10),
    ("multistep3", 20),
    ("heun", 10),
    ("ddim", 20),
    ("ddim", 50),
    ("ancestral", 20),
    ("ancestral", 100),
    ("ancestral", 1000),
)


def tables(*, data: Path, quick: bool, watch: Watch) -> Sequence[Table]:
    """Quality against steps.

    Args:
        data: the data folder.
        quick: few samples and walks.
        watch: called with progress.
    """
    return [steps_table(shipped_model(), data, quick=quick, watch=watch)]


def latency(*, data: Path, quick: bool, watch: Watch) -> Sequence[Table]:
    """The wall time of one batch of samples.

    Args:
        data: not used; the shipped model needs none.
        quick: 16 samples, once after one to warm up.
        watch: called with progress.
    """
    del data
    return [_wall(shipped_model(), watch, *((16, 1) if quick else (64, 3)))]


def steps_table(model: DDPM, data: Path, *, quick: bool, watch: Watch) -> Table:
    """The walks of ``WALKS``, on the same noise.

    Args:
        model: the model.
        data: the data folder.
        quick: 30 samples, and no walk of more than 10 steps.
        watch: called with progress.
    """
    n = 30 if quick else 1000
    with threads_of(1):
        judge = judge_of(data, quick=quick)
        rows: list[list[Cell]] = []
        for solver, steps in WALKS:
            if quick and steps > 10:
                continue
            watch({"doing": f"{solver}, {steps} steps"})
            made, y, spent = drawn(model, n, {"solver": solver, "steps": steps})
            calls = SOLVERS[solver].count(steps)
            rows.append([solver, steps, calls, *_figures(judge.of(made, y)), 1000 * spent / n])
        rows.append(["training images (null)", "", "", *_figures(judge.null(n)), ""])
    columns = ["solver", "steps", "calls", judge.name, "agreement", "variety", "CPU-ms a sample"]
    return Table("Quality against steps, class-conditional Fashion-MNIST", columns, rows, _notes(judge, n))


def _figures(found: Judged) -> tuple[float, float, float]:
    return found.distance, found.agreement, found.variety


def _notes(judge: Judge, n: int) -> list[str]:
    what = f"Frechet distance in the features of the shipped net (not FID), {n} samples against all test images"
    agreement = (
        f"share put into the requested class by a classifier trained apart, right for {judge.accuracy:.3f} of test"
    )
    variety = "distance between images of one class over that of test images"
    return [f"{judge.name}: {what}; the same noise in every walk", f"agreement: {agreement} images; variety: {variety}"]


def _wall(model: DDPM, watch: Watch, n: int, repeats: int) -> Table:
    """Samples in 20 calls: seconds on one and on two cores."""
    rows: list[list[Cell]] = []
    threads = torch.get_num_threads()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    for count in sorted({1, min(2, os.cpu_count() or 1)}):
        watch({"doing": f"{n} samples, {count} thread(s)"})
        torch.set_num_threads(count)
        wall, spent = [], []
        for _ in range(repeats + 1):
            started, used = time.perf_counter(), time.process_time()
            sample_by(model, n, {"class": "all"}, Streams.of(0, n))
            wall.append(time.perf_counter() - started)
            spent.append(time.process_time() - used)
        rows.append([f"{count} thread(s)", min(wall[1:]), min(spent[1:])])
    torch.set_num_threads(threads)
    least = f"least of {repeats} after one to warm up"
    notes = [f"20 steps of multistep2, one network call each; {least}; load of the machine {load:.1f}"]
    return Table(f"{n} samples", ["", "seconds", "CPU-seconds"], rows, notes)
