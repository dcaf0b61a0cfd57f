"""Memory that is free on this machine, so that a result that cannot fit is refused before work on it begins."""

import math
import os
from pathlib import Path

from zsteer.errors import InputError

__all__ = ["check_fits", "free_memory"]

EACH = 256
"""Bytes that one sample takes at least beside its numbers: its text, its row of a table."""
PER_NUMBER = 12
"""Bytes of a number of a sample: as the model makes it, and as it is written."""


def free_memory() -> float:
    """Bytes that this process may still take: of the machine, its container and its own limit; infinite if unknown."""
    return min(_of_machine(), _of_container(), _of_process())


def _of_machine() -> float:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, ValueError, StopIteration):
        return math.inf


def _of_container() -> float:
    """What the control group leaves, where this process is in one with a limit."""
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text(encoding="ascii").strip()
        used = int((group / "memory.current").read_text(encoding="ascii"))
        return math.inf if limit == "max" else float(int(limit) - used)
    except (OSError, ValueError):
        return math.inf


def _of_process() -> float:
    if os.name != "posix":
        return math.inf
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return math.inf if limit == resource.RLIM_INFINITY else float(limit)


def check_fits(count: int, numbers: int, *, what: str) -> None:
    """Refuse samples that cannot fit into memory.

    Args:
        count: how many.
        numbers: that one sample has.
        what: what asks for them, for the message.

    Raises:
        InputError: if they take more than is free.
    """
    needed, free = float(count) * (EACH + PER_NUMBER * numbers), free_memory()
    if needed > free:
        raise InputError(
            f"{what}: {count:,} samples take at least {needed / 2**30:,.0f} GiB, and {free / 2**30:.1f} GiB are free; "
            f"ask for fewer, or make them in parts, each with another --seed"
        )
