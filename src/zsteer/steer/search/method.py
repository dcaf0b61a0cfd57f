"""``Search``: the method that changes starts step by step and measures what comes of it, for any model and objective.

Sequences change by substitutions on the letters that the constraint leaves free; everything else by what the model
itself proposes. Held properties are targets: they should stay at each start's value.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from zsteer.core.alphabet import Alphabet
from zsteer.core.batch import Batch
from zsteer.core.goal import Budget, Trail
from zsteer.core.objective import Constraint, Objective, Target
from zsteer.core.protocols import Generative, Proposes
from zsteer.core.rng import Streams
from zsteer.domains.sequences.metrics import edits
from zsteer.errors import CapabilityError, InputError
from zsteer.steer.search.genetic import Genetic
from zsteer.steer.search.greedy import Greedy
from zsteer.steer.search.ledger import ByObjective, Ledger, own_streams
from zsteer.steer.search.mcts import TreeSearch
from zsteer.steer.search.moves import Algorithm, Moves, Proposals, Substitutions, free_under
from zsteer.steer.search.options import SearchOptions
from zsteer.steer.search.random import RandomChange

__all__ = ["Search", "admits", "holding", "like_proposals", "unmeasured"]


def unmeasured(objective: Objective, constraint: Constraint) -> str:
    """Why an objective cannot be scored; empty if every property is named and has a function."""
    if constraint.rest:
        return "what is measured is held by name (--keep NAME, or rest without --free NAME); an edit holds the rest"
    every = [target.quantity for target in objective.targets] + list(constraint.properties)
    names = sorted({each.name for each in every if each.function is None})
    return f"no function measures {', '.join(names)}; only a model tells it" if names else ""


def holding(objective: Objective, constraint: Constraint) -> Objective:
    """The objective with a target for each held property: no change from the start."""
    held = tuple(Target(each, 0.0, 0.0, relative=True) for each in constraint.properties)
    return replace(objective, targets=(*objective.targets, *held))


def admits(
    starts: Batch, constraint: Constraint, budget: Budget, alphabet: Alphabet | None
) -> Callable[[Batch, Int[Tensor, " b"]], Bool[Tensor, " b"]]:
    """Which rows may be measured: those that hold the constraint's parts, within the budget of edits.

    Raises:
        InputError: if edits are to be counted and things are no sequences.
    """
    if budget.edits is not None and alphabet is None:
        raise InputError("a budget of edits counts letters of sequences, and these are none; use a smaller strength")

    def allowed(x: Batch, origin: Int[Tensor, " b"]) -> Bool[Tensor, " b"]:
        own = starts.take(origin)
        kept = constraint.holds(own, x).cpu()
        if budget.edits is None or alphabet is None:
            return kept
        return kept & (edits(x["tokens"], own["tokens"], alphabet=alphabet) <= budget.edits)

    return allowed


def like_proposals(model: Proposes, starts: Batch, strength: float, rng: Streams) -> Batch:
    """Starts with the fields, types and mask that the model's proposals have, so that equal things have equal keys.

    Raises:
        InputError: if a proposal has a field or a shape that the starts lack.
    """
    with torch.no_grad():
        made = model.propose(starts.take(slice(0, 1)), strength, rng.take(slice(0, 1)))
    for name, value in made.fields.items():
        if name not in starts or starts[name].shape[1:] != value.shape[1:]:
            found = tuple(starts[name].shape[1:]) if name in starts else "none"
            raise InputError(f"the model proposes {name} of shape {tuple(value.shape[1:])}, the starts have {found}")
    fields = {name: starts[name].to(value.dtype) for name, value in made.fields.items()}
    return Batch(fields, None if made.mask is None else starts.mask)


@dataclass(frozen=True)
class Search:
    """Search around starts.

    Args:
        options: algorithm, rounds and strength.
        alphabet: of the sequences, where things are sequences; None for everything else.
        given: conditions of the starts that are drawn where none are given.
    """

    options: SearchOptions = field(default_factory=SearchOptions)
    alphabet: Alphabet | None = None
    given: Mapping[str, object] | None = None
    name: str = field(default="search", init=False)

    @property
    def substitutes(self) -> bool:
        """Whether moves are substitutions."""
        return self.options.moves == "substitutions" or (self.options.moves == "auto" and self.alphabet is not None)

    def fits(self, model: object, objective: Objective, constraint: Constraint) -> str:
        """Empty if this model can be searched for this objective, else the reason why not."""
        missing = unmeasured(objective, constraint)
        if missing:
            return missing
        if self.substitutes:
            return "" if self.alphabet is not None else "substitutions are moves of sequences, and these are none"
        if self.options.algorithm == "tree":
            return "tree search needs moves that can be listed: substitutions of sequences"
        if not isinstance(model, Proposes):
            return f"{type(model).__name__} proposes no changes, and its things are not searched by substitutions"
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
        """Search around each start, or around as many samples of the model as there are streams.

        Raises:
            CapabilityError: if the method does not fit, or starts are to be drawn and the model draws none.
            InputError: if a property has no value for anything that was measured.
        """
        reason = self.fits(model, objective, constraint)
        if reason:
            raise CapabilityError(f"search: {reason}")
        starts = self._starts(model, start, rng)
        own = own_streams(rng, len(starts)).child("search")
        if self.substitutes and self.alphabet is not None:
            starts = self.alphabet.batch(starts["tokens"])
        elif isinstance(model, Proposes):
            starts = like_proposals(model, starts, self.options.proposal_strength, own)
        moves = self._moves(model, starts, constraint, budget)
        scoring = ByObjective(holding(objective, constraint))
        ledger = Ledger(scoring, starts, budget, admits(starts, constraint, budget, self.alphabet))
        ledger.begin()
        self._algorithm().search(ledger, moves, own)
        ledger.check_values()
        return ledger.trail()

    def _starts(self, model: object, start: Batch | None, rng: Streams) -> Batch:
        if start is not None and len(start):
            return start
        if not isinstance(model, Generative):
            raise CapabilityError(f"{type(model).__name__} draws no samples to start from; give --input")
        with torch.no_grad():
            return model.sample(len(rng), given=self.given, rng=rng.child("starts"))

    def _moves(self, model: object, starts: Batch, constraint: Constraint, budget: Budget) -> Moves:
        if not self.substitutes and isinstance(model, Proposes):
            return Proposals(model, starts, self.options.proposal_strength, self.options.proposals)
        if self.alphabet is None:
            raise CapabilityError("substitutions are moves of sequences, and these are none")
        free = free_under(constraint, starts, self.alphabet)
        return Substitutions(starts, free, self.alphabet, budget.edits, self.options.mutations)

    def _algorithm(self) -> Algorithm:
        chosen = self.options
        tries = chosen.rounds * chosen.proposals
        make: Mapping[str, Callable[[], Algorithm]] = {
            "greedy": partial(Greedy, stop=chosen.stop, rounds=chosen.rounds),
            "genetic": partial(Genetic, chosen.proposals, chosen.rounds),
            "tree": partial(TreeSearch, tries, chosen.explore),
            "random": partial(RandomChange, tries),
        }
        return make[chosen.algorithm]()
