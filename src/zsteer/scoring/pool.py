"""``Pool``: tasks on worker processes that may crash, hang or be killed, without taking the run with them.

A task is named ``"module:function"`` and takes one value. Every worker has its own pipe; the parent watches the pipes
and the processes. A worker that dies or overruns its time is replaced and its task is tried again; a task that does
so ``retries + 1`` times is given up as a failed ``Outcome`` with the reason. A function that raises is not tried again:
it would raise again. Workers are spawned, never forked, so that threads and locks of the parent do no harm; a script
that opens a pool needs ``if __name__ == "__main__":`` around its work, as with all of multiprocessing.
"""

import multiprocessing
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Self

from zsteer.core.catalog import load_name
from zsteer.errors import ScoringError, SettingsError

__all__ = ["Outcome", "Pool"]


@dataclass(frozen=True)
class Outcome:
    """What became of a task.

    Args:
        value: what the function returned; None if it failed.
        status: ``"ok"``, or why there is no value.
        tries: how often it was started.
    """

    value: Any
    status: str
    tries: int


@dataclass
class _Job:
    number: int
    value: Any
    tries: int = 0


def _function(name: str) -> Callable[[Any], Any]:
    found = load_name(name)
    if not callable(found):
        raise SettingsError(f"the task {name!r} is no function")
    return found


def _work(task: str, pipe: Connection, threads: int) -> None:
    """Life of a worker: one value in, one answer out, until the pipe closes."""
    # Libraries that are imported later read this; PyTorch may have been imported with the task already.
    os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        function = _function(task)
    except SettingsError as error:
        pipe.send((False, str(error)))
        return
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    with suppress(EOFError, OSError, KeyboardInterrupt):
        while True:
            value = pipe.recv()
            try:
                answer = (True, function(value))
            except Exception as error:  # noqa: BLE001 - whatever a task raises is its outcome
                answer = (False, f"{type(error).__name__}: {error}")
            try:
                pipe.send(answer)
            except (TypeError, ValueError, AttributeError) as error:
                pipe.send((False, f"the result cannot be sent back: {error}"))


class _Worker:
    """One process with its pipe."""

    def __init__(self, task: str, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(task, theirs, threads), daemon=True)
        self.process.start()
        # Our copy of the worker's end is closed, so that its death shows as the end of the pipe.
        theirs.close()
        self.job: _Job | None = None
        self.began = 0.0

    def give(self, job: _Job) -> None:
        """Start a task; a worker that is dead already shows when its pipe is read."""
        job.tries += 1
        self.job, self.began = job, time.monotonic()
        try:
            self.pipe.send(job.value)
        except OSError:
            return
        except Exception as error:
            self.job = None
            raise ScoringError(f"value {job.number} cannot be sent to a worker: {error}; use plain data") from error

    def stop(self) -> None:
        """End the process, whatever it does."""
        self.pipe.close()
        self.process.kill()
        self.process.join()
        self.process.close()


class Pool:
    """A supervised pool of local processes; use it as a context manager.

    Args:
        task: ``"module:function"``; the function takes one value and gives one, both of plain data or tensors.
        workers: processes.
        seconds: wall time that one task may take, or None for no limit; a new worker's imports count.
        retries: how often a task whose worker died or overran is tried again.
        threads: threads of each worker.

    Raises:
        SettingsError: if the task cannot be imported or a number does not fit.
    """

    def __init__(
        self, task: str, *, workers: int, seconds: float | None = None, retries: int = 2, threads: int = 1
    ) -> None:
        if workers < 1 or retries < 0 or (seconds is not None and seconds <= 0):
            raise SettingsError(
                f"expected workers >= 1, retries >= 0 and seconds > 0, got {workers}, {retries}, {seconds}"
            )
        _function(task)
        self._task, self._seconds, self._retries, self._threads = task, seconds, retries, threads
        self._workers = [_Worker(task, threads) for _ in range(workers)]
        self._open = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all workers."""
        self._open = False
        for worker in self._workers:
            worker.stop()
        self._workers = []

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers."""
        return [worker.process.pid or 0 for worker in self._workers]

    def map(self, values: Sequence[Any]) -> list[Outcome]:
        """Run the task on every value; outcomes in the order of the values.

        Raises:
            ScoringError: if the pool is closed.
        """
        found: dict[int, Outcome] = dict(self.stream(values))
        return [found[number] for number in range(len(values))]

    def stream(self, values: Sequence[Any]) -> Iterator[tuple[int, Outcome]]:
        """Run the task on every value; gives (number of the value, outcome) as they come.

        Raises:
            ScoringError: if the pool is closed.
        """
        if not self._open:
            raise ScoringError("the pool of workers is closed; open a new one")
        waiting = deque(_Job(number, value) for number, value in enumerate(values))
        try:
            while waiting or any(worker.job for worker in self._workers):
                for worker in self._workers:
                    if worker.job is None and waiting:
                        worker.give(waiting.popleft())
                for place in self._events():
                    done = self._settle(place, waiting)
                    if done is not None:
                        yield done
        finally:
            # Left early: a worker that is still busy would answer into the next call.
            for place, worker in enumerate(self._workers):
                if worker.job is not None:
                    self._replace(place)

    def _events(self) -> list[int]:
        """Workers that answered, died, or have run out of time."""
        busy = {worker.pipe: place for place, worker in enumerate(self._workers) if worker.job}
        pause = None
        if self._seconds is not None:
            now = time.monotonic()
            pause = max(0.0, min(self._workers[p].began + self._seconds - now for p in busy.values()))
        woken = wait(list(busy), pause)
        ready = [place for pipe, place in busy.items() if pipe in woken]
        if ready or self._seconds is None:
            return ready
        now = time.monotonic()
        return [place for place in busy.values() if now - self._workers[place].began >= self._seconds]

    def _settle(self, place: int, waiting: deque[_Job]) -> tuple[int, Outcome] | None:
        """Take the answer of a worker, or its end; None if its task is tried again."""
        worker = self._workers[place]
        job = worker.job
        if job is None:
            return None
        if worker.pipe.poll():
            try:
                good, answer = worker.pipe.recv()
            except (EOFError, OSError):
                worker.process.join(1.0)
                reason = f"the worker died (exit code {worker.process.exitcode})"
            else:
                worker.job = None
                return job.number, Outcome(answer if good else None, "ok" if good else str(answer), job.tries)
        else:
            reason = f"no answer within {self._seconds:g} seconds"
        self._replace(place)
        if job.tries <= self._retries:
            waiting.append(job)
            return None
        return job.number, Outcome(None, f"{reason}, {job.tries} times; given up", job.tries)

    def _replace(self, place: int) -> None:
        self._workers[place].stop()
        self._workers[place] = _Worker(self._task, self._threads)
