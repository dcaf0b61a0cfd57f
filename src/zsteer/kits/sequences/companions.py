"""The models of the receptor job that belong together: whoever edits needs the oracle, the judge and the rest.

A part is looked for beside the artifact that was asked for (``runs/tcr/tcr-oracle`` beside ``runs/tcr/tcr-dwae``), then
among the shipped ones; where each came from is told with the results.
"""

from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

from zsteer.core import catalog
from zsteer.core.artifact import Origin, read_artifact
from zsteer.core.batch import Batch
from zsteer.core.rng import Streams
from zsteer.domains.sequences.junctions import whole
from zsteer.errors import InputError
from zsteer.models.autoregressive import Autoregressive
from zsteer.predictors.binding_classifier import Classifier
from zsteer.predictors.binding_judge import SequenceJudge
from zsteer.predictors.sequence_validity import SequenceValidity

__all__ = ["Family", "family_beside", "judged", "unknown_peptide"]

DRAWN = 1000
"""Receptors that stand for the background."""
LEAST_AREA = 0.75
"""Area under the curve from which on a judge is worth asking."""


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
    def drawn(self) -> Batch:
        """Receptors drawn from the language model, always the same: they stand for background, of which none ships."""
        if "drawn" not in self._loaded:
            self._loaded["drawn"] = whole(self.language, DRAWN, Streams.of(0, DRAWN).child("drawn background"))
        return self._loaded["drawn"]

    @property
    def validity(self) -> SequenceValidity:
        """The published validity score."""
        return self.part("tcr-validity")


def family_beside(folder: Path | None) -> Family:
    """The family of an artifact folder, its parts loaded once while nothing changes beside it.

    Args:
        folder: of the model that was asked for; None for the shipped ones alone.
    """
    if folder is None:
        return _family(None, ())
    family = Family.beside(folder)
    beside = sorted(family.folder.iterdir()) if family.folder is not None and family.folder.is_dir() else []
    stamp = tuple((path.name, path.stat().st_mtime_ns) for path in beside if path.is_dir())
    return _family(family.folder, stamp)


@lru_cache(maxsize=4)
def _family(folder: Path | None, stamp: tuple[tuple[str, int], ...]) -> Family:
    del stamp
    return Family(folder)


def judged(family: Family) -> list[str]:
    """The peptides whose judge is worth asking."""
    return [name for name, card in family.judge.cards.items() if card.area >= LEAST_AREA]


def unknown_peptide(family: Family, peptide: str, *, where: str, origin: Origin | None = None) -> str:
    """Say that no oracle knows a peptide, which ones are known, and the way to go with any other.

    Args:
        family: where the models are.
        peptide: what was asked for.
        where: of the message.
        origin: of the model that was asked, which may have left the peptide out.
    """
    small = {} if origin is None else dict(origin.data.get("peptides_left_out") or {})
    if peptide in small:
        return (
            f"{where}: the model was trained without {peptide}: {small[peptide]}; train with more of its receptors, or "
            "give them as examples: --toward like=FILE"
        )
    known = family.oracle.settings.panel.peptides
    near = get_close_matches(peptide.upper(), known, n=1, cutoff=0.8)
    if near:
        return f"{where}: unknown peptide {peptide!r}; did you mean {near[0]!r}?"
    return (
        f"{where}: no model knows the peptide {peptide!r}; known with a judge: {', '.join(judged(family))} (of "
        f"{len(known)} in all, listed by zsteer recipes); for any other give receptors that bind it, "
        f"zsteer steer tcr-dwae --toward like=FILE, or train: zsteer train tcr-dwae --data FILE"
    )
