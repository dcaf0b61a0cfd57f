"""What a large file costs: a repertoire steered and evaluated by the command line, in processes of their own.

Time and memory are those of the whole process, start and models included. The repertoire is drawn from the language
model and varied by single residues, so that nothing need be fetched.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from zsteer.core.alphabet import PROTEIN
from zsteer.core.rng import Streams
from zsteer.domains.sequences import files
from zsteer.domains.sequences.junctions import whole
from zsteer.domains.sequences.space import SequenceSpace
from zsteer.errors import ScoringError
from zsteer.evaluate.report import Report, Table
from zsteer.kits.sequences.companions import Family

__all__ = ["bench", "repertoire"]

FULL, QUICK, DRAWN = 200_000, 3_000, 20_000
PEPTIDE = "YLQPRTFLL"


@dataclass(frozen=True)
class _Cost:
    """Seconds by the wall and of processors, and the most memory at once. [s, s, MB]"""

    wall: float
    cpu: float
    memory: float


def bench(*, quick: bool, data: Path | None = None, watch: Callable[[dict[str, Any]], None] = lambda _: None) -> Report:
    """Time and memory of receptors steered and evaluated.

    Args:
        quick: a smaller file.
        data: not needed; the repertoire is made.
        watch: called with progress.
    """
    del data
    n = QUICK if quick else FULL
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        watch({"doing": f"making {n:,} receptors"})
        source, out = folder / "repertoire.tsv.gz", folder / "designs.tsv"
        texts = repertoire(n)
        columns = {"v_call": ["TRBV7-9*01"] * n, "locus": ["TRB"] * n, "duplicate_count": ["1"] * n}
        files.write(source, texts, columns)
        goal = ["--toward", f"binds={PEPTIDE}"]
        steer = ["--input", str(source), *goal, "--max-edits", "4", "--out"]
        jobs = {
            "steer tcr-editor --rerank none": ["steer", "tcr-editor", *steer, str(out), "--rerank", "none"],
            "steer tcr-dwae --rerank psi --pool 12": [
                *["steer", "tcr-dwae", *steer, str(folder / "b.tsv")],
                *["--rerank", "psi", "--pool", "12"],
            ],
            "evaluate the templates": ["evaluate", str(source), "--protocol", "tcr", *goal],
            "evaluate the designs": ["evaluate", str(out), "--protocol", "tcr", *goal],
        }
        for title, words in jobs.items():
            watch({"doing": title})
            cost = _run(words)
            rows.append([title, n, cost.wall, cost.cpu, cost.memory, 60 * n / cost.wall])
    table = Table(f"{n:,} receptors", ["job", "receptors", "s", "CPU s", "peak MB", "a minute"], rows, _notes())
    return Report("What a large file of receptors costs", [], [table], (), {"peptide": PEPTIDE, "receptors": n})


def _notes() -> list[str]:
    load = f", load of the machine {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return [
        f"each job is a process of its own, its start and the loading of models counted; {os.cpu_count()} cores{load}",
        "steering: at most 4 edits, templates and designs both scored by the oracle, the judge and the rest",
    ]


def repertoire(n: int, *, seed: int = 0) -> list[str]:
    """Receptors that look human: draws of the language model, then these with one residue of the middle changed.

    Args:
        n: how many.
        seed: of every random choice.
    """
    drawn = min(n, DRAWN)
    x = whole(Family().language, drawn, Streams.of(seed, drawn).child("repertoire"))["tokens"]
    rng = Streams.of(seed, n).child("variants")
    tokens = x[torch.arange(n) % drawn].clone()
    middle = (PROTEIN.lengths(tokens) - 8).clamp(min=1)
    place = 4 + (rng.uniform("place") * middle).long().clamp(max=20)
    varied = torch.arange(n) >= drawn
    tokens[varied, place[varied]] = rng.integers("residue", PROTEIN.size)[varied]
    return SequenceSpace().decode(PROTEIN.batch(tokens))


def _run(words: Sequence[str]) -> _Cost:
    """Run a command line to its end.

    Raises:
        ScoringError: if it fails.
    """
    began = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen([sys.executable, "-m", "zsteer.cli.main", *words], stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            line = said.read().decode(errors="replace").strip().splitlines()[-1:]
            raise ScoringError(f"zsteer {' '.join(words[:2])} failed: {line[0] if line else process.returncode}")
    # Linux counts kilobytes, macOS bytes.
    scale = 1e6 if sys.platform == "darwin" else 1e3
    return _Cost(time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / scale)
