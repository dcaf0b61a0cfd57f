"""The receptor kit: read, write, sample, steer and evaluate CDR3-beta sequences with any of its models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from zsteer.core.batch import Batch
from zsteer.core.goal import Budget, Goal
from zsteer.core.rng import Streams
from zsteer.domains.sequences import files
from zsteer.domains.sequences.junctions import anchored, whole
from zsteer.domains.sequences.metrics import edits
from zsteer.domains.sequences.space import SequenceSpace
from zsteer.errors import InputError, SettingsError, nearest
from zsteer.evaluate.report import Report
from zsteer.kits.base import Ask
from zsteer.kits.sequences.companions import Family
from zsteer.kits.sequences.editors import Request, editor_of
from zsteer.kits.sequences.options import EditorKnobs
from zsteer.kits.sequences.report import report_on
from zsteer.kits.sequences.scores import Scores, score

__all__ = ["Designs", "ReceptorKit"]

TOWARD = ("binds", "like")
KEEP = ("ends", "length")


@dataclass(frozen=True)
class Designs:
    """Receptors with a name, their template and scores for each.

    Args:
        sequences: CDR3b with its anchors (C ... F or W), ``b`` of them.
        batch: the same as a batch.
        columns: further columns by name, ``b`` texts each.
        facts: figures of the whole set.
        scores: all scores, where there is a peptide.
    """

    sequences: Sequence[str]
    batch: Batch
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    scores: Scores | None = None
    noun: ClassVar[str] = "sequences"

    @property
    def lines(self) -> Sequence[str]:
        """One sequence a line."""
        return self.sequences

    def __len__(self) -> int:
        return len(self.sequences)


class ReceptorKit:
    """What the receptor domain offers for a model.

    Args:
        model: a receptor model, or None to evaluate only.
        folder: the artifact folder that it came from.
        device: where it is.
    """

    def __init__(self, model: Any, folder: Path | None, device: torch.device) -> None:
        self.model, self.device = model, device
        self.family = Family.beside(folder) if folder is not None else Family()
        self.space = SequenceSpace()

    @classmethod
    def judging(cls, folder: Path | None) -> "ReceptorKit":
        """A kit that evaluates with the judges of a folder, or the shipped ones.

        Raises:
            InputError: if the folder does not exist.
        """
        if folder is not None and not folder.is_dir():
            raise InputError(f"there is no folder {folder} with judges")
        kit = cls(None, None, torch.device("cpu"))
        kit.family = Family(folder)
        return kit

    def read(self, path: Path, *, skip_invalid: bool) -> files.Table:
        """Read sequences by the file's ending."""
        return files.read(path, skip_invalid=skip_invalid)

    def write(self, path: Path, designs: Designs, *, overwrite: bool) -> None:
        """Write designs by the file's ending."""
        files.write(path, designs.sequences, designs.columns, overwrite=overwrite)

    def check_ending(self, path: Path) -> None:
        """Refuse an ending that cannot be written, before any work is done."""
        files.check_ending(path)

    def sample(self, n: int, given: Mapping[str, object], rng: Streams) -> Designs:
        """New receptors, for a peptide or none."""
        made = whole(self.model, n, rng, given=given)
        peptide = given.get("peptide")
        sequences = self.space.decode(made)
        columns: dict[str, Sequence[str]] = {"sequence_id": [f"sample{i}" for i in range(n)]}
        found = None
        if peptide is not None and str(peptide) in self.family.oracle.cards:
            found = score(self.family, made, str(peptide))
            columns |= {"peptide": [str(peptide)] * n, **found.columns()}
        facts: dict[str, Any] = {"distinct": len(set(sequences))} | (_shares(found) if found else {})
        broken = int((~anchored(made["tokens"])).sum())
        if broken:
            facts["no_whole_junction"] = broken
        return Designs(sequences, made, columns, facts, found)

    def steer(self, start: Any, goal: Goal, budget: Budget, knobs: EditorKnobs, rng: Streams) -> Designs:
        """Edit receptors towards a peptide, or towards examples.

        Raises:
            InputError: if there is nothing to edit, or the goal names something else.
            RefusedError: if the judge of the peptide is too weak, and the knob ``force`` is off.
        """
        templates, names, carried = self._starts(start)
        peptide = self._check(goal, force=knobs.force)
        ends, length = _kept(goal.keep, indels=knobs.indels)
        example = None
        if peptide is None:
            example = self.read(Path(str(goal.toward["like"])), skip_invalid=False).batch.to(self.device)
        request = Request(peptide, example, budget, knobs, ends, indels=not length)
        own = Streams(rng.seed, torch.arange(len(templates), device=rng.ids.device), rng.path)
        trail = editor_of(self.model, self.family, request)(templates.to(self.device), goal, budget, own)
        origin = trail.origin.cpu()
        result = trail.batch.to("cpu")
        sequences = self.space.decode(result)
        before = templates.to("cpu").take(origin)
        changed = edits(result["tokens"], before["tokens"])
        columns: dict[str, Sequence[Any]] = {
            "sequence_id": _numbered([names[i] for i in origin.tolist()]),
            "template_id": [names[i] for i in origin.tolist()],
            "template": self.space.decode(before),
            "edits": [str(int(k)) for k in changed],
        }
        reserved = set(columns) | {"peptide", "junction_aa", "cdr3_aa"}
        columns |= {
            f"template_{key}" if key in reserved else key: [values[i] for i in origin.tolist()]
            for key, values in carried.items()
            if key not in {"sequence_id", "junction_aa", "cdr3_aa"} or key == "peptide"
        }
        facts: dict[str, Any] = {"templates": len(templates), "seconds": round(trail.seconds, 2)}
        facts |= {"oracle_calls": trail.calls, "mean_edits": round(float(changed.float().mean()), 2)}
        facts["distinct"] = len(set(sequences))
        found = None
        if peptide is not None:
            found = score(self.family, result, peptide)
            columns |= {"peptide": [peptide] * len(sequences), **found.columns()}
            facts |= _shares(found) | self._reference(peptide)
        return Designs(sequences, result, columns, facts, found)

    def evaluate(self, samples: Any, ask: Ask) -> Report:
        """Report on receptors for a peptide, with baselines.

        Raises:
            InputError: if no peptide is named, or it is unknown, or a reference is given.
        """
        toward = ask.goal.toward
        peptide = toward.get("binds")
        if ask.reference is not None:
            raise InputError("the tcr protocol has its own baselines; leave --reference away")
        if peptide is None or set(toward) != {"binds"}:
            raise InputError("the tcr protocol needs --toward binds=PEPTIDE and nothing else")
        if str(peptide) not in self.family.oracle.cards:
            raise InputError(nearest(str(peptide), self.family.oracle.cards, what="peptide"))
        return report_on(self.family, samples, str(peptide), pgen=ask.pgen)

    def _starts(self, start: Any) -> tuple[Batch, list[str], Mapping[str, Sequence[str]]]:
        if start is None:
            raise InputError("there is nothing to edit: give templates (--input FILE), or use sample")
        if isinstance(start, Batch):
            return start, [f"t{i}" for i in range(1, len(start) + 1)], {}
        if isinstance(start, files.Table | Designs):
            ids = start.columns.get("sequence_id")
            return start.batch, list(ids or [f"t{i}" for i in range(1, len(start) + 1)]), start.columns
        sequences = [start] if isinstance(start, str) else list(start)
        return self.space.encode(sequences), [f"t{i}" for i in range(1, len(sequences) + 1)], {}

    def _check(self, goal: Goal, *, force: bool) -> str | None:
        """The peptide of the goal, or None for examples."""
        if goal.given:
            raise SettingsError(f"editing receptors takes no --given, got {', '.join(goal.given)}")
        for key in goal.toward:
            if key not in TOWARD:
                raise SettingsError("--toward: " + nearest(key, TOWARD, what="property"))
        if len(goal.toward) != 1:
            raise SettingsError("--toward takes either binds=PEPTIDE or like=FILE, not both")
        if "like" in goal.toward:
            return None
        peptide = str(goal.toward["binds"])
        panel = self.model.settings.panel
        panel.index(peptide)
        judge = self.family.judge
        if peptide in judge.cards:
            judge.require(peptide, force=force)
        elif not force:
            known = ", ".join(name for name, card in judge.cards.items() if card.area >= 0.75)
            raise SettingsError(
                f"{peptide}: there is no judge for it, so designs could not be confirmed; peptides with one: {known}; "
                f"pass --force to go on all the same"
            )
        return peptide

    def _reference(self, peptide: str) -> dict[str, float]:
        """Share of real held-out binders that pass, the scale for every design."""
        facts = {"real_binders_design_pass": round(self.family.oracle.cards[peptide].real_pass, 3)}
        if peptide in self.family.judge.cards:
            facts["real_binders_judge_pass"] = round(self.family.judge.card(peptide).real_pass, 3)
        return facts


