"""A run is a folder: ``recipe.yaml``, ``metrics.jsonl``, ``checkpoints/``, ``artifact/``, and ``data.txt`` on own data.

A checkpoint holds everything that the next step depends on, so a run killed at any moment and resumed ends with the
same weights, bit for bit, on one device. Checkpoints appear whole or not at all; the newest whole one counts.
"""

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from zsteer.core.files import alive, check_free, forsaken, machine, new_file, new_folder
from zsteer.core.yaml_files import read_mapping
from zsteer.errors import ArtifactError, InputError, OutputError

__all__ = ["Checkpoint", "Run"]


LOCK = ".lock"
KNOWN = ("recipe.yaml", "metrics.jsonl", "data.txt", LOCK)
"""What a run adds to its folder as it goes; checkpoints and the artifact hold lists of their own."""


def _empty(folder: Path) -> bool:
    return next(folder.iterdir(), None) is None


@dataclass(frozen=True)
class Checkpoint:
    """State of a run after some steps.

    Args:
        tensors: groups of tensors: ``model``, ``average``, and one group for each player's optimiser.
        state: numbers: step, retries and the like.
    """

    tensors: Mapping[str, Mapping[str, Tensor]]
    state: Mapping[str, Any]


class _State(BaseModel):
    """Numbers of a checkpoint as they are stored, with the SHA-256 of each file beside it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    step: int = Field(ge=0)
    retries: int = Field(ge=0)
    bad_step: int = Field(ge=-1)
    seed: int
    files: dict[str, str]


class Run:
    """The folder of one run.

    Args:
        folder: where it lies.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @staticmethod
    def new(folder: Path, recipe: Mapping[str, Any], *, overwrite: bool = False) -> "Run":
        """Start a run folder with its resolved recipe.

        Raises:
            OutputError: if it exists and ``overwrite`` is false, or it is something else than a run.
        """
        Run.check_free(folder, overwrite=overwrite)
        with new_folder(folder, overwrite=overwrite, known=KNOWN) as partial:
            text = yaml.safe_dump(dict(recipe), sort_keys=False)
            (partial / "recipe.yaml").write_text(text, encoding="utf-8")
        return Run(folder)

    @staticmethod
    def check_free(folder: Path, *, overwrite: bool) -> None:
        """Refuse a folder that cannot become a run, before any work is done.

        Raises:
            OutputError: if it exists and ``overwrite`` is false, or it is something else than a run.
        """
        check_free(folder, overwrite=overwrite, known=KNOWN)
        if folder.is_dir():
            Run(folder).check_idle()
        # --overwrite replaces a run, never a folder of something else.
        if folder.exists() and not (folder / "recipe.yaml").is_file() and not (folder.is_dir() and _empty(folder)):
            raise OutputError(f"{folder} is no run, so it is not replaced; choose another name or remove it yourself")

    @staticmethod
    def existing(folder: Path) -> "Run":
        """Open a run folder.

        Raises:
            InputError: if there is none.
        """
        if not (folder / "recipe.yaml").is_file():
            raise InputError(
                f"{folder} is not a run: it has no recipe.yaml; start one with: zsteer train RECIPE --out {folder}"
            )
        return Run(folder)

    def check_idle(self) -> None:
        """Refuse a run that another process is working in.

        Raises:
            OutputError: if a process that may be alive holds it.
        """
        path = self.folder / LOCK
        try:
            host, number = path.read_text(encoding="utf-8").split()
            process = int(number)
        except (OSError, ValueError):
            return
        if process != os.getpid() and alive(host, process) and not forsaken(host, path):
            raise OutputError(
                f"{self.folder} is being written by process {process} on {host}; wait for it, or remove {path} if it "
                "is no longer there"
            )

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep other processes out of the folder while the block runs.

        Raises:
            OutputError: if another process holds it.
        """
        path = self.folder / LOCK
        self.check_idle()
        path.unlink(missing_ok=True)
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(f"{machine()} {os.getpid()}\n")
        except FileExistsError:
            raise OutputError(f"{self.folder} has just been taken by another process; wait for it") from None
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
        try:
            yield
        finally:
            path.unlink(missing_ok=True)

    @property
    def artifact(self) -> Path:
        """Where the trained model goes."""
        return self.folder / "artifact"

    @property
    def finished(self) -> bool:
        """Whether the trained model is there."""
        return (self.artifact / "config.json").is_file()

    def recipe(self) -> dict[str, Any]:
        """The resolved recipe.

        Raises:
            InputError: if it cannot be read.
        """
        return read_mapping(self.folder / "recipe.yaml")

    def keep_lines(self, lines: Sequence[str]) -> None:
        """Keep what was read of the user's own data, in words, as ``data.txt``."""
        if lines:
            with new_file(self.folder / "data.txt", overwrite=True) as partial:
                partial.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def log(self, record: Mapping[str, Any]) -> None:
        """Append one line to ``metrics.jsonl``.

        Raises:
            OutputError: if the disk refuses.
        """
        path = self.folder / "metrics.jsonl"
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(dict(record)) + "\n")
        except OSError as error:
            again = f"make room and go on with: zsteer train --resume {self.folder}"
            raise OutputError(f"cannot write {path}: {error.strerror or error}; {again}") from error

    def forget_after(self, step: int) -> None:
        """Drop the lines of ``metrics.jsonl`` that a resumed run writes again, and a torn last line."""
        path = self.folder / "metrics.jsonl"
        if not path.exists():
            return
        kept = []
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line)
            except (json.JSONDecodeError, KeyError, TypeError, RecursionError):
                continue
        with new_file(path, overwrite=True) as partial:
            partial.write_text("".join(line + "\n" for line in kept), encoding="utf-8")

    def _checkpoints(self) -> list[Path]:
        return sorted((self.folder / "checkpoints").glob("step-*"))

    def save(self, checkpoint: Checkpoint, *, keep: int) -> None:
        """Write a checkpoint and remove all but the newest ``keep``."""
        goal = self.folder / "checkpoints" / f"step-{checkpoint.state['step']:09d}"
        with new_folder(goal, overwrite=True) as partial:
            for name, tensors in checkpoint.tensors.items():
                copies = {key: value.detach().cpu().clone().contiguous() for key, value in tensors.items()}
                save_file(copies, partial / f"{name}.safetensors")
            sums = {f"{name}.safetensors": _digest(partial / f"{name}.safetensors") for name in checkpoint.tensors}
            state = {**checkpoint.state, "files": sums}
            (partial / "state.json").write_text(json.dumps(state), encoding="utf-8")
        for old in self._checkpoints()[:-keep]:
            shutil.rmtree(old, ignore_errors=True)

    def newest(self) -> Checkpoint | None:
        """The newest whole checkpoint, or None where there is none; damaged ones are passed over and named.

        Raises:
            ArtifactError: if there are checkpoints and all are damaged.
        """
        folders = self._checkpoints()
        faults: list[str] = []
        for folder in reversed(folders):
            try:
                found = _checkpoint(folder)
            except ArtifactError as error:
                faults.append(str(error))
                continue
            if faults:
                message = f"{faults[0]}; going on from step {found.state['step']}, the newest whole one"
                warnings.warn(message, stacklevel=2)
            return found
        if faults:
            raise ArtifactError(f"{faults[0]}; no whole one is left, so start the run again with --overwrite")
        return None


def _checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint and check each file against its sum.

    Raises:
        ArtifactError: if it is damaged.
    """
    try:
        stored = _State.model_validate_json((folder / "state.json").read_text(encoding="utf-8"))
        there = {path.name for path in folder.glob("*.safetensors")}
        if there != set(stored.files):
            odd = min(there ^ set(stored.files))
            raise ArtifactError(f"{folder} is damaged: {odd} is listed or there, and not both")
        for name, expected in stored.files.items():
            if Path(name).name != name or _digest(folder / name) != expected:
                raise ArtifactError(f"{folder} is damaged: {name} is not what was written")
        tensors = {Path(name).stem: load_file(folder / name) for name in stored.files}
    except (OSError, ValidationError, UnicodeDecodeError, SafetensorError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise ArtifactError(f"{folder} is damaged ({' '.join(reason.split())[:120]})") from error
    if "model" not in tensors:
        raise ArtifactError(f"{folder} is damaged: it holds no model")
    return Checkpoint(tensors, stored.model_dump(exclude={"files"}))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
