"""``Moves``: how the things of a search change; bound to the starts of one run.

``Substitutions`` replace letters of sequences, at most so many, on free positions. ``Proposals`` are what a model makes
of a thing (``core.protocols.Proposes``): images, rows, molecules, or sequences.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from zsteer.core.alphabet import PROTEIN, Alphabet
from zsteer.core.batch import Batch
from zsteer.core.objective import Constraint
from zsteer.core.protocols import Proposes
from zsteer.core.rng import Streams
from zsteer.errors import SettingsError
from zsteer.steer.search.ledger import Ledger

__all__ = ["Algorithm", "Listed", "Moves", "Proposals", "Substitutions", "core_of", "free_under", "substitute"]

Tokens = Int[Tensor, "b n"]
Found = tuple[Batch, Int[Tensor, " b"]]
"""Proposals, and the start of each."""


@runtime_checkable
class Moves(Protocol):
    """How things change. Streams are those of the starts; what a start gets does not depend on the others."""

    @property
    def exhaustive(self) -> bool:
        """Whether ``neighbours`` are all there are, so that none being better is an end."""
        ...

    def neighbours(self, current: Batch, active: Bool[Tensor, " s"], rng: Streams) -> Found:
        """What to try next around the present thing of each active start."""
        ...

    def mutants(self, rng: Streams) -> Batch:
        """One change of each start itself, ``(s,)``."""
        ...

    def breed(self, mothers: Batch, fathers: Batch, each: int, rng: Streams) -> Batch:
        """Children, ``each`` for each start: crossed where crossing exists, then changed."""
        ...


@runtime_checkable
class Listed(Moves, Protocol):
    """Moves with numbers, so that a tree can hold those that were not tried."""

    @property
    def count(self) -> int:
        """Numbers are 0 ... count - 1."""
        ...

    def open(self, x: Batch, start: int) -> bool:
        """Whether any move is left at the one thing ``x`` of a start."""
        ...

    def actions(self, x: Batch, start: int, order: Float[Tensor, " m"]) -> list[int]:
        """Numbers of the moves that are left, in an order that follows from ``order`` and ``x``."""
        ...

    def apply(self, x: Batch, action: int) -> Batch:
        """The thing after a move."""
        ...


@runtime_checkable
class Algorithm(Protocol):
    """What a search tries next: asks a ledger about moves until rounds or calls are used up."""

    def search(self, ledger: Ledger, moves: Moves, rng: Streams) -> None: ...


def substitute(
    tokens: Tokens, place: Int[Tensor, " b"], shift: Int[Tensor, " b"], alphabet: Alphabet = PROTEIN
) -> Tokens:
    """Replace the letter at ``place`` by the one ``shift`` (1 ... k - 1) further in the alphabet of k, round."""
    rows = torch.arange(len(tokens))
    changed = tokens.clone()
    changed[rows, place] = (tokens[rows, place] + shift) % alphabet.size
    return changed


def core_of(starts: Batch, ends: int, alphabet: Alphabet = PROTEIN) -> Bool[Tensor, "s n"]:
    """True on the letters that may change: all but the first and last ``ends``."""
    length = alphabet.lengths(starts["tokens"])[:, None]
    place = torch.arange(starts["tokens"].shape[1])[None, :]
    return (place >= ends) & (place < length - ends)


def free_under(constraint: Constraint, starts: Batch, alphabet: Alphabet = PROTEIN) -> Bool[Tensor, "s n"]:
    """True on the letters that a constraint leaves free: it holds when this one alone is replaced."""
    tokens = starts["tokens"]
    free = alphabet.real(tokens)
    for place in range(tokens.shape[1]):
        spot = torch.full((len(tokens),), place)
        changed = alphabet.batch(torch.where(free, substitute(tokens, spot, torch.ones_like(spot), alphabet), tokens))
        free[:, place] &= constraint.holds(starts, changed)
    return free


@dataclass(frozen=True)
class Substitutions:
    """Letters replaced by others of their alphabet; lengths stay.

    Args:
        starts: ``tokens`` with their mask.
        free: true where a letter may change.
        alphabet: of the letters.
        edits: most substitutions of a start; None for no limit.
        mutations: expected substitutions of a child.
        changes: substitutions of a mutant; None draws 1 ... ``edits`` (8 without such a limit).

    Raises:
        SettingsError: if a number is not positive.
    """

    starts: Batch
    free: Bool[Tensor, "s n"]
    alphabet: Alphabet = PROTEIN
    edits: int | None = None
    mutations: float = 1.0
    changes: int | None = None

    def __post_init__(self) -> None:
        if self.mutations <= 0 or (self.changes is not None and self.changes < 1):
            raise SettingsError(f"expected mutations and changes > 0, got {self.mutations} and {self.changes}")

    @property
    def exhaustive(self) -> bool:
        """All single substitutions are tried."""
        return True

    @property
    def count(self) -> int:
        """Number of a move: position * (k - 1) + shift - 1."""
        return self.starts["tokens"].shape[1] * self._others

    @property
    def _others(self) -> int:
        """Letters that one can become."""
        return self.alphabet.size - 1

    @property
    def _most(self) -> int:
        return self.starts["tokens"].shape[1] if self.edits is None else self.edits

    def neighbours(self, current: Batch, active: Bool[Tensor, " s"], rng: Streams) -> Found:
        """All single substitutions within the budget of edits, in random order for each start."""
        tokens = current["tokens"]
        changed = tokens != self.starts["tokens"]
        spent = changed.sum(1) >= self._most
        # With all edits spent, only a letter that was changed already may change again.
        allowed = self.free & active[:, None] & (~spent[:, None] | changed)
        width = tokens.shape[1]
        order = rng.uniform("order", (self.count,)).reshape(len(tokens), width, self._others)
        start, place, shift = allowed[:, :, None].expand(-1, -1, self._others).nonzero().unbind(1)
        # Sort by start, then at random: if calls run out, no place of the sequence is favoured.
        by_chance = (start.double() + order[start, place, shift].double()).argsort()
        start, place, shift = start[by_chance], place[by_chance], shift[by_chance]
        return self.alphabet.batch(substitute(tokens[start], place, shift + 1, self.alphabet)), start

    def mutants(self, rng: Streams) -> Batch:
        """Random substitutions at random free places of each start."""
        tokens = self.starts["tokens"]
        width = tokens.shape[1]
        most = min(self._most, 8 if self.changes is None else self.changes)
        if self.changes is None and most > 0:
            wanted = rng.integers("mutations", most) + 1
        else:
            wanted = torch.full((len(tokens),), most)
        # A random order with the places that may change first: substitutions hit different places.
        order = (rng.uniform("place", (width,)) + (~self.free).float()).argsort(1)
        shifts = rng.integers("residue", self._others, (width,)) + 1
        possible = self.free.sum(1)
        for k in range(min(most, width)):
            live = (k < wanted) & (k < possible)
            changed = substitute(tokens, order[:, k], shifts[:, k], self.alphabet)
            tokens = torch.where(live[:, None], changed, tokens)
        return self.alphabet.batch(tokens)

    def breed(self, mothers: Batch, fathers: Batch, each: int, rng: Streams) -> Batch:
        """Each letter from one of two parents, then a few substitutions, within the budget of edits."""
        width = self.starts["tokens"].shape[1]
        pair = [x["tokens"].reshape(-1, each, width) for x in (mothers, fathers)]
        children = torch.where(rng.uniform("crossover", (each, width)) < 0.5, pair[0], pair[1])
        rate = (self.mutations / self.free.sum(1).clamp(min=1)).float()[:, None, None]
        hit = (rng.uniform("mutate", (each, width)) < rate) & self.free[:, None, :]
        shift = rng.integers("residue", self._others, (each, width)) + 1
        children = torch.where(hit, (children + shift) % self.alphabet.size, children)
        templates = self.starts["tokens"][:, None, :]
        # Take back changes at random until at most so many are left.
        changed = children != templates
        rank = torch.where(changed, rng.uniform("repair", (each, width)), 2.0).argsort(-1).argsort(-1)
        return self.alphabet.batch(torch.where(changed & (rank < self._most), children, templates).flatten(0, 1))

    def open(self, x: Batch, start: int) -> bool:
        """Whether a further letter may change."""
        changed = x["tokens"][0] != self.starts["tokens"][start]
        return int(changed.sum()) < self._most and bool((self.free[start] & ~changed).any())

    def actions(self, x: Batch, start: int, order: Float[Tensor, " m"]) -> list[int]:
        """Substitutions at places that have not been changed."""
        tokens = x["tokens"][0]
        if not self.open(x, start):
            return []
        places = (self.free[start] & (tokens == self.starts["tokens"][start])).nonzero()[:, 0]
        codes = (places[:, None] * self._others + torch.arange(self._others)).flatten()
        # Rolled by a number that depends on the letters, so that siblings do not try the same places first.
        chance = order.roll(int(tokens.sum()) * 7)
        return codes[chance[codes].argsort()].tolist()

    def apply(self, x: Batch, action: int) -> Batch:
        """The sequence after a substitution."""
        place, shift = divmod(action, self._others)
        return self.alphabet.batch(
            substitute(x["tokens"], torch.tensor([place]), torch.tensor([shift + 1]), self.alphabet)
        )


@dataclass(frozen=True)
class Proposals:
    """What a model proposes.

    Args:
        model: of the things.
        starts: where the search starts.
        strength: of each change, in (0, 1].
        each: proposals for each start in a round.
        changed: takes the proposals of a model as the search holds them; None as they are.

    Raises:
        SettingsError: if the strength is not in (0, 1], or there is no proposal.
    """

    model: Proposes
    starts: Batch
    strength: float = 0.3
    each: int = 16
    changed: Callable[[Batch], Batch] | None = None

    def __post_init__(self) -> None:
        if not 0 < self.strength <= 1 or self.each < 1:
            raise SettingsError(f"expected a strength in (0, 1] and proposals >= 1, got {self.strength}, {self.each}")

    @property
    def exhaustive(self) -> bool:
        """There are always others."""
        return False

    def _propose(self, x: Batch, rng: Streams) -> Batch:
        with torch.no_grad():
            made = self.model.propose(x, self.strength, rng)
        return made if self.changed is None else self.changed(made)

    def neighbours(self, current: Batch, active: Bool[Tensor, " s"], rng: Streams) -> Found:
        """Several proposals for each active start."""
        rows = active.nonzero()[:, 0]
        streams = rng.take(rows.to(rng.ids.device)).spread(self.each)
        made = self._propose(current.take(rows).repeat(self.each), streams.child("neighbours"))
        return made, rows.repeat_interleave(self.each)

    def mutants(self, rng: Streams) -> Batch:
        """One proposal for each start."""
        return self._propose(self.starts, rng.child("mutants"))

    def breed(self, mothers: Batch, fathers: Batch, each: int, rng: Streams) -> Batch:
        """One proposal for each mother: a model crosses nothing."""
        del fathers
        return self._propose(mothers, rng.spread(each).child("children"))
