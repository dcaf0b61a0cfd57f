"""Progress on a terminal as a bar, elsewhere as plain lines; nothing for what takes under two seconds."""

import sys
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

__all__ = ["Progress", "note_all"]


def note_all(notes: Iterable[str]) -> None:
    """Say on standard error what was assumed, chosen or left out, a line each."""
    for note in notes:
        print(f"zsteer: note: {note}", file=sys.stderr)


class Progress:
    """Show records of a long task: each has ``step`` and ``steps``, and figures.

    Args:
        title: what is going on.
        quiet: print nothing, for ``--json``.
    """

    def __init__(self, title: str, *, quiet: bool = False) -> None:
        self.title, self.quiet = title, quiet
        self.started = self.last = time.monotonic()
        self.first: tuple[float, int] | None = None
        self.bar: Any = None
        self.task: Any = None

    def __enter__(self) -> Self:
        return self

    def update(self, record: dict[str, Any]) -> None:
        """Take a record; shown on standard error so that standard output stays clean."""
        now = time.monotonic()
        if self.quiet:
            return
        if "lines" in record:  # what was read, before work on it begins
            print("\n".join(record["lines"]), file=sys.stderr)
            return
        if "doing" in record:  # a part of the work begins whose length nobody knows
            print(f"{self.title}: {record['doing']}", file=sys.stderr)
            return
        # A run that goes on did its first steps in another session: time is taken from the first record here.
        self.first = self.first or (now, record["step"])
        if now - self.started < 2.0:
            return
        figures = "  ".join(
            f"{key} {value:.3g}"
            for key, value in record.items()
            if isinstance(value, float) and not key.endswith(("/lr", "/gradient"))
        )
        if sys.stderr.isatty():
            self._draw(record, figures)
        elif now - self.last >= 10.0:
            self.last = now
            since, done = self.first[0], record["step"] - self.first[1]
            left = f"  {(now - since) / done * (record['steps'] - record['step']):.0f} s left" if done > 0 else ""
            print(f"{self.title} {record['step']}/{record['steps']}{left}  {figures}", file=sys.stderr)

    def _draw(self, record: dict[str, Any], figures: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        if self.bar is None:
            self.bar = Progress(
                TextColumn(self.title),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[figures]}"),
                console=Console(stderr=True),
                transient=True,
            )
            self.bar.start()
            self.task = self.bar.add_task(self.title, total=record["steps"], completed=record["step"], figures="")
        self.bar.update(self.task, completed=record["step"], figures=figures)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.stop()
