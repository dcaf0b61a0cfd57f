"""The kit of a restricted Boltzmann machine: that of images and tables, or of sequences for units on residues."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from zsteer.core.batch import Batch
from zsteer.core.rng import Streams
from zsteer.domains.sequences import files
from zsteer.domains.sequences.junctions import anchored
from zsteer.domains.sequences.residues import LENGTH, residues, tokens
from zsteer.domains.sequences.space import PAD, SequenceSpace
from zsteer.errors import InputError
from zsteer.kits.images.kit import SamplesOnly, VectorKit
from zsteer.models.rbm.rbm import RBM

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


class ResidueKit(SamplesOnly):
    """What CDR3-beta sequences offer for a machine.

    Args:
        model: with softmax units.
        device: where it is.
    """

    protocols = "--protocol tcr or --protocol likelihood"

    def __init__(self, model: RBM, device: torch.device) -> None:
        super().__init__(model, device)
        self.space = SequenceSpace()

    def read(self, path: Path, *, skip_invalid: bool) -> Batch:
        """Read sequences by the file's ending.

        Raises:
            InputError: if one has more residues than the machine has places, and ``skip_invalid`` is false.
        """
        found = files.read(path, skip_invalid=skip_invalid)
        long = [text for text in found.sequences if len(text) > LENGTH]
        if long and not skip_invalid:
            raise InputError(
                f"{path}: {long[0]} has {len(long[0])} residues, the machine has {LENGTH} places; "
                f"{len(long)} of {len(found)} sequences are too long; --skip-invalid leaves them out"
            )
        return residues(found.batch)

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
