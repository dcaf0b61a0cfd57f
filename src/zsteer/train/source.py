"""Data order as a function of the update: shuffled epochs that need no state to resume."""

from dataclasses import dataclass, field

import torch

from zsteer.core.batch import Batch
from zsteer.core.rng import Streams
from zsteer.errors import InputError

__all__ = ["Shuffled"]


@dataclass(frozen=True)
class Shuffled:
    """Batches of a table that lies in memory; every epoch has its own order, drawn from the seed.

    Args:
        data: all samples.
        size: samples in a batch; a batch may span two epochs.

    Raises:
        InputError: if there is no sample, or ``size`` is not positive.
    """

    data: Batch
    size: int
    _orders: dict[tuple[int, int], torch.Tensor] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if len(self.data) == 0:
            raise InputError("there is nothing to train on: the table has no rows")
        if self.size < 1:
            raise InputError(f"expected a batch size of at least 1, got {self.size}")

    def batch(self, update: int, rng: Streams) -> Batch:
        """The batch of an update, shape ``(size, ...)``."""
        n = len(self.data)
        first, last = update * self.size, (update + 1) * self.size
        pieces = [
            self._order(epoch, rng)[max(first - epoch * n, 0) : min(last - epoch * n, n)]
            for epoch in range(first // n, (last - 1) // n + 1)
        ]
        return self.data.take(torch.cat(pieces))

    def _order(self, epoch: int, rng: Streams) -> torch.Tensor:
        key = (rng.seed, epoch)
        if key not in self._orders:
            while len(self._orders) >= 2:
                del self._orders[next(iter(self._orders))]
            one = Streams.of(rng.seed, 1, start=epoch).child("epoch")
            self._orders[key] = one.permutation("order", len(self.data))[0].to(self.data.device)
        return self._orders[key]
