"""The distances against POT and scikit-learn: equal values, and CPU-seconds on one thread in the same run.

Peers run as subprocesses on the same numbers (``bench.peers``); where they are not installed the table says so.
"""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zsteer.bench.classical.lines import demo
from zsteer.bench.peers import PeerRun, run_peer
from zsteer.core.rng import Streams
from zsteer.evaluate.neighbours import neighbourhood
from zsteer.evaluate.report import Table
from zsteer.maths.distances import energy_distance, on_a_line, sliced_wasserstein, unit_directions, wasserstein
from zsteer.maths.kernels import median_square
from zsteer.maths.sinkhorn import sinkhorn_divergence

__all__ = ["tables"]

SHIFT = 0.5
REPEATS = 5


def _normals(n: int, d: int) -> tuple[Tensor, Tensor]:
    """N(0, I) and N(m, I) with |m| = SHIFT: the true W1 and W2 are SHIFT in any dimension."""
    a, b = (Streams.of(0, n).normal(name, (d,), dtype=torch.float64) for name in ("a", "b"))
    b[:, 0] += SHIFT
    return a, b


def _timed(function: Callable[[], Tensor], repeats: int = REPEATS) -> tuple[float, float]:
    """Value and least CPU-seconds; the least, since a busy machine only adds."""
    function()
    best, value = float("inf"), 0.0
    for _ in range(repeats):
        started = time.process_time()
        value = float(function())
        best = min(best, time.process_time() - started)
    return value, best


def _ours(a: Tensor, b: Tensor, directions: Tensor, epsilon: float) -> dict[str, tuple[float, float]]:
    return {
        "W1, exact": _timed(lambda: wasserstein(a, b)),
        "W2^2, exact": _timed(lambda: wasserstein(a, b, 2.0).square()),
        "sliced W2": _timed(lambda: sliced_wasserstein(a, b, directions)),
        "W1 on a line": _timed(lambda: on_a_line(a.flatten(), b.flatten())),
        "energy distance": _timed(lambda: energy_distance(a, b)),
        "Sinkhorn divergence": _timed(lambda: sinkhorn_divergence(a, b, epsilon), 1),
    }


def _rows(name: str, n: int, d: int) -> tuple[list[list[Any]], PeerRun]:
    a, b = _normals(n, d)
    directions = unit_directions(Streams.of(1, 100).normal("direction", (d,), dtype=torch.float64))
    epsilon = 0.05 * float(median_square(torch.cat([a, b])))
    own = _ours(a, b, directions, epsilon)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "samples.npz"
        np.savez(path, a=a.numpy(), b=b.numpy(), directions=directions.numpy(), epsilon=epsilon)
        peer = run_peer("pot_ot.py", path, REPEATS)
    return [[name, distance, *_cells(found, peer.figures.get(distance))] for distance, found in own.items()], peer


def _cells(own: tuple[float, float], peer: Mapping[str, float] | None) -> list[str]:
    value, seconds = own
    cells = [f"{value:.5g}", f"{1000 * seconds:.3g}"]
    if peer is None:
        return [*cells, "not there", "-", "-"]
    ratio = peer["seconds"] / max(seconds, 1e-9)
    return [*cells, f"{peer['value']:.5g}", f"{1000 * peer['seconds']:.3g}", f"{ratio:.1f}x"]


def _transport(*, quick: bool) -> Table:
    n = 300 if quick else 1000
    rows: list[list[Any]] = []
    missing = ""
    for d in (2, 64):
        found, peer = _rows(f"d={d}", n, d)
        rows += found
        missing = missing or peer.missing
    notes = [
        f"N(0, I) against N(m, I) with |m| = {SHIFT}, so the true W1 and W2 are {SHIFT}; n = {n} each, one set, seed 0",
        "what exact transport shows above the truth is the bias of finite samples; it grows with d: read it by a null",
        "CPU milliseconds, one thread, least of 5 (Sinkhorn: one run; POT in the log domain); float64 on both sides",
    ]
    if missing:
        notes.append(f"POT: {missing}")
    columns = ["data", "distance", "value", "CPU ms", "POT value", "POT CPU ms", "POT / ours"]
    return Table("Distances against POT", columns, rows, notes)


def _neighbours(*, quick: bool) -> Table:
    n, k = (1000 if quick else 5000), 5
    fake, real = (x.float() for x in _normals(n, 64))
    started = time.process_time()
    own = neighbourhood(fake, real, k)
    seconds = time.process_time() - started
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "samples.npz"
        np.savez(path, a=fake.numpy(), b=real.numpy())
        peer = run_peer("prdc_like.py", path, k)
    figures = [own.precision.value, own.recall.value, own.density, own.coverage.value]
    rows: list[list[Any]] = [["zsteer, in pieces", *(f"{x:.4f}" for x in figures), f"{seconds:.2f}"]]
    if peer.figures:
        names = ("precision", "recall", "density", "coverage")
        rows.append(
            ["dense, scikit-learn", *(f"{peer.figures[x]:.4f}" for x in names), f"{peer.figures['seconds']:.2f}"]
        )
    else:
        rows.append(["dense, scikit-learn", "-", "-", "-", "-", peer.missing])
    notes = [f"two sets of {n} in 64 dimensions, {k} neighbours, float32, one thread, one run each, seed 0"]
    columns = ["how", "precision", "recall", "density", "coverage", "CPU seconds"]
    return Table("Precision, recall, density, coverage", columns, rows, notes)


def tables(*, data: Path, quick: bool, watch: Callable[[dict[str, Any]], None]) -> Sequence[Table]:
    """Tables of the part ``distances``.

    Args:
        data: not needed.
        quick: smaller sets.
        watch: called with progress.
    """
    del data
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        watch({"step": 0, "steps": 3})
        transport = _transport(quick=quick)
        watch({"step": 1, "steps": 3})
        neighbours = _neighbours(quick=quick)
        watch({"step": 2, "steps": 3})
        return [*demo().tables, transport, neighbours]
    finally:
        torch.set_num_threads(threads)
