"""The kit of a restricted Boltzmann machine: that of images and tables, or of sequences for units on residues."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel

from zsteer.core.batch import Batch
from zsteer.core.goal import Budget, Goal
from zsteer.core.rng import Streams
from zsteer.domains.sequences import files
from zsteer.domains.sequences.space import PAD, SequenceSpace
from zsteer.errors import CapabilityError
from zsteer.evaluate.report import Report
from zsteer.models.rbm import RBM
from zsteer.recipes.kits import Ask
from zsteer.recipes.rbm.residues import residues, tokens
from zsteer.recipes.tcr.draw import anchored
from zsteer.recipes.vectors.kit import VectorKit

__all__ = ["ResidueDesigns", "ResidueKit", "kit"]


def kit(model: RBM, folder: Path | None, device: torch.device) -> "VectorKit | ResidueKit":
    """The kit for what the machine was trained on."""
    if model.settings.datum.space.get("name") == "residues":
        return ResidueKit(model, device)
    return VectorKit(model, folder, device)


@dataclass(frozen=True)
class ResidueDesigns:
    """Sequences from a machine.

    Args:
        sequences: CDR3-beta.
        batch: the same as levels.
        facts: figures of the whole set.
    """

    sequences: Sequence[str]
    batch: Batch
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def noun(self) -> str:
        """What the samples are."""
        return "sequences"

    @property
    def lines(self) -> Sequence[str]:
        """One a line."""
        return self.sequences

    def __len__(self) -> int:
        return len(self.sequences)


class ResidueKit:
    """What CDR3-beta sequences offer for a machine.

    Args:
        model: with softmax units.
        device: where it is.
    """

    def __init__(self, model: RBM, device: torch.device) -> None:
        self.model, self.device = model, device
        self.space = SequenceSpace()

    def read(self, path: Path, *, skip_invalid: bool) -> Batch:
        """Read sequences of at most 20 residues by the file's ending."""
        return residues(files.read(path, skip_invalid=skip_invalid).batch)

    def write(self, path: Path, designs: ResidueDesigns, *, overwrite: bool) -> None:
        """Write sequences by the file's ending."""
        names = {"sequence_id": [f"sample{k}" for k in range(1, len(designs) + 1)]}
        files.write(path, designs.sequences, names, overwrite=overwrite)

    def check_ending(self, path: Path) -> None:
        """Refuse an ending that cannot be written, before any work is done."""
        files.check_ending(path)

    def sample(self, n: int, given: Mapping[str, object], rng: Streams) -> ResidueDesigns:
        """New sequences; the facts count those that are no whole junction (C ... F or W)."""
        made = self.model.sample(n, given=given or None, rng=rng).to("cpu")
        rows = tokens(made, self.space.max_length, PAD)
        written = self.space.decode(Batch({"tokens": rows}, mask=rows != PAD))
        broken = int((~anchored(rows)).sum())
        facts = {"distinct": len(set(written))} | ({"no_whole_junction": broken} if broken else {})
        return ResidueDesigns(written, made, facts)

    def steer(self, start: Any, goal: Goal, budget: Budget, knobs: BaseModel, rng: Streams) -> ResidueDesigns:
        """Not for these models.

        Raises:
            CapabilityError: always.
        """
        del start, goal, budget, knobs, rng
        raise CapabilityError(f"a model of kind {self.model.kind!r} does not steer")

    def evaluate(self, samples: Any, ask: Ask) -> Report:
        """Not by the model itself.

        Raises:
            CapabilityError: always.
        """
        del samples, ask
        raise CapabilityError("evaluate sequences with --protocol tcr")
