"""The models of the receptor job that belong together: whoever edits needs the oracle, the judge and the rest.

A part is looked for beside the artifact that was asked for (``runs/tcr/tcr-oracle`` beside ``runs/tcr/tcr-dwae``), then
among the shipped ones; where each came from is told with the results.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zsteer.core import catalog
from zsteer.core.artifact import read_artifact
from zsteer.errors import InputError
from zsteer.models.autoregressive import Autoregressive
from zsteer.predictors.binding_classifier import Classifier
from zsteer.predictors.binding_judge import SequenceJudge
from zsteer.predictors.sequence_validity import SequenceValidity

__all__ = ["Family"]


@dataclass(frozen=True)
class Family:
    """Models found beside each other.

    Args:
        folder: where to look first; None for the shipped ones alone.
    """

    folder: Path | None = None
    _loaded: dict[str, Any] = field(default_factory=dict, repr=False)

    @staticmethod
    def beside(artifact: Path) -> "Family":
        """The family of an artifact folder, or of the run that holds it."""
        run = artifact.parent if artifact.name == "artifact" else artifact
        return Family(run.parent)

    def place(self, name: str) -> Path:
        """The artifact folder of a part.

        Raises:
            InputError: if there is none beside, and none is shipped.
        """
        if self.folder is not None:
            for path in (self.folder / name, self.folder / name / "artifact"):
                if (path / "config.json").is_file():
                    return path
        if name in catalog.shipped():
            return catalog.shipped()[name]
        beside = f" in {self.folder}" if self.folder is not None else ""
        raise InputError(f"there is no {name}{beside} and none is shipped; train one: zsteer train {name} --out FOLDER")

    def has(self, name: str) -> bool:
        """Whether there is such a part."""
        try:
            self.place(name)
        except InputError:
            return False
        return True

    def part(self, name: str) -> Any:
        """A part, loaded once."""
        if name not in self._loaded:
            path = self.place(name)
            artifact = read_artifact(path)
            self._loaded[name] = catalog.model_class(artifact.kind).from_artifact(artifact, where=str(path))
        return self._loaded[name]

    @property
    def oracle(self) -> Classifier:
        """The design oracle."""
        return self.part("tcr-oracle")

    @property
    def judge(self) -> SequenceJudge:
        """The evaluation oracle."""
        return self.part("tcr-judge")

    @property
    def language(self) -> Autoregressive:
        """The language model of plausibility."""
        return self.part("tcr-lm")

    @property
    def validity(self) -> SequenceValidity:
        """The published validity score."""
        return self.part("tcr-validity")
