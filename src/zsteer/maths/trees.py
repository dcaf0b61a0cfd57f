r"""A sum of decision trees as arrays: what boosting gives, read without a parser and evaluated without a library.

.. math:: F(x) = \sum_k v_{k, \ell_k(x)}, \qquad \ell_k(x) \text{ the leaf of tree } k \text{ whose way has }
          x_{f_j} \le \theta_j \text{ at each turn to the left, and not at each turn to the right.}

All comparisons of a tree are made at once; the leaf is the one whose way agrees with every one of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.errors import ArtifactError, InputError

__all__ = ["Trees"]

PARTS = ("feature", "threshold", "left", "right", "value")
AT_ONCE = 4096
"""Rows that are compared together."""


@dataclass(frozen=True)
class Trees:
    """Trees of at most ``s`` splits and ``s + 1`` leaves; a shorter tree has unreachable splits at its end.

    Args:
        feature: column that each split compares, ``(k, s)`` for k trees.
        threshold: the left child is taken where the column is at most this.
        left: split on the left if 0 or more, else leaf ``-1 - left``; a split lies behind its parent.
        right: the same on the right.
        value: of each leaf, ``(k, s + 1)``.

    Raises:
        ArtifactError: if shapes do not fit, a child lies outside its tree or before its parent, or a number is not
            finite.
    """

    feature: Tensor
    threshold: Tensor
    left: Tensor
    right: Tensor
    value: Tensor

    def __post_init__(self) -> None:
        k, s = self.feature.shape if self.feature.ndim == 2 else (0, 0)
        same = all(part.shape == (k, s) for part in (self.threshold, self.left, self.right))
        if not k or not s or not same or self.value.shape != (k, s + 1):
            raise ArtifactError(f"trees: shapes do not fit, {[tuple(getattr(self, name).shape) for name in PARTS]}")
        place = torch.arange(s)
        for child in (self.left.long(), self.right.long()):
            if (
                bool(((child >= 0) & (child <= place)).any())
                or bool((child < -1 - s).any())
                or bool((child >= s).any())
            ):
                raise ArtifactError("trees: a child lies outside its tree or before its parent")
        if bool((self.feature < 0).any()) or not all(
            bool(torch.isfinite(x).all()) for x in (self.threshold, self.value)
        ):
            raise ArtifactError("trees: a number is not finite, or a column is negative")

    @staticmethod
    def from_lightgbm(booster: Any) -> "Trees":
        """The trees of a LightGBM booster of one output that compares numbers only.

        Raises:
            InputError: if it has another kind of split.
        """
        trees = [tree["tree_structure"] for tree in booster.dump_model()["tree_info"]]
        found = [_flat(tree) for tree in trees]
        s = max(1, *(len(splits) for splits, _ in found))
        parts = {name: torch.zeros(len(found), s, dtype=torch.int16) for name in ("feature", "left", "right")}
        parts["left"].fill_(-1)
        parts["right"].fill_(-1)
        threshold = torch.zeros(len(found), s, dtype=torch.float64)
        value = torch.zeros(len(found), s + 1, dtype=torch.float64)
        for k, (splits, leaves) in enumerate(found):
            for j, (feature, at, left, right) in enumerate(splits):
                parts["feature"][k, j], threshold[k, j] = feature, at
                parts["left"][k, j], parts["right"][k, j] = left, right
            value[k, : len(leaves)] = torch.tensor(leaves, dtype=torch.float64)
        return Trees(parts["feature"], threshold, parts["left"], parts["right"], value)

    def tensors(self, name: str) -> dict[str, Tensor]:
        """The arrays to store, under ``NAME.part``."""
        return {f"{name}.{part}": getattr(self, part) for part in PARTS}

    @staticmethod
    def names(name: str) -> list[str]:
        """What ``tensors`` stores."""
        return [f"{name}.{part}" for part in PARTS]

    @staticmethod
    def read(tensors: Mapping[str, Tensor], name: str) -> "Trees":
        """Take back what ``tensors`` gave.

        Raises:
            ArtifactError: if a part is missing, of another type, or does not fit.
        """
        missing = [key for key in Trees.names(name) if key not in tensors]
        if missing:
            raise ArtifactError(f"trees lack {', '.join(missing)}")
        parts = [tensors[key] for key in Trees.names(name)]
        kinds = [part.is_floating_point() for part in parts]
        if kinds != [False, True, False, False, True] or any(part.dtype == torch.bool for part in parts):
            raise ArtifactError(f"{name}: expected whole numbers as columns and children, and reals elsewhere")
        return Trees(*parts)

    @cached_property
    def _ways(self) -> tuple[Float[Tensor, "k s l"], Float[Tensor, "k l"]]:
        """1 or -1 where a leaf's way turns left or right at a split, and the number of its turns."""
        k, s = self.feature.shape
        way = torch.zeros(k, s, s + 1)
        turns = torch.full((k, s + 1), float("inf"))
        for tree in range(k):
            self._walk(tree, 0, [], way, turns)
        return way, turns

    def _walk(self, tree: int, split: int, before: list[tuple[int, float]], way: Tensor, turns: Tensor) -> None:
        for child, sign in ((int(self.left[tree, split]), 1.0), (int(self.right[tree, split]), -1.0)):
            taken = [*before, (split, sign)]
            if child >= 0:
                self._walk(tree, child, taken, way, turns)
                continue
            leaf = -1 - child
            turns[tree, leaf] = len(taken)
            for place, turn in taken:
                way[tree, place, leaf] = turn

    def __call__(self, x: Float[Tensor, "b f"]) -> Float[Tensor, " b"]:
        """Sum of the leaves' values for each row, in float64.

        Raises:
            InputError: if there are fewer columns than the trees compare.
        """
        if int(self.feature.max()) >= x.shape[1]:
            raise InputError(f"the trees compare column {int(self.feature.max())}, the table has {x.shape[1]}")
        way, turns = self._ways
        found = [self._some(piece, way, turns) for piece in x.double().split(AT_ONCE)]
        return torch.cat(found) if found else x.new_zeros(0, dtype=torch.float64)

    def _some(self, x: Tensor, way: Tensor, turns: Tensor) -> Tensor:
        k, s = self.feature.shape
        # Columns first: each comparison then reads one row of memory.
        met = x.T.contiguous().index_select(0, self.feature.long().flatten()) <= self.threshold.flatten()[:, None]
        # With 1 for a turn to the left and 0 for one to the right, 2 b - 1 agrees with the way at every turn.
        agree = torch.bmm(way.transpose(1, 2), met.float().reshape(k, s, len(x)))
        leaf = agree == ((turns + way.sum(1)) / 2)[:, :, None]
        return self.value.double().flatten() @ leaf.flatten(0, 1).double()


def _flat(tree: Mapping[str, Any]) -> tuple[list[tuple[int, float, int, int]], list[float]]:
    """Splits (column, threshold, left, right) in the order of a walk, parents first, and the leaves' values."""
    splits: list[tuple[int, float, int, int]] = []
    leaves: list[float] = []

    def place(node: Mapping[str, Any]) -> int:
        if "split_feature" not in node:
            leaves.append(float(node["leaf_value"]))
            return -len(leaves)
        if node["decision_type"] != "<=" or node.get("missing_type", "None") != "None":
            raise InputError(f"trees that split by {node['decision_type']} or on missing values are not kept")
        at = len(splits)
        splits.append((0, 0.0, -1, -1))
        left, right = place(node["left_child"]), place(node["right_child"])
        splits[at] = (int(node["split_feature"]), float(node["threshold"]), left, right)
        return at

    root = place(tree)
    if root < 0:  # a tree of one leaf: both ways lead there
        splits.append((0, 0.0, -1, -1))
    return splits, leaves
