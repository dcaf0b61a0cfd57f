r"""Two baselines of cut pictures, both counted: every pixel by itself, and every pixel given those before it.

The second reads in order and knows the pixels to the left, above left, above and above right; a context that is rare at
its place leans on the same context anywhere, and that on the place alone,

.. math:: p_i(x | c) = \frac{N_i(c x) + a\, p(x | c)}{N_i(c) + a}, \quad
          p(x | c) = \frac{N(c x) + a\, p_i(x)}{N(c) + a},

with the strength a chosen on validation pictures. It is a true likelihood: an autoregressive model without a network.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zsteer.core.batch import Batch

__all__ = ["Counted", "context_bits", "independent_bits"]

STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0)


@dataclass(frozen=True)
class Counted:
    """A figure of a counted baseline.

    Args:
        bits: a pixel.
        se: standard error over pictures.
    """

    bits: float
    se: float

    @staticmethod
    def of(nats: Float[Tensor, " b"], pixels: int) -> "Counted":
        """From the nats of each picture."""
        unit = pixels * math.log(2)
        return Counted(float(nats.mean()) / unit, float(nats.std()) / math.sqrt(len(nats)) / unit)


def _levels(x: Batch) -> Int[Tensor, "b h w"]:
    return x["x"].long()[:, 0]


def _by_place(x: Int[Tensor, "b n"], levels: int) -> Float[Tensor, "n k"]:
    """How often each level is at each place, each counted half a time more."""
    n = x.shape[1]
    flat = (torch.arange(n) * levels + x).flatten()
    counts = torch.bincount(flat, minlength=n * levels).reshape(n, levels).double() + 0.5
    return counts / counts.sum(1, keepdim=True)


def independent_bits(train: Batch, test: Batch, levels: int) -> Counted:
    """Every pixel by how often each level is at its place in the training pictures."""
    a, b = _levels(train).flatten(1), _levels(test).flatten(1)
    table = _by_place(a, levels).log()
    return Counted.of(-table[torch.arange(b.shape[1]), b].sum(1), b.shape[1])


def _contexts(x: Int[Tensor, "b h w"], levels: int) -> Int[Tensor, "b n"]:
    """Number of the context of each pixel; beyond the edge stands level 0."""
    wide = torch.nn.functional.pad(x, (1, 1, 1, 0))
    h, w = x.shape[1:]
    around = [wide[:, 1:, :w], wide[:, :h, :w], wide[:, :h, 1 : w + 1], wide[:, :h, 2:]]
    number = torch.zeros_like(x)
    for part in around:
        number = number * levels + part
    return number.flatten(1)


def context_bits(train: Batch, valid: Batch, test: Batch, levels: int) -> Counted:
    """Every pixel given its four neighbours that were read before it."""
    a = _levels(train)
    n, contexts = a[0].numel(), levels**4
    flat, around = a.flatten(1), _contexts(a, levels)
    place = _by_place(flat, levels)
    anywhere = torch.bincount((around * levels + flat).flatten(), minlength=contexts * levels)
    here = torch.bincount(
        ((torch.arange(n) * contexts + around) * levels + flat).flatten(), minlength=n * contexts * levels
    )
    anywhere, here = anywhere.reshape(contexts, levels).double(), here.reshape(n, contexts, levels).double()

    def nats(x: Batch, strength: float) -> Float[Tensor, " b"]:
        pixels = _levels(x)
        at, own, where = _contexts(pixels, levels), pixels.flatten(1), torch.arange(n)
        wide = anywhere[at] + strength * place[where]
        wide = wide / wide.sum(-1, keepdim=True)
        found = here[where, at] + strength * wide
        found = found / found.sum(-1, keepdim=True)
        return -found.gather(-1, own[..., None])[..., 0].log().sum(1)

    best = min(STRENGTHS, key=lambda strength: float(nats(valid, strength).mean()))
    return Counted.of(nats(test, best), n)
