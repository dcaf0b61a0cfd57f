"""Figures of a set with their bootstrap intervals: whole members are drawn again, with replacement.

A figure is a sum over members divided by another (stable atoms by atoms, novel names by names), or any function of how
often each member was drawn. The interval is the middle 95 % over the draws.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from zsteer.core.rng import Streams
from zsteer.evaluate.report import Interval

__all__ = ["Draws"]

Weighed = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True)
class Draws:
    """How often each of n members came in each draw.

    Args:
        counts: shape ``(draws, n)``.
        absent: members at the end of which no number is known: they fail in every share of all members.
    """

    counts: NDArray[np.float32]
    absent: int = 0

    @property
    def n(self) -> int:
        """Members, the absent ones among them."""
        return self.counts.shape[1]

    @staticmethod
    def of(n: int, rng: Streams, *, draws: int = 200, absent: int = 0) -> "Draws":
        """Draw all members with replacement, ``draws`` times.

        Args:
            n: members, the absent ones not among them.
            rng: streams, of which the first is used.
            draws: how often.
            absent: further members of which no number is known.
        """
        n += absent
        generator = rng.take(slice(0, 1)).bulk("bootstrap")
        counts = np.zeros((draws, n), np.float32)
        for k in range(draws if n else 0):
            chosen = torch.empty(n, dtype=torch.int64).random_(n, generator=generator)
            counts[k] = np.bincount(chosen.numpy(), minlength=n)
        return Draws(counts, absent)

    def only(self, members: NDArray[np.int64]) -> "Draws":
        """The same draws of some members: those of a part that was chosen by what its members are."""
        return Draws(self.counts[:, members])

    def first(self, n: int) -> "Draws":
        """The same draws of the first members that are there."""
        return Draws(self.counts[:, : min(n, self.n - self.absent)])

    def ratio(self, over: NDArray[np.generic], under: NDArray[np.generic] | None = None) -> Interval:
        """The sum of ``over`` divided by the sum of ``under`` (by the number of members if None).

        Args:
            over: one number for each member that is there; members whose ``under`` is 0 do not count.
            under: one number for each member that is there; absent ones do not count.
        """
        nothing = np.zeros(self.absent)
        above = np.concatenate([over.astype(np.float64), nothing])
        below = np.ones(len(above)) if under is None else np.concatenate([under.astype(np.float64), nothing])
        total = float(below.sum())
        if total == 0:
            return Interval(float("nan"), float("nan"), float("nan"), 0)
        apart = self.counts @ below
        found = (self.counts @ above)[apart > 0] / apart[apart > 0]
        return _interval(float(above.sum()) / total, found, int((below > 0).sum()))

    def mean(self, values: NDArray[np.float64]) -> Interval:
        """The mean of what is not NaN."""
        there = np.isfinite(values)
        return self.ratio(np.where(there, values, 0.0), there)

    def of_function(self, value: float, again: Weighed, n: int, *, draws: int = 50) -> Interval:
        """A figure of the whole set, taken again for some of the draws, whose spread is laid around it.

        Distances between sets grow when members are drawn twice, so that the draws as they are would lie above the
        figure; no end is below 0.

        Args:
            value: the figure.
            again: the figure for each row of counts.
            n: members behind it.
            draws: how many are used.
        """
        found = again(self.counts[:draws, : self.n - self.absent].astype(np.float64))
        real = found[np.isfinite(found)]
        centred = real - np.median(real) + value if len(real) else real
        return _interval(value, np.maximum(centred, 0.0), n)


def _interval(value: float, draws: NDArray[np.float64], n: int) -> Interval:
    real = draws[np.isfinite(draws)]
    if not len(real):
        return Interval(value, float("nan"), float("nan"), n)
    low, high = np.quantile(real, [0.025, 0.975])
    return Interval(value, float(low), float(high), n)
