"""``zsteer bench edit``: how many edits of a code reach their value, what leaks, and what chance does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from zsteer.bench.edit import images, table
from zsteer.evaluate.report import Report

__all__ = ["bench"]


def bench(
    *, quick: bool = False, data: Path | None = None, watch: Callable[[dict[str, Any]], None] | None = None
) -> Report:
    """Train small autoencoders, edit held-out samples, and print what was reached.

    Args:
        quick: short trainings and fewer samples; about two minutes.
        data: the data folder, for Fashion-MNIST; drawn pictures when None, and the table says so.
        watch: called with progress.

    Returns:
        A report of the images, of what leaks, and of a table.
    """

    def quiet(record: dict[str, Any]) -> None:
        del record

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        tables = [
            *images.tables(data=data, quick=quick, watch=watch or quiet),
            *table.tables(quick=quick, watch=watch or quiet),
        ]
    finally:
        torch.set_num_threads(threads)
    return Report("Edits of a code, measured", [], tables)
