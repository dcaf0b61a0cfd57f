"""Half precision: whether this machine has instructions for it, and the way out of it.

Layers may run in bfloat16; sums over pixels and losses must not. No clock decides: the same machine gives the same
weights each time, and a run keeps its answer in ``recipe.yaml``, so that it is resumed elsewhere as it began.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["at_least_single", "bfloat16_of", "bfloat16_pays", "lay_out"]

_CHOSEN: ContextVar[bool | None] = ContextVar("bfloat16", default=None)


def bfloat16_pays(device: torch.device) -> bool:
    """Whether products in bfloat16 are faster than in float32: on CUDA, and on processors with instructions for it.

    Args:
        device: where the product is taken.
    """
    chosen = _CHOSEN.get()
    if chosen is not None:
        return chosen
    if device.type == "cuda":
        return True
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # torch tells it under private names only
    return any(bool(getattr(torch.cpu, name, bool)()) for name in names)


@contextmanager
def bfloat16_of(chosen: bool) -> Iterator[None]:  # noqa: FBT001 - the answer itself
    """Compute as was chosen before, whatever this machine would choose."""
    token = _CHOSEN.set(chosen)
    try:
        yield
    finally:
        _CHOSEN.reset(token)


def lay_out(net: nn.Module, device: torch.device) -> None:
    """Put the channels of convolutions innermost in memory where bfloat16 is used: its kernels want them there."""
    if bfloat16_pays(device):
        net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - torch's stub lacks it


def at_least_single(x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """``x`` in float32 if it is in half precision, else as it is."""
    return x.float() if x.dtype in {torch.bfloat16, torch.float16} else x
