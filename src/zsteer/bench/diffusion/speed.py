"""Cost of a training step, of a denoiser call and of 64 samples, beside the U-Nets of two packages in the same run.

One thread throughout; times are CPU-seconds, the least of a few repeats after one to warm up. A step of ours is one of
the training loop with all that it does (batch, noise, loss, gradient, optimiser, average); the peers' step starts from
a batch that is there, and keeps no average.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from zsteer.bench.peers import PeerRun, run_peer
from zsteer.core.artifact import settings_from
from zsteer.core.rng import Streams
from zsteer.errors import CapabilityError
from zsteer.evaluate.report import Cell, Table
from zsteer.models.diffusion.ddpm import DDPM
from zsteer.recipes.diffusion.settings import DiffusionRecipe
from zsteer.steer.sampling import sample_by
from zsteer.train.loop import Fit

__all__ = ["PEERS", "tables"]

Watch = Callable[[dict[str, Any]], None]
PEERS: Sequence[tuple[str, str, str]] = (
    ("denoising-diffusion-pytorch", "ddp_unet.py", "Unet, dim 32, (1, 2, 4)"),
    ("diffusers", "diffusers_unet.py", "UNet2DModel, (32, 64, 128), 2 layers, attention at 14"),
)
"""Package, script and net of each peer."""
BATCH = 64
DEFAULT_STEPS = 1000
"""Network calls of a sample in both packages' own pipelines."""
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Cost:
    """What a net costs. [CPU-seconds]

    Args:
        step: a training step of 64 images.
        call: a call of the denoiser on 64 images.
        samples: 64 samples as the package draws them by default.
        parameters: number of weights.
    """

    step: float
    call: float
    samples: float
    parameters: int


def tables(*, data: Path, quick: bool, watch: Watch) -> Sequence[Table]:
    """The table of costs.

    Args:
        data: the data folder.
        quick: fewer repeats.
        watch: called with progress.
    """
    repeats = 2 if quick else 8
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        watch({"doing": "zsteer"})
        own, how = _own(data, repeats, 1 if quick else 3)
        found: list[tuple[str, str, PeerRun]] = []
        for name, script, net in PEERS:
            watch({"doing": name})
            found.append((name, net, run_peer(script, "step", repeats)))
        # Once more after the peers: a machine that slowed down or sped up meanwhile favours nobody.
        again, _ = _own(data, repeats, 0 if quick else 2)
        own = Cost(
            min(own.step, again.step), min(own.call, again.call), min(own.samples, again.samples), own.parameters
        )
    finally:
        torch.set_num_threads(threads)
    return [_table(own, how, found, repeats)]


def _own(data: Path, repeats: int, rounds: int) -> tuple[Cost, str]:
    """Our default model of images, as the recipe trains it.

    Args:
        data: the data folder.
        repeats: timed steps and calls.
        rounds: timed draws of 64 samples; infinity stands in their place where there is none.
    """
    made = settings_from(DiffusionRecipe, {}, where="ddpm").build(data, CPU)
    if made.source is None or made.plan is None or not isinstance(made.model, DDPM):
        raise CapabilityError("the ddpm recipe has nothing to train")
    model = made.model
    state = Fit(model, made.source, made.plan, seed=0)
    if made.plan.bf16 is None:
        raise CapabilityError("the ddpm recipe leaves the precision open")
    step = quickest(state.advance, repeats)
    model.eval()
    x, t = Streams.of(0, BATCH).normal("x", model.shape), torch.full((BATCH,), 0.5)
    y = torch.arange(BATCH) % len(model.settings.classes)

    def call() -> None:
        with torch.no_grad():
            model.predict(x, t, y)

    samples = math.inf
    for _ in range(rounds):
        started = time.process_time()
        sample_by(model, BATCH, {"class": "all"}, Streams.of(0, BATCH))
        samples = min(samples, time.process_time() - started)
    count = sum(weight.numel() for weight in model.parameters())
    how = f"bfloat16 autocast: {'yes' if made.plan.bf16 else 'no'}"
    return Cost(step, quickest(call, repeats), samples, count), how


def quickest(function: Callable[[], object], repeats: int) -> float:
    """Least CPU-seconds of a call, after one to warm up. [seconds]"""
    function()
    times: list[float] = []
    for _ in range(repeats):
        started = time.process_time()
        function()
        times.append(time.process_time() - started)
    return min(times)


def _table(own: Cost, how: str, found: Sequence[tuple[str, str, PeerRun]], repeats: int) -> Table:
    rows = [_row("zsteer, the ddpm recipe's default", own, own)]
    batch = f"batch {BATCH}, 1 x 28 x 28; least of {repeats} after one to warm up"
    peers = f"peers their default of {DEFAULT_STEPS:,} calls, from the call's cost"
    notes = [
        f"CPU-ms on one thread, {batch}; ours before and after the peers, {how}; times: the peer's over ours",
        f"64 samples: ours 20 steps of multistep2, measured; {peers}; classifier-free guidance doubles both",
    ]
    for name, net, run in found:
        if run.missing:
            rows.append([f"{name}: {run.missing}", *[float("nan")] * 7])
            continue
        step, call = float(run.figures["train_seconds"]), float(run.figures["call_seconds"])
        peer = Cost(step, call, DEFAULT_STEPS * call, int(run.figures["parameters"]))
        rows.append(_row(f"{name} {run.figures['version']}: {net}", peer, own))
    columns = ["net", "weights", "step", "step, times", "call", "call, times", "64 samples [CPU-s]", "samples, times"]
    return Table("Cost beside two packages' U-Nets", columns, rows, notes)


def _row(name: str, cost: Cost, own: Cost) -> list[Cell]:
    pairs = ((1000 * cost.step, cost.step / own.step), (1000 * cost.call, cost.call / own.call))
    return [name, cost.parameters, *(cell for pair in pairs for cell in pair), cost.samples, cost.samples / own.samples]
