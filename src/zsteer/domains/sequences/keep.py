"""What stays of a sequence while the rest changes: residues at the ends, and the length."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from zsteer.core.batch import Batch
from zsteer.errors import InputError

__all__ = ["EndsKept", "LengthKept"]


def _lengths(x: Batch) -> Int[Tensor, " b"]:
    if x.mask is None:
        raise InputError("expected sequences with a mask (true on residues); encode them with their space")
    return x.mask.sum(1)


@dataclass(frozen=True)
class EndsKept:
    """The first and last residues stay.

    Args:
        count: at each end. [residues]
    """

    count: int = 3

    @property
    def text(self) -> str:
        """As the command line writes it."""
        return f"ends={self.count}"

    def holds(self, start: Batch, x: Batch) -> Bool[Tensor, " b"]:
        """Whether both ends are the start's."""
        a, b = start["tokens"], x["tokens"]
        n, m = _lengths(start), _lengths(x)
        kept = torch.ones(len(x), dtype=torch.bool, device=b.device)
        for k in range(self.count):
            inside = (k < n) & (k < m)
            kept = kept & inside & (a[:, min(k, a.shape[1] - 1)] == b[:, min(k, b.shape[1] - 1)])
            last_a, last_b = (n - 1 - k).clamp(min=0), (m - 1 - k).clamp(min=0)
            kept = kept & (a.gather(1, last_a[:, None])[:, 0] == b.gather(1, last_b[:, None])[:, 0])
        return kept


@dataclass(frozen=True)
class LengthKept:
    """The length stays."""

    @property
    def text(self) -> str:
        """As the command line writes it."""
        return "length=yes"

    def holds(self, start: Batch, x: Batch) -> Bool[Tensor, " b"]:
        """Whether the length is the start's."""
        return _lengths(start) == _lengths(x)
