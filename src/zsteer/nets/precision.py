"""Leaving half precision: layers may run in bfloat16, sums over pixels and losses must not."""

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["at_least_single"]


def at_least_single(x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """``x`` in float32 if it is in half precision, else as it is."""
    return x.float() if x.dtype in {torch.bfloat16, torch.float16} else x
