"""A genetic algorithm: each start breeds a population of its own by crossover and mutation.

All individuals of a start have its length, so that crossover takes each residue from one of two parents. The better
half survives; parents are drawn by tournaments of two.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zsteer.core.batch import Batch
from zsteer.core.goal import Budget, Goal, Trail
from zsteer.core.protocols import Oracle
from zsteer.core.rng import Streams
from zsteer.errors import SettingsError
from zsteer.steer.search.common import Ledger, own_streams

__all__ = ["Genetic"]

Population = Int[Tensor, "s p n"]


@dataclass(frozen=True)
class Genetic:
    """Evolution from each start.

    Args:
        oracle: whom to ask.
        ends: residues kept at each end whatever the goal says.
        population: individuals of each start.
        generations: most generations; the calls of the budget may end it sooner.
        mutations: expected substitutions of each child.

    Raises:
        SettingsError: if the population is smaller than 4, or another number is not positive.
    """

    oracle: Oracle
    ends: int = 0
    population: int = 32
    generations: int = 20
    mutations: float = 1.0

    def __post_init__(self) -> None:
        if self.population < 4 or self.generations < 1 or self.mutations <= 0:
            raise SettingsError(
                "expected population >= 4, generations >= 1 and mutations > 0, "
                f"got {self.population}, {self.generations}, {self.mutations}"
            )

    def __call__(self, start: Batch | None, goal: Goal, budget: Budget, rng: Streams) -> Trail:
        """Breed from each start."""
        ledger = Ledger(self.oracle, start, goal, budget, self.ends)
        own = own_streams(rng, len(ledger)).child("genetic")
        people = ledger.templates[:, None, :].expand(-1, self.population, -1)
        scores = self._grade(ledger, people)
        for generation in range(self.generations):
            if not bool((ledger.left() > 0).any()):
                break
            children = self._children(ledger, people, scores, own.at(generation))
            both = torch.cat([people, children], 1)
            graded = torch.cat([scores, self._grade(ledger, children)], 1)
            # Stable order: of equals the elder stays, so that results do not depend on the sorting method.
            order = torch.sort(graded, dim=1, descending=True, stable=True).indices[:, : self.population]
            people = both.gather(1, order[..., None].expand(-1, -1, both.shape[-1]))
            scores = graded.gather(1, order)
            ledger.note(scores[:, 0])
        return ledger.trail()

    @staticmethod
    def _grade(ledger: Ledger, people: Population) -> Float[Tensor, "s p"]:
        starts, size, width = people.shape
        origin = torch.arange(starts).repeat_interleave(size)
        return ledger.ask(people.reshape(-1, width), origin).reshape(starts, size)

    def _children(self, ledger: Ledger, people: Population, scores: Float[Tensor, "s p"], rng: Streams) -> Population:
        starts, size, width = people.shape
        rows = torch.arange(starts)[:, None]
        parents: list[Tensor] = []
        for name in ("mother", "father"):
            pair = rng.integers(name, size, (size, 2))
            first, second = pair.unbind(-1)
            wins = scores[rows, first] >= scores[rows, second]
            parents.append(people[rows, torch.where(wins, first, second)])
        swap = rng.uniform("crossover", (size, width)) < 0.5
        children = torch.where(swap, parents[0], parents[1])
        free = ledger.free[:, None, :].expand(-1, size, -1)
        rate = (self.mutations / ledger.free.sum(1).clamp(min=1)).float()[:, None, None]
        hit = (rng.uniform("mutate", (size, width)) < rate) & free
        shift = rng.integers("residue", 19, (size, width)) + 1
        children = torch.where(hit, (children + shift) % 20, children)
        return _within(children, ledger.templates[:, None, :], ledger.edits, rng.uniform("repair", (size, width)))


def _within(
    children: Population, templates: Int[Tensor, "s 1 n"], edits: int, chance: Float[Tensor, "s p n"]
) -> Population:
    """Take back changes at random until at most ``edits`` are left."""
    changed = children != templates
    rank = torch.where(changed, chance, 2.0).argsort(-1).argsort(-1)
    return torch.where(changed & (rank < edits), children, templates)
