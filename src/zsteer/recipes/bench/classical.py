"""``zsteer bench classical``: the lecture's first half, part by part, each with its peers and baselines beside it."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

from zsteer.errors import InputError, SettingsError, nearest
from zsteer.evaluate.report import Report, Table

__all__ = ["PARTS", "bench"]

PARTS: Mapping[str, str] = MappingProxyType(
    {
        "autoencoders": "zsteer.recipes.autoencoders.bench:tables",
        "distances": "zsteer.recipes.distances.bench:tables",
        "gan": "zsteer.recipes.gan.bench:tables",
        "rbm": "zsteer.recipes.rbm.bench:tables",
        "ratings": "zsteer.recipes.ratings.bench:tables",
    }
)
"""Part -> the function that makes its tables."""


def bench(
    *,
    quick: bool = False,
    data: Path | None = None,
    part: str | None = None,
    watch: Callable[[dict[str, Any]], None] | None = None,
) -> Report:
    """Run the parts.

    Args:
        quick: smaller runs.
        data: the data folder.
        part: one of ``PARTS``; all of them when None.
        watch: called with progress.

    Raises:
        InputError: if there is no data folder.
        SettingsError: if there is no such part.
    """
    if data is None:
        raise InputError("zsteer bench classical needs the data folder: pass --data FOLDER or set ZSTEER_DATA")
    if part is not None and part not in PARTS:
        raise SettingsError(nearest(part, PARTS, what="part"))
    tables: list[Table] = []
    for name in PARTS if part is None else [part]:
        tables += _part(name)(data=data, quick=quick, watch=watch or _quiet)
    return Report("The lecture's first half, measured", [], tables)


def _part(name: str) -> Callable[..., Sequence[Table]]:
    module, function = PARTS[name].split(":")
    return getattr(import_module(module), function)


def _quiet(record: dict[str, Any]) -> None:
    del record
