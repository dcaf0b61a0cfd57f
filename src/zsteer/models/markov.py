r"""``Markov``: a chain of first order over sequences of one length, with its own probabilities at every place.

.. math:: p(x) = p_1(x_1) \prod_{i = 2}^n p_i(x_i \mid x_{i - 1})

It is fitted to weighted sequences in closed form, which is maximum likelihood with a pseudo-count, so that every
sequence keeps some probability. Small spaces can be listed whole under it: it is the model of exact tests.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from zsteer.core.alphabet import Alphabet
from zsteer.core.artifact import Pretrained, Settings
from zsteer.core.batch import Batch
from zsteer.core.rng import Streams
from zsteer.errors import ArtifactError, InputError

__all__ = ["Markov", "MarkovSettings", "everything", "place"]


class MarkovSettings(Settings):
    """What the chain is built from.

    Args:
        letters: the alphabet.
        length: letters of a sequence.
        pseudo: weight that every transition has before anything is counted, in sequences.
    """

    letters: str = Field(min_length=2)
    length: int = Field(ge=1)
    pseudo: float = Field(default=1.0, gt=0)


class Markov(Pretrained):
    """A chain of first order; fresh ones draw every sequence equally often.

    Args:
        settings: what it is built from.
    """

    kind: ClassVar[str] = "markov"
    Settings: ClassVar[type[MarkovSettings]] = MarkovSettings
    bound: Literal["exact", "lower", "unnormalised"] = "exact"

    def __init__(self, settings: MarkovSettings) -> None:
        self.settings = settings
        self.alphabet = Alphabet(settings.letters, "the chain's letters")
        k = self.alphabet.size
        self.first = torch.full((k,), 1 / k, dtype=torch.float64).log()
        self.step = torch.full((settings.length - 1, k, k), 1 / k, dtype=torch.float64).log()

    @property
    def space(self) -> Mapping[str, Any]:
        """Sequences over an alphabet; no domain reads them yet."""
        return {}

    def tensors(self) -> dict[str, Tensor]:
        """Log-probabilities of the first letter and of each transition."""
        return {"first": self.first, "step": self.step}

    def restore(self, tensors: Mapping[str, Tensor], texts: Mapping[str, str]) -> None:
        """Take back what ``tensors`` gave.

        Raises:
            ArtifactError: if names or shapes do not fit the settings.
        """
        del texts
        for name, own in self.tensors().items():
            if name not in tensors or tensors[name].shape != own.shape:
                raise ArtifactError(f"the weights of the chain lack {name} of shape {tuple(own.shape)}")
        self.first, self.step = tensors["first"].double(), tensors["step"].double()

    def log_prob(self, x: Batch, rng: Streams | None = None) -> Float[Tensor, " b"]:
        """Log-probability of each sequence. [nats]

        Raises:
            InputError: if sequences have another length.
        """
        del rng
        tokens = x["tokens"]
        if tokens.shape[1] != self.settings.length:
            raise InputError(f"the chain has {self.settings.length} places, the sequences {tokens.shape[1]}")
        place = torch.arange(self.settings.length - 1)
        return self.first[tokens[:, 0]] + self.step[place, tokens[:, :-1], tokens[:, 1:]].sum(1)

    def sample(self, n: int, *, given: Mapping[str, object] | None = None, rng: Streams) -> Batch:
        """Draw sequences, letter by letter.

        Raises:
            InputError: if there is a condition, or the number of streams differs.
        """
        if given:
            raise InputError(f"the chain has no conditions, got {', '.join(given)}")
        if len(rng) != n:
            raise InputError(f"expected {n} streams for {n} samples, got {len(rng)}")
        k = self.alphabet.size
        noise = rng.child("letters").gumbel("letter", (self.settings.length, k)).double()
        letter = (self.first + noise[:, 0]).argmax(1)
        found = [letter]
        for i in range(self.settings.length - 1):
            letter = (self.step[i, letter] + noise[:, i + 1]).argmax(1)
            found.append(letter)
        return self.alphabet.batch(torch.stack(found, 1))

    def path(self, n: int, rng: Streams) -> Batch:
        """Draw sequences; there is nothing beside them that made them."""
        return self.sample(n, rng=rng)

    def log_prob_of_path(self, x: Batch) -> Float[Tensor, " b"]:
        """The same as ``log_prob``. [nats]"""
        return self.log_prob(x)

    def refit(self, x: Batch, weight: Float[Tensor, " b"], rng: Streams) -> Self:
        """The chain of most likelihood for weighted sequences.

        Args:
            x: sequences.
            weight: of each; their sum counts against the pseudo-count.
            rng: not used; the fit is in closed form.
        """
        del rng
        made, tokens, k = type(self)(self.settings), x["tokens"], self.alphabet.size
        weight, pseudo = weight.double(), self.settings.pseudo
        first = torch.full((k,), pseudo / k, dtype=torch.float64).index_add(0, tokens[:, 0], weight)
        made.first = (first / first.sum()).log()
        for i in range(self.settings.length - 1):
            pair = tokens[:, i] * k + tokens[:, i + 1]
            counts = torch.full((k * k,), pseudo / k**2, dtype=torch.float64).index_add(0, pair, weight).reshape(k, k)
            made.step[i] = (counts / counts.sum(1, keepdim=True)).log()
        return made


def everything(alphabet: Alphabet, length: int) -> Int[Tensor, "n m"]:
    """Every sequence of a length, as tokens, in the order of their letters.

    Raises:
        InputError: if there are more than ten million.
    """
    if alphabet.size**length > 10_000_000:
        raise InputError(f"{alphabet.size}^{length} sequences are too many to list")
    number = torch.arange(alphabet.size**length)
    return torch.stack([number // alphabet.size ** (length - 1 - i) % alphabet.size for i in range(length)], 1)


def place(tokens: Int[Tensor, "b m"], alphabet: Alphabet) -> Int[Tensor, " b"]:
    """The number of each sequence in ``everything``."""
    return (tokens * alphabet.size ** torch.arange(tokens.shape[1] - 1, -1, -1)).sum(1)
