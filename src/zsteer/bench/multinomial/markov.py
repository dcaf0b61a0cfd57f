r"""Order-n Markov chains over residues, the baseline of a sequence model, with the stop as a symbol of its own.

A context that is rare leans on the shorter one, with one strength for each order, chosen on validation sequences:

.. math:: p_n(x | c) = \frac{N(c x) + a_n\, p_{n-1}(x | c')}{N(c) + a_n}, \quad p_{-1}(x) = \frac{1}{K + 1},

where c' is c without its first symbol. The stop makes it a distribution over sequences of every length, so that its
nats count the length as other models' do.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zsteer.core.alphabet import PROTEIN
from zsteer.core.batch import Batch
from zsteer.errors import InputError, SettingsError

__all__ = ["Markov", "markov_chain"]

STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
"""Strengths that are tried at each order."""


@dataclass(frozen=True)
class Markov:
    """A chain of one order.

    Args:
        table: log-probability of each next symbol after each context, ``((K + 2)^n, K + 1)``; symbol K is the stop, and
            in a context K + 1 stands before the start.
        order: symbols of a context.
        strengths: a_0 ... a_n that were chosen.
    """

    table: Float[Tensor, "contexts k"]
    order: int
    strengths: tuple[float, ...]

    def log_prob(self, x: Batch) -> Float[Tensor, " b"]:
        """Log-probability of each sequence, its stop included. [nats]"""
        symbols, context, real = _symbols(x, self.order, self.table.shape[1] - 1)
        return torch.where(real, self.table[context, symbols], 0.0).sum(1)


def _symbols(x: Batch, order: int, categories: int) -> tuple[Int[Tensor, "b m"], Int[Tensor, "b m"], Tensor]:
    """Symbols with the stop, the number of the context of each, and which are real."""
    if x.mask is None:
        raise InputError("expected sequences with a mask (true on residues), got none; encode them with their space")
    length = x.mask.sum(1, keepdim=True)
    place = torch.arange(x.mask.shape[1] + 1)
    tokens = torch.nn.functional.pad(torch.where(x.mask, x["tokens"], categories), (0, 1), value=categories).long()
    before = torch.nn.functional.pad(tokens, (order, 0), value=categories + 1)
    context = torch.zeros_like(tokens)
    for back in range(order, 0, -1):
        context = context * (categories + 2) + before[:, order - back : order - back + tokens.shape[1]]
    return tokens, context, place <= length


def markov_chain(train: Batch, valid: Batch, order: int, *, categories: int = PROTEIN.size) -> Markov:
    """Fit a chain.

    Args:
        train: sequences to count.
        valid: sequences to choose the strengths by.
        order: symbols of a context.
        categories: K.

    Raises:
        SettingsError: if the order is not 0 ... 4.
    """
    if not 0 <= order <= 4:
        raise SettingsError(f"expected an order 0 ... 4, got {order}; longer contexts need too large a table")
    lower = torch.full((1, categories + 1), 1 / (categories + 1), dtype=torch.float64)
    chosen: list[float] = []
    found: Markov | None = None
    for n in range(order + 1):
        counts = _counts(train, n, categories)
        # A context without its first symbol: the number modulo (K + 2)^(n - 1).
        shorter = torch.arange(len(counts)) % len(lower)
        best: tuple[float, Markov] | None = None
        for strength in STRENGTHS:
            p = (counts + strength * lower[shorter]) / (counts.sum(1, keepdim=True) + strength)
            candidate = Markov(p.log(), n, (*chosen, strength))
            score = float(candidate.log_prob(valid).mean())
            if best is None or score > best[0]:
                best = (score, candidate)
        if best is None:
            raise SettingsError("no strength to try")
        found = best[1]
        chosen.append(found.strengths[-1])
        lower = found.table.exp()
    if found is None:
        raise SettingsError("no order to fit")
    return found


def _counts(x: Batch, order: int, categories: int) -> Float[Tensor, "contexts k"]:
    symbols, context, real = _symbols(x, order, categories)
    contexts, width = (categories + 2) ** order, categories + 1
    flat = (context * width + symbols)[real]
    return torch.bincount(flat, minlength=contexts * width).reshape(contexts, width).double()