def _kept(keep: Mapping[str, object], *, indels: bool) -> tuple[int, bool]:
    """Residues kept at each end, and whether the length stays."""
    for key in keep:
        if key not in KEEP:
            raise SettingsError("--keep: " + nearest(key, KEEP, what="constraint"))
    ends = str(keep.get("ends", 3))
    if not ends.isdigit():
        raise SettingsError(f"--keep ends=N takes a number of residues, got {ends!r}")
    length = str(keep.get("length", "no" if indels else "yes")).lower()
    if length not in {"yes", "no", "true", "false"}:
        raise SettingsError(f"--keep length takes yes or no, got {length!r}")
    # The two anchors always stay: without them a design is no junction.
    return max(1, int(ends)), length in {"yes", "true"}


def _shares(found: Scores) -> dict[str, float]:
    def share(x: Tensor) -> float:
        return round(float(x.float().mean()), 3)

    return {
        "design_pass": share(found.design_pass),
        "judge_pass": share(found.judge_pass),
        "plausible": share(found.plausible >= 0),
        "valid": share(found.valid),
        "copied": share(found.copied),
    }


def _numbered(names: Sequence[str]) -> list[str]:
    seen: dict[str, int] = {}
    numbered = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        numbered.append(f"{name}_{seen[name]}")
    return numbered
