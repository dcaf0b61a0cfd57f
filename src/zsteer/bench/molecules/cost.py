"""What a training step of EDM costs: operations counted, time measured on a processor, and a projection to a GPU.

Operations are those of the matrix products of one step, forward and backward, counted by PyTorch as it runs; the rest
is below a percent of them. A projection is a division: counted operations over a stated share of a device's rate.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from zsteer.bench.molecules.kernel import edm_model
from zsteer.core.batch import Batch
from zsteer.core.rng import Streams
from zsteer.evaluate.report import Cell, Table
from zsteer.models.edm.edm import EDM
from zsteer.train.threads import threads_of

__all__ = ["BATCH", "step_operations", "tables"]

Watch = Callable[[dict[str, Any]], None]
BATCH, SIZE = 64, 18
"""Molecules of a step as published, and atoms of a mean molecule of QM9."""
TRAINING, EPOCHS = 100_000, 1100
"""Molecules of the training set, and epochs of the published model (its author's word)."""
DEVICES = (("H100 or H200, dense bfloat16", 989e12),)
"""Operations a second as the maker states them."""
SHARES = (0.05, 0.1, 0.2)


def molecules(n: int, size: int) -> Batch:
    """Atoms at random places: the cost of a step does not depend on where they are."""
    rng = Streams.of(0, n)
    z = torch.tensor([1, 6, 7, 8, 9])[rng.integers("z", 5, (size,))]
    none = torch.zeros(n, size, size, dtype=torch.long)
    fields = {"xyz": 2 * rng.normal("xyz", (size, 3)), "z": z, "charge": torch.zeros_like(z)}
    fields |= {"hydrogens": torch.zeros_like(z), "bond": none, "aromatic": none.bool()}
    return Batch(fields, torch.ones(n, size, dtype=torch.bool))


def _step(model: EDM, x: Batch) -> None:
    losses = model.losses(x, "denoiser", Streams.of(0, len(x)))
    torch.stack([value.mean() for value in losses.values()]).sum().backward()


def step_operations(model: EDM, x: Batch) -> int:
    """Operations of one step, forward and backward; a multiplication and an addition are two."""
    with FlopCounterMode(display=False) as counter:
        _step(model, x)
    return counter.get_total_flops()


def tables(*, quick: bool, watch: Watch) -> Sequence[Table]:
    """Operations of a step, seconds on a processor, and the projection.

    Args:
        quick: fewer molecules and repeats.
        watch: called with progress.
    """
    n, repeats = (8, 1) if quick else (BATCH, 3)
    model, x = edm_model(), molecules(n, SIZE)
    rows: list[list[Cell]] = []
    with threads_of(1):
        watch({"doing": "counting operations"})
        operations = step_operations(model, x) / n
        for half in (False, True):
            watch({"doing": f"a step, {'bfloat16' if half else 'float32'}"})
            best = float("inf")
            for _ in range(repeats):
                start = time.process_time()
                with torch.autocast("cpu", torch.bfloat16, enabled=half):
                    _step(model, x)
                best = min(best, time.process_time() - start)
            kind = "bfloat16" if half else "float32"
            rows.append(
                [f"this processor, one thread, {kind}", n, 1e-9 * operations, best / n, operations * n / best / 1e9]
            )
    measured = Table(
        f"A training step of EDM (width 256, 9 layers), molecules of {SIZE} atoms without padding",
        ["where", "molecules", "GFLOP / molecule", "CPU-s / molecule", "GFLOP / s"],
        rows,
        ("operations of matrix products, forward and backward, counted as they run; loss and gradient, no optimiser",),
    )
    whole = operations * TRAINING * EPOCHS
    projected: list[list[Cell]] = [
        [name, 100 * share, share * rate / 1e12, whole / (share * rate) / 3600, 100 * 3600 * share * rate / whole]
        for name, rate in DEVICES
        for share in SHARES
    ]
    return [
        measured,
        Table(
            f"PROJECTION, not measured: {EPOCHS} epochs of {TRAINING} molecules, {whole:.2e} operations",
            ["device", "utilisation %", "TFLOP / s", "hours", "% of the epochs in an hour"],
            projected,
            ("hours = counted operations / (utilisation x the maker's rate); no GPU was used for these numbers",),
        ),
    ]
