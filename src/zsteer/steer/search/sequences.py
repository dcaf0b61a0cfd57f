"""``EditSearch``: a search over substitutions as a ``Steer``, with an oracle of sequences.

Substitutions only, at most ``budget.edits`` of them, the first and last ``keep["ends"]`` residues as they are,
``budget.calls`` distinct oracle calls for each start.
"""

from dataclasses import dataclass

from zsteer.core.alphabet import PROTEIN, Alphabet
from zsteer.core.batch import Batch
from zsteer.core.goal import Budget, Goal, Trail
from zsteer.core.protocols import Oracle
from zsteer.core.rng import Streams
from zsteer.errors import InputError
from zsteer.steer.search.ledger import ByOracle, Ledger
from zsteer.steer.search.moves import Algorithm, Substitutions, core_of

__all__ = ["EditSearch", "ends_of", "starts_of"]


def ends_of(goal: Goal, least: int = 0) -> int:
    """Residues to keep at each end: ``keep["ends"]`` of the goal, at least ``least``.

    Raises:
        InputError: if it is no number >= 0, or something else is to be kept.
    """
    unknown = sorted(set(goal.keep) - {"ends"})
    if unknown:
        raise InputError(f"a search can keep only ends=N, got {', '.join(unknown)}")
    ends = goal.keep.get("ends", 0)
    if not isinstance(ends, int) or ends < 0:
        raise InputError(f"expected keep ends=N with a number N >= 0, got {ends!r}")
    return max(ends, least)


def starts_of(start: Batch | None, alphabet: Alphabet = PROTEIN) -> Batch:
    """The starts of a search, tokens and mask alone.

    Raises:
        InputError: if there is none.
    """
    if start is None or not len(start):
        raise InputError("a search needs templates to start from, got none")
    return alphabet.batch(start["tokens"])


@dataclass(frozen=True)
class EditSearch:
    """An algorithm over substitutions.

    Args:
        oracle: whom to ask; higher is better.
        algorithm: what to try next.
        ends: residues kept at each end whatever the goal says: 0 for plain searches, 3 for the core of a receptor.
        changes: substitutions of a random mutant; None draws 1 ... ``budget.edits``.
        alphabet: of the sequences.
    """

    oracle: Oracle
    algorithm: Algorithm
    ends: int = 0
    changes: int | None = None
    alphabet: Alphabet = PROTEIN

    def __call__(self, start: Batch | None, goal: Goal, budget: Budget, rng: Streams) -> Trail:
        """Search from each start."""
        starts = starts_of(start, self.alphabet)
        free = core_of(starts, ends_of(goal, self.ends), self.alphabet)
        moves = Substitutions(starts, free, self.alphabet, budget.edits, changes=self.changes)
        ledger = Ledger(ByOracle(self.oracle), starts, budget)
        self.algorithm.search(ledger, moves, rng)
        return ledger.trail()
