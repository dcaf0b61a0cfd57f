"""A run is a folder: ``recipe.yaml``, ``metrics.jsonl``, ``checkpoints/``, ``artifact/``, and ``data.txt`` on own data.

A checkpoint holds everything that the next step depends on, so a run killed at any moment and resumed ends with the
same weights, bit for bit, on one device. Checkpoints appear whole or not at all; the newest whole one counts.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from zsteer.core.files import check_free, new_file, new_folder
from zsteer.errors import ArtifactError, InputError, OutputError

__all__ = ["Checkpoint", "Run"]


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
        with new_folder(folder, overwrite=overwrite) as partial:
            text = yaml.safe_dump(dict(recipe), sort_keys=False)
            (partial / "recipe.yaml").write_text(text, encoding="utf-8")
        return Run(folder)

    @staticmethod
    def check_free(folder: Path, *, overwrite: bool) -> None:
        """Refuse a folder that cannot become a run, before any work is done.

        Raises:
            OutputError: if it exists and ``overwrite`` is false, or it is something else than a run.
        """
        check_free(folder, overwrite=overwrite)
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
        path = self.folder / "recipe.yaml"
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise InputError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
        if not isinstance(values, dict):
            raise InputError(f"{path} should hold keys and values, got {type(values).__name__}")
        return values

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
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line)
            except (json.JSONDecodeError, KeyError):
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
            (partial / "state.json").write_text(json.dumps(dict(checkpoint.state)), encoding="utf-8")
        for old in self._checkpoints()[:-keep]:
            shutil.rmtree(old, ignore_errors=True)

    def newest(self) -> Checkpoint | None:
        """The newest checkpoint, or None.

        Raises:
            ArtifactError: if it is damaged.
        """
        folders = self._checkpoints()
        if not folders:
            return None
        folder = folders[-1]
        try:
            state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
            tensors = {path.stem: load_file(path) for path in folder.glob("*.safetensors")}
        except (OSError, json.JSONDecodeError, SafetensorError) as error:
            raise ArtifactError(f"{folder} is damaged ({error}); remove it to go on from the one before") from error
        return Checkpoint(tensors, state)
