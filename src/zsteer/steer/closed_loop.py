r"""A closed loop over steps that a linear model foresees: measure, correct, keep the best of each row.

With u the change that the model foresees (one number for each property), the measured values are y = y_0 + B u, and

.. math:: u \leftarrow u + B^{-1} (y^t - y), \qquad B \leftarrow B + \frac{(\Delta y - B \Delta u) \Delta u^T}{\Delta u
          \cdot \Delta u}, \qquad B_0 = I .

That is Broyden's rule; with one property it is the secant.

Source: Broyden, "A class of methods for solving nonlinear simultaneous equations", Math. Comp. 1965.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = ["Loop", "Point", "broyden", "correct"]

LEAST_SLOPE = 0.2
"""Smallest singular value of B that is believed; below it the foreseen slope, I, is taken again."""
FARTHEST = 3.0
"""A correction is at most so many times as long as the first step, or so many standard deviations."""


@dataclass(frozen=True)
class Point:
    """Where each row is: the foreseen change and what was measured there.

    Args:
        u: foreseen change of each property.
        y: measured values; NaN where there is none.
    """

    u: Float[Tensor, "b k"]
    y: Float[Tensor, "b k"]

    def where(self, chosen: Bool[Tensor, " b"], other: "Point") -> "Point":
        """This point in the chosen rows, the other elsewhere."""
        rows = chosen[:, None]
        return Point(torch.where(rows, self.u, other.u), torch.where(rows, self.y, other.y))


def broyden(
    slope: Float[Tensor, "b k k"], du: Float[Tensor, "b k"], dy: Float[Tensor, "b k"]
) -> Float[Tensor, "b k k"]:
    """The slope that explains the last change and differs least from the one before; unchanged where nothing moved.

    Args:
        slope: B, measured change over foreseen change.
        du: last change of u.
        dy: last change of y.
    """
    square = du.square().sum(1)
    moved = (square > 0) & torch.isfinite(dy).all(1)
    wrong = dy - (slope @ du[:, :, None])[:, :, 0]
    update = wrong[:, :, None] * du[:, None, :] / torch.where(moved, square, 1.0)[:, None, None]
    found = torch.where(moved[:, None, None], slope + update, slope)
    weak = torch.linalg.svdvals(found)[:, -1] < LEAST_SLOPE
    eye = torch.eye(slope.shape[1], dtype=slope.dtype)
    return torch.where(weak[:, None, None], eye, found)


def correct(
    slope: Float[Tensor, "b k k"], residual: Float[Tensor, "b k"], farthest: Float[Tensor, " b"]
) -> Float[Tensor, "b k"]:
    """The change of u that closes a residual: B^-1 r, cut to a length; none where the residual is unknown."""
    step = torch.linalg.solve(slope, residual.nan_to_num(0.0)[:, :, None])[:, :, 0]
    length = step.norm(dim=1)
    return step * (farthest / length.clamp(min=1e-30)).clamp(max=1.0)[:, None]


@dataclass(frozen=True)
class Loop:
    """What a loop needs to know; values and changes in units in which the properties vary alike.

    Args:
        measure: foreseen changes of some rows, and which rows -> measured values.
        residual: values of all rows -> what is still missing of each.
        cost: values of all rows -> how bad each row is; infinite without a value.
        done: values of all rows -> whether each has arrived.
        calls: measurements that each row may take, that of the base not counted.
    """

    measure: Callable[[Float[Tensor, "a k"], Int[Tensor, " a"]], Float[Tensor, "a k"]]
    residual: Callable[[Float[Tensor, "b k"]], Float[Tensor, "b k"]]
    cost: Callable[[Float[Tensor, "b k"]], Float[Tensor, " b"]]
    done: Callable[[Float[Tensor, "b k"]], Bool[Tensor, " b"]]
    calls: int

    def run(self, base: Point, first: Float[Tensor, "b k"], *, measured: bool) -> "Found":
        """Take the first step, and correct it while rows have not arrived and may be measured.

        Args:
            base: u = 0 and the values there: measured, or only foreseen.
            first: the first step.
            measured: whether the base was measured, so that it can be returned and gives a slope.
        """
        b, k = first.shape
        slope = torch.eye(k, dtype=first.dtype).expand(b, k, k)
        farthest = FARTHEST * first.norm(dim=1).clamp(min=1.0)
        best, before, u = base, base, first
        active = ~self.done(base.y) if measured else torch.ones(b, dtype=torch.bool)
        spent, rounds = torch.zeros(b, dtype=torch.int64), list[dict[str, float]]()
        for turn in range(self.calls):
            rows = active.nonzero()[:, 0]
            if not len(rows):
                break
            y = torch.full_like(u, torch.nan)
            y[rows] = self.measure(u[rows], rows)
            spent[rows] += 1
            here = Point(u, y).where(active, best)
            if turn or measured:
                slope = torch.where(active[:, None, None], broyden(slope, here.u - before.u, here.y - before.y), slope)
            better = active & ((self.cost(here.y) < self.cost(best.y)) | (not turn and not measured))
            best, before = here.where(better, best), here.where(active, before)
            active = active & ~self.done(here.y)
            rounds.append(
                {
                    "round": float(turn),
                    "measured": float(len(rows)),
                    "reached": float(self.done(best.y).double().mean()),
                }
            )
            aim = best.u + correct(slope, self.residual(best.y), farthest)
            # Where nothing could be measured the way is halved: nearer to what is known there may be a value.
            lost = ~torch.isfinite(here.y).all(1, keepdim=True)
            known = torch.where(torch.isfinite(best.y).all(1, keepdim=True), best.u, 0.0)
            u = torch.where(lost, 0.5 * (known + here.u), aim)
        return Found(best, spent + measured, tuple(rounds))


@dataclass(frozen=True)
class Found:
    """What a loop found.

    Args:
        best: the best point of each row.
        spent: measurements of each row, that of the base with them.
        rounds: one mapping of figures for each round.
    """

    best: Point
    spent: Int[Tensor, " b"]
    rounds: tuple[dict[str, float], ...]
