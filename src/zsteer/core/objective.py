r"""``Objective`` and ``Constraint``: where a steer goes and what it holds, ready for any method.

A ``Target`` is one property and the interval where it should come to lie: a value v is [v, v], a change d is
[start + d, start + d], ``at least v`` is [v, oo). A direction has no interval: the further the better. The gap

.. math:: g(y) = \max(l - y, \, y - u, \, 0), \qquad g(y) = -\text{sign} \cdot y \quad \text{(direction)}

is 0 where the target is met. Gaps of several targets add up in units of each property's spread:
:math:`\text{score} = -\sqrt{\sum_k (g_k / \text{spread}_k)^2}`, and a direction adds its value to that.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from zsteer.core.batch import Batch
from zsteer.core.property import Property
from zsteer.errors import InputError

__all__ = ["Constraint", "Objective", "Part", "Target"]


@dataclass(frozen=True)
class Target:
    """One property and where it should come to lie.

    Args:
        quantity: which property.
        low: least wanted value, or least wanted change where ``relative``.
        high: greatest wanted value, or change.
        relative: counted from each start's own value.
        sign: 1 (up) or -1 (down) for a direction; 0 for an interval.

    Raises:
        InputError: if the interval is empty, or there is neither an interval nor a direction.
    """

    quantity: Property
    low: float = -torch.inf
    high: float = torch.inf
    relative: bool = False
    sign: Literal[-1, 0, 1] = 0

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise InputError(f"{self.quantity.name}: expected a range from low to high, got {self.low}..{self.high}")
        if (self.sign == 0) == (self.low == -torch.inf and self.high == torch.inf):
            raise InputError(f"{self.quantity.name}: expected a value, a range or a direction")

    @property
    def exact(self) -> bool:
        """Whether one value is wanted."""
        return self.low == self.high

    @property
    def text(self) -> str:
        """As the command line writes it."""
        name, argument = self.quantity.name, self.quantity.argument
        if argument:
            return f"{name}{'!=' if self.sign < 0 else '='}{argument}"
        if self.sign:
            return f"{name}={'up' if self.sign > 0 else 'down'}"
        if self.exact:
            relation = ("-=" if self.low < 0 else "+=") if self.relative else "="
            return f"{name}{relation}{abs(self.low) if self.relative else self.low:g}"
        low = "" if self.low == -torch.inf else f"{self.low:g}"
        high = "" if self.high == torch.inf else f"{self.high:g}"
        return f"{name}={low}..{high}"

    def wanted(self, now: Float[Tensor, " b"], start: Float[Tensor, " b"] | None = None) -> Float[Tensor, " b"]:
        """The nearest value that meets the target; of a direction one spread further than ``now``.

        Args:
            now: present values.
            start: values of the starts, for changes.

        Raises:
            InputError: if a change is wanted and there is no start.
        """
        if self.sign:
            return now + self.sign * self.quantity.spread
        low, high = self._interval(now, start)
        return now.maximum(low).minimum(high)

    def gap(self, values: Float[Tensor, " b"], start: Float[Tensor, " b"] | None = None) -> Float[Tensor, " b"]:
        """How far values are from the target, in the property's own unit; 0 where it is met.

        Raises:
            InputError: if a change is wanted and there is no start.
        """
        if self.sign:
            return -self.sign * values
        low, high = self._interval(values, start)
        return (low - values).maximum(values - high).clamp(min=0)

    def _interval(self, like: Tensor, start: Tensor | None) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
        low, high = torch.full_like(like, self.low), torch.full_like(like, self.high)
        if not self.relative:
            return low, high
        if start is None:
            raise InputError(f"{self.text} is a change from a start, and there is none; give --input, or a value")
        return start.to(like) + low, start.to(like) + high


@dataclass(frozen=True)
class Objective:
    """Where to go: targets, and how a model's batches become things.

    Args:
        targets: at least one.
        decode: a model's batch -> things of the domain, row for row.

    Raises:
        InputError: if there is no target.
    """

    targets: tuple[Target, ...]
    decode: Callable[[Batch], Any]

    def __post_init__(self) -> None:
        if not self.targets:
            raise InputError("a goal names at least one property to steer towards")

    @property
    def relative(self) -> bool:
        """Whether any target is a change, so that there must be starts."""
        return any(target.relative for target in self.targets)

    @property
    def measurable(self) -> bool:
        """Whether every property has a function."""
        return all(target.quantity.function is not None for target in self.targets)

    def values(self, x: Batch, properties: Sequence[Property] | None = None) -> dict[str, Float[Tensor, " b"]]:
        """Each property of each row, by its key; NaN where a row has none.

        Args:
            x: rows as the model holds them.
            properties: those of the targets when None.
        """
        things = self.decode(x)
        chosen = [target.quantity for target in self.targets] if properties is None else properties
        return {each.key: torch.from_numpy(each.values(things, len(x))) for each in chosen}

    def score(
        self, values: Mapping[str, Float[Tensor, " b"]], start: Mapping[str, Float[Tensor, " b"]] | None = None
    ) -> Float[Tensor, " b"]:
        """How well values meet the targets; higher is better, -inf where a value is missing.

        Args:
            values: as ``values`` gives them.
            start: values of each row's start, for changes.
        """
        squares, along = torch.zeros(()), torch.zeros(())
        for target in self.targets:
            own = None if start is None else start[target.quantity.key]
            gap = target.gap(values[target.quantity.key], own) / target.quantity.spread
            if target.sign:
                along = along - gap
            else:
                squares = squares + gap.square()
        score = along - squares.sqrt()
        return torch.where(score.isnan(), -torch.inf, score)


@runtime_checkable
class Part(Protocol):
    """A part of a thing that stays in place: ends of a sequence, a scaffold, pixels."""

    @property
    def text(self) -> str: ...
    def holds(self, start: Batch, x: Batch) -> Bool[Tensor, " b"]: ...


@dataclass(frozen=True)
class Constraint:
    """What to hold.

    Args:
        parts: what stays in place.
        properties: what stays at the start's value.
        rest: whether every other property with a head stays too.
    """

    parts: tuple[Part, ...] = ()
    properties: tuple[Property, ...] = field(default=())
    rest: bool = False

    def __bool__(self) -> bool:
        return bool(self.parts or self.properties or self.rest)

    @property
    def text(self) -> str:
        """As the command line writes it."""
        words = [part.text for part in self.parts] + [each.name for each in self.properties]
        return " ".join(words + (["rest"] if self.rest else []))

    def holds(self, start: Batch, x: Batch) -> Bool[Tensor, " b"]:
        """Whether every part stands where it stood, row for row."""
        kept = torch.ones(len(x), dtype=torch.bool, device=x.device)
        for part in self.parts:
            kept = kept & part.holds(start, x)
        return kept
