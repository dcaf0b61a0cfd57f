"""Reading receptors for a user: what the file had that was left out, or taken as something, is said once."""

from collections.abc import Sequence
from pathlib import Path

from zsteer.domains.sequences import files
from zsteer.domains.sequences.space import SequenceSpace
from zsteer.kits.common import note_reading

__all__ = ["SHOWN", "listed", "read_receptors", "say"]

SHOWN = 5
"""Skipped rows that are named one by one; the rest are counted."""


def read_receptors(
    path: Path,
    *,
    skip_invalid: bool = False,
    column: str | None = None,
    space: SequenceSpace | None = None,
    keep: Sequence[str] | None = None,
) -> files.Table:
    """Read a file of receptors, and warn of what was left out of it.

    Args:
        path: file whose ending says the format.
        skip_invalid: leave out rows that cannot be used.
        column: that holds the CDR3; None looks for the usual names.
        space: which sequences are accepted.
        keep: other columns that are wanted; all when None.

    Raises:
        InputError: if the file or a row cannot be used.
    """
    found = files.read(path, skip_invalid=skip_invalid, column=column, space=space, keep=keep)
    say(path, found.notes, found.skipped)
    return found


def say(path: Path, notes: Sequence[str], skipped: Sequence[files.Skipped]) -> None:
    """Warn of what was left out of a file or taken as something."""
    note_reading(path, notes, [f"row {entry.row}: {entry.reason}" for entry in skipped])


def listed(skipped: Sequence[files.Skipped]) -> list[str]:
    """A line for each of the first rows that were skipped, and how many more there are."""
    lines = [f"row {entry.row}: {entry.reason}" for entry in skipped[:SHOWN]]
    return [*lines, f"... and {len(skipped) - SHOWN} more"] if len(skipped) > SHOWN else lines
