"""What a table of ratings is: users, items, an ordered scale of levels, and one level for each rated pair.

Ratings lie sorted by user (compressed rows: those of user u stand at ``starts[u] ... starts[u + 1] - 1``). For training
a user is one sample: a ``Batch`` with fields ``items`` and ``levels`` of shape (b, n), true in the mask where rated.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from zsteer.core.batch import Batch
from zsteer.errors import InputError, nearest

__all__ = ["BLANKS", "MOST_LEVELS", "Ratings", "Scale", "Skipped", "scale_of", "table"]

MOST_LEVELS = 100
"""Levels of a scale at most; a table with more distinct values holds measurements, not levels."""

ENOUGH = 20
"""Ratings from which a level that comes once is worth a word."""

BLANKS = frozenset({"", "?", "na", "nan", "none", "null", "-"})
"""Cells of a matrix that stand for no rating, in lower case."""

_ORDERS = (("dislike", "like"), ("no", "yes"), ("bad", "good"), ("false", "true"), ("low", "medium", "high"))
"""Orders of text levels that are known, worst first."""


@dataclass(frozen=True)
class Scale:
    """Levels from the worst to the best.

    Args:
        names: how they are written.
        values: what they are worth in an expectation: the number itself, or 0 ... K - 1 for text.

    Raises:
        InputError: if there are fewer than 2 levels or more than 100, or the values do not rise.
    """

    names: tuple[str, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if not 2 <= len(self.names) <= MOST_LEVELS or len(self.names) != len(self.values):
            given = ", ".join(self.names[:5])
            raise InputError(f"expected 2 to {MOST_LEVELS} levels of rating, got {len(self.names)} ({given})")
        if any(b <= a for a, b in pairwise(self.values)):
            raise InputError(f"expected the levels from the worst to the best, got the values {self.values}")

    def __len__(self) -> int:
        return len(self.names)

    def index(self, text: str) -> int:
        """Number of a level, from its name or its number; -1 if there is none."""
        text = text.strip()
        for k, name in enumerate(self.names):
            if name.casefold() == text.casefold():
                return k
        number = _number(text)
        return self.values.index(number) if number is not None and number in self.values else -1


@dataclass(frozen=True)
class Skipped:
    """A row that could not be used, and why."""

    row: int
    reason: str


@dataclass(frozen=True)
class Ratings:
    """A table of ratings.

    Args:
        users: names; a rating refers to them by number.
        items: names likewise.
        scale: the levels.
        user: user of each rating, shape ``(r,)``, rising.
        item: item of each rating, shape ``(r,)``.
        level: level of each rating, shape ``(r,)``.
        row: line of each rating in its file, shape ``(r,)``.
        source: file, for messages.
        notes: what was accepted although it is unusual.
        skipped: rows left out on request.
    """

    users: Sequence[str]
    items: Sequence[str]
    scale: Scale
    user: Int[Tensor, " r"]
    item: Int[Tensor, " r"]
    level: Int[Tensor, " r"]
    row: Int[Tensor, " r"]
    source: str = "ratings"
    notes: Sequence[str] = ()
    skipped: Sequence[Skipped] = field(default=())

    def __len__(self) -> int:
        return len(self.user)

    @property
    def starts(self) -> Int[Tensor, " starts"]:
        """First rating of each user, and the number of ratings at the end."""
        return torch.searchsorted(self.user, torch.arange(len(self.users) + 1))

    def take(self, index: Int[Tensor, " k"] | Bool[Tensor, " r"]) -> "Ratings":
        """Some of the ratings, in the order of the table, over the same users and items."""
        chosen = index.nonzero()[:, 0] if index.dtype == torch.bool else index.sort().values
        parts = {name: getattr(self, name)[chosen] for name in ("user", "item", "level", "row")}
        return replace(self, **parts)

    @property
    def lines(self) -> list[str]:
        """What was read, in words: how many of what, levels with their counts, what was assumed and left out."""
        counts = torch.bincount(self.level, minlength=len(self.scale)).tolist()
        levels = [f"{name} {count:,}" for name, count in zip(self.scale.names, counts, strict=True)]
        more = f" and {len(levels) - 12} more" if len(levels) > 12 else ""
        sizes = f"{len(self):,} ratings of {len(self.items):,} items by {len(self.users):,} users"
        found = [f"{self.source}: {sizes}", "levels: " + ", ".join(levels[:12]) + more, *self.notes]
        if self.skipped:
            first = self.skipped[0]
            found.append(f"left out: {len(self.skipped)} rows, the first: row {first.row}: {first.reason}")
        return found

    def user_number(self, name: str) -> int:
        """Number of a user.

        Raises:
            InputError: if there is no such user; the nearest name is given.
        """
        return _find(self.users, name, "user")

    def item_number(self, name: str) -> int:
        """Number of an item.

        Raises:
            InputError: if there is no such item; the nearest name is given.
        """
        return _find(self.items, name, "item")

    def batch(self, users: Int[Tensor, " b"]) -> Batch:
        """Some users as samples, padded to the longest of them; a user without ratings is all padding."""
        starts = self.starts
        first, count = starts[users], starts[users + 1] - starts[users]
        place = torch.arange(max(int(count.max()) if len(count) else 0, 1))
        mask = place < count[:, None]
        at = torch.where(mask, first[:, None] + place, 0)
        fields: Mapping[str, Tensor] = {"items": self.item, "levels": self.level}
        if len(self) == 0:
            return Batch({name: torch.zeros_like(at) for name in fields}, mask=mask)
        return Batch({name: torch.where(mask, values[at], 0) for name, values in fields.items()}, mask=mask)


def _find(names: Sequence[str], name: str, what: str) -> int:
    try:
        return names.index(name)
    except ValueError:
        raise InputError(nearest(name, names, what=what)) from None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def scale_of(
    values: Sequence[str], rows: Sequence[int], *, source: str, skip_invalid: bool = False
) -> tuple[Scale, list[str]]:
    """The scale that the values of a table make up: all numbers, or words whose order is known.

    Args:
        values: the ratings.
        rows: line of each.
        source: name for messages.
        skip_invalid: leave values that are no numbers among numbers out of the scale.

    Returns:
        The scale, and notes of levels that are seldom.

    Raises:
        InputError: if numbers and text are mixed, a number is not finite, there is only one level, the order of words
            is not known, or a rare level lies far from all others.
    """
    numbers = [_number(value) for value in values]
    bad = [k for k, number in enumerate(numbers) if number is None or not math.isfinite(number)]
    if len(bad) == len(values) and all(numbers[k] is None for k in bad):
        return _text_scale(values, source)
    if bad and (not skip_invalid or len(bad) > 0.5 * len(values)):
        raise InputError(f"{source}, row {rows[bad[0]]}: expected a number as rating, got {values[bad[0]]!r}")
    numbers = [None if k in set(bad) else number for k, number in enumerate(numbers)]
    found = sorted({number for number in numbers if number is not None})
    if len(found) == 1:
        raise InputError(f"{source}: every rating is {found[0]:g}; there is nothing to learn from a single level")
    if len(found) > MOST_LEVELS:
        raise InputError(f"{source}: {len(found)} distinct ratings; expected at most {MOST_LEVELS} levels; round them")
    notes = _rare(found, numbers, rows, source)
    return Scale(tuple(f"{number:g}" for number in found), tuple(found)), notes


def _rare(levels: Sequence[float], numbers: Sequence[float | None], rows: Sequence[int], source: str) -> list[str]:
    """A note of levels that come once; a rare level farther from the others than these spread is refused."""
    count = Counter(numbers)
    n = len(numbers)
    for level in (levels[0], levels[-1]):
        others = [other for other in levels if other != level]
        gap = min(abs(level - other) for other in others)
        if n >= ENOUGH and count[level] <= max(1, n // 200) and len(others) > 1 and gap > others[-1] - others[0]:
            usual = f"{others[0]:g} ... {others[-1]:g}"
            raise InputError(
                f"{source}, row {rows[numbers.index(level)]}: the rating {level:g} lies far from all others ({usual}); "
                f"mend it, or say which levels there are: --levels {','.join(f'{other:g}' for other in others[:3])},..."
            )
    once = [f"{level:g}" for level in levels if count[level] == 1]
    return [f"warning: seen once: level {', '.join(once)}"] if once and n >= ENOUGH else []


def _text_scale(values: Sequence[str], source: str) -> tuple[Scale, list[str]]:
    names = {value.strip().casefold(): value.strip() for value in reversed(values)}
    if len(names) == 1:
        only = next(iter(names.values()))
        raise InputError(f"{source}: every rating is {only!r}; there is nothing to learn from a single level")
    if len(names) > MOST_LEVELS:
        raise InputError(f"{source}: {len(names)} distinct ratings; expected at most {MOST_LEVELS} levels")
    known = [order for order in _ORDERS if set(names) <= set(order)]
    if not known:
        words = ", ".join(list(names.values())[:8])
        raise InputError(
            f"{source}: the ratings are words ({words}) whose order is not known; pass --levels worst,...,best"
        )
    ordered = tuple(names[name] for name in known[0] if name in names)
    return Scale(ordered, tuple(float(k) for k in range(len(ordered)))), []


def _numbered(names: Sequence[str], known: Sequence[str] | None) -> tuple[Sequence[str], dict[str, int]]:
    ordered = list(dict.fromkeys(names)) if known is None else known
    return ordered, {name: k for k, name in enumerate(ordered)}


@dataclass(frozen=True)
class Known:
    """What a table is read against: the items and levels of a model."""

    items: Sequence[str]
    scale: Scale


def table(
    users: Sequence[object],
    items: Sequence[object],
    ratings: Sequence[object],
    *,
    rows: Sequence[int] | None = None,
    source: str = "ratings",
    against: "Known | Scale | None" = None,
    skip_invalid: bool = False,
) -> Ratings:
    """A table from three columns: in-memory data, or what a file gave.

    Args:
        users: one for each rating.
        items: likewise.
        ratings: numbers, or levels as text.
        rows: lines for messages; counted from 1 when None.
        source: name for messages.
        against: the scale that the ratings must be on, or the items too; None takes what is there.
        skip_invalid: leave out rows that cannot be used instead of stopping at the first.

    Raises:
        InputError: if the columns differ in length, there is no rating, one is not on the scale, an item is unknown,
            or a pair comes twice.
    """
    if not len(users) == len(items) == len(ratings):
        raise InputError(f"{source}: expected columns alike, got {len(users)}, {len(items)}, {len(ratings)} rows")
    lines = list(range(1, len(users) + 1)) if rows is None else list(rows)
    columns = [[str(value).strip() for value in column] for column in (users, items, ratings)]
    if not lines:
        raise InputError(f"{source}: there is no rating in it")
    scale, notes = (against.scale, []) if isinstance(against, Known) else (against, [])
    if scale is None:
        scale, notes = scale_of(columns[2], lines, source=source, skip_invalid=skip_invalid)
    known_items = against.items if isinstance(against, Known) else None
    names, number = _numbered(columns[1], known_items)
    people, person = _numbered(columns[0], None)
    level = {text: scale.index(text) for text in set(columns[2])}
    kept, skipped = _checked(columns, lines, _Checks(level, number, scale, source), skip_invalid=skip_invalid)
    if not kept:
        raise InputError(f"{source}: none of {len(lines)} rows can be used; the first: {skipped[0].reason}")
    who = torch.tensor([person[columns[0][k]] for k in kept])
    order = torch.argsort(who, stable=True)
    numbers = ([number[columns[1][k]] for k in kept], [level[columns[2][k]] for k in kept], [lines[k] for k in kept])
    what, how, where = (torch.tensor(column)[order] for column in numbers)
    return Ratings(people, names, scale, who[order], what, how, where, source, notes, skipped)


@dataclass(frozen=True)
class _Checks:
    """What rows are checked against: number of each level and item by its text, the scale, and a name for messages."""

    level: Mapping[str, int]
    number: Mapping[str, int]
    scale: Scale
    source: str


def _checked(
    columns: Sequence[Sequence[str]],
    lines: Sequence[int],
    by: _Checks,
    *,
    skip_invalid: bool,
) -> tuple[list[int], list[Skipped]]:
    """Rows that can be used, and the others with the reason."""
    level, number, scale, source = by.level, by.number, by.scale, by.source
    seen: dict[tuple[str, str], int] = {}
    kept: list[int] = []
    skipped: list[Skipped] = []
    for k, (user, item, rating) in enumerate(zip(*columns, strict=True)):
        reason = ""
        if not user or not item:
            reason = "expected a user and an item, got an empty cell"
        elif level[rating] < 0:
            reason = f"the rating {rating!r} is none of the levels {', '.join(scale.names)}"
        elif item not in number:
            reason = f"the item {item!r} is unknown to the model; --skip-invalid leaves such rows out"
        elif (user, item) in seen:
            reason = f"user {user!r} rates item {item!r} again; the first time was row {seen[user, item]}"
        if reason and not skip_invalid:
            raise InputError(f"{source}, row {lines[k]}: {reason}")
        if reason:
            skipped.append(Skipped(lines[k], reason))
            continue
        seen[user, item] = lines[k]
        kept.append(k)
    return kept, skipped
