"""What every search shares: which residues may change, what has been asked for each start, and the answer.

A ``Ledger`` is one run of a search. It asks each distinct sequence once (``scoring.count``), holds every start to its
own budget, remembers what each start has seen, and gives the best of that as the ``Trail``.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from zsteer.core.batch import Batch
from zsteer.core.goal import Budget, Goal, Trail
from zsteer.core.protocols import Oracle
from zsteer.core.rng import Streams
from zsteer.errors import InputError
from zsteer.scoring.count import Counted, keys

__all__ = ["Ledger", "Plausible", "Starts", "Tokens", "ends_of", "movable", "own_streams", "plain_trail", "substitute"]

Tokens = Int[Tensor, "b n"]
Starts = Int[Tensor, "s n"]

Plausible = Callable[[Batch], Float[Tensor, " b"]]
"""How plausible each sequence is as such, for example its log-probability under a language model."""


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


def starts_of(start: Batch | None) -> Batch:
    """The starts of a search, tokens and mask alone.

    Raises:
        InputError: if there is none.
    """
    if start is None or not len(start):
        raise InputError("a search needs templates to start from, got none")
    tokens = start["tokens"]
    return Batch({"tokens": tokens}, tokens < 20)


def own_streams(rng: Streams, count: int) -> Streams:
    """One stream for each start: ``rng`` itself if it has as many, else streams 0, 1, ... of its seed and path."""
    return rng if len(rng) == count else Streams(rng.seed, torch.arange(count), rng.path, rng.step)


def movable(tokens: Tokens, ends: int) -> Bool[Tensor, "b n"]:
    """True on the residues that may change: all but the first and last ``ends``."""
    length = (tokens < 20).sum(1, keepdim=True)
    place = torch.arange(tokens.shape[1])[None, :]
    return (place >= ends) & (place < length - ends)


def substitute(tokens: Tokens, place: Int[Tensor, " b"], shift: Int[Tensor, " b"]) -> Tokens:
    """Replace the residue at ``place`` by the one ``shift`` (1 ... 19) further in the alphabet, round."""
    rows = torch.arange(len(tokens))
    changed = tokens.clone()
    changed[rows, place] = (tokens[rows, place] + shift) % 20
    return changed


@dataclass
class Ledger:
    """One run of a search over ``s`` starts.

    Args:
        oracle: whom to ask; higher is better.
        start: the starts.
        goal: what to keep.
        budget: calls and edits for each start, and results to return.
        least_ends: residues that the search itself keeps at each end.
    """

    oracle: Oracle
    start: Batch | None
    goal: Goal
    budget: Budget
    least_ends: int = 0
    history: list[dict[str, float]] = field(default_factory=list[dict[str, float]])

    def __post_init__(self) -> None:
        self._began = time.perf_counter()
        self._counted = Counted(self.oracle)
        self._starts = starts_of(self.start)
        self.templates: Tokens = self._starts["tokens"]
        self.ends = ends_of(self.goal, self.least_ends)
        self.free = movable(self.templates, self.ends)
        self._seen: list[dict[bytes, tuple[float, Tensor]]] = [{} for _ in range(len(self.templates))]

    def __len__(self) -> int:
        return len(self.templates)

    @property
    def edits(self) -> int:
        """Most substitutions."""
        return self.templates.shape[1] if self.budget.edits is None else self.budget.edits

    def left(self) -> Int[Tensor, " s"]:
        """Calls that each start may still make."""
        most = 2**62 if self.budget.calls is None else self.budget.calls
        return torch.tensor([most - len(seen) for seen in self._seen])

    def ask(self, tokens: Tokens, origin: Int[Tensor, " b"]) -> Float[Tensor, " b"]:
        """Scores of proposals, in the order in which they should be served.

        Args:
            tokens: proposals.
            origin: start of each.

        Returns:
            Scores; -inf for a proposal whose start has used up its calls, or that could not be scored.
        """
        batch = Batch({"tokens": tokens}, tokens < 20)
        names = keys(batch)
        left = self.left().tolist()
        asked: list[int] = []
        claimed: set[tuple[int, bytes]] = set()
        for row, (name, owner) in enumerate(zip(names, origin.tolist(), strict=True)):
            known = name in self._seen[owner] or (owner, name) in claimed
            if known or left[owner] > 0:
                asked.append(row)
            if not known and left[owner] > 0:
                left[owner] -= 1
                claimed.add((owner, name))
        scores = torch.full((len(tokens),), -torch.inf)
        if not asked:
            return scores
        index = torch.tensor(asked)
        belief = self._counted.by_keys(batch.take(index), [names[row] for row in asked])
        good = torch.tensor([status == "ok" for status in belief.status]) if belief.status else torch.tensor(True)
        scores[index] = torch.where(good, belief.mean, -torch.inf)
        for row in asked:
            self._seen[int(origin[row])].setdefault(names[row], (float(scores[row]), tokens[row]))
        return scores

    def note(self, scores: Float[Tensor, " s"]) -> None:
        """Remember how far a round has come."""
        reached = scores[torch.isfinite(scores)]
        mean = float(reached.mean()) if len(reached) else float("nan")
        self.history.append({"best": mean, "calls": float(self._counted.calls)})

    def trail(self) -> Trail:
        """The best that each start has seen, best first; the start itself where nothing was asked."""
        rows: list[Tensor] = []
        origin: list[int] = []
        scores: list[float] = []
        for owner, seen in enumerate(self._seen):
            # Python's sort is stable: of equal scores the one asked first, which has fewer edits, comes first.
            best = sorted(seen.values(), key=lambda entry: -entry[0])[: self.budget.top]
            for score, tokens in best or [(float("nan"), self.templates[owner])]:
                rows.append(tokens)
                origin.append(owner)
                scores.append(score)
        tokens = torch.stack(rows)
        seconds = time.perf_counter() - self._began
        results = Batch({"tokens": tokens}, tokens < 20)
        told = {"oracle": torch.tensor(scores)}
        return Trail(results, torch.tensor(origin), told, self._counted.calls, seconds, tuple(self.history))


def plain_trail(tokens: Tokens, seconds: float, *, each: int = 1) -> Trail:
    """A trail of ``each`` results for each start that asked no oracle."""
    origin = torch.arange(len(tokens)) // each
    return Trail(Batch({"tokens": tokens}, tokens < 20), origin, seconds=seconds)
