"""What the two image diffusion peers share: clocks of CPU-seconds, Fashion-MNIST in, pictures out."""

import sys
import time
import types
from pathlib import Path

import numpy as np
import torch

BATCH = 64


def stub(*names):
    """Stand in for packages that a peer imports at its top and does not need for what is measured here."""
    for name in names:
        parts = name.split(".")
        for depth in range(1, len(parts) + 1):
            module = types.ModuleType(".".join(parts[:depth]))
            module.__getattr__ = lambda attribute: types.SimpleNamespace if attribute[:1] != "_" else None
            module.__path__ = []
            sys.modules.setdefault(module.__name__, module)


def quickest(function, repeats):
    """Least CPU-seconds of a call, after one to warm up. [seconds]"""
    function()
    times = []
    for _ in range(repeats):
        started = time.process_time()
        function()
        times.append(time.process_time() - started)
    return min(times)


def batches(path, seed):
    """Shuffled batches without end: pixels in [0, 1] of shape (64, 1, 28, 28), and classes."""
    with np.load(path, allow_pickle=False) as found:
        x, y = torch.from_numpy(found["x_train"][5000:]), torch.from_numpy(found["y_train"][5000:].astype(np.int64))
    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(len(x), generator=generator)
        for start in range(0, len(order) - BATCH + 1, BATCH):
            rows = order[start : start + BATCH]
            yield x[rows].float()[:, None] / 255, y[rows]


def trained(step, source, seconds):
    """Step until the CPU-seconds are used up; count, CPU-seconds and the mean loss of the last tenth."""
    started, losses = time.process_time(), []
    while time.process_time() - started < seconds or not losses:
        losses.append(step(*next(source)))
    last = losses[-max(1, len(losses) // 10) :]
    return {"steps": len(losses), "train_seconds": time.process_time() - started, "loss": sum(last) / len(last)}


def drawn(sample, n, out):
    """Draw n images with the ten classes in turn, and write them (x, y) to images.npz in the folder ``out``."""
    started = time.process_time()
    classes = torch.arange(n) % 10
    pieces = [sample(rows) for rows in classes.split(BATCH)]
    seconds = time.process_time() - started
    pixels = (torch.cat(pieces)[:, 0].clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    Path(out).mkdir(parents=True, exist_ok=True)
    np.savez_compressed(Path(out) / "images.npz", x=pixels, y=classes.numpy())
    return {"images": n, "sample_seconds": seconds, "file": "images.npz"}
