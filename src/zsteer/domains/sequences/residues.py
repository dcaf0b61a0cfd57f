"""CDR3-beta sequences as places with 21 levels: 20 residues and the gap, which stands in the middle of short ones.

The ends of a CDR3 come from the V and J genes and align from either side; what varies in length is the middle.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Int
from torch import Tensor

from zsteer.core.alphabet import PROTEIN
from zsteer.core.batch import Batch
from zsteer.domains.sequences.space import PAD, SequenceSpace
from zsteer.errors import InputError

__all__ = ["GAP", "LENGTH", "LEVELS", "ResidueSpace", "residues", "tokens"]

GAP = PROTEIN.size
LEVELS = GAP + 1
LENGTH = 20
"""Places; longer sequences are left out ."""


def _places(length: Int[Tensor, " b"]) -> Int[Tensor, "b 20"]:
    """Position in the sequence of each place, or -1 for the gap: one half from the left, the other from the right."""
    place = torch.arange(LENGTH)[None, :]
    left = (length[:, None] + 1) // 2
    right = place - (LENGTH - length[:, None])
    return torch.where(place < left, place, torch.where(right >= left, right, torch.tensor(-1)))


def residues(x: Batch) -> Batch:
    """A batch of sequences (``tokens`` with its mask) as levels ``x``; those of more than 20 residues are left out."""
    length = PROTEIN.lengths(x["tokens"])
    fits = length <= LENGTH
    own, place = x["tokens"][fits].long(), _places(length[fits])
    return Batch({"x": torch.where(place < 0, GAP, own.gather(1, place.clamp(min=0))).float()})


def tokens(x: Batch, width: int, pad: int) -> Int[Tensor, "b n"]:
    """Levels as left-aligned tokens again, gaps wherever they are taken out.

    Args:
        x: batch with the field x.
        width: tokens of a row.
        pad: token that fills the row.
    """
    levels = x["x"].long()
    # A stable sort by "is a gap" moves residues to the left in their order.
    order = torch.sort((levels == GAP).int(), dim=1, stable=True).indices
    packed = levels.gather(1, order)
    packed = torch.where(packed == GAP, pad, packed)
    return torch.nn.functional.pad(packed, (0, width - LENGTH), value=pad)


@dataclass(frozen=True)
class ResidueSpace:
    """Sequences of at most 20 residues as places with gaps in the middle."""

    space: SequenceSpace = field(default_factory=SequenceSpace)

    @property
    def name(self) -> str:
        """Name of the space."""
        return "residues"

    def encode(self, items: Sequence[str]) -> Batch:
        """Sequences as levels.

        Raises:
            InputError: if one is no sequence, or has more residues than there are places.
        """
        long = [(k, text) for k, text in enumerate(items, 1) if len(text) > LENGTH]
        if long:
            k, text = long[0]
            raise InputError(f"sequence {k}: {text} has {len(text)} residues, the model has {LENGTH} places")
        return residues(self.space.encode(items))

    def decode(self, x: Batch) -> list[str]:
        """Levels as sequences; places without any residue leave an empty one."""
        found = tokens(x, self.space.max_length, PAD)
        return self.space.decode(Batch({"tokens": found}, found != PAD))
