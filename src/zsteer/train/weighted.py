"""Data order as a function of the update, for tables that are not drawn row by row alike."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.core.batch import Batch
from zsteer.core.protocols import Source
from zsteer.core.rng import Streams
from zsteer.errors import InputError

__all__ = ["Balanced", "Joined", "Resampled"]


@dataclass(frozen=True)
class Balanced:
    """Batches in which rare classes come more often: a class is drawn with weight count^power, then rows of it.

    Args:
        data: all samples.
        by: field that holds the class of each sample, a count from 0.
        size: samples in a batch.
        power: 1 draws rows alike, 0 draws classes alike.
        group: rows of the same class that are drawn together.

    Raises:
        InputError: if there is no sample, or ``size`` is no multiple of ``group``.
    """

    data: Batch
    by: str
    size: int
    power: float = 0.5
    group: int = 1
    _order: Tensor = field(init=False, repr=False)
    _starts: Tensor = field(init=False, repr=False)
    _counts: Tensor = field(init=False, repr=False)
    _edges: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if len(self.data) == 0:
            raise InputError("there is nothing to train on: the table has no rows")
        if self.size < 1 or self.group < 1 or self.size % self.group:
            raise InputError(f"expected a batch size that is a multiple of group={self.group}, got {self.size}")
        classes = self.data[self.by]
        counts = torch.bincount(classes)
        weight = torch.where(counts > 0, counts.double() ** self.power, 0.0)
        object.__setattr__(self, "_order", torch.argsort(classes, stable=True))
        object.__setattr__(self, "_starts", counts.cumsum(0) - counts)
        object.__setattr__(self, "_counts", counts)
        object.__setattr__(self, "_edges", weight.cumsum(0) / weight.sum())

    def batch(self, update: int, rng: Streams) -> Batch:
        """The batch of an update, shape ``(size, ...)``."""
        del update  # the stream's id is the update
        groups = self.size // self.group
        u = rng.uniform("class", (groups,), dtype=torch.float64)[0].to(self._edges.device)
        chosen = torch.searchsorted(self._edges, u).clamp(max=len(self._edges) - 1)
        v = rng.uniform("row", (groups, self.group), dtype=torch.float64)[0].to(self._edges.device)
        rows = self._starts[chosen][:, None] + (v * self._counts[chosen][:, None]).long()
        return self.data.take(self._order[rows.flatten()])


@dataclass(frozen=True)
class Joined:
    """Batches of several sources together, in an order of their own.

    The order matters when processes share a batch: each gets some of every source.

    Args:
        sources: each gives its part of every batch.
    """

    sources: Sequence[Source]

    def batch(self, update: int, rng: Streams) -> Batch:
        """The parts of an update, mixed."""
        parts = [source.batch(update, rng.child(f"part {number}")) for number, source in enumerate(self.sources)]
        whole = Batch.cat(parts)
        return whole.take(rng.permutation("mix", len(whole))[0].to(whole.device))


@dataclass(frozen=True)
class Resampled:
    """Batches whose rows are drawn in proportion to their weights, so that a plain mean is the weighted one.

    Args:
        data: all samples.
        weight: of each, not negative.
        size: samples in a batch.

    Raises:
        InputError: if no weight is positive, or one is negative or not finite.
    """

    data: Batch
    weight: Float[Tensor, " n"]
    size: int

    def __post_init__(self) -> None:
        good = torch.isfinite(self.weight) & (self.weight >= 0)
        if not bool(good.all()) or not float(self.weight.sum()) > 0:
            raise InputError("expected weights that are finite and not negative, one at least positive")

    def batch(self, update: int, rng: Streams) -> Batch:
        """The batch of an update, shape ``(size, ...)``."""
        del update  # the stream's id is the update
        edges = self.weight.double().cumsum(0)
        u = rng.uniform("row", (self.size,), dtype=torch.float64)[0].to(edges.device)
        return self.data.take(torch.searchsorted(edges, u * edges[-1]).clamp(max=len(edges) - 1))
