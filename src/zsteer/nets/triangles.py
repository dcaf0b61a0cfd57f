r"""Products along triangles of undirected pairs: what a pair learns from the third atoms that it closes a ring with.

.. math:: c_{ij} = \frac{1}{\sqrt n} \sum_{k \ne i, j} a_{ik} b_{kj} + b_{ik} a_{kj} ,

for each channel on its own; c is the same for (i, j) and (j, i) as a and b are. Where a and b mark bonds, c counts the
paths of two bonds, and applied again those of three and four: nets that only sum over neighbours cannot tell rings by
their size, products of matrices can.

Source: Jumper et al., "Highly accurate protein structure prediction with AlphaFold", 2021 (triangle multiplicative
update); Maron et al., "Provably powerful graph networks", 2019 (why products of matrices).
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd import Function

__all__ = ["triangle_products"]

Map = Callable[[Tensor, int], Tensor]
"""Of a tensor, and the number of atoms."""


@lru_cache(maxsize=256)
def _places(n: int, device: torch.device) -> tuple[Int[Tensor, " s"], Int[Tensor, " p"], Int[Tensor, " p"]]:
    """The pair at each place of an n by n square, 0 on its diagonal; and both places of each pair."""
    i, j = torch.triu_indices(n, n, 1, device=device)
    square = torch.zeros(n, n, dtype=torch.long, device=device)
    square[i, j] = square[j, i] = torch.arange(len(i), device=device)
    return square.flatten(), i * n + j, j * n + i


def _spread(x: Float[Tensor, "b p k"], n: int) -> Float[Tensor, "b s k"]:
    """Pairs as symmetric squares, 0 on their diagonals."""
    found = x.index_select(1, _places(n, x.device)[0])
    found[:, :: n + 1] = 0
    return found


def _summed(x: Float[Tensor, "b s k"], n: int) -> Float[Tensor, "b p k"]:
    """Both places of each pair, added."""
    _, above, below = _places(n, x.device)
    return x.index_select(1, above).add_(x.index_select(1, below))


class _Mapped(Function):
    """A linear map with its transpose as gradient. torch's own of a gather adds one number at a time."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, n: int, there: Map, back: Map) -> Tensor:
        ctx.n, ctx.back = n, back
        return there(x, n)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        return ctx.back(grads[0], ctx.n), None, None, None


def triangle_products(ab: Float[Tensor, "b p k2"], n: int) -> Float[Tensor, "b p k"]:
    """The products c of every pair, channel by channel.

    Args:
        ab: a and b, their channels side by side; pairs in the order of ``torch.triu_indices(n, n, 1)``.
        n: atoms.
    """
    batch, count, channels = ab.shape[0], ab.shape[1], ab.shape[2] // 2
    if not count:
        return ab[..., :channels]
    squares = _Mapped.apply(ab, n, _spread, _summed).transpose(1, 2).reshape(batch, 2, channels, n, n)
    a, b = (each.flatten(0, 1) for each in squares.unbind(1))
    products = (a @ b).reshape(batch, channels, n * n).transpose(1, 2).contiguous()
    return _Mapped.apply(products, n, _summed, _spread) / n**0.5
