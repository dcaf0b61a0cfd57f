r"""Sequences from a decoder, symbol by symbol, and the contract of such a decoder.

A draw at temperature tau is argmax_k (score_k / tau + G_k) with standard Gumbel numbers G; tau = 0 takes the best.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zsteer.core.alphabet import PROTEIN, Alphabet
from zsteer.core.batch import Batch
from zsteer.core.options import Option
from zsteer.core.rng import Streams
from zsteer.errors import InputError, SettingsError, nearest
from zsteer.maths.guidance import classifier_free

__all__ = ["Guided", "Stepwise", "Wish", "draw", "sequence_options"]

State = tuple[Tensor, ...]


@runtime_checkable
class Stepwise(Protocol):
    """A decoder that reads one token at a time; every tensor of its state has one row for each sequence."""

    def begin(self) -> tuple[Float[Tensor, "b k"], State]: ...
    def advance(self, state: State, tokens: Int[Tensor, " r"]) -> tuple[Float[Tensor, "r k"], State]: ...


@dataclass(frozen=True)
class Guided:
    """Two decoders as one: scores without a condition moved ``scale`` times towards those with it.

    Args:
        null: decoder without the condition.
        conditional: decoder with it; both over the same rows.
        scale: strength of guidance; 1 gives the conditional decoder's scores.
        split: number of tensors in a state of ``null``.
    """

    null: Stepwise
    conditional: Stepwise
    scale: float
    split: int

    @staticmethod
    def of(null: Stepwise, conditional: Stepwise, scale: float) -> Stepwise:
        """Combine, without running the half whose weight is zero."""
        if scale == 1.0:
            return conditional
        if scale == 0.0:
            return null
        return Guided(null, conditional, scale, len(null.begin()[1]))

    def begin(self) -> tuple[Float[Tensor, "b k"], State]:
        """Scores of the first symbol, and the state of both."""
        null, first = self.null.begin()
        conditional, second = self.conditional.begin()
        return classifier_free(null, conditional, self.scale), (*first, *second)

    def advance(self, state: State, tokens: Int[Tensor, " r"]) -> tuple[Float[Tensor, "r k"], State]:
        """Scores of the symbol after ``tokens``, and the state of both."""
        null, first = self.null.advance(state[: self.split], tokens)
        conditional, second = self.conditional.advance(state[self.split :], tokens)
        # A symbol that never comes (-1e9) stays out whatever the scale does to the difference of two such numbers.
        scores = classifier_free(null, conditional, self.scale)
        return torch.where(null < -1e8, null, scores), (*first, *second)


def sequence_options(peptides: Sequence[str]) -> tuple[Option, ...]:
    """What sampling sequences takes: a peptide of the panel, strength of guidance, temperature."""
    found = (
        Option("scale", "sample", "number", "strength of guidance towards the peptide: 1 none", "", 0),
        Option("temperature", "sample", "number", "1 samples, 0 takes the best residue each time", "", 0),
    )
    peptide = Option("peptide", "given", "text", "peptide that the receptors should bind", choices=tuple(peptides))
    return (peptide, *found) if peptides else found[1:]


@dataclass(frozen=True)
class Wish:
    """What a sample of sequences is asked for: a peptide or none, strength of guidance, temperature."""

    peptide: str | None
    scale: float
    temperature: float

    @staticmethod
    def of(given: Mapping[str, object] | None, n: int, rng: Streams) -> "Wish":
        """Read the conditions of ``sample``.

        Raises:
            InputError: if there is another condition, or the number of streams is not ``n``.
        """
        wants = dict(given or {})
        strange = sorted(set(wants) - {"peptide", "scale", "temperature"})
        if strange:
            raise InputError(f"--given: {nearest(strange[0], ('peptide', 'scale', 'temperature'), what='condition')}")
        if len(rng) != n:
            raise InputError(f"expected one stream for each of {n} samples, got {len(rng)}")
        try:
            scale, temperature = (float(str(wants.get(name, 1.0))) for name in ("scale", "temperature"))
        except ValueError as error:
            raise InputError(f"--given scale and temperature take numbers: {error}") from None
        name = wants.get("peptide")
        return Wish(None if name is None else str(name), scale, temperature)


def draw(
    decoder: Stepwise,
    rng: Streams,
    *,
    temperature: float = 1.0,
    alphabet: Alphabet = PROTEIN,
    shortest: int = 5,
    longest: int = 30,
) -> Batch:
    """Draw one sequence for each row of the decoder.

    Args:
        decoder: conditions and net.
        rng: one stream for each row.
        temperature: 1 samples, 0 takes the best symbol at each place.
        alphabet: what the symbols mean.
        shortest: no stop before this many residues.
        longest: most residues, and the width of the batch.

    Returns:
        Fields ``tokens`` and ``log_prob`` (of the decoder's scores, [nats]), with the mask.

    Raises:
        SettingsError: if the temperature is negative.
    """
    if temperature < 0:
        raise SettingsError(f"expected a temperature >= 0, got {temperature}")
    scores, state = decoder.begin()
    tokens = torch.full((len(scores), longest), alphabet.pad, device=scores.device)
    total = scores.new_zeros(len(scores))
    running = torch.ones_like(total, dtype=torch.bool)
    for place in range(longest + 1):
        if place < shortest:
            scores = _without(scores, alphabet.end)
        if place == longest:
            total = total + scores[:, alphabet.end] * running
            break
        noise = rng.at(place).gumbel("token", (scores.shape[1],)) if temperature > 0 else 0.0
        chosen = (scores / (temperature or 1.0) + noise).argmax(1)
        total = total + scores.gather(1, chosen[:, None])[:, 0] * running
        running = running & (chosen != alphabet.end)
        if not bool(running.any()):
            break
        tokens[:, place] = torch.where(running, chosen, tokens[:, place])
        scores, state = decoder.advance(state, chosen)
    return Batch({"tokens": tokens, "log_prob": total}, mask=alphabet.real(tokens))


def _without(scores: Tensor, symbol: int) -> Tensor:
    barred = torch.zeros(scores.shape[1], dtype=torch.bool, device=scores.device)
    barred[symbol] = True
    return scores.masked_fill(barred, -1e9)
