"""Peptides as vectors: a learned row for each known peptide, and the mean BLOSUM50 row of any peptide.

BLOSUM50 (Henikoff and Henikoff, PNAS 1992; half-bit units) is written out below as the published table, residues in
alphabetical order, that of ``PROTEIN``.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from zsteer.core.alphabet import PROTEIN
from zsteer.errors import InputError

__all__ = ["BLOSUM50", "PeptideEmbedding", "mean_blosum"]

BLOSUM50 = (
    (5, -1, -2, -1, -3, 0, -2, -1, -1, -2, -1, -1, -1, -1, -2, 1, 0, 0, -3, -2),
    (-1, 13, -4, -3, -2, -3, -3, -2, -3, -2, -2, -2, -4, -3, -4, -1, -1, -1, -5, -3),
    (-2, -4, 8, 2, -5, -1, -1, -4, -1, -4, -4, 2, -1, 0, -2, 0, -1, -4, -5, -3),
    (-1, -3, 2, 6, -3, -3, 0, -4, 1, -3, -2, 0, -1, 2, 0, -1, -1, -3, -3, -2),
    (-3, -2, -5, -3, 8, -4, -1, 0, -4, 1, 0, -4, -4, -4, -3, -3, -2, -1, 1, 4),
    (0, -3, -1, -3, -4, 8, -2, -4, -2, -4, -3, 0, -2, -2, -3, 0, -2, -4, -3, -3),
    (-2, -3, -1, 0, -1, -2, 10, -4, 0, -3, -1, 1, -2, 1, 0, -1, -2, -4, -3, 2),
    (-1, -2, -4, -4, 0, -4, -4, 5, -3, 2, 2, -3, -3, -3, -4, -3, -1, 4, -3, -1),
    (-1, -3, -1, 1, -4, -2, 0, -3, 6, -3, -2, 0, -1, 2, 3, 0, -1, -3, -3, -2),
    (-2, -2, -4, -3, 1, -4, -3, 2, -3, 5, 3, -4, -4, -2, -3, -3, -1, 1, -2, -1),
    (-1, -2, -4, -2, 0, -3, -1, 2, -2, 3, 7, -2, -3, 0, -2, -2, -1, 1, -1, 0),
    (-1, -2, 2, 0, -4, 0, 1, -3, 0, -4, -2, 7, -2, 0, -1, 1, 0, -3, -4, -2),
    (-1, -4, -1, -1, -4, -2, -2, -3, -1, -4, -3, -2, 10, -1, -3, -1, -1, -3, -4, -3),
    (-1, -3, 0, 2, -4, -2, 1, -3, 2, -2, 0, 0, -1, 7, 1, 0, -1, -3, -1, -1),
    (-2, -4, -2, 0, -3, -3, 0, -4, 3, -3, -2, -1, -3, 1, 7, -1, -1, -3, -3, -1),
    (1, -1, 0, -1, -3, 0, -1, -3, 0, -3, -2, 1, -1, 0, -1, 5, 2, -2, -4, -2),
    (0, -1, -1, -1, -2, -2, -2, -1, -1, -1, -1, 0, -1, -1, -1, 2, 5, 0, -3, -2),
    (0, -1, -4, -3, -1, -4, -4, 4, -3, 1, 1, -3, -3, -3, -3, -2, 0, 5, -3, -1),
    (-3, -5, -5, -3, 1, -3, -3, -3, -3, -2, -1, -4, -4, -1, -3, -4, -3, -3, 15, 2),
    (-2, -3, -3, -2, 4, -3, 2, -1, -2, -1, 0, -2, -3, -1, -1, -2, -2, -1, 2, 8),
)


def mean_blosum(peptide: str) -> Float[Tensor, " k"]:
    """Mean BLOSUM50 row over the residues of a peptide, 20 numbers.

    Args:
        peptide: one-letter residues.

    Raises:
        InputError: if it is empty or holds another letter.
    """
    strange = sorted(set(peptide) - set(PROTEIN.letters))
    if strange or not peptide:
        raise InputError(f"expected a peptide of the letters {PROTEIN.letters}, got {peptide!r}")
    rows = torch.tensor(BLOSUM50, dtype=torch.float32)
    return rows[[PROTEIN.letters.index(letter) for letter in peptide]].mean(0)


class PeptideEmbedding(nn.Module):
    """Index of a peptide to its vector u; -1, the null class, has a row of its own.

    Args:
        peptides: the known ones, in the order of their indices.
        width: of the vector.
        blosum: add a linear map of the mean BLOSUM50 row, so that similar peptides share what they can.
    """

    def __init__(self, peptides: Sequence[str], width: int, *, blosum: bool = False) -> None:
        super().__init__()
        self.count = len(peptides)
        self.learned = nn.Embedding(self.count + 1, width)
        nn.init.normal_(self.learned.weight, std=0.3)
        self.blosum = blosum
        if blosum:
            rows = [mean_blosum(peptide) for peptide in peptides]
            self.register_buffer("rows", torch.stack([*rows, torch.zeros(PROTEIN.size)]), persistent=False)
            self.rows: Tensor
            self.from_rows = nn.Linear(PROTEIN.size, width, bias=False)

    def forward(self, index: Int[Tensor, " b"]) -> Float[Tensor, "b d"]:
        """Vector of each peptide.

        Args:
            index: of the peptide; -1 for none.
        """
        row = torch.where(index < 0, self.count, index)
        u = self.learned(row)
        return u + self.from_rows(self.rows[row]) if self.blosum else u
