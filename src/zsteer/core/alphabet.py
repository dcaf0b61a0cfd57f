"""``Alphabet``: the letters of a sequence and the tokens that stand for them.

Letter i of an alphabet of k letters is token i; the tokens k, k + 1 and k + 2 are begin, end and padding.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from zsteer.core.batch import Batch
from zsteer.errors import InputError, SettingsError

__all__ = ["DNA", "PROTEIN", "RNA", "Alphabet", "padding"]


def padding(size: int) -> int:
    """The padding token of an alphabet of ``size`` letters, behind begin and end."""
    return size + 2


@dataclass(frozen=True)
class Alphabet:
    """The letters that sequences are written in.

    Args:
        letters: one character each; their order is that of the tokens.
        name: of the alphabet, for messages and cards.

    Raises:
        SettingsError: if there is no letter, or one stands twice or is not printable ASCII.
    """

    letters: str
    name: str

    def __post_init__(self) -> None:
        single = len(set(self.letters)) == len(self.letters)
        printable = self.letters.isascii() and self.letters.isprintable() and " " not in self.letters
        if not self.letters or not single or not printable:
            raise SettingsError(f"expected different printable ASCII letters for {self.name}, got {self.letters!r}")

    @property
    def size(self) -> int:
        """Number of letters."""
        return len(self.letters)

    @property
    def begin(self) -> int:
        """Token before the first letter; only decoders read it."""
        return self.size

    @property
    def end(self) -> int:
        """Token that ends a sequence; only decoders write it."""
        return self.size + 1

    @property
    def pad(self) -> int:
        """Token that fills a row behind its last letter."""
        return padding(self.size)

    @property
    def vocabulary(self) -> int:
        """Letters and special tokens."""
        return self.size + 3

    def real(self, tokens: Int[Tensor, "*b n"]) -> Bool[Tensor, "*b n"]:
        """True on letters, false on begin, end and padding."""
        return tokens < self.size

    def lengths(self, tokens: Int[Tensor, "*b n"]) -> Int[Tensor, "*b"]:
        """Letters of each row."""
        return self.real(tokens).sum(-1)

    def batch(self, tokens: Int[Tensor, "b n"]) -> Batch:
        """Rows of tokens as a batch: field ``tokens``, with the mask of its letters."""
        return Batch({"tokens": tokens}, self.real(tokens))

    def token(self, letter: str) -> int:
        """Token of a letter.

        Raises:
            InputError: if it is none of the alphabet.
        """
        found = self.letters.find(letter) if len(letter) == 1 else -1
        if found < 0:
            raise InputError(f"expected a letter of {self.name} ({self.letters}), got {letter!r}")
        return found

    def encode(self, text: str) -> Int[Tensor, " n"]:
        """Tokens of a text, letter for letter.

        Raises:
            InputError: on the first letter that is none of the alphabet.
        """
        return torch.tensor([self.token(letter) for letter in text], dtype=torch.long)

    def decode(self, tokens: Int[Tensor, " n"]) -> str:
        """The letters of one row; special tokens are left out.

        Raises:
            InputError: if a token is neither a letter nor special.
        """
        wrong = tokens[(tokens < 0) | (tokens >= self.vocabulary)]
        if len(wrong):
            raise InputError(f"expected tokens 0 ... {self.vocabulary - 1} of {self.name}, got {int(wrong[0])}")
        return "".join(self.letters[token] for token in tokens.tolist() if token < self.size)


PROTEIN = Alphabet("ACDEFGHIKLMNPQRSTVWY", "protein")
DNA = Alphabet("ACGT", "DNA")
RNA = Alphabet("ACGU", "RNA")
