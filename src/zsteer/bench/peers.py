"""Peers: other people's implementations, run as subprocesses in an environment of their own (``make peers``).

A script of ``benchmarks/peers`` prints one line of JSON. Where the environment or the package is missing the answer is
a reason, and the table names the peer as not there.
"""

import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["PeerRun", "run_peer"]

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class PeerRun:
    """What a peer printed.

    Args:
        figures: its line of JSON; empty when it did not run.
        missing: why it did not run, or empty.
    """

    figures: dict[str, Any] = field(default_factory=dict)
    missing: str = ""


def run_peer(script: str, *arguments: object, threads: int = 1, timeout: float = 1800) -> PeerRun:
    """Run a script of ``benchmarks/peers`` with the peers' own Python.

    Args:
        script: file name.
        *arguments: passed on as text.
        threads: for OpenMP and the linear algebra below it.
        timeout: [seconds]
    """
    folder = ROOT / ".venv-peers"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    path = ROOT / "benchmarks" / "peers" / script
    if not python.is_file() or not path.is_file():
        return PeerRun(missing="not there: run `make peers` in a checkout")
    count = str(threads)
    environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), count)
    words = [str(python), str(path), *(str(argument) for argument in arguments)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment, timeout=timeout)
    except subprocess.TimeoutExpired:
        return PeerRun(missing=f"stopped after {timeout:.0f} s")
    if done.returncode < 0:
        return PeerRun(missing=f"stopped from outside (signal {-done.returncode})")
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 or not lines:
        last = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        return PeerRun(missing=f"failed: {last[:120]}")
    return PeerRun(figures=json.loads(lines[-1]))
