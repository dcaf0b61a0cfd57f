"""``SequenceSpace``: what a sequence over an alphabet is, how it is padded, masked and checked.

A batch holds ``tokens`` of shape ``(b, max_length)``: letters in the order of the alphabet, then padding; the mask is
true on letters. The tokens for begin and end are for decoders and never stand in a batch of data.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from zsteer.core.alphabet import PROTEIN, Alphabet
from zsteer.core.batch import Batch
from zsteer.domains.sequences import spelling
from zsteer.errors import InputError, SettingsError

__all__ = ["ALPHABET", "MAX_LENGTH", "MIN_LENGTH", "PAD", "SequenceSpace", "canonical"]

ALPHABET, PAD = PROTEIN.letters, PROTEIN.pad
MIN_LENGTH, MAX_LENGTH = 5, 30


@dataclass(frozen=True)
class SequenceSpace:
    """Sequences over an alphabet within a range of lengths.

    Args:
        min_length: shortest sequence. [residues]
        max_length: longest sequence, and the width of a batch. [residues]
        alphabet: the letters that sequences are written in.

    Raises:
        SettingsError: if the range is empty.
    """

    min_length: int = MIN_LENGTH
    max_length: int = MAX_LENGTH
    alphabet: Alphabet = PROTEIN

    def __post_init__(self) -> None:
        if not 1 <= self.min_length <= self.max_length:
            raise SettingsError(f"expected 1 <= min_length <= max_length, got {self.min_length}, {self.max_length}")

    @property
    def name(self) -> str:
        """Name of the space."""
        return "sequences"

    def problem(self, item: str) -> str | None:
        """Why ``item`` is no sequence of this space, and what to do about it; None if it is one."""
        alphabet = self.alphabet
        return spelling.problem(
            item, letters=alphabet.letters, name=alphabet.name, low=self.min_length, high=self.max_length
        )

    def encode(self, items: Sequence[str]) -> Batch:
        """Turn sequences into a batch.

        Args:
            items: ``b`` sequences in capital one-letter code.

        Returns:
            ``tokens`` of shape ``(b, max_length)``, int64, with its mask.

        Raises:
            InputError: on the first item that is no sequence of this space; counts from 1.
        """
        for number, item in enumerate(items, 1):
            problem = self.problem(item)
            if problem is not None:
                raise InputError(f"sequence {number}: {problem}")
        tokens = np.full((len(items), self.max_length), self.alphabet.pad, dtype=np.int64)
        mask = np.arange(self.max_length)[None, :] < np.array([len(item) for item in items], dtype=np.int64)[:, None]
        if items:
            codes = np.full(256, -1, dtype=np.int64)
            codes[np.frombuffer(self.alphabet.letters.encode(), dtype=np.uint8)] = np.arange(self.alphabet.size)
            tokens[mask] = codes[np.frombuffer("".join(items).encode("ascii"), dtype=np.uint8)]
        return Batch({"tokens": torch.from_numpy(tokens)}, torch.from_numpy(mask))

    def decode(self, x: Batch) -> list[str]:
        """Turn a batch back into sequences.

        Raises:
            InputError: if a token under the mask is no residue.
        """
        tokens = x["tokens"]
        alphabet = self.alphabet
        mask = alphabet.real(tokens) if x.mask is None else x.mask
        foreign = mask & ((tokens < 0) | ~alphabet.real(tokens))
        if bool(foreign.any()):
            row, place = (int(i) for i in foreign.nonzero()[0])
            found = int(tokens[row, place])
            raise InputError(
                f"expected residues 0 ... {alphabet.size - 1} under the mask, got token {found} in row {row}, "
                f"column {place}"
            )
        written = np.frombuffer((alphabet.letters + "...").encode(), dtype=np.uint8)
        letters = written[tokens.clamp(0, alphabet.vocabulary - 1).cpu().numpy()]
        keep = mask.cpu().numpy()
        return [row[held].tobytes().decode("ascii") for row, held in zip(letters, keep, strict=True)]


def canonical(tokens: Int[Tensor, "b n"], *, alphabet: Alphabet = PROTEIN) -> list[bytes]:
    """One key for each row, equal for equal sequences: residues as bytes without padding."""
    rows = tokens.to(torch.uint8).cpu().numpy()
    return [row.tobytes().rstrip(bytes([alphabet.pad])) for row in rows]
