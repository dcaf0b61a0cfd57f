"""Baselines that do not learn from answers: the starts themselves, random changes, the nearest known binder."""

import time
from dataclasses import dataclass

import torch

from zsteer.core.batch import Batch
from zsteer.core.goal import Budget, Goal, Trail
from zsteer.core.rng import Streams
from zsteer.domains.sequences.metrics import nearest_distance
from zsteer.errors import InputError, SettingsError
from zsteer.steer.search.ledger import Ledger, own_streams
from zsteer.steer.search.moves import Moves
from zsteer.steer.search.sequences import starts_of

__all__ = ["CopyNearest", "Original", "RandomChange"]


@dataclass(frozen=True)
class Original:
    """The templates as they are: what is true of them is no merit of an editor."""

    def __call__(self, start: Batch | None, goal: Goal, budget: Budget, rng: Streams) -> Trail:
        """Give back the starts."""
        del goal, budget, rng
        starts = starts_of(start)
        return Trail(starts, torch.arange(len(starts)))


@dataclass(frozen=True)
class CopyNearest:
    """Replace each template by the nearest known binder: what looking up, instead of designing, would give.

    The result is a copy, however many edits away; ``budget.edits`` does not bind it.

    Args:
        binders: the known binders.

    Raises:
        InputError: if there is none.
    """

    binders: Batch

    def __post_init__(self) -> None:
        if not len(self.binders):
            raise InputError("expected at least one known binder to copy, got none")

    def __call__(self, start: Batch | None, goal: Goal, budget: Budget, rng: Streams) -> Trail:
        """Look up the nearest binder of each start."""
        del goal, budget, rng
        began = time.perf_counter()
        _, nearest = nearest_distance(starts_of(start)["tokens"], self.binders["tokens"])
        copies = starts_of(self.binders.take(nearest))
        return Trail(copies, torch.arange(len(copies)), seconds=time.perf_counter() - began)


@dataclass(frozen=True)
class RandomChange:
    """Random changes of each start; the best of ``tries``.

    Args:
        tries: mutants of each start; 1 is the naive baseline, which never learns from an answer.

    Raises:
        SettingsError: if there is none.
    """

    tries: int = 1

    def __post_init__(self) -> None:
        if self.tries < 1:
            raise SettingsError(f"expected tries >= 1, got {self.tries}")

    def search(self, ledger: Ledger, moves: Moves, rng: Streams) -> None:
        """Change each start."""
        own = own_streams(rng, len(ledger)).child("random mutation")
        everyone = torch.arange(len(ledger))
        best = torch.full((len(ledger),), -torch.inf, dtype=torch.float64)
        for attempt in range(self.tries):
            if bool((ledger.left() <= 0).all()):
                break
            best = torch.maximum(best, ledger.ask(moves.mutants(own.at(attempt)), everyone))
            ledger.note(best)
