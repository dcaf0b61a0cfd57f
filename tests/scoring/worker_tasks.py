"""Tasks for the tests of the pool: they run in spawned workers, which import this file by name."""

import os
import signal
import time
from pathlib import Path


def double(value):
    return 2 * value


def poison(value):
    """Kills its worker for 13, works for the rest."""
    if value == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    return value


def once(path):
    """Kills its worker the first time it is asked with a path, then works."""
    marker = Path(path)
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


def hang(seconds):
    time.sleep(seconds)
    return seconds


def refuse(value):
    raise ValueError(f"no {value}")


def unsendable(value):
    return lambda: value


def slow_pid(seconds):
    time.sleep(seconds)
    return os.getpid()
