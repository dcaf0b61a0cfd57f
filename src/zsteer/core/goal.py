"""What a steer is asked for and what it answers: ``Goal``, ``Budget``, ``Trail``.

The grammar is that of the command line: ``--given name=value`` conditions, ``--toward name=value`` steers,
``--keep ...`` constrains, ``--free`` frees what a keep would hold. Towards a property

    logp=-1      a value               y=2..      at least
    qed+=0.1     a change              y=..3      at most
    sas-=0.5     a change downwards    y=2..3     within
    qed=up       as far as it goes     binds!=P   to be avoided

``Term`` is one such wish; a kit makes targets of them (``core.objective``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from jaxtyping import Float, Int
from torch import Tensor

from zsteer.core.batch import Batch
from zsteer.core.options import number
from zsteer.errors import InputError

__all__ = ["Budget", "Goal", "Term", "Trail", "parse_terms"]

Relation = Literal["is", "change", "avoid"]


@dataclass(frozen=True)
class Goal:
    """Where to go and what to hold.

    Args:
        toward: property -> wanted value, for example ``{"binds": "YLQPRTFLL"}``; ``like`` holds example data.
        given: condition -> value.
        keep: what must stay, for example ``{"ends": 3}``; ``{"qed": True}`` holds a property at the start's value.
        free: names that are not held where ``keep`` names all the rest.
    """

    toward: Mapping[str, object] = field(default_factory=dict)
    given: Mapping[str, object] = field(default_factory=dict)
    keep: Mapping[str, object] = field(default_factory=dict)
    free: tuple[str, ...] = ()


@dataclass(frozen=True)
class Term:
    """One wish of a goal, as it was written.

    Args:
        name: of the property.
        relation: ``is`` (a value, a range, a direction, a name), ``change``, or ``avoid``.
        value: what was written after the sign; for a change the signed number.
    """

    name: str
    relation: Relation
    value: object

    @property
    def text(self) -> str:
        """As it was written."""
        sign = {"is": "=", "avoid": "!=", "change": "+="}[self.relation]
        return f"{self.name}{sign}{self.value}"

    def interval(self) -> tuple[float, float] | None:
        """Least and greatest wanted value of ``2..``, ``..3``, ``2..3``; None where the value is no range.

        Raises:
            InputError: if a bound is no number, or both are missing.
        """
        text = str(self.value)
        low, dots, high = text.partition("..")
        if not dots:
            return None
        flag = f"--toward {self.name}"
        if not low and not high:
            raise InputError(f"{flag}=.. names no bound; write {self.name}=2.. (at least), ..3 (at most) or 2..3")
        return (number(low, flag) if low else -float("inf"), number(high, flag) if high else float("inf"))


def parse_terms(toward: Mapping[str, object]) -> tuple[Term, ...]:
    """The wishes of ``--toward``: a name may end with the sign of its relation (``qed+``, ``sas-``, ``binds!``).

    Raises:
        InputError: if a change is no number, or a property is named twice.
    """
    terms: list[Term] = []
    for word, value in toward.items():
        sign = word[-1:] if word[-1:] in {"+", "-", "!"} else ""
        name = word.removesuffix(sign) if sign else word
        if sign == "!":
            terms.append(Term(name, "avoid", value))
        elif sign:
            change = number(value, f"--toward {name}{sign}")
            terms.append(Term(name, "change", change if sign == "+" else -change))
        else:
            terms.append(Term(name, "is", value))
    names = [term.name for term in terms if term.relation != "avoid"]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"--toward {twice} is given twice; a goal has one target for each property")
    return tuple(terms)


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
        facts: what else a reader should know: solver, steps, what was assumed.
    """

    batch: Batch
    origin: Int[Tensor, " b"]
    scores: Mapping[str, Float[Tensor, " b"]] = field(default_factory=dict)
    calls: int = 0
    seconds: float = 0.0
    history: Sequence[Mapping[str, float]] = ()
    facts: Mapping[str, object] = field(default_factory=dict)
