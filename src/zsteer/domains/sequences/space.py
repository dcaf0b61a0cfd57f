"""``SequenceSpace``: what an amino-acid sequence is, how it is padded, masked and checked.

A batch holds ``tokens`` of shape ``(b, 30)``: residues 0 ... 19 in the order of ``ALPHABET``, then ``PAD``; the mask
is true on residues. ``BOS`` and ``EOS`` are for decoders and never stand in a batch of data.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from zsteer.core.batch import Batch
from zsteer.errors import InputError, SettingsError

__all__ = ["ALPHABET", "BOS", "EOS", "MAX_LENGTH", "MIN_LENGTH", "PAD", "VOCABULARY", "SequenceSpace", "canonical"]

ALPHABET = "ACDEFGHIKLMNPQRSTVWY"
BOS, EOS, PAD = 20, 21, 22
VOCABULARY = 23
MIN_LENGTH, MAX_LENGTH = 5, 30

_CODE = np.full(256, -1, dtype=np.int64)
_CODE[np.frombuffer(ALPHABET.encode(), dtype=np.uint8)] = np.arange(20)
_KNOWN = frozenset(ALPHABET)
_LETTER = np.frombuffer((ALPHABET + "..." + "." * 233).encode(), dtype=np.uint8)


@dataclass(frozen=True)
class SequenceSpace:
    """Sequences of the 20 amino acids within a range of lengths.

    Args:
        min_length: shortest sequence. [residues]
        max_length: longest sequence, and the width of a batch. [residues]

    Raises:
        SettingsError: if the range is empty.
    """

    min_length: int = MIN_LENGTH
    max_length: int = MAX_LENGTH

    def __post_init__(self) -> None:
        if not 1 <= self.min_length <= self.max_length:
            raise SettingsError(f"expected 1 <= min_length <= max_length, got {self.min_length}, {self.max_length}")

    @property
    def name(self) -> str:
        """Name of the space."""
        return "sequences"

    def problem(self, item: str) -> str | None:
        """Why ``item`` is no sequence of this space, and what to do about it; None if it is one."""
        if not item:
            return "the sequence is empty"
        if _KNOWN.issuperset(item):
            if len(item) < self.min_length:
                return f"{item!r} is too short: expected at least {self.min_length} residues, got {len(item)}"
            if len(item) > self.max_length:
                shown = item if len(item) <= 40 else item[:40] + "..."
                return f"{shown!r} is too long: expected at most {self.max_length} residues, got {len(item)}"
            return None
        place, letter = next((i, c) for i, c in enumerate(item, 1) if c not in ALPHABET)
        shown = item if len(item) <= 40 else item[:40] + "..."
        return f"{shown!r}: {_foreign(letter, place)}"

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
        tokens = np.full((len(items), self.max_length), PAD, dtype=np.int64)
        mask = np.arange(self.max_length)[None, :] < np.array([len(item) for item in items], dtype=np.int64)[:, None]
        if items:
            tokens[mask] = _CODE[np.frombuffer("".join(items).encode("ascii"), dtype=np.uint8)]
        return Batch({"tokens": torch.from_numpy(tokens)}, torch.from_numpy(mask))

    def decode(self, x: Batch) -> list[str]:
        """Turn a batch back into sequences.

        Raises:
            InputError: if a token under the mask is no residue.
        """
        tokens = x["tokens"]
        mask = tokens < 20 if x.mask is None else x.mask
        foreign = mask & ((tokens < 0) | (tokens >= 20))
        if bool(foreign.any()):
            row, place = (int(i) for i in foreign.nonzero()[0])
            found = int(tokens[row, place])
            raise InputError(
                f"expected residues 0 ... 19 under the mask, got token {found} in row {row}, column {place}"
            )
        letters = _LETTER[tokens.clamp(0, 255).cpu().numpy()]
        keep = mask.cpu().numpy()
        return [row[held].tobytes().decode("ascii") for row, held in zip(letters, keep, strict=True)]


def _foreign(letter: str, place: int) -> str:
    where = f"at position {place}"
    if letter.upper() in ALPHABET:
        return f"lower-case {letter!r} {where}; write it in capital letters"
    if letter in "-._":
        return f"gap {letter!r} {where}; remove gaps and write the bare sequence"
    if letter == "*":
        return f"stop codon '*' {where}; only whole sequences can be used"
    if letter in "XBZJUO":
        return f"{letter!r} {where} is not one of the 20 amino acids ({ALPHABET}); resolve it or drop the row"
    if letter.isspace():
        return f"white space {where}; remove it"
    return f"{letter!r} {where} is not an amino acid; expected letters of {ALPHABET}"


def canonical(tokens: Int[Tensor, "b n"]) -> list[bytes]:
    """One key for each row, equal for equal sequences: residues as bytes without padding."""
    rows = tokens.to(torch.uint8).cpu().numpy()
    return [row.tobytes().rstrip(bytes([PAD])) for row in rows]
