"""Data items of records, decided over a whole file: a column of numbers is a property, anything else is text.

Nothing is dropped: a column in which one cell is no number stays text as it was written. Cells that say that there is
no value (empty, NA, nan, None) are no numbers, and none stands in the way of the others.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Items", "number_text", "typed"]

# A number with leading zeros is a name (ZINC000123): read as a number it would come out as another one.
_NUMBER = re.compile(r"[+-]?(0|[1-9]\d*|(?=\.))(\.\d*)?([eE][+-]?\d+)?")
_MISSING = frozenset({"", "na", "n/a", "nan", "none", "null"})
_DIGITS = 15
"""A whole number with more digits is a name too: float64 does not hold it."""


@dataclass(frozen=True)
class Items:
    """Data items of each record.

    Args:
        numbers: of each record by name; NaN where a column of numbers has none.
        words: of each record by name; only what is not empty.
        notes: columns of numbers that stay text because of some cells, a line each.
    """

    numbers: Sequence[Mapping[str, float]]
    words: Sequence[Mapping[str, str]]
    notes: Sequence[str] = ()


def typed(items: Sequence[Mapping[str, str]], records: Sequence[int]) -> Items:
    """Decide which items are numbers.

    Args:
        items: of each record, as they are written.
        records: number of each record in its file, for the notes.
    """
    names = list(dict.fromkeys(name for one in items for name in one))
    numeric: set[str] = set()
    notes: list[str] = []
    for name in names:
        cells = [(record, one[name].strip()) for record, one in zip(records, items, strict=True) if name in one]
        filled = [(record, cell) for record, cell in cells if cell.lower() not in _MISSING]
        others = [(record, cell) for record, cell in filled if not _is_number(cell)]
        if filled and not others:
            numeric.add(name)
        elif 2 * len(others) < len(filled):
            record, cell = others[0]
            notes.append(
                f"{name} stays text, no property: {len(others):,} of its {len(filled):,} values are no numbers, as "
                f"{cell[:40]!r} in record {record}"
            )
    return Items(
        [{n: _number(v) for n, v in one.items() if n in numeric} for one in items],
        [{n: v.strip() for n, v in one.items() if n not in numeric and v.strip()} for one in items],
        notes,
    )


def _is_number(word: str) -> bool:
    if _NUMBER.fullmatch(word) is None:
        return False
    return not word.lstrip("+-").isdigit() or len(word.lstrip("+-")) <= _DIGITS


def _number(word: str) -> float:
    return float(word) if _is_number(word.strip()) else float("nan")


def number_text(value: float) -> str:
    """A number with all its digits, whole ones without a point."""
    return str(int(value)) if value.is_integer() and abs(value) < 10**_DIGITS else repr(value)
