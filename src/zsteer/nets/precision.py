"""Half precision: whether bfloat16 pays on this machine, and the way out of it.

Layers may run in bfloat16; sums over pixels and losses must not.
"""

import time
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["at_least_single", "bfloat16_pays"]

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


def at_least_single(x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """``x`` in float32 if it is in half precision, else as it is."""
    return x.float() if x.dtype in {torch.bfloat16, torch.float16} else x
