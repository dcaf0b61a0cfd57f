r"""Monte-Carlo tree search over sequences of moves, one tree for each start.

A node is a thing, an action a move that is open there: a substitution at a place that has not been changed yet.
Selection follows PUCT with an even prior over the A actions of a node,
.. math:: a^* = \arg\max_a Q(a) + c \, \frac{1}{A} \frac{\sqrt{N}}{1 + n_a},

the value of a leaf is its score, and Q is the best value found below, scaled to 0 ... 1 within the tree.
An action that was never tried has the value of its node. All starts take one step together, so that one
measurement serves all trees.

Source: Silver et al., "Mastering the game of Go without human knowledge", Nature 2017 (the selection rule).
"""

import math
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.core.batch import Batch
from zsteer.core.rng import Streams
from zsteer.errors import CapabilityError, SettingsError
from zsteer.steer.search.ledger import Ledger, own_streams
from zsteer.steer.search.moves import Listed, Moves

__all__ = ["TreeSearch"]


@dataclass
class _Node:
    """A thing with what was learnt below it.

    Args:
        x: the thing, one row.
        value: best answer found here or below.
        actions: moves that were not tried yet, last first; None before the first look.
        done: whether everything below is known.
    """

    x: Batch
    value: float
    actions: list[int] | None = None
    visits: int = 1
    done: bool = False
    children: list["_Node"] = field(default_factory=list["_Node"])


@dataclass(frozen=True)
class TreeSearch:
    """Monte-Carlo tree search from each start.

    Args:
        steps: leaves to try for each start; the calls of the budget may end it sooner.
        explore: weight c of what was seldom tried.

    Raises:
        SettingsError: if a number is not positive.
    """

    steps: int = 400
    explore: float = 10.0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.explore <= 0:
            raise SettingsError(f"expected steps >= 1 and explore > 0, got {self.steps} and {self.explore}")

    def search(self, ledger: Ledger, moves: Moves, rng: Streams) -> None:
        """Grow a tree from each start.

        Raises:
            CapabilityError: if the moves have no numbers.
        """
        if not isinstance(moves, Listed):
            raise CapabilityError("tree search needs moves that can be listed: substitutions of sequences")
        own = own_streams(rng, len(ledger)).child("tree search")
        scores = ledger.ask(ledger.starts, torch.arange(len(ledger)))
        chance = own.uniform("order", (moves.count,))
        trees = [_Tree(ledger, moves, i, chance[i], self.explore, float(score)) for i, score in enumerate(scores)]
        best = scores.clone()
        for _ in range(self.steps):
            left = ledger.left().tolist()
            paths = [(i, tree.descend()) for i, tree in enumerate(trees) if left[i] > 0 and not tree.root.done]
            if not paths:
                break
            origin = torch.tensor([i for i, _ in paths])
            answers = ledger.ask(Batch.cat([path[-1].x for _, path in paths]), origin)
            for (i, path), answer in zip(paths, answers.tolist(), strict=True):
                trees[i].back_up(path, answer)
            best[origin] = torch.maximum(best[origin], answers)
            ledger.note(best)


class _Tree:
    """The tree of one start."""

    def __init__(
        self, ledger: Ledger, moves: Listed, start: int, chance: Float[Tensor, " m"], explore: float, value: float
    ) -> None:
        self._moves, self._start = moves, start
        self._chance = chance
        self._explore = explore
        self._low = value
        self.root = _Node(ledger.starts.take(slice(start, start + 1)), value)
        self.root.done = not self._actions(self.root)

    def _actions(self, node: _Node) -> list[int]:
        """Open actions of a node, in an order of its own; looked up once."""
        if node.actions is None:
            node.actions = self._moves.actions(node.x, self._start, self._chance)
        return node.actions

    def descend(self) -> list[_Node]:
        """The path to a new leaf; the root must not be done."""
        path = [self.root]
        span = max(self.root.value - self._low, 1e-9)
        while True:
            node = path[-1]
            actions = self._actions(node)
            weight = self._explore / (len(actions) + len(node.children)) * node.visits**0.5
            # Untried actions are alike: the value of the node itself, and never visited.
            chosen, most = None, (node.value - self._low) / span + weight if actions else -1.0
            for child in node.children:
                rating = (child.value - self._low) / span + weight / (1 + child.visits)
                if not child.done and rating > most:
                    chosen, most = child, rating
            if chosen is None:
                leaf = _Node(self._moves.apply(node.x, actions.pop()), -math.inf)
                leaf.done = not self._moves.open(leaf.x, self._start)
                node.children.append(leaf)
                return [*path, leaf]
            path.append(chosen)

    def back_up(self, path: list[_Node], answer: float) -> None:
        """Tell the path what its leaf was worth."""
        if math.isfinite(answer):
            self._low = min(self._low, answer)
        for node in reversed(path):
            node.visits += 1
            node.value = max(node.value, answer)
            node.done = node.done or (node.actions == [] and all(child.done for child in node.children))
