"""Inversion there and back: how near test images come to themselves, by steps and corrections."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from zsteer.bench.diffusion.judging import shipped_model
from zsteer.core.rng import Streams
from zsteer.evaluate.report import Cell, Table
from zsteer.recipes.sets import load_set
from zsteer.sample.ddim import ddim
from zsteer.sample.invert import invert
from zsteer.train.threads import threads_of

__all__ = ["tables"]

Watch = Callable[[dict[str, Any]], None]
ROUNDS: Sequence[tuple[int, int]] = ((25, 1), (50, 1), (25, 2), (16, 3), (50, 2), (25, 4))


def tables(*, data: Path, quick: bool, watch: Watch) -> Sequence[Table]:
    """Round trips of test images.

    Args:
        data: the data folder.
        quick: few images and rounds.
        watch: called with progress.
    """
    model = shipped_model()
    n = 8 if quick else 128
    test = load_set("fashion-mnist", data).test.take(slice(n))
    x0, denoiser = model.states(test), model.denoiser({"class": test["y"]}, n)
    rows: list[list[Cell]] = []
    with threads_of(1):
        for steps, refine in ROUNDS[:3:2] if quick else ROUNDS:
            watch({"doing": f"{steps} steps, {refine} calls each"})
            started = time.process_time()
            found = invert(denoiser, x0, steps=steps, refine=refine)
            with torch.no_grad():
                back = ddim(denoiser, found.x, found.times, Streams.of(0, n))
            spent = time.process_time() - started
            error = ((back - x0) / 2).square().flatten(1).mean(1).clamp(min=1e-12)
            psnr = -10 * error.log10()
            noise = found.x.flatten(1)
            rows.append([f"{steps} steps, {refine} call(s) each", found.calls, steps, float(psnr.mean()),
                         float(psnr.quantile(0.05)), float(noise.std()), 1000 * spent / n])  # fmt: skip
    columns = ["inversion", "calls there", "calls back", "PSNR [dB]", "5 % quantile", "sd of x_T", "CPU-ms an image"]
    psnr = "PSNR in units of the pixels' range, mean and 5 % quantile over images"
    notes = [f"{n} test images under their own class, bfloat16 nets where they pay; DDIM back; {psnr}"]
    return [Table("Inversion there and back", columns, rows, notes)]
