"""Fully connected networks, and dropout that draws from the samples' own streams."""

import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zsteer.core.rng import Streams

__all__ = ["MLP", "dropout"]


def dropout(x: Float[Tensor, "b ..."], rate: float, rng: Streams | None, purpose: str) -> Float[Tensor, "b ..."]:
    """Zero a share of the last axis and scale up the rest; one draw for each sample, shared by the axes between.

    Sharing the draw over positions (a channel is on or off for a whole sequence) is what recurrent nets need, and
    it keeps the cost of counter-based random numbers small.

    Args:
        x: first axis the sample, last axis the features.
        rate: share to drop.
        rng: one stream for each sample; None means evaluation: x is returned as it is.
        purpose: name of the draw.
    """
    if rng is None or rate == 0.0:
        return x
    keep = rng.uniform(purpose, (x.shape[-1],)) >= rate
    shape = (len(x), *(1,) * (x.ndim - 2), x.shape[-1])
    return x * keep.reshape(shape).to(x.dtype) / (1.0 - rate)


class MLP(nn.Module):
    """Linear layers with an activation between them.

    Args:
        sizes: width of the input, of each hidden layer, and of the output.
        slope: of LeakyReLU for negative values; 0 is ReLU.
    """

    def __init__(self, sizes: Sequence[int], *, slope: float = 0.0) -> None:
        super().__init__()
        pairs = itertools.pairwise(sizes)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairs)
        self.slope = slope

    def forward(self, x: Float[Tensor, "b i"]) -> Float[Tensor, "b o"]:
        """Map the features of each sample."""
        for layer in list(self.layers)[:-1]:
            hidden = layer(x)
            x = torch.nn.functional.leaky_relu(hidden, self.slope) if self.slope else torch.relu(hidden)
        return self.layers[-1](x)
