"""Whether bfloat16 pays on this machine: a measurement of a few milliseconds, done once in a process."""

import time
from functools import cache

import torch

__all__ = ["bfloat16_pays"]

SHAPE = (128, 784, 400)
"""Rows, inputs and outputs of the layer that is timed: a hidden layer of a small image model."""


@cache
def bfloat16_pays(device: torch.device) -> bool:
    """True where a matrix product in bfloat16 takes less than two thirds of the time that float32 takes.

    Processors with bfloat16 instructions are four times as fast or more, those without are slower than in float32: no
    machine is near the threshold, so a resumed run decides as the first one did.

    Args:
        device: where to train; on CUDA the answer is always True.
    """
    if device.type == "cuda":
        return True
    b, i, o = SHAPE
    x, w = torch.ones(b, i, device=device), torch.ones(i, o, device=device)
    seconds = []
    for dtype in (torch.float32, torch.bfloat16):
        a, c = x.to(dtype), w.to(dtype)
        times: list[float] = []
        for _ in range(7):
            started = time.perf_counter()
            torch.mm(a, c)
            times.append(time.perf_counter() - started)
        # The least time is the one that no other process disturbed.
        seconds.append(min(times))
    return seconds[1] < seconds[0] / 1.5
