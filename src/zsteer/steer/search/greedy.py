"""Greedy search: try the neighbours, take the best, repeat.

Over all single substitutions, unconstrained, it finds what fools the oracle. Kept to the core of a receptor, and to
sequences that a language model finds plausible, it is the strongest baseline, at some hundred calls for each design.
Over proposals of a model it is a hill climb that stays where the model thinks things are.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from zsteer.core.batch import Batch
from zsteer.core.rng import Streams
from zsteer.errors import SettingsError
from zsteer.steer.search.ledger import Ledger, own_streams
from zsteer.steer.search.moves import Moves

__all__ = ["Greedy", "Plausible"]

Plausible = Callable[[Batch], Float[Tensor, " b"]]
"""How plausible each thing is as such, for example its log-probability under a language model."""


@dataclass(frozen=True)
class Greedy:
    """Steepest ascent.

    Args:
        plausible: how plausible a thing is as such; measuring it is not a call.
        floor: least plausibility of a step; a start below it may not sink further.
        stop: score at which a start is done, or None to climb as long as it gets better.
        rounds: most steps.

    Raises:
        SettingsError: if only one of ``plausible`` and ``floor`` is given, or ``rounds`` is not positive.
    """

    plausible: Plausible | None = None
    floor: float | None = None
    stop: float | None = None
    rounds: int = 12

    def __post_init__(self) -> None:
        if (self.plausible is None) != (self.floor is None):
            raise SettingsError("expected plausible and floor together, got only one of them")
        if self.rounds < 1:
            raise SettingsError(f"expected rounds >= 1, got {self.rounds}")

    def search(self, ledger: Ledger, moves: Moves, rng: Streams) -> None:
        """Climb from each start."""
        own = own_streams(rng, len(ledger)).child("greedy")
        current = ledger.starts
        scores = ledger.ask(current, torch.arange(len(ledger)))
        floors = self._floors(current)
        active = torch.isfinite(scores)
        for step in range(self.rounds):
            if self.stop is not None:
                active = active & (scores < self.stop)
            if not moves.exhaustive:
                active = active & (ledger.left() > 0)
            if not bool(active.any()):
                break
            proposals, origin = moves.neighbours(current, active, own.at(step))
            proposals, origin = self._sift(proposals, origin, floors)
            answers = ledger.ask(proposals, origin)
            current, scores, better = _advance(current, scores, proposals, origin, answers)
            active = better if moves.exhaustive else active
            ledger.note(scores)

    def _floors(self, x: Batch) -> Float[Tensor, " s"] | None:
        if self.plausible is None or self.floor is None:
            return None
        return self.plausible(x).clamp(max=self.floor)

    def _sift(
        self, proposals: Batch, origin: Int[Tensor, " b"], floors: Float[Tensor, " s"] | None
    ) -> tuple[Batch, Int[Tensor, " k"]]:
        """Leave out what is not plausible."""
        if self.plausible is None or floors is None or not len(proposals):
            return proposals, origin
        kept = self.plausible(proposals) >= floors[origin]
        return proposals.take(kept), origin[kept]


def _advance(
    current: Batch,
    scores: Float[Tensor, " s"],
    proposals: Batch,
    origin: Int[Tensor, " b"],
    answers: Float[Tensor, " b"],
) -> tuple[Batch, Float[Tensor, " s"], Bool[Tensor, " s"]]:
    """Each start takes its best proposal if that is better."""
    best = torch.full_like(scores, -torch.inf).scatter_reduce(0, origin, answers, "amax")
    better = best > scores
    winner = torch.full((len(scores),), len(origin))
    hits = (answers == best[origin]).nonzero()[:, 0]
    winner = winner.scatter_reduce(0, origin[hits], hits, "amin")
    chosen = torch.where(better, len(scores) + winner, torch.arange(len(scores)))
    return Batch.cat([current, proposals]).take(chosen), torch.where(better, best, scores), better
