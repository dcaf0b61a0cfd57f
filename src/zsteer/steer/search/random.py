"""Baselines that do not learn from answers: the templates themselves, random mutation, the nearest known binder."""

import time
from dataclasses import dataclass

import torch

from zsteer.core.batch import Batch
from zsteer.core.goal import Budget, Goal, Trail
from zsteer.core.protocols import Oracle
from zsteer.core.rng import Streams
from zsteer.domains.sequences.metrics import nearest_distance
from zsteer.errors import InputError, SettingsError
from zsteer.steer.search.common import Ledger, Tokens, own_streams, plain_trail, starts_of, substitute

__all__ = ["CopyNearest", "Original", "RandomMutation"]


@dataclass(frozen=True)
class Original:
    """The templates as they are: what is true of them is no merit of an editor."""

    def __call__(self, start: Batch | None, goal: Goal, budget: Budget, rng: Streams) -> Trail:
        """Give back the starts."""
        del goal, budget, rng
        return plain_trail(starts_of(start)["tokens"], 0.0)


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
        return plain_trail(self.binders["tokens"][nearest], time.perf_counter() - began)


@dataclass(frozen=True)
class RandomMutation:
    """Random substitutions at random places; the best of ``tries`` by the oracle.

    Args:
        oracle: whom to ask.
        tries: mutants of each start; 1 is the naive baseline, which never learns from the oracle.
        mutations: substitutions of each mutant; None draws 1 ... ``budget.edits`` (8 without such a budget).

    Raises:
        SettingsError: if a number is not positive.
    """

    oracle: Oracle
    tries: int = 1
    mutations: int | None = None

    def __post_init__(self) -> None:
        if self.tries < 1 or (self.mutations is not None and self.mutations < 1):
            raise SettingsError(f"expected tries and mutations >= 1, got {self.tries} and {self.mutations}")

    def __call__(self, start: Batch | None, goal: Goal, budget: Budget, rng: Streams) -> Trail:
        """Mutate each start."""
        ledger = Ledger(self.oracle, start, goal, budget)
        own = own_streams(rng, len(ledger)).child("random mutation")
        everyone = torch.arange(len(ledger))
        best = torch.full((len(ledger),), -torch.inf)
        for attempt in range(self.tries):
            best = torch.maximum(best, ledger.ask(self._mutants(ledger, own.at(attempt)), everyone))
            ledger.note(best)
            if budget.calls is not None and bool((ledger.left() <= 0).all()):
                break
        return ledger.trail()

    def _mutants(self, ledger: Ledger, rng: Streams) -> Tokens:
        width = ledger.templates.shape[1]
        most = min(ledger.edits, 8) if self.mutations is None else min(self.mutations, ledger.edits)
        if self.mutations is None and most > 0:
            wanted = rng.integers("mutations", most) + 1
        else:
            wanted = torch.full((len(ledger),), most)
        # A random order with the places that may change first: substitutions hit different places.
        order = (rng.uniform("place", (width,)) + (~ledger.free).float()).argsort(1)
        shifts = rng.integers("residue", 19, (width,)) + 1
        possible = ledger.free.sum(1)
        tokens = ledger.templates
        for k in range(most):
            live = (k < wanted) & (k < possible)
            changed = substitute(tokens, order[:, k], shifts[:, k])
            tokens = torch.where(live[:, None], changed, tokens)
        return tokens
