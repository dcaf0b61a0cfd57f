"""How many threads a run on the CPU takes: the cores that nobody else is using.

Two threads on two cores that are busy already wait for each other at every layer: a small network then runs many times
slower than on one. The number is kept in the run's recipe, since sums in another order would not resume bit for bit.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["MOST_THREADS", "free_threads", "threads_of"]

MOST_THREADS = 1024
"""More than any machine has cores; the thread library ends the process far above."""


def free_threads() -> int:
    """Cores less the load of the last minute, within 1 and what torch is set to; OMP_NUM_THREADS is obeyed."""
    most = torch.get_num_threads()
    if "OMP_NUM_THREADS" in os.environ or not hasattr(os, "getloadavg"):
        return most
    return max(1, min(most, round((os.cpu_count() or 1) - os.getloadavg()[0])))


@contextmanager
def threads_of(count: int) -> Iterator[None]:
    """Run with ``count`` threads, and put the old number back."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
