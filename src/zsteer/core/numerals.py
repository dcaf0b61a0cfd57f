"""Numbers as people write them: plain, with a decimal comma, with marks between thousands; and marks of missing values.

A column has one way of writing. It is the way that reads most of its cells; what it does not read is no number.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["MISSING", "Numbers", "decimals_of", "is_date", "is_number", "numbers_of", "written"]

MISSING = frozenset({"", "na", "n/a", "#n/a", "<na>", "nan", "nat", "null", "none", "missing", "?", "-"})
"""Texts that stand for a missing value, in lower case."""

LONGEST = 400
"""Letters of a number: the largest that a float holds has 309 digits."""
_END = r"(?:[eE][-+]?\d+)?"
_GAP = " \u00a0\u202f'\u2019"
_PLAIN = re.compile(rf"[-+]?(?:(?:\d+\.?\d*|\.\d+){_END}|inf|infinity)", re.IGNORECASE)
_COMMA = re.compile(rf"[-+]?(?:\d+|\d{{1,3}}(?:[.{_GAP}]\d{{3}})+)(?:,\d+)?{_END}")
_THOUSANDS = re.compile(rf"[-+]?(?:\d+|\d{{1,3}}(?:[,{_GAP}]\d{{3}})+)(?:\.\d+)?{_END}")
_DAY = re.compile(
    r"(?:\d{4}([-/.])\d{1,2}\1\d{1,2}|\d{1,2}([-/.])\d{1,2}\2\d{2,4})(?:[T ].*)?|\d{1,2}:\d{2}(?::\d{2})?"
)


@dataclass(frozen=True)
class Numbers:
    """The numbers of a column.

    Args:
        values: shape ``(n,)``; NaN where a cell is missing or no number.
        missing: cells that stand for a missing value.
        wrong: cells that are neither.
        way: how the numbers are written, in words; empty for the plain way.
    """

    values: NDArray[np.float64]
    missing: NDArray[np.bool_]
    wrong: NDArray[np.bool_]
    way: str = ""


def is_number(cell: str) -> bool:
    """Whether a cell is a number in any way of writing."""
    return any(_fits(way, cell) for way in (_PLAIN, _COMMA, _THOUSANDS))


def _fits(way: re.Pattern[str], cell: str) -> bool:
    """Whether a cell is a number in one way of writing; a pattern would try a cell without end for minutes."""
    return len(cell) <= LONGEST and way.fullmatch(cell) is not None


def is_date(cell: str) -> bool:
    """Whether a cell is a day (2021-07-29, 29.7.2021), with or without a time, or a time of day."""
    return _DAY.fullmatch(cell) is not None


def numbers_of(cells: Sequence[str], *, comma: bool = False) -> Numbers:
    """Read a column.

    Args:
        cells: its texts.
        comma: take ``1,234`` for a decimal comma where nothing else in the column decides.
    """
    missing = np.array([cell.casefold() in MISSING for cell in cells], dtype=bool)
    there = [cell for cell, gap in zip(cells, missing, strict=True) if not gap]
    ways = [(_PLAIN, ""), (_THOUSANDS, "marks between thousands"), (_COMMA, "decimal comma")]
    if comma:
        ways[1:] = ways[:0:-1]
    counts = [sum(_fits(way, cell) for cell in there) for way, _ in ways]
    best = counts.index(max(counts))
    way, words = ways[best]
    values = np.full(len(cells), np.nan)
    wrong = np.zeros(len(cells), dtype=bool)
    for k, cell in enumerate(cells):
        if missing[k]:
            continue
        if not _fits(way, cell):
            wrong[k] = True
        else:
            values[k] = float(_plain(cell, way))
    return Numbers(values, missing, wrong, words)


def _plain(cell: str, way: re.Pattern[str]) -> str:
    if way is _PLAIN:
        return cell
    bare = re.sub(f"[{_GAP}]", "", cell)
    return bare.replace(".", "").replace(",", ".") if way is _COMMA else bare.replace(",", "")


def decimals_of(values: NDArray[np.float64], most: int) -> int:
    """Digits after the point that the numbers have, at most ``most``."""
    return next((k for k in range(most) if np.array_equal(np.round(values, k), values)), most)


def written(value: float) -> str:
    """A number with all its digits, whole ones without a point: 1000150, 0.25, 1e+30."""
    number = float(value)
    if number.is_integer() and abs(number) < 1e16:
        return str(int(number))
    return repr(number)
