"""What ours and two packages' U-Nets learn of Fashion-MNIST in the same CPU-seconds, judged by the same nets.

Each trains on one thread until its CPU-seconds are used up, then draws images of the ten classes in turn with its own
sampler. The peers keep their optimisers and averages, but learn ten times as fast as by their default rate of 1e-4,
which serves them: the budget is a few hundred steps of theirs. Their 1,000 calls a sample are cut to 25 steps of their
own DDIM, since the default would take hours.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from zsteer.bench.diffusion.judging import Judge, Judged, drawn, judge_of
from zsteer.bench.diffusion.speed import CPU, PEERS, quickest
from zsteer.bench.peers import run_peer
from zsteer.core.artifact import settings_from
from zsteer.domains.images import files
from zsteer.domains.images.space import ImageSpace
from zsteer.errors import CapabilityError
from zsteer.evaluate.report import Cell, Table
from zsteer.models.diffusion.ddpm import DDPM
from zsteer.recipes.base import Experiment
from zsteer.recipes.diffusion.settings import DiffusionRecipe
from zsteer.train.loop import Fit
from zsteer.train.threads import threads_of

__all__ = ["tables"]

Watch = Callable[[dict[str, Any]], None]
PEER_STEPS, PEER_RATE = 25, 1e-3
SCALES = (1.0, 2.0)


def tables(*, data: Path, quick: bool, watch: Watch) -> Sequence[Table]:
    """The table of what is learnt.

    Args:
        data: the data folder.
        quick: a training of 5 CPU-seconds each, whose samples mean little.
        watch: called with progress.
    """
    seconds, n = (5.0, 20) if quick else (200.0, 256)
    with threads_of(1):
        judge = judge_of(data, quick=quick)
        rows = _own(data, seconds, n, judge, watch, least=4 if quick else 10)
        for name, script, _ in PEERS:
            watch({"doing": f"{name}, {seconds:.0f} CPU-seconds of training"})
            rows.append(_peer(name, script, data, seconds, n, judge, PEER_STEPS if not quick else 5))
        rows.append(["training images (null)", "", "", *_figures(judge.null(n)), ""])
    what = f"Frechet distance in the features of the shipped net (not FID), {n} samples against all test images"
    agreement = "agreement: share put into the requested class by a classifier trained apart"
    guides = "denoising-diffusion-pytorch with its own guidance (scale 6), diffusers with class embedding"
    notes = [
        f"{judge.name}: {what}; {agreement}",
        f"peers: learning rate {PEER_RATE:g}, ten times their default; {guides}",
        "ours: the ddpm recipe's default with as many updates as fit; 20 steps of multistep2; scale 1 is no guidance",
    ]
    columns = ["model", "updates", "training", judge.name, "agreement", "variety", "CPU-ms a sample"]
    return [Table(f"Learnt in {seconds:.0f} CPU-seconds from scratch", columns, rows, notes)]


def _build(data: Path, steps: int | None) -> Experiment[DDPM]:
    return settings_from(DiffusionRecipe, {} if steps is None else {"steps": steps}, where="ddpm").build(data, CPU)


def _own(data: Path, seconds: float, n: int, judge: Judge, watch: Watch, *, least: int) -> list[list[Cell]]:
    """As many updates as fit, found by timing a few; then trained from scratch by that plan."""
    watch({"doing": f"zsteer, {seconds:.0f} CPU-seconds of training"})
    pilot = _build(data, None)
    if pilot.source is None or pilot.plan is None:
        raise CapabilityError("the ddpm recipe has nothing to train")
    one = quickest(Fit(pilot.model, pilot.source, pilot.plan, seed=0).advance, least // 2)
    steps = max(least, int(0.93 * seconds / one))  # the quickest of a few is quicker than the mean of many
    made = _build(data, steps)
    started = time.process_time()
    found = made.train(seed=0)
    spent = time.process_time() - started
    rows: list[list[Cell]] = []
    for scale in SCALES:
        images, y, took = drawn(found.eval(), n, {"scale": scale})
        judged = judge.of(images, y)
        rows.append([f"zsteer, scale {scale:g}", steps, spent, *_figures(judged), 1000 * took / n])
    return rows


def _peer(name: str, script: str, data: Path, seconds: float, n: int, judge: Judge, steps: int) -> list[Cell]:
    """A peer's training and samples; where it is not there, the reason."""
    path = data / "images" / "fashion_mnist.npz"
    with tempfile.TemporaryDirectory() as folder:
        run = run_peer(script, "train", path, seconds, n, steps, PEER_RATE, folder, timeout=7200.0)
        if run.missing:
            return [f"{name}: {run.missing}", *[float("nan")] * 6]
        made = files.read(Path(folder) / run.figures["file"])
    if made.labels is None:
        raise CapabilityError(f"{name} gave images without classes")
    height, width = made.pixels.shape[1:]
    found = judge.of(ImageSpace(1, height, width).encode(made.pixels), torch.from_numpy(made.labels))
    facts = run.figures
    title = f"{name} {facts['version']}, {facts['sampler']}"
    spent = float(facts["train_seconds"])
    return [title, int(facts["steps"]), spent, *_figures(found), 1000 * facts["sample_seconds"] / n]


def _figures(found: Judged) -> tuple[float, float, float]:
    return found.distance, found.agreement, found.variety
