r"""How well distributions over levels predict ratings.

.. math:: \text{RMSE} = \sqrt{\tfrac1n \sum_i (E_i - r_i)^2}, \quad \text{MAE} = \tfrac1n \sum_i |E_i - r_i|,
          \quad \text{log-loss} = -\tfrac1n \sum_i \log p_i(r_i)

with the expectation E of each distribution. Ratings of one user are not independent, so intervals come from a bootstrap
over users. Calibration compares promised with observed shares.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zsteer.core.rng import Streams
from zsteer.errors import InputError

__all__ = ["Interval", "bootstrap", "calibration", "expectation", "figures", "spread_error"]

RESAMPLES = 1000


@dataclass(frozen=True)
class Interval:
    """A figure with the middle 95 % of its bootstrap distribution; NaN where there is but one user to draw."""

    value: float
    low: float
    high: float
    n: int

    @property
    def range(self) -> str:
        """Its ends; none where all figures come from one draw of users."""
        return "unknown (one user)" if math.isnan(self.low) else f"{self.low:.4f} to {self.high:.4f}"

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.range.replace(' to ', ', ')}]"


def expectation(log_p: Float[Tensor, "r k"], values: Float[Tensor, " k"]) -> Float[Tensor, " r"]:
    """Expected rating of each distribution."""
    return log_p.exp() @ values.to(log_p.dtype)


def figures(
    log_p: Float[Tensor, "r k"], level: Int[Tensor, " r"], values: Float[Tensor, " k"]
) -> Mapping[str, Float[Tensor, " r"]]:
    """Squared error, absolute error and log-loss of each rating. [rating^2, rating, nats]

    Args:
        log_p: log-probability of each level.
        level: the true levels.
        values: what the levels are worth.
    """
    if len(level) == 0:
        raise InputError("there is no rating to judge by: the test part is empty")
    error = expectation(log_p, values) - values.to(log_p.dtype)[level]
    chosen = log_p.gather(1, level[:, None])[:, 0]
    return {"squared error": error.square(), "absolute error": error.abs(), "log-loss": -chosen}


def bootstrap(values: Float[Tensor, " r"], user: Int[Tensor, " r"], *, root: bool = False, seed: int = 0) -> Interval:
    """Mean of a figure over ratings with its interval over users: whole users are drawn with replacement.

    Args:
        values: one for each rating.
        user: whose rating it is.
        root: give the square root of the mean (RMSE from squared errors).
        seed: of the draws.
    """
    _, person = torch.unique(user, return_inverse=True)
    count = int(person.max()) + 1
    middle = float(values.double().mean().sqrt() if root else values.double().mean())
    if count == 1:
        return Interval(middle, math.nan, math.nan, len(values))
    total = torch.zeros(count, dtype=torch.float64).index_add(0, person, values.double())
    size = torch.bincount(person, minlength=count).double()
    means: list[Tensor] = []
    for piece in range(0, RESAMPLES, 100):  # pieces bound the memory for many users
        drawn = Streams.of(seed, 100, start=piece).child("bootstrap").integers("users", count, (count,))
        means.append(total[drawn].sum(1) / size[drawn].sum(1))
    spread = torch.cat(means).sqrt() if root else torch.cat(means)
    low, high = torch.quantile(spread, torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return Interval(middle, low, high, len(values))


def calibration(
    log_p: Float[Tensor, "r k"], level: Int[Tensor, " r"], bins: int = 10
) -> list[tuple[float, float, float, int]]:
    """Promised against observed: every level of every rating is one statement "with probability p".

    Args:
        log_p: log-probability of each level.
        level: the true levels.
        bins: statements are grouped by p into this many equal ranges.

    Returns:
        For each range that has any: its upper end, mean promise, observed share, number of statements.
    """
    p = log_p.exp().flatten().double()
    hit = torch.nn.functional.one_hot(level, log_p.shape[1]).flatten().double()
    where = (p * bins).long().clamp(max=bins - 1)
    count = torch.bincount(where, minlength=bins)
    promise, seen = (torch.zeros(bins, dtype=torch.float64).index_add(0, where, x) for x in (p, hit))
    return [
        ((k + 1) / bins, float(promise[k] / count[k]), float(seen[k] / count[k]), int(count[k]))
        for k in range(bins)
        if int(count[k])
    ]


def spread_error(rows: list[tuple[float, float, float, int]]) -> float:
    """Expected calibration error: mean gap of promise and observation, weighted by the number of statements."""
    total = sum(row[3] for row in rows)
    return sum(abs(row[1] - row[2]) * row[3] for row in rows) / max(total, 1)
