"""Batches of samples of one size each, so that no network ever sees padding."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from zsteer.core.batch import Batch
from zsteer.core.rng import Streams
from zsteer.errors import InputError

__all__ = ["BySize"]


@dataclass(frozen=True)
class BySize:
    """Batches from groups of samples; each comes from one group, and an epoch shows every sample once.

    Every epoch cuts each group into batches in an order of its own, the last one smaller, and shuffles all batches.

    Args:
        groups: samples that can be stacked, one batch for each size.
        size: samples in a batch.

    Raises:
        InputError: if there is no sample, or ``size`` is not positive.
    """

    groups: Sequence[Batch]
    size: int
    _epochs: dict[tuple[int, int], Tensor] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not self.groups:
            raise InputError("there is nothing to train on: no group has samples")
        if self.size < 1:
            raise InputError(f"expected a batch size of at least 1, got {self.size}")

    @property
    def batches(self) -> int:
        """Batches of an epoch."""
        return sum(-(-len(group) // self.size) for group in self.groups)

    def batch(self, update: int, rng: Streams) -> Batch:
        """The batch of an update."""
        epoch, place = divmod(update, self.batches)
        one = Streams.of(rng.seed, 1, start=epoch).child("sizes")
        key = (rng.seed, epoch)
        if key not in self._epochs:
            self._epochs.clear()
            self._epochs[key] = one.permutation("batches", self.batches)[0]
        slot = int(self._epochs[key][place])
        for number, group in enumerate(self.groups):
            count = -(-len(group) // self.size)
            if slot < count:
                order = one.permutation(f"group {number}", len(group))[0]
                return group.take(order[slot * self.size : (slot + 1) * self.size])
            slot -= count
        raise AssertionError("every slot belongs to a group")
