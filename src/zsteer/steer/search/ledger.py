"""``Ledger``: what one run of a search has asked for, within each start's own budget, and the best of it.

Each distinct thing is measured once, whichever start asks; a start pays one call for each distinct thing that it asks
for. What breaks a constraint is never measured.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from zsteer.core.batch import Batch
from zsteer.core.goal import Budget, Trail
from zsteer.core.objective import Objective
from zsteer.core.property import Property
from zsteer.core.protocols import Oracle
from zsteer.core.rng import Streams
from zsteer.errors import InputError
from zsteer.scoring.count import keys

__all__ = ["ByObjective", "ByOracle", "Ledger", "Scoring", "own_streams"]

Values = Mapping[str, Float[Tensor, " b"]]


@runtime_checkable
class Scoring(Protocol):
    """How things are measured, and what the measured values are worth."""

    def measure(self, x: Batch) -> Values: ...
    def score(self, values: Values, start: Values) -> Float[Tensor, " b"]: ...


@dataclass(frozen=True)
class ByOracle:
    """The mean of an oracle; higher is better.

    Args:
        oracle: whom to ask.
    """

    oracle: Oracle

    def measure(self, x: Batch) -> Values:
        """The mean, NaN for what could not be scored."""
        belief = self.oracle(x)
        if not belief.status:
            return {"oracle": belief.mean}
        good = torch.tensor([status == "ok" for status in belief.status], device=belief.mean.device)
        return {"oracle": torch.where(good, belief.mean, torch.nan)}

    def score(self, values: Values, start: Values) -> Float[Tensor, " b"]:
        """The mean itself."""
        del start
        return values["oracle"]


@dataclass(frozen=True)
class ByObjective:
    """The properties of an objective, and how well they meet it.

    Args:
        objective: where to go; targets that hold a property at its start's value are among its targets.
    """

    objective: Objective

    @property
    def properties(self) -> Sequence[Property]:
        """Each property once."""
        return tuple({target.quantity.key: target.quantity for target in self.objective.targets}.values())

    def measure(self, x: Batch) -> Values:
        """Each property, by its key."""
        return self.objective.values(x, self.properties)

    def score(self, values: Values, start: Values) -> Float[Tensor, " b"]:
        """Of the objective; changes count from the start's values."""
        return self.objective.score(values, start or None)


