"""Mutants of every format, each read by the function that reads it for users; what is no clean answer is a failure.

A mutant may be read or refused (one ``ZsteerError`` of at most three lines). Any other exception, a hang, growth of
memory, the death of the process, or a file that appears although there was an error, is a failure. Mutants are read in
a child process with limits; when it dies, the next one goes on behind the mutant that it was reading.
"""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

from fuzz.files import Content, valid_files
from fuzz.mutate import json_mutant, mutant, safetensors_mutant, text_mutant

__all__ = ["FORMATS", "HANG", "Outcome", "failures", "outcomes"]

HANG = 20
"""Seconds of the processor after which a reader hangs; of the clock six times as many: a busy machine is no fault."""
GROWTH = 1.5e9
"""Bytes that a reader of a small file may take."""
SPACE = 9 << 30
"""Bytes of address space of a child process."""
LINES = 3
GOOD = ("read", "refused")


@dataclass(frozen=True)
class Outcome:
    """What came of one mutant.

    Args:
        format: of the file.
        number: of the mutant.
        what: names of the mutators.
        outcome: read, refused, or the kind of failure.
        detail: the message.
        seconds: that it took.
    """

    format: str
    number: int
    what: str
    outcome: str
    detail: str = ""
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        """Whether that is a clean answer."""
        return self.outcome in GOOD


def _domain(name: str) -> Callable[[Path, Random], None]:
    """Reads a file as the domain does, and asks every domain whether it recognises it."""

    def read(path: Path, rng: Random) -> None:
        from zsteer.core.catalog import load_name
        from zsteer.errors import ZsteerError
        from zsteer.kits.contents import content_of
        from zsteer.kits.registry import DOMAINS

        skip = rng.random() < 0.5
        try:
            content_of(path)
        except ZsteerError as error:
            _check_lines(error)
        load_name(DOMAINS[name].report)(path, skip_invalid=skip)

    return read


def _model(path: Path, rng: Random) -> None:
    import zsteer

    zsteer.load(path).sample(2, seed=rng.randrange(3))


def _run(path: Path, rng: Random) -> None:
    from zsteer import api

    del rng
    api.resume(path)


def _recipe(path: Path, rng: Random) -> None:
    from zsteer.cli import train

    del rng
    train.run([str(path), "--json"])  # there is no --out: a good file is refused for that alone


_DOMAIN_OF: Mapping[str, str] = {
    **dict.fromkeys(("sdf", "xyz", "extxyz", "smi", "smiles", "molecules", "pockets"), "molecules"),
    **dict.fromkeys(("image", "gif", "png", "picture"), "images"),
    "receptors": "sequences",
    "table": "tables",
    "ratings": "ratings",
}


def _readers() -> dict[str, Callable[[Path, Random], None]]:
    found = {name: _domain(_DOMAIN_OF[name.split("-")[0]]) for name in valid_files() if name != "recipe"}
    return {**found, "molecules-prepared": _domain("molecules"), "recipe": _recipe, "artifact": _model, "run": _run}


FORMATS: Mapping[str, Callable[[Path, Random], None]] = _readers()
"""Format -> what reads it."""


