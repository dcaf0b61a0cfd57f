"""Benchmarks of several parts: one function each, named as ``module:function``, imported when it is run."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

from zsteer.core.catalog import load_name
from zsteer.errors import InputError, SettingsError, nearest
from zsteer.evaluate.report import Cell, Report, Table

__all__ = ["Parts"]

Watch = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Parts:
    """A benchmark made of parts.

    Args:
        topic: its name on the command line.
        title: of the report.
        parts: part -> the function that makes its tables.
    """

    topic: str
    title: str
    parts: Mapping[str, str]

    def run(
        self,
        *,
        quick: bool,
        data: Path | None,
        part: str | None,
        watch: Watch | None,
        models: Path | None = None,
        peer: Path | None = None,
    ) -> Report:
        """Run one part, or all.

        Args:
            quick: smaller runs.
            data: the data folder.
            part: one of the parts; all when None.
            watch: called with progress.
            models: folder with trained models, for the part that takes some.
            peer: folder with a peer's repository, for the part that takes one.

        Raises:
            InputError: if there is no data folder, and a part reads it.
            SettingsError: if there is no such part, or the part takes no models or no peer.
        """
        if part is not None and part not in self.parts:
            raise SettingsError(nearest(part, self.parts, what="part"))
        tables: list[Table] = []
        costs: list[list[Cell]] = []
        for name in self.parts if part is None else [part]:
            function: Callable[..., Sequence[Table]] = load_name(self.parts[name])
            options: dict[str, Any] = {"quick": quick, "watch": watch or _quiet}
            taken = signature(function).parameters
            if "data" in taken:
                if data is None:
                    raise InputError(
                        f"zsteer bench {self.topic} needs the data folder: pass --data FOLDER or set ZSTEER_DATA"
                    )
                options["data"] = data
            for flag, value in (("models", models), ("peer", peer)):
                if value is None:
                    continue
                if flag in taken:
                    options[flag] = value
                elif part is not None:
                    raise SettingsError(f"part {name} of bench {self.topic} takes no --{flag}; leave it away")
            started, used = time.perf_counter(), time.process_time()
            tables += function(**options)
            costs.append([name, time.perf_counter() - started, time.process_time() - used])
        cost = Table("What the parts took", ["part", "seconds", "CPU-seconds of this process"], costs, [])
        return Report(self.title, [], [*tables, cost])


def _quiet(record: dict[str, Any]) -> None:
    del record
