"""What a large file costs: a repertoire steered and evaluated, molecules evaluated, in processes of their own.

Time and memory are those of the whole process, start and models included. The repertoire is drawn from the language
model and varied by single residues, the molecules are joined by chance, so that nothing need be fetched.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from zsteer.bench.molecules.own import by_chance, generated_smiles
from zsteer.core.alphabet import PROTEIN
from zsteer.core.rng import Streams
from zsteer.domains.sequences import files
from zsteer.domains.sequences.junctions import whole
from zsteer.domains.sequences.space import SequenceSpace
from zsteer.errors import ScoringError
from zsteer.evaluate.report import Cell, Report, Table
from zsteer.kits.sequences.companions import Family

__all__ = ["bench", "repertoire"]

FULL, QUICK, DRAWN = 200_000, 3_000, 20_000
MOLECULES, QUICK_MOLECULES = 100_000, 5_000
KNOWN = 0.1
"""Share of the molecules, beside them, that stand for the training set."""
PEPTIDE = "YLQPRTFLL"


@dataclass(frozen=True)
class _Cost:
    """Seconds by the wall and of processors, and the most memory at once. [s, s, MB]"""

    wall: float
    cpu: float
    memory: float


def bench(*, quick: bool, data: Path | None = None, watch: Callable[[dict[str, Any]], None] = lambda _: None) -> Report:
    """Time and memory of receptors steered and evaluated, and of molecules evaluated.

    Args:
        quick: a smaller file.
        data: not needed; the repertoire is made.
        watch: called with progress.
    """
    del data
    n = QUICK if quick else FULL
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        watch({"doing": f"making {n:,} receptors"})
        source = folder / "repertoire.tsv.gz"
        columns = {"v_call": ["TRBV7-9*01"] * n, "locus": ["TRB"] * n, "duplicate_count": ["1"] * n}
        files.write(source, repertoire(n), columns)
        rows = _measured(_receptor_jobs(source, folder), n, watch)
        count = QUICK_MOLECULES if quick else MOLECULES
        watch({"doing": f"making {count:,} molecules"})
        others = _measured(_molecule_jobs(count, folder), count, watch)
    head = ["s", "CPU s", "peak MB", "a minute"]
    tables = [
        Table(f"{n:,} receptors", ["job", "receptors", *head], rows, _notes()),
        Table(
            f"{count:,} molecules", ["job", "molecules", *head], others, ["valid, unique and novel, by their graphs"]
        ),
    ]
    return Report("What a large file costs", [], tables, (), {"peptide": PEPTIDE, "receptors": n, "molecules": count})


def _receptor_jobs(source: Path, folder: Path) -> dict[str, list[str]]:
    goal, out = ["--toward", f"binds={PEPTIDE}"], str(folder / "designs.tsv")
    steer = ["--input", str(source), *goal, "--max-edits", "4", "--out"]
    return {
        "steer tcr-editor --rerank none": ["steer", "tcr-editor", *steer, out, "--rerank", "none"],
        "steer tcr-dwae --rerank psi": ["steer", "tcr-dwae", *steer, str(folder / "b.tsv"), "--rerank", "psi"],
        "evaluate the templates": ["evaluate", str(source), "--protocol", "tcr", *goal],
        "evaluate the designs": ["evaluate", out, "--protocol", "tcr", *goal],
    }


def _molecule_jobs(n: int, folder: Path) -> dict[str, list[str]]:
    """A list of SMILES and an SD file of the same molecules, beside a part that is known."""
    from rdkit import Chem

    known = int(KNOWN * n)
    made = by_chance(generated_smiles(), n + known)
    for name, texts in (("list.smi", made[:n]), ("known.smi", made[n:])):
        (folder / name).write_text("\n".join(texts) + "\n", encoding="utf-8")
    with (folder / "records.sdf").open("w", encoding="utf-8") as file:
        for text in made[:n]:
            # As they were joined: what is no molecule is for the evaluation to find.
            file.write(Chem.MolToMolBlock(Chem.MolFromSmiles(text, sanitize=False), kekulize=False) + "$$$$\n")
    reference = ["--reference", str(folder / "known.smi")]
    return {f"evaluate {name}": ["evaluate", str(folder / name), *reference] for name in ("list.smi", "records.sdf")}


def _measured(jobs: Mapping[str, Sequence[str]], n: int, watch: Callable[[dict[str, Any]], None]) -> list[list[Cell]]:
    rows: list[list[Cell]] = []
    for title, words in jobs.items():
        watch({"doing": title})
        cost = _run(words)
        rows.append([title, n, cost.wall, cost.cpu, cost.memory, 60 * n / cost.wall])
    return rows


def _notes() -> list[str]:
    load = f", load of the machine {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return [
        f"each job is a process of its own, its start and the loading of models counted; {os.cpu_count()} cores{load}",
        "a small file is mostly start: some seconds a job",
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
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen([sys.executable, "-m", "zsteer.cli.main", *words], stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            line = output.read().decode(errors="replace").strip().splitlines()[-1:]
            raise ScoringError(f"zsteer {' '.join(words[:2])} failed: {line[0] if line else process.returncode}")
    # Linux counts kilobytes, macOS bytes.
    scale = 1e6 if sys.platform == "darwin" else 1e3
    return _Cost(time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / scale)
