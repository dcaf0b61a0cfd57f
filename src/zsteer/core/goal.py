"""What a steer is asked for and what it answers: ``Goal``, ``Budget``, ``Trail``.

The grammar is that of the command line: ``--given name=value`` conditions, ``--toward name=value`` steers,
``--keep ...`` constrains.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jaxtyping import Float, Int
from torch import Tensor

from zsteer.core.batch import Batch
from zsteer.errors import InputError

__all__ = ["Budget", "Goal", "Trail"]


@dataclass(frozen=True)
class Goal:
    """Where to go and what to hold.

    Args:
        toward: property -> wanted value, for example ``{"binds": "YLQPRTFLL"}``; ``like`` holds example data.
        given: condition -> value.
        keep: what must stay, for example ``{"ends": 3}``.
    """

    toward: Mapping[str, object] = field(default_factory=dict)
    given: Mapping[str, object] = field(default_factory=dict)
    keep: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Budget:
    """What a steer may spend for each start.

    Args:
        calls: distinct oracle calls for each start, or None for no limit.
        edits: changes of each start, or None for no limit.
        top: results to return for each start.

    Raises:
        InputError: if a number is negative, or ``top`` is not positive.
    """

    calls: int | None = None
    edits: int | None = None
    top: int = 1

    def __post_init__(self) -> None:
        for name in ("calls", "edits"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise InputError(f"expected a budget of {name} >= 0, got {value}")
        if self.top < 1:
            raise InputError(f"expected to return at least 1 result for each start, got top={self.top}")


@dataclass(frozen=True)
class Trail:
    """What a steer found, and what it cost.

    Args:
        batch: the results, best first for each start.
        origin: row of the start that each result came from, shape ``(b,)``; -1 for none.
        scores: named scores of the results, each ``(b,)``.
        calls: distinct oracle calls, all starts together.
        seconds: wall time.
        history: one mapping of figures for each round, for drawing.
    """

    batch: Batch
    origin: Int[Tensor, " b"]
    scores: Mapping[str, Float[Tensor, " b"]] = field(default_factory=dict)
    calls: int = 0
    seconds: float = 0.0
    history: Sequence[Mapping[str, float]] = ()
