"""Greedy search: try every single substitution, take the best, repeat.

Unconstrained it finds what fools the oracle. Kept to the core (``ends=3``), and to sequences that a language model
finds plausible, it is the strongest baseline, at some hundred oracle calls for each design.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from zsteer.core.batch import Batch
from zsteer.core.goal import Budget, Goal, Trail
from zsteer.core.protocols import Oracle
from zsteer.core.rng import Streams
from zsteer.errors import SettingsError
from zsteer.steer.search.common import Ledger, Plausible, Starts, Tokens, own_streams

__all__ = ["Greedy"]


@dataclass(frozen=True)
class Greedy:
    """Steepest ascent by single substitutions.

    Args:
        oracle: whom to ask.
        ends: residues kept at each end whatever the goal says: 0 for plain greedy, 3 for core-only greedy.
        plausible: how plausible a sequence is as such; asking it is not an oracle call.
        floor: least plausibility of a step; a start below it may not sink further.
        stop: oracle score at which a start is done, or None to climb as long as it gets better.
        rounds: most steps.

    Raises:
        SettingsError: if only one of ``plausible`` and ``floor`` is given, or ``rounds`` is not positive.
    """

    oracle: Oracle
    ends: int = 0
    plausible: Plausible | None = None
    floor: float | None = None
    stop: float | None = None
    rounds: int = 12

    def __post_init__(self) -> None:
        if (self.plausible is None) != (self.floor is None):
            raise SettingsError("expected plausible and floor together, got only one of them")
        if self.rounds < 1:
            raise SettingsError(f"expected rounds >= 1, got {self.rounds}")

    def __call__(self, start: Batch | None, goal: Goal, budget: Budget, rng: Streams) -> Trail:
        """Climb from each start."""
        ledger = Ledger(self.oracle, start, goal, budget, self.ends)
        own = own_streams(rng, len(ledger)).child("greedy")
        current = ledger.templates
        scores = ledger.ask(current, torch.arange(len(ledger)))
        floors = self._floors(current)
        active = torch.isfinite(scores)
        for step in range(self.rounds):
            if self.stop is not None:
                active = active & (scores < self.stop)
            if not bool(active.any()):
                break
            proposals, origin = self._neighbours(ledger, current, active, own.at(step))
            proposals, origin = self._sift(proposals, origin, floors)
            answers = ledger.ask(proposals, origin)
            current, scores, active = _advance(current, scores, proposals, origin, answers)
            ledger.note(scores)
        return ledger.trail()

    def _floors(self, tokens: Starts) -> Float[Tensor, " s"] | None:
        if self.plausible is None or self.floor is None:
            return None
        return self.plausible(Batch({"tokens": tokens}, tokens < 20)).clamp(max=self.floor)

    def _sift(
        self, proposals: Tokens, origin: Int[Tensor, " b"], floors: Float[Tensor, " s"] | None
    ) -> tuple[Int[Tensor, "k n"], Int[Tensor, " k"]]:
        """Leave out what is not plausible."""
        if self.plausible is None or floors is None or not len(proposals):
            return proposals, origin
        kept = self.plausible(Batch({"tokens": proposals}, proposals < 20)) >= floors[origin]
        return proposals[kept], origin[kept]

    def _neighbours(
        self, ledger: Ledger, current: Starts, active: Bool[Tensor, " s"], rng: Streams
    ) -> tuple[Tokens, Int[Tensor, " b"]]:
        """All single substitutions within the budget of edits, in random order for each start."""
        changed = current != ledger.templates
        spent = changed.sum(1) >= ledger.edits
        # With all edits spent, only a residue that was changed already may change again.
        allowed = ledger.free & active[:, None] & (~spent[:, None] | changed)
        width = current.shape[1]
        order = rng.uniform("order", (width * 19,)).reshape(len(current), width, 19)
        start, place, shift = allowed[:, :, None].expand(-1, -1, 19).nonzero().unbind(1)
        # Sort by start, then at random: if calls run out, no place of the sequence is favoured.
        by_chance = (start.double() + order[start, place, shift].double()).argsort()
        start, place, shift = start[by_chance], place[by_chance], shift[by_chance]
        proposals = current[start]
        rows = torch.arange(len(start))
        proposals[rows, place] = (proposals[rows, place] + shift + 1) % 20
        return proposals, start


def _advance(
    current: Starts,
    scores: Float[Tensor, " s"],
    proposals: Tokens,
    origin: Int[Tensor, " b"],
    answers: Float[Tensor, " b"],
) -> tuple[Starts, Float[Tensor, " s"], Bool[Tensor, " s"]]:
    """Each start takes its best proposal if that is better; who stays is done."""
    best = torch.full_like(scores, -torch.inf).scatter_reduce(0, origin, answers, "amax")
    better = best > scores
    winner = torch.full((len(scores),), len(origin))
    hits = (answers == best[origin]).nonzero()[:, 0]
    winner = winner.scatter_reduce(0, origin[hits], hits, "amin")
    moved = current.clone()
    moved[better] = proposals[winner[better]]
    return moved, torch.where(better, best, scores), better