@dataclass
class Ledger:
    """One run of a search over ``s`` starts.

    Args:
        scoring: how things are measured.
        starts: where the search starts; every batch that is asked has these fields.
        budget: calls for each start, and results to return.
        admits: which rows a start may ask for, given the rows and their starts; None for all.
    """

    scoring: Scoring
    starts: Batch
    budget: Budget
    admits: Callable[[Batch, Int[Tensor, " b"]], Bool[Tensor, " b"]] | None = None
    history: list[dict[str, float]] = field(default_factory=list[dict[str, float]])

    def __post_init__(self) -> None:
        self._began = time.perf_counter()
        self._pieces: list[Batch] = []
        self._values: dict[bytes, tuple[float, ...]] = {}
        self._names: tuple[str, ...] = ()
        self._dtype = torch.float64
        self._base: dict[str, Tensor] = {}
        # Of each start, in the order of asking: key -> score, piece and row.
        self._seen: list[dict[bytes, tuple[float, int, int]]] = [{} for _ in range(len(self))]

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def calls(self) -> int:
        """Distinct things measured."""
        return len(self._values)

    def left(self) -> Int[Tensor, " s"]:
        """Calls that each start may still make."""
        most = 2**62 if self.budget.calls is None else self.budget.calls
        return torch.tensor([most - len(seen) for seen in self._seen])

    def begin(self) -> Float[Tensor, " s"]:
        """Measure the starts, from whose values changes count; one call of each."""
        rows = (self.left() > 0).nonzero()[:, 0]
        if len(rows):
            found = self._measured(self.starts.take(rows), keys(self.starts.take(rows)))
            none = torch.full((len(self),), torch.nan, dtype=torch.float64)
            self._base = {name: none.index_copy(0, rows, value) for name, value in found.items()}
        return self.ask(self.starts, torch.arange(len(self)))

    def ask(self, x: Batch, origin: Int[Tensor, " b"]) -> Float[Tensor, " b"]:
        """Scores of proposals, in the order in which they should be served.

        Args:
            x: proposals.
            origin: start of each.

        Returns:
            Scores; -inf for a proposal that breaks a constraint, whose start has used up its calls, or that has no
            value.
        """
        scores = torch.full((len(x),), -torch.inf, dtype=torch.float64)
        names = keys(x)
        rows = self._affordable(x, names, origin)
        if not rows:
            return scores
        index = torch.tensor(rows)
        values = self._measured(x.take(index), [names[row] for row in rows])
        base = {name: self._base[name][origin[index]] for name in self._base}
        found = self.scoring.score(values, base).double()
        scores[index] = torch.where(found.isnan(), -torch.inf, found)
        piece = len(self._pieces)
        for row in rows:
            self._seen[int(origin[row])].setdefault(names[row], (float(scores[row]), piece, row))
        self._pieces.append(x)
        return scores

    def _affordable(self, x: Batch, names: Sequence[bytes], origin: Int[Tensor, " b"]) -> list[int]:
        """Rows that may be asked for: known ones for nothing, the others while their starts have calls left."""
        allowed = [True] * len(x) if self.admits is None else self.admits(x, origin).tolist()
        left = self.left().tolist()
        rows: list[int] = []
        claimed: set[tuple[int, bytes]] = set()
        for row, (name, owner) in enumerate(zip(names, origin.tolist(), strict=True)):
            known = name in self._seen[owner] or (owner, name) in claimed
            if allowed[row] and (known or left[owner] > 0):
                rows.append(row)
                left[owner] -= not known
                claimed.add((owner, name))
        return rows

    def _measured(self, x: Batch, names: Sequence[bytes]) -> dict[str, Float[Tensor, " b"]]:
        new: dict[bytes, int] = {}
        for row, name in enumerate(names):
            if name not in self._values:
                new.setdefault(name, row)
        if new:
            found = self.scoring.measure(x.take(torch.tensor(list(new.values()))))
            self._names, self._dtype = tuple(found), next(iter(found.values())).dtype
            columns = [found[name].detach().cpu().tolist() for name in self._names]
            self._values.update(zip(new, zip(*columns, strict=True), strict=True))
        table = torch.tensor([self._values[name] for name in names], dtype=torch.float64)
        return {name: table[:, column] for column, name in enumerate(self._names)}

    def note(self, scores: Float[Tensor, " s"]) -> None:
        """Remember how far a round has come: the mean over the starts, and calls so far."""
        reached = scores[torch.isfinite(scores)]
        mean = float(reached.mean()) if len(reached) else float("nan")
        self.history.append({"best": mean, "calls": float(self.calls)})

    def check_values(self) -> None:
        """Refuse what has no value for anything that was measured.

        Raises:
            InputError: if all values of a property are NaN.
        """
        for column, name in enumerate(self._names):
            if all(math.isnan(row[column]) for row in self._values.values()):
                raise InputError(f"{name} has no value (NaN) for any of the {self.calls} things that were measured")

    def trail(self) -> Trail:
        """The best that each start has seen, best first; the start itself, without scores, where there is none."""
        rows: list[Batch] = []
        origin: list[int] = []
        entries: list[tuple[float, ...]] = []
        for owner, seen in enumerate(self._seen):
            for name, (score, piece, row) in _best(seen)[: self.budget.top]:
                rows.append(self._pieces[piece].take(slice(row, row + 1)))
                origin.append(owner)
                entries.append((*self._values[name], score))
            if not origin or origin[-1] != owner:
                rows.append(self.starts.take(slice(owner, owner + 1)))
                origin.append(owner)
                entries.append((float("nan"),) * (len(self._names) + 1))
        return self._trail(Batch.cat(rows), torch.tensor(origin), entries)

    def pooled(self, number: int) -> Trail:
        """The best ``number`` of all together, whichever start they belong to; fewer where fewer have a value."""
        every: dict[bytes, tuple[float, int, int]] = {}
        for seen in self._seen:
            for name, entry in seen.items():
                every.setdefault(name, entry)
        best = _best(every)[:number]
        rows = [self._pieces[piece].take(slice(row, row + 1)) for _, (_, piece, row) in best]
        batch = Batch.cat(rows) if rows else self.starts.take(slice(0, 0))
        entries = [(*self._values[name], entry[0]) for name, entry in best]
        return self._trail(batch, torch.full((len(best),), -1), entries)

    def _trail(self, batch: Batch, origin: Int[Tensor, " b"], entries: Sequence[tuple[float, ...]]) -> Trail:
        names = (*self._names, "score")
        table = torch.tensor(entries, dtype=self._dtype).reshape(len(entries), len(names))
        scores = {name: table[:, column] for column, name in enumerate(names)}
        seconds = time.perf_counter() - self._began
        return Trail(batch, origin, scores, self.calls, seconds, tuple(self.history))


def _best(seen: Mapping[bytes, tuple[float, int, int]]) -> list[tuple[bytes, tuple[float, int, int]]]:
    """What has a value, best first; of equal scores the one asked first, which has fewer edits, comes first."""
    return sorted((each for each in seen.items() if each[1][0] > -torch.inf), key=lambda each: -each[1][0])


def own_streams(rng: Streams, count: int) -> Streams:
    """One stream for each start: ``rng`` itself if it has as many, else streams 0, 1, ... of its seed and path."""
    return rng if len(rng) == count else Streams(rng.seed, torch.arange(count), rng.path, rng.step)
