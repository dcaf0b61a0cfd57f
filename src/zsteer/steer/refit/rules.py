"""How a round's draws are weighed, by the name of the rule; each gives the draws to learn from and their level.

``cbas`` weighs everything that was drawn by prior, mixture of proposals and set, and raises the level as far as enough
effective draws remain. ``textbook`` is the lecture's Algorithm 1: the last round alone, the Q-th percentile. The others
are the same loop without the prior: ``dbas`` (the probability of the set), ``cem`` (the best of each round), ``rwr``
(weights that rise with the score) and ``fb`` (the best of all rounds beside the prior's draws).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.maths.adaptive import log_weight, percentile_level, sized_level
from zsteer.steer.refit.options import RefitOptions
from zsteer.steer.refit.pool import Pool

__all__ = ["RULES", "Weighted", "conditioned"]

LEVELS = 101
"""Thresholds to choose from: quantiles of what was drawn."""


@dataclass(frozen=True)
class Weighted:
    """Weights of all draws.

    Args:
        log_weights: of each, up to a constant; -inf for a draw that is not learned from. [nats]
        level: the set that they stand for.
    """

    log_weights: Float[Tensor, " n"]
    level: float


Rule = Callable[[Pool, RefitOptions, float, float], Weighted]
"""(pool, options, level before, level of the goal) -> weights."""


def conditioned(pool: Pool, level: float) -> Float[Tensor, " n"]:
    """Log-weights of all draws for the prior given the set of a level; of an exact model each thing counts once."""
    found = log_weight(pool.log_prior, pool.log_proposal(), pool.log_inside(level))
    return torch.where(pool.first(), found, -torch.inf) if pool.exact else found


def _cbas(pool: Pool, options: RefitOptions, before: float, goal: float) -> Weighted:
    reached = pool.levels()
    there = reached[reached > -torch.inf]
    if not len(there):
        return Weighted(torch.full_like(reached, -torch.inf), before)
    levels = torch.quantile(there, torch.linspace(0, 1, LEVELS, dtype=torch.float64))
    if goal < torch.inf:
        levels = torch.cat([levels, torch.tensor([goal], dtype=torch.float64)])
    inside = torch.stack([pool.log_inside(float(level)) for level in levels])
    ratio = conditioned(pool, -torch.inf)
    level = sized_level(levels, inside, ratio, least=options.effective, before=before, goal=goal)
    return Weighted(conditioned(pool, level), level)


def _percentile(pool: Pool, options: RefitOptions, before: float, goal: float) -> float:
    reached = pool.levels()[pool.last()]
    there = reached[reached > -torch.inf]
    return percentile_level(there, options.quantile, before, goal) if len(there) else before


def _of_last(pool: Pool, weights: Float[Tensor, " m"]) -> Float[Tensor, " n"]:
    """Weights of the last round's draws; none of the others."""
    found = torch.full((len(pool),), -torch.inf, dtype=torch.float64)
    found[pool.last()] = weights
    return found


def _textbook(pool: Pool, options: RefitOptions, before: float, goal: float) -> Weighted:
    level, last = _percentile(pool, options, before, goal), pool.last()
    weights = log_weight(pool.log_prior[last], pool.log_last, pool.log_inside(level)[last])
    return Weighted(_of_last(pool, weights), level)


def _dbas(pool: Pool, options: RefitOptions, before: float, goal: float) -> Weighted:
    level = _percentile(pool, options, before, goal)
    return Weighted(_of_last(pool, pool.log_inside(level)[pool.last()]), level)


def _cem(pool: Pool, options: RefitOptions, before: float, goal: float) -> Weighted:
    del before
    level = _percentile(pool, options, -torch.inf, goal)
    best = pool.levels()[pool.last()] >= level
    return Weighted(_of_last(pool, torch.where(best, 0.0, -torch.inf).double()), level)


def _rwr(pool: Pool, options: RefitOptions, before: float, goal: float) -> Weighted:
    reached = pool.levels()[pool.last()]
    return Weighted(_of_last(pool, options.alpha * reached), _percentile(pool, options, before, goal))


def _fb(pool: Pool, options: RefitOptions, before: float, goal: float) -> Weighted:
    level = _percentile(pool, options, before, goal)
    return Weighted(torch.where(pool.levels() >= level, 0.0, -torch.inf).double(), level)


RULES: Mapping[str, Rule] = MappingProxyType(
    {"cbas": _cbas, "textbook": _textbook, "dbas": _dbas, "cem": _cem, "rwr": _rwr, "fb": _fb}
)
"""By the name that ``--weights`` takes."""
