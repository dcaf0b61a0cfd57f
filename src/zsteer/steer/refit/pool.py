"""``Pool``: what a refit has drawn and measured, with its log-densities under the prior and every model of a round.

An oracle is asked for every distinct thing once. Where the path of a draw is the draw itself, each thing stands in the
pool once and its prior density is exact; where a code ``z`` made it, every path counts as a draw of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from zsteer.core.batch import Batch
from zsteer.core.objective import Objective, Target
from zsteer.core.protocols import Refittable
from zsteer.maths.adaptive import log_mixture, log_prob_within
from zsteer.scoring.count import keys

__all__ = ["CODE", "Pool", "reach", "thing"]

CODE = "z"
"""Field of a path that is no part of the thing."""


def thing(path: Batch) -> Batch:
    """A draw without the code that made it."""
    return Batch({name: value for name, value in path.fields.items() if name != CODE}, path.mask)


def reach(targets: tuple[Target, ...], values: Mapping[str, Float[Tensor, " b"]]) -> Float[Tensor, " b"]:
    """The highest level whose set holds each thing: 0 inside every target, below it minus the widest gap, in spreads.

    A direction has no end: its level is the value itself, in spreads. What has no value has the level -inf.
    """
    found = [-target.gap(values[target.quantity.key]) / target.quantity.spread for target in targets]
    return torch.stack(found).amin(0).double().nan_to_num(nan=-torch.inf)


@dataclass
class Pool:
    """What has been drawn.

    Args:
        prior: the model that is trusted.
        objective: what is measured, and where it should lie.
        error: standard error of a measured value, in its own unit.
        most: distinct things that may be measured; None for no limit.
    """

    prior: Refittable
    objective: Objective
    error: float = 0.0
    most: int | None = None
    paths: list[Batch] = field(default_factory=list[Batch])
    models: list[Refittable] = field(default_factory=list[Refittable])

    def __post_init__(self) -> None:
        self._known: dict[bytes, tuple[float, ...]] = {}
        self._names: tuple[str, ...] = ()
        self._table = torch.zeros(0, 0, dtype=torch.float64)
        self._first = torch.zeros(0, dtype=torch.bool)
        self._counts: list[int] = []
        self._log_prior = torch.zeros(0, dtype=torch.float64)
        self._log_q = torch.zeros(0, 0, dtype=torch.float64)
        self._last = torch.zeros(0, dtype=torch.float64)

    @property
    def exact(self) -> bool:
        """Whether a draw is its own path."""
        return not self.paths or CODE not in self.paths[0]

    @property
    def calls(self) -> int:
        """Distinct things measured."""
        return len(self._known)

    @property
    def left(self) -> int | None:
        """Distinct things that may still be measured."""
        return None if self.most is None else self.most - self.calls

    def __len__(self) -> int:
        return len(self._log_prior)

    def new(self, path: Batch) -> Bool[Tensor, " b"]:
        """Which draws are things that were not measured before, the first of equal ones."""
        seen: set[bytes] = set()
        found: list[bool] = []
        for key in keys(thing(path)):
            found.append(key not in self._known and key not in seen)
            seen.add(key)
        return torch.tensor(found, dtype=torch.bool)

    def add(self, path: Batch, model: Refittable) -> None:
        """Measure what is new of a round's draws and keep them.

        Args:
            path: draws; of exact models only those that are new.
            model: who drew them.
        """
        names = keys(thing(path))
        fresh: dict[bytes, int] = {}
        for row, name in enumerate(names):
            if name not in self._known:
                fresh.setdefault(name, row)
        if fresh:
            found = self.objective.values(thing(path.take(torch.tensor(list(fresh.values())))))
            self._names = tuple(found)
            columns = [found[name].tolist() for name in self._names]
            self._known.update(zip(fresh, zip(*columns, strict=True), strict=True))
        with torch.no_grad():
            prior = self.prior.log_prob_of_path(path).double()
            self._last = model.log_prob_of_path(path).double()
            if CODE in path:
                self._widen(path, model)
        self.paths.append(path)
        self.models.append(model)
        self._counts.append(len(path))
        self._log_prior = torch.cat([self._log_prior, prior])
        rows = torch.tensor([self._known[name] for name in names], dtype=torch.float64)
        first = torch.tensor([fresh.get(name) == row for row, name in enumerate(names)], dtype=torch.bool)
        self._table = rows if len(self.paths) == 1 else torch.cat([self._table, rows])
        self._first = torch.cat([self._first, first])

    def _widen(self, path: Batch, model: Refittable) -> None:
        """Every draw under the new model, and the new draws under every model."""
        own = torch.stack([each.log_prob_of_path(path).double() for each in [*self.models, model]])
        before = torch.cat(
            [model.log_prob_of_path(piece).double() for piece in self.paths] or [torch.zeros(0, dtype=torch.float64)]
        )
        self._log_q = torch.cat([torch.cat([self._log_q, before[None]]), own], 1)

    def everything(self) -> Batch:
        """All draws, in the order in which they came."""
        return Batch.cat(self.paths)

    def values(self) -> dict[str, Float[Tensor, " n"]]:
        """Measured values of all draws, by the key of the property."""
        return {name: self._table[:, column] for column, name in enumerate(self._names)}

    def levels(self) -> Float[Tensor, " n"]:
        """``reach`` of all draws."""
        return reach(self.objective.targets, self.values())

    def first(self) -> Bool[Tensor, " n"]:
        """The first draw of each distinct thing."""
        return self._first

    @property
    def log_prior(self) -> Float[Tensor, " n"]:
        """Log-density of each draw with its path under the prior. [nats]"""
        return self._log_prior

    def log_proposal(self) -> Float[Tensor, " n"]:
        """Log-density of each draw under what the rounds drew from: the mixture of all of them. [nats]

        Of an exact model 0: what was measured is a list of distinct things, and the prior given that list and the set
        is known but for a constant, without the noise of any draw.
        """
        if self.exact:
            return torch.zeros_like(self._log_prior)
        return log_mixture(self._log_q, torch.tensor(self._counts, dtype=torch.float64))

    def last(self) -> Bool[Tensor, " n"]:
        """The draws of the last round."""
        return torch.arange(len(self)) >= len(self) - len(self._last)

    @property
    def log_last(self) -> Float[Tensor, " m"]:
        """Log-density of the last round's draws under the model that drew them. [nats]"""
        return self._last

    def log_inside(self, level: float) -> Float[Tensor, " n"]:
        """Log-probability that each draw lies in the set of a level; -inf where it has no value. [nats]"""
        if not self.error:
            reached = self.levels()
            return torch.where((reached >= level) & (reached > -torch.inf), 0.0, -torch.inf).double()
        values, total = self.values(), torch.zeros(len(self), dtype=torch.float64)
        for target in self.objective.targets:
            mean, spread = values[target.quantity.key], target.quantity.spread
            if target.sign > 0:
                low, high = level * spread, torch.inf
            elif target.sign < 0:
                low, high = -torch.inf, -level * spread
            else:
                low, high = target.low + level * spread, target.high - level * spread
            std = torch.full_like(mean, self.error)
            total = total + log_prob_within(mean.nan_to_num(0.0), std, low, high)
            total = torch.where(mean.isnan(), -torch.inf, total)
        return total