class _Workshop:
    """Valid files, and what zsteer has to make first: a prepared container, a model, an unfinished run.

    Args:
        folder: for what is made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, tuple[str, Content]] = valid_files()

    def _prepared(self) -> tuple[str, Content]:
        from zsteer.domains.molecules.files import read_molecules, write_molecules

        source, goal = self.folder / "made.sdf", self.folder / "c.npz"
        _, content = self.files["sdf"]
        if isinstance(content, bytes):
            source.write_bytes(content)
        write_molecules(goal, read_molecules(source), overwrite=True)
        return "c.npz", goal.read_bytes()

    def _trained(self) -> Path:
        run = self.folder / "trained"
        if not run.exists():
            from zsteer import api

            api.fit("vae", dataset="ring-8", size="xs", steps=8, out=run)
        return run

    def write(self, name: str, rng: Random, place: Path) -> tuple[Path, str]:
        """Write a mutant of a format into a folder; its path and the names of the mutators."""
        if name == "artifact":
            return self._artifact(rng, place / name)
        if name == "run":
            return self._unfinished(rng, place / name)
        if name == "molecules-prepared" and name not in self.files:
            self.files[name] = self._prepared()
        file, content, what = mutant(rng, *self.files[name])
        goal = place / file
        if isinstance(content, bytes):
            goal.write_bytes(content)
            return goal, what
        for inner, raw in content.items():
            (goal / inner).parent.mkdir(parents=True, exist_ok=True)
            (goal / inner).write_bytes(raw)
        return goal, what

    def _artifact(self, rng: Random, goal: Path) -> tuple[Path, str]:
        shutil.copytree(self._trained() / "artifact", goal)
        config, weights = goal / "config.json", goal / "model.safetensors"
        what = rng.random()
        if what < 0.65:
            change = json_mutant if what < 0.55 else text_mutant
            config.write_bytes(change(rng, config.read_bytes()))
            return goal, f"config:{change.__name__}"
        weights.write_bytes(safetensors_mutant(rng, weights.read_bytes()))
        if rng.random() < 0.9:  # whoever changes the weights can write the sum too
            values = json.loads(config.read_bytes())
            values["files"]["model.safetensors"] = sha256(weights.read_bytes()).hexdigest()
            config.write_text(json.dumps(values))
        return goal, "weights"

    def _unfinished(self, rng: Random, goal: Path) -> tuple[Path, str]:
        shutil.copytree(self._trained(), goal)
        shutil.rmtree(goal / "artifact")
        newest = max((goal / "checkpoints").glob("step-*"))
        state = newest / "state.json"
        file = rng.choice([goal / "recipe.yaml", goal / "metrics.jsonl", state, state, *newest.glob("*.safetensors")])
        special = {".json": json_mutant, ".safetensors": safetensors_mutant}.get(file.suffix, text_mutant)
        change = special if rng.random() < 0.7 else text_mutant
        file.write_bytes(change(rng, file.read_bytes()))
        return goal, f"{file.name}:{change.__name__}"


class _HangError(BaseException):
    """The alarm rang."""


def _ring(*_: object) -> None:
    raise _HangError


def _check_lines(error: Exception) -> None:
    if str(error).count("\n") >= LINES:
        raise ValueError(f"a message of {str(error).count(chr(10)) + 1} lines")


def _answer(read: Callable[[Path, Random], None], path: Path, rng: Random) -> tuple[str, str]:
    """What a reader makes of a file: an outcome and its message."""
    from zsteer.errors import ZsteerError

    signal.setitimer(signal.ITIMER_PROF, HANG)
    signal.alarm(6 * HANG)
    try:
        read(path, rng)
    except _HangError:
        return "hang", f"more than {HANG} s of the processor"
    except ZsteerError as error:
        return ("long" if str(error).count("\n") >= LINES else "refused"), str(error)
    except MemoryError as error:
        return "memory", str(error)
    except SystemExit as error:
        return "exit", str(error)
    except Exception as error:  # noqa: BLE001 - what may come is what is looked for
        frames = traceback.extract_tb(error.__traceback__)
        own = [f"{Path(one.filename).name}:{one.lineno}" for one in frames if "/zsteer/" in one.filename]
        line = f"{type(error).__name__}: {' '.join(str(error).split())[:160]} at {own[-1] if own else '?'}"
        return ("memory" if "can't allocate" in line else "traceback"), line
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
    return "read", ""


def _tree(*folders: Path) -> set[str]:
    return {str(path) for folder in folders for path in folder.rglob("*")}


def _one(name: str, number: int, seed: int, workshop: _Workshop) -> Outcome:
    """Write a mutant, read it, and see what came."""
    rng = Random(f"{seed}:{name}:{number}")
    place = workshop.folder / "mutant"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    path, what = workshop.write(name, rng, place)
    print(json.dumps({"format": name, "number": number, "what": what}), flush=True)
    before, peak = _tree(place), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.monotonic()
    outcome, detail = _answer(FORMATS[name], path, rng)
    seconds = round(time.monotonic() - began, 2)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) * 1024
    new = sorted(_tree(place) - before)
    if outcome in GOOD and grown > GROWTH:
        outcome, detail = "memory", f"{grown / 1e9:.1f} GB more"
    elif outcome == "refused" and new and name != "run":
        outcome, detail = "wrote", f"{new[:3]} after: {detail}"
    return Outcome(name, number, what, outcome, detail[:400], seconds)


def _child(
    seed: int, count: int, start: tuple[int, int], names: Sequence[str], folder: Path, keep: Path | None
) -> None:
    """Read mutants one after the other, from a format and number on; two lines of JSON for each on standard output."""
    import torch

    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_AS, (SPACE, SPACE))
    warnings.simplefilter("ignore")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    for number in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(number, _ring)
    workshop = _Workshop(folder)
    for place in range(start[0], len(names)):
        for number in range(start[1] if place == start[0] else 0, count):
            found = _one(names[place], number, seed, workshop)
            print(json.dumps(asdict(found)), flush=True)
            if keep is not None and not found.good:
                goal = keep / f"{names[place]}-{number}"
                shutil.copytree(folder / "mutant", goal, dirs_exist_ok=True)
            if found.outcome == "memory":
                os._exit(75)  # a peak hides the next one: a fresh process goes on


def outcomes(names: Sequence[str], count: int, *, seed: int = 0, keep: Path | None = None) -> Iterator[Outcome]:
    """Read mutants of formats in child processes.

    Args:
        names: of the formats.
        count: mutants of each.
        seed: of the mutants.
        keep: folder for the mutants that fail.

    Yields:
        What came of each.
    """
    with tempfile.TemporaryDirectory(prefix="zsteer-fuzz-") as folder:
        todo = [(name, number) for name in names for number in range(count)]
        done = 0
        while done < len(todo):
            name, number = todo[done]
            words = [json.dumps([seed, count, [names.index(name), number], list(names), folder, str(keep or "")])]
            code = "import sys; sys.path[:0] = sys.argv[2:]; from fuzz.readers import begin; begin(sys.argv[1])"
            command = [sys.executable, "-W", "ignore", "-c", code, *words, *sys.path]
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            with subprocess.Popen(
                command, stdout=subprocess.PIPE, text=True, errors="replace", env=environment
            ) as child:
                begun: dict[str, Any] = {}
                for line in child.stdout or ():
                    record = json.loads(line) if line.startswith("{") else {}
                    if "outcome" in record:
                        done += 1
                        begun = {}
                        yield Outcome(**record)
                    elif record:
                        begun = record
            if begun:
                done += 1
                yield Outcome(**begun, outcome="died", detail=f"exit status {child.returncode}")
            elif child.returncode not in {0, 75}:
                raise RuntimeError(f"the child process ended with {child.returncode} before {todo[done]}")


def begin(words: str) -> None:
    """What a child process does; ``words`` are the arguments of ``_child`` as JSON."""
    seed, count, start, names, folder, keep = json.loads(words)
    _child(seed, count, (start[0], start[1]), names, Path(folder), Path(keep) if keep else None)


def failures(found: Sequence[Outcome]) -> list[str]:
    """One line for each kind of failure, with the first mutant that shows it and how many do."""
    kinds = Counter((one.format, one.outcome, one.detail.rsplit(" at ", 1)[-1]) for one in found if not one.good)
    lines: list[str] = []
    for (name, outcome, where), count in kinds.items():
        same = (name, outcome, where)
        first = next(one for one in found if (one.format, one.outcome, one.detail.rsplit(" at ", 1)[-1]) == same)
        lines.append(f"{outcome} {name} #{first.number} ({first.what}), {count} in all: {first.detail[:220]}")
    return lines
