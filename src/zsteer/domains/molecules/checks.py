"""What can be wrong with a molecule that somebody hands over, and the counts of what stayed at each step.

A :class:`Problem` names the record, the kind and the detail; the kinds are the constants below, so that counts can be
compared. Nothing is dropped in silence: what a reader leaves out is a problem, what a filter leaves out is a count.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from zsteer.errors import InputError

__all__ = ["Counts", "Problem", "raise_first", "summary"]


@dataclass(frozen=True)
class Problem:
    """A record that cannot be used.

    Args:
        record: its number in the file: the row of a table (the header is row 1), the place of a record elsewhere (the
            first is 1).
        kind: in two or three words, to count by.
        detail: the whole reason, or empty where the kind says it.
        name: of the record, if it has one.
    """

    record: int
    kind: str
    detail: str = ""
    name: str = ""

    @property
    def line(self) -> str:
        """The problem in one line."""
        named = f" ({self.name})" if self.name else ""
        return f"record {self.record}{named}: {self.kind}" + (f": {self.detail}" if self.detail else "")


@dataclass(frozen=True)
class Counts:
    """How many records were there after each step.

    Args:
        steps: (what was done, records left), in order.
    """

    steps: tuple[tuple[str, int], ...] = ()

    def then(self, what: str, left: int) -> "Counts":
        """The counts with one more step."""
        return Counts((*self.steps, (what, left)))

    def lines(self) -> list[str]:
        """One line for each step, with what it left out."""
        found: list[str] = []
        before = None
        for what, left in self.steps:
            lost = "" if before is None or before == left else f" ({before - left:,} left out)"
            found.append(f"{what}: {left:,}{lost}")
            before = left
        return found


def summary(problems: Sequence[Problem], *, named: int = 3) -> list[str]:
    """Lines that count problems by kind, with the first few records of each.

    Args:
        problems: of a file.
        named: how many records of each kind are named.
    """
    lines: list[str] = []
    for kind, count in Counter(one.kind for one in problems).most_common():
        own = [one for one in problems if one.kind == kind]
        shown = ", ".join(f"{one.record}" + (f" ({one.name})" if one.name else "") for one in own[:named])
        lines.append(f"{count:,} x {kind}: record {shown}{', ...' if count > named else ''}")
    return lines


def raise_first(path: object, problems: Sequence[Problem], *, skip_invalid: bool) -> None:
    """Refuse a file with problems, unless they may be left out.

    Raises:
        InputError: names the first problem and how many there are.
    """
    if problems and not skip_invalid:
        more = f"; {len(problems):,} such records in all" if len(problems) > 1 else ""
        raise InputError(f"{path}: {problems[0].line}{more} (pass --skip-invalid to leave them out)")
