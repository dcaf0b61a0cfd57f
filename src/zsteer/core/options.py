"""``Options``: what a user may say about a model, declared once as data. Imports no torch: help is instant.

An ``Option`` is one name that ``--given``, ``--toward`` or ``--keep`` takes: its type, unit, range and help. The same
declaration parses the words once, writes the help page, and gives the nearest name of one that is misspelt. Options of
methods and of sampling are flags; they are pydantic models (``steer.options``).
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from zsteer.errors import InputError, SettingsError, nearest

__all__ = ["Option", "Options", "number", "whole"]

Place = Literal["given", "toward", "keep", "sample"]
Type = Literal["number", "whole", "text", "choice", "flag", "file"]


@dataclass(frozen=True)
class Option:
    """One name that a goal may use.

    Args:
        name: as the user writes it.
        place: after which of ``--given``, ``--toward``, ``--keep``; ``sample`` for a flag of the model's sampling.
        type: number, whole (a whole number), text, choice (one of ``choices``), flag (yes or no), file.
        help: what it is, in a few words.
        unit: of a number.
        low: least value, or None.
        high: greatest value, or None.
        choices: what a choice may be.
        soft: a value out of the range is taken all the same; whoever takes it says so.
    """

    name: str
    place: Place
    type: Type = "number"
    help: str = ""
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    soft: bool = False

    @property
    def range(self) -> str:
        """Range and unit, or the choices, as text."""
        if self.choices:
            shown = ", ".join(self.choices[:12])
            return shown if len(self.choices) <= 12 else f"{shown}, ... ({len(self.choices)})"
        if self.low is None and self.high is None:
            return self.unit
        low = "" if self.low is None else f"{self.low:.4g}"
        high = "" if self.high is None else f"{self.high:.4g}"
        return f"{low}..{high}" + (f" {self.unit}" if self.unit else "")

    @property
    def line(self) -> str:
        """One line of a help page."""
        return f"{self.name}: {self.help}" + (f" [{self.range}]" if self.range else "")

    def parse(self, value: object) -> object:
        """The value in its type, checked.

        Raises:
            InputError: if it is no such value, or out of range.
        """
        flag = f"--{self.name}" if self.place == "sample" else f"--{self.place} {self.name}"
        if not isinstance(value, str | int | float):
            return value  # one value for each sample; the model checks them
        low, high = (None, None) if self.soft else (self.low, self.high)
        if self.type == "choice":
            if str(value) not in self.choices:
                raise InputError(f"{flag}: " + nearest(str(value), self.choices, what="value"))
            return str(value)
        if self.type == "flag":
            return _yes(value, flag)
        if self.type == "whole":
            return whole(value, flag, low=low, high=high)
        if self.type == "number":
            found = number(value, flag)
            if not (low is None or found >= low) or not (high is None or found <= high):
                raise InputError(f"{flag} takes {self.range}, got {value}")
            return found
        return value


@dataclass(frozen=True)
class Options:
    """What a domain and a model take, in the order of the help page.

    Args:
        noun: what one sample is called, in the plural: molecules, sequences, images.
        files: endings that are read and written.
        entries: the options.

    Raises:
        SettingsError: if a name stands twice at one place.
    """

    noun: str
    files: str
    entries: tuple[Option, ...] = ()

    def __post_init__(self) -> None:
        names = [(entry.place, entry.name) for entry in self.entries]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise SettingsError(f"the option {twice[1]} of --{twice[0]} is declared twice")

    def at(self, place: Place) -> dict[str, Option]:
        """The options of a place by name."""
        return {entry.name: entry for entry in self.entries if entry.place == place}

    def add(self, entries: Iterable[Option]) -> "Options":
        """With further options; one that stands there already is replaced."""
        fresh = tuple(entries)
        names = {(entry.place, entry.name) for entry in fresh}
        kept = tuple(entry for entry in self.entries if (entry.place, entry.name) not in names)
        return Options(self.noun, self.files, kept + fresh)

    def parse(self, place: Place, values: Mapping[str, object]) -> dict[str, object]:
        """Values in their types, by the option's own name (a dash in a name is an underscore).

        Raises:
            InputError: if a name does not exist there, with the nearest one, or a value does not fit.
        """
        known, found = self.at(place), dict[str, object]()
        for name, value in values.items():
            plain = name if name in known else name.replace("-", "_")
            if plain not in known:
                what = {"given": "condition", "toward": "property", "keep": "constraint", "sample": "option"}[place]
                if not known:
                    raise InputError(f"--{place} {name}: this model takes no {what}")
                raise InputError(f"--{place}: " + nearest(plain, known, what=what))
            found[plain] = known[plain].parse(value)
        return found


def number(value: object, flag: str) -> float:
    """A finite number.

    Raises:
        InputError: if it is none.
    """
    try:
        found = float(str(value))
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise InputError(f"{flag} takes a number, got {value!r}")
    return found


def whole(value: object, flag: str, *, low: float | None = None, high: float | None = None) -> int:
    """A whole number within a range.

    Raises:
        InputError: if it is none.
    """
    text = str(value)
    found = int(text) if text.lstrip("+-").isdecimal() else None
    if found is None or (low is not None and found < low) or (high is not None and found > high):
        low_text = "" if low is None else f" from {low:g}"
        high_text = "" if high is None else f" to {high:g}"
        raise InputError(f"{flag} takes a whole number{low_text}{high_text}, got {value!r}")
    return found


def _yes(value: object, name: str) -> bool:
    word = str(value).lower()
    if word not in {"yes", "no", "true", "false"}:
        raise InputError(f"{name} takes yes or no, got {value!r}")
    return word in {"yes", "true"}
