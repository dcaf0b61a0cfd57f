"""A genetic algorithm: each start breeds a population of its own.

Parents are drawn by tournaments of two; the better half of parents and children survives. Where two things can be
crossed (letters of sequences of one length) children have two parents, else one.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.core.batch import Batch
from zsteer.core.rng import Streams
from zsteer.errors import SettingsError
from zsteer.steer.search.ledger import Ledger, own_streams
from zsteer.steer.search.moves import Moves

__all__ = ["Genetic"]


@dataclass(frozen=True)
class Genetic:
    """Evolution from each start.

    Args:
        population: individuals of each start.
        generations: most generations; the calls of the budget may end it sooner.

    Raises:
        SettingsError: if the population is smaller than 4, or there is no generation.
    """

    population: int = 32
    generations: int = 20

    def __post_init__(self) -> None:
        if self.population < 4 or self.generations < 1:
            raise SettingsError(
                f"expected population >= 4 and generations >= 1, got {self.population}, {self.generations}"
            )

    def search(self, ledger: Ledger, moves: Moves, rng: Streams) -> None:
        """Breed from each start."""
        own = own_streams(rng, len(ledger)).child("genetic")
        people = ledger.starts.repeat(self.population)
        scores = self._grade(ledger, people)
        for generation in range(self.generations):
            if not bool((ledger.left() > 0).any()):
                break
            children = self._children(moves, people, scores, own.at(generation))
            graded = torch.cat([scores, self._grade(ledger, children)], 1)
            # Stable order: of equals the elder stays, so that results do not depend on the sorting method.
            order = torch.sort(graded, dim=1, descending=True, stable=True).indices[:, : self.population]
            people = Batch.cat([people, children]).take(self._rows(order, len(ledger)).flatten())
            scores = graded.gather(1, order)
            ledger.note(scores[:, 0])

    def _rows(self, order: Tensor, starts: int) -> Tensor:
        """Rows of parents and children laid one behind the other, from places within each start."""
        first = torch.arange(starts)[:, None] * self.population
        return torch.where(order < self.population, order, order + (starts - 1) * self.population) + first

    def _grade(self, ledger: Ledger, people: Batch) -> Float[Tensor, "s p"]:
        origin = torch.arange(len(ledger)).repeat_interleave(self.population)
        return ledger.ask(people, origin).reshape(len(ledger), self.population)

    def _children(self, moves: Moves, people: Batch, scores: Float[Tensor, "s p"], rng: Streams) -> Batch:
        starts, size = scores.shape
        rows = torch.arange(starts)[:, None]
        parents: list[Batch] = []
        for name in ("mother", "father"):
            first, second = rng.integers(name, size, (size, 2)).unbind(-1)
            winner = torch.where(scores[rows, first] >= scores[rows, second], first, second)
            parents.append(people.take((winner + rows * size).flatten()))
        return moves.breed(parents[0], parents[1], size, rng)
