"""``Property``: a named quantity of a thing, with its unit, range and direction, its function and its gradient.

A property has two faces. Its *function* takes things of a domain as a user has them (molecules, sequences, pixels,
rows) and gives one number each; it is asked, counted and cached. Its *measure*, where it has one, takes what a model
expects of such things (``core.protocols.Expects``) and can be differentiated; guides follow it. Declaring properties
imports no torch: ``lazy`` names a function that is imported when it is first called.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from zsteer.core.options import Option
from zsteer.errors import InputError, SettingsError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Function", "Measure", "Property", "checked_values", "lazy"]

Function = Callable[[Any], Any]
"""Things of a domain -> one number each, float64 ``(b,)``; NaN for a thing that has no value."""
Measure = Callable[[Any], Any]
"""What a model expects of things -> one number each, a tensor ``(b,)`` with a gradient."""


def lazy(target: str) -> Callable[..., Any]:
    """A function by name, imported when it is first called.

    Args:
        target: ``module:function``.
    """
    module, name = target.split(":")

    def call(*arguments: Any) -> Any:
        return getattr(import_module(module), name)(*arguments)

    return call


@dataclass(frozen=True)
class Property:
    """A named quantity of a thing.

    Args:
        name: as goals name it.
        function: of things; None where only a model can tell the property.
        measure: its differentiable face; None where it has none.
        unit: empty for a pure number.
        low: least value that a thing can have; None without a bound.
        high: greatest value that a thing can have; None without a bound.
        reach: least and greatest value that the things at hand have; None where it is not known.
        direction: which way is usually better, or None.
        spread: typical standard deviation; several gaps add up in this unit.
        tolerance: how near a value counts as reached, in the property's own unit.
        cost: time to compute it of one thing. [seconds]
        help: what it is, in a few words.
        guide: model of noisy things that can pull towards it, by name; empty for none.
        argument: what the name was given, of a property that takes a name: a class, a peptide.

    Raises:
        SettingsError: if it has no name, or a spread or tolerance that is not positive.
    """

    name: str
    function: Function | None = None
    measure: Measure | None = None
    unit: str = ""
    low: float | None = None
    high: float | None = None
    reach: tuple[float, float] | None = None
    direction: Literal["up", "down"] | None = None
    spread: float = 1.0
    tolerance: float = 0.1
    cost: float = 0.0
    help: str = ""
    guide: str = ""
    argument: str = ""

    def __post_init__(self) -> None:
        if not self.name or self.spread <= 0 or self.tolerance <= 0:
            raise SettingsError(
                f"a property has a name and a positive spread and tolerance, got {self.name!r}, "
                f"{self.spread} and {self.tolerance}"
            )

    @property
    def key(self) -> str:
        """What tells it from the others of a goal: its name, and what the name was given."""
        return f"{self.name}={self.argument}" if self.argument else self.name

    @property
    def range(self) -> str:
        """Its range and unit as text, empty without a bound."""
        if self.low is None and self.high is None:
            return self.unit
        low = "" if self.low is None else f"{self.low:g}"
        high = "" if self.high is None else f"{self.high:g}"
        return f"{low}..{high}" + (f" {self.unit}" if self.unit else "")

    @property
    def option(self) -> Option:
        """What ``--toward`` takes of it."""
        return Option(self.name, "toward", "number", self.help, self.unit, self.low, self.high)

    def values(self, things: Any, n: int) -> "NDArray[np.float64]":
        """The property of ``n`` things, ``(n,)``; NaN where it has no value.

        Raises:
            InputError: if only a model can tell it, or the function raises or gives something else.
        """
        if self.function is None:
            raise InputError(f"{self.name} is measured by no function; only a model tells it")
        try:
            found = self.function(things)
        except Exception as error:
            line = " ".join(str(error).split())[:200]
            raise InputError(f"the property {self.name} failed: {type(error).__name__}: {line}") from error
        return checked_values(found, n, name=self.name)

    def check(self, value: float) -> float:
        """The value, where a thing can have it.

        Raises:
            InputError: if it is not finite, or outside the property's range.
        """
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        if not math.isfinite(value) or not low <= value <= high:
            raise InputError(f"{self.name} takes a value within {self.range or 'the finite numbers'}, got {value:g}")
        return value


def checked_values(found: Any, n: int, *, name: str) -> "NDArray[np.float64]":
    """What a property's function gave, as ``n`` numbers.

    Raises:
        InputError: if they are no numbers, not ``n``, or infinite.
    """
    import numpy as np

    try:
        values = np.asarray(found.detach().cpu() if hasattr(found, "detach") else found, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"the property {name} gave {type(found).__name__}; expected {n} numbers") from None
    if values.shape != (n,):
        raise InputError(f"the property {name} gave numbers of shape {values.shape}; expected one for each of {n}")
    if np.isinf(values).any():
        raise InputError(f"the property {name} gave an infinite value for thing {int(np.isinf(values).argmax()) + 1}")
    return values
