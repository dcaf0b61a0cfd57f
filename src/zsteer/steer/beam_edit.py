r"""Edit: propose changes of each start, keep what is plausible, and let an oracle choose.

The proposals are those of any generator through the budgeted beam (``sample.beam``); with pool P(x) of a start x,

.. math:: x^* = \arg\max_{x' \in P(x), \ \log p(x') \ge c} h(x')

with the oracle's mean h and the plausibility floor c. Without an oracle the generator's own best is taken. The cost is
one oracle call for each member of a pool.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.core.batch import Batch
from zsteer.core.goal import Budget, Goal, Trail
from zsteer.core.protocols import Oracle
from zsteer.core.rng import Streams
from zsteer.errors import InputError
from zsteer.sample.beam import Proposals

__all__ = ["BeamEdit"]

_LAST = 1e6
"""Moves a proposal behind all others without losing its order among its like."""


@dataclass(frozen=True)
class BeamEdit:
    """A steer that edits through the budgeted beam.

    Args:
        propose: gives the proposals for a batch of starts; streams of the same rows come with it.
        oracle: chooses among the proposals; None takes the most likely.
        plausible: log-probability less its floor, negative for what does not look real; None accepts all.
        pool: proposals of each start that the oracle is asked about.
        chunk: starts handled at once; with many more every array of the beam is taken from the system anew.
        asks: whether asking ``oracle`` counts as oracle calls; not so for the generator's own opinion.
    """

    propose: Callable[[Batch, Streams], Proposals]
    oracle: Oracle | None = None
    plausible: Callable[[Batch], Float[Tensor, " b"]] | None = None
    pool: int = 12
    chunk: int = 64
    asks: bool = True

    def __call__(self, start: Batch | None, goal: Goal, budget: Budget, rng: Streams) -> Trail:
        """Edit every start.

        Args:
            start: what to edit.
            goal: not read here; ``propose`` and ``oracle`` were made for it.
            budget: ``top`` results for each start; ``calls`` bounds the pool.
            rng: one stream for each start.

        Returns:
            Fields ``tokens``, best first for each start, with the scores ``oracle`` (where there is one),
            ``log_likelihood`` (of the generator) and ``edits``.

        Raises:
            InputError: if there is no start.
        """
        del goal
        if start is None or len(start) == 0:
            raise InputError("there is nothing to edit: give at least one sequence")
        began = time.perf_counter()
        pool = self.pool if budget.calls is None else min(self.pool, budget.calls)
        parts: list[tuple[Proposals, Tensor | None, Tensor]] = []
        calls = 0
        for first in range(0, len(start), self.chunk):
            piece = slice(first, min(first + self.chunk, len(start)))
            found = self._changed(self.propose(start.take(piece), rng.take(piece))).top(max(pool, budget.top))
            chosen, scores = self._choose(found, budget.top)
            calls += int(found.exists.sum()) if self.oracle is not None and self.asks else 0
            rows = torch.arange(piece.start, piece.stop, device=start.device)
            parts.append((chosen, scores, rows))
        return self._trail(parts, calls, time.perf_counter() - began)

    def _changed(self, found: Proposals) -> Proposals:
        """Put the start itself, which costs no edit, behind everything that differs from it."""
        return found.best(found.scores - _LAST * (found.edits == 0), found.scores.shape[1])

    def _choose(self, found: Proposals, top: int) -> tuple[Proposals, Tensor | None]:
        if self.oracle is None and self.plausible is None:
            return found.top(top), None
        own = found.scores if self.oracle is None else self._ask(self.oracle, found)
        rank = own - 2 * _LAST * (found.edits == 0)
        if self.plausible is not None:
            rank = rank - _LAST * self._implausible(found, torch.where(found.exists, rank, -4 * _LAST), top)
        order = torch.where(found.exists, rank, -4 * _LAST).argsort(dim=1, descending=True, stable=True)[:, :top]
        return found.best(rank, top), None if self.oracle is None else own.gather(1, order)

    def _ask(self, oracle: Oracle, found: Proposals) -> Float[Tensor, "b s"]:
        """The oracle's score of each proposal; the lowest where there is none."""
        there = found.exists
        scores = found.scores.new_full(there.shape, -_LAST)
        scores[there] = oracle(found.batch().take(there.flatten())).mean.to(scores)
        return scores

    def _implausible(self, found: Proposals, rank: Float[Tensor, "b s"], top: int) -> Float[Tensor, "b s"]:
        """One for each proposal that does not look real, and for those behind the first ``top`` that do.

        They are asked about from the best on until every start has enough; most are plausible, so most are never asked.
        """
        if self.plausible is None:
            return torch.zeros_like(rank)
        order = rank.argsort(dim=1, descending=True, stable=True)
        poor = torch.ones_like(rank)
        first, last = 0, top
        while first < rank.shape[1]:
            rows = torch.nonzero(((poor == 0) & found.exists).sum(1) < top)[:, 0]
            if not len(rows):
                break
            places = order[rows, first:last]
            first, last = last, 3 * last - 2 * first  # twice as many each time
            tokens = found.tokens[rows[:, None], places].flatten(0, 1)
            good = self.plausible(found.alphabet.batch(tokens)).reshape(places.shape) >= 0
            poor[rows[:, None], places] = 1.0 - good.to(poor.dtype)
        return poor

    def _trail(self, parts: list[tuple[Proposals, Tensor | None, Tensor]], calls: int, seconds: float) -> Trail:
        exists = torch.cat([chosen.exists.flatten() for chosen, _, _ in parts])
        tokens = torch.cat([chosen.tokens.flatten(0, 1) for chosen, _, _ in parts])[exists]
        scores = {
            "log_likelihood": torch.cat([chosen.scores.flatten() for chosen, _, _ in parts])[exists],
            "edits": torch.cat([chosen.edits.flatten() for chosen, _, _ in parts])[exists].float(),
        }
        if self.oracle is not None:
            scores["oracle"] = torch.cat([own.flatten() for _, own, _ in parts if own is not None])[exists]
        origin = torch.cat([rows.repeat_interleave(chosen.scores.shape[1]) for chosen, _, rows in parts])[exists]
        alphabet = parts[0][0].alphabet
        return Trail(alphabet.batch(tokens), origin, scores, calls, seconds)
