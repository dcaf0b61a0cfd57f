"""``Rerank``: draw candidates, score them, keep the best.

Without starts the candidates are samples of the model, and the best of all are kept. With starts they are what the
model proposes around each, and each start keeps its own best.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from zsteer.core.alphabet import Alphabet
from zsteer.core.batch import Batch
from zsteer.core.goal import Budget, Trail
from zsteer.core.objective import Constraint, Objective
from zsteer.core.protocols import Generative, Proposes
from zsteer.core.rng import Streams
from zsteer.errors import CapabilityError
from zsteer.steer.search.ledger import ByObjective, Ledger, own_streams
from zsteer.steer.search.method import admits, holding, like_proposals, unmeasured
from zsteer.steer.search.options import RerankOptions

__all__ = ["Draw", "Rerank"]

Draw = Callable[[int, Streams], Batch]
"""Draws samples, one for each stream."""


@dataclass(frozen=True)
class Rerank:
    """The best of several samples.

    Args:
        options: how many candidates.
        given: conditions of the samples.
        draw: draws samples instead of ``model.sample``, for example with a solver and a guide.
        alphabet: of the sequences, where things are sequences; None for everything else.
    """

    options: RerankOptions = field(default_factory=RerankOptions)
    given: Mapping[str, object] | None = None
    draw: Draw | None = None
    alphabet: Alphabet | None = None
    name: str = field(default="rerank", init=False)

    def fits(self, model: object, objective: Objective, constraint: Constraint) -> str:
        """Empty if samples of this model can be ranked by this objective, else the reason why not."""
        missing = unmeasured(objective, constraint)
        if missing:
            return missing
        if isinstance(model, Proposes):
            return ""
        if self.draw is None and not isinstance(model, Generative):
            return f"{type(model).__name__} draws no samples to choose from"
        if objective.relative or constraint.properties:
            return f"a change counts from a start, and {type(model).__name__} proposes nothing around one"
        if constraint.parts:
            return f"{type(model).__name__} proposes nothing around a start, so that nothing of it is kept"
        return ""

    def run(
        self,
        model: object,
        start: Batch | None,
        objective: Objective,
        constraint: Constraint,
        budget: Budget,
        rng: Streams,
    ) -> Trail:
        """Keep the best ``budget.top`` for each start; without starts as many for each stream, the best of all.

        Raises:
            CapabilityError: if the method does not fit, or a start is missing.
            InputError: if a property has no value for anything that was measured.
        """
        reason = self.fits(model, objective, constraint)
        if reason:
            raise CapabilityError(f"rerank: {reason}")
        scoring = ByObjective(holding(objective, constraint))
        if start is not None and len(start):
            return self._around(model, start, scoring, constraint, budget, own_streams(rng, len(start)))
        if scoring.objective.relative or constraint.parts:
            raise CapabilityError("rerank: what is kept or counted from a start needs one; give --input")
        return self._anew(model, scoring, budget, rng)

    def _around(
        self, model: object, start: Batch, scoring: ByObjective, constraint: Constraint, budget: Budget, rng: Streams
    ) -> Trail:
        """Candidates around each start, or new ones for it where the model proposes nothing."""
        each, streams = self.options.candidates, rng.child("rerank").spread(self.options.candidates)
        if isinstance(model, Proposes):
            starts = like_proposals(model, start, self.options.proposal_strength, rng)
            with torch.no_grad():
                candidates = model.propose(starts.repeat(each), self.options.proposal_strength, streams)
        else:
            candidates = self._samples(model, streams)
            # Nothing is counted from the starts here: the first candidates stand for them.
            starts = candidates.take(torch.arange(len(start)) * each)
        ledger = Ledger(scoring, starts, budget, admits(starts, constraint, budget, self.alphabet))
        if scoring.objective.relative:
            ledger.begin()
        ledger.note(self._best(ledger, candidates, each))
        ledger.check_values()
        return ledger.trail()

    def _anew(self, model: object, scoring: ByObjective, budget: Budget, rng: Streams) -> Trail:
        """New samples, the best of all."""
        each = self.options.candidates
        candidates = self._samples(model, rng.child("rerank").spread(each))
        ledger = Ledger(scoring, candidates.take(torch.arange(len(rng)) * each), budget)
        ledger.note(self._best(ledger, candidates, each))
        ledger.check_values()
        return ledger.pooled(len(rng) * budget.top)

    def _best(self, ledger: Ledger, candidates: Batch, each: int) -> Tensor:
        origin = torch.arange(len(ledger)).repeat_interleave(each)
        return ledger.ask(candidates, origin).reshape(len(ledger), each).amax(1)

    def _samples(self, model: object, rng: Streams) -> Batch:
        if self.draw is not None:
            found = self.draw(len(rng), rng)
        elif isinstance(model, Generative):
            with torch.no_grad():
                found = model.sample(len(rng), given=self.given, rng=rng)
        else:
            raise CapabilityError(f"rerank: {type(model).__name__} draws no samples to choose from")
        return found if self.alphabet is None else self.alphabet.batch(found["tokens"])
