"""What the training loop costs over the bare PyTorch step, in microseconds a step.

Both do the same work on the same batches: forward, backward, clipping, AdamW and the moving average. They run by turns
in blocks of steps, so that a noisy machine disturbs both alike; the figure is the median over pairs of blocks.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from zsteer.core.batch import Batch
from zsteer.core.protocols import Turn
from zsteer.core.rng import Streams, initialised
from zsteer.evaluate.report import Report, Table
from zsteer.train.ema import averaged
from zsteer.train.loop import Fit, Optim, Plan

__all__ = ["bench"]

D, B = 64, 64


class _Regression(nn.Module):
    """A small network, so that the loop's own cost shows."""

    def __init__(self) -> None:
        super().__init__()
        with initialised(0):
            self.net = nn.Sequential(nn.Linear(D, 128), nn.ReLU(), nn.Linear(128, 1))

    @property
    def turns(self) -> Sequence[Turn]:
        return (Turn("all"),)

    def players(self) -> Mapping[str, list[nn.Parameter]]:
        return {"all": list(self.parameters())}

    def losses(self, x: Batch, player: str, rng: Streams) -> Mapping[str, Tensor]:
        del player, rng
        return {"error": (self.net(x["x"])[:, 0] - x["y"]) ** 2}


class _Fixed:
    """The same batch again and again: data order is not what is measured."""

    def __init__(self) -> None:
        rng = Streams.of(1, B)
        x = rng.normal("x", (D,))
        self.x = Batch({"x": x, "y": x.sum(1)})

    def batch(self, update: int, rng: Streams) -> Batch:
        del update, rng
        return self.x


def _bare(source: _Fixed) -> Callable[[], None]:
    model, x = _Regression(), source.x
    optimiser, average = (
        torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0, fused=True),
        averaged(model, 0.999),
    )
    parameters = list(model.parameters())

    def step() -> None:
        loss = ((model.net(x["x"])[:, 0] - x["y"]) ** 2).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        if float(norm) > 1.0:
            nn.utils.clip_grads_with_norm_(parameters, 1.0, norm)
        optimiser.step()
        average.update_parameters(model)

    return step


def bench(*, quick: bool = False) -> Report:
    """Time the loop against the bare step.

    Args:
        quick: fewer blocks.

    Returns:
        A report with one table.
    """
    blocks, steps = (15, 100) if quick else (60, 200)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        source = _Fixed()
        fit = Fit(_Regression(), source, Plan(steps=10**9, optim=Optim(lr=1e-3), log_every=50), seed=0)
        bare = _bare(source)
        times: dict[str, list[float]] = {"bare PyTorch step": [], "zsteer loop": []}
        for _ in range(blocks + 2):
            for name, step in (("bare PyTorch step", bare), ("zsteer loop", fit.advance)):
                started = time.perf_counter()
                for _ in range(steps):
                    step()
                times[name].append((time.perf_counter() - started) / steps * 1e6)
    finally:
        torch.set_num_threads(threads)
    pairs = [b - a for a, b in zip(*(series[2:] for series in times.values()), strict=True)]
    rows = [[name, statistics.median(series[2:])] for name, series in times.items()]
    rows.append(["overhead, median of pairs", statistics.median(pairs)])
    note = f"{blocks} pairs of blocks of {steps} steps, batch {B}, {D}-128-1 network, 1 thread; record every 50 steps"
    table = Table("Training loop against the bare step", ["what", "microseconds a step"], rows, [note])
    return Report("What the training loop costs", [f"The loop adds {statistics.median(pairs):.0f} us a step."], [table])
