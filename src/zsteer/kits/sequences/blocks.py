"""Blocks of a large file, several at once, their results in order: what is known is not worked out again."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import torch

__all__ = ["BLOCK", "in_order"]

BLOCK = 1024
"""Receptors of a block."""

T = TypeVar("T")
BlockT = TypeVar("BlockT", bound=Sized)


def in_order(
    blocks: Iterable[BlockT],
    work: Callable[[int, BlockT], T],
    known: Callable[[int], T | None],
    *,
    threads: int,
    watch: Callable[[int], Any],
) -> Sequence[T]:
    """The result of every block, in the order of the blocks.

    Each block is worked on by one thread of the processor, so that its result is the same for every number of threads.

    Args:
        blocks: read as they are needed; as many are held as there are threads, and one more.
        work: works a block out; it takes the number of the block first.
        known: the result of a block that is there already, or None.
        threads: blocks at once.
        watch: called with how many members are done, after each block that was worked out.
    """
    found: dict[int, T] = {}
    done = 0

    def alone(number: int, block: BlockT) -> T:
        torch.set_num_threads(1)  # several blocks at once instead
        return work(number, block)

    def take() -> None:
        nonlocal done
        number, size, future = waiting.popleft()
        found[number] = future.result()
        done += size
        watch(done)

    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[tuple[int, int, Future[T]]] = deque()
        for number, block in enumerate(blocks):
            kept = known(number)
            if kept is not None:
                found[number], done = kept, done + len(block)
                continue
            waiting.append((number, len(block), pool.submit(alone, number, block)))
            # The first one alone: it loads what all need. Then as many as there are threads, and one more.
            while len(waiting) > (threads if found else 0):
                take()
        while waiting:
            take()
    return [found[number] for number in sorted(found)]
