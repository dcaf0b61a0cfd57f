r"""Measures of a set of designs: how far from the template, how new, how varied.

Distances are Levenshtein distances (least number of substitutions, insertions and deletions). A row of the dynamic
programme is held in the bits of one word, and all pairs go on together:
.. math:: D_{ij} = \min(D_{i-1,j} + 1,\; D_{i,j-1} + 1,\; D_{i-1,j-1} + [a_i \neq b_j]) .

Source: Myers, "A fast bit-vector algorithm for approximate string matching", J. ACM 46, 1999; Hyyro 2003 (distance
between whole strings).
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from zsteer.core.alphabet import PROTEIN, Alphabet
from zsteer.core.batch import Batch
from zsteer.domains.sequences.space import canonical
from zsteer.errors import InputError

__all__ = ["Spread", "distances", "diversity", "edits", "edits_share", "nearest_distance", "spread"]

Words = np.ndarray
_CHUNK = 1 << 15
"""Pairs that go on together: few enough for their words to stay in the cache."""


def _lengths(tokens: Int[Tensor, "b n"], alphabet: Alphabet) -> Int[np.ndarray, " b"]:
    return alphabet.lengths(tokens).cpu().numpy().astype(np.int64)


def _where(tokens: Int[Tensor, "b n"], alphabet: Alphabet) -> Words:
    """Bit i of entry (b, a) says whether residue i of sequence b is a; ``(b, vocabulary)``."""
    t = tokens.cpu().numpy().astype(np.int64)
    if t.shape[1] > 62:
        raise InputError(f"expected sequences of at most 62 residues, got a width of {t.shape[1]}")
    table = np.zeros((len(t), alphabet.vocabulary), dtype=np.int64)
    rows = np.arange(len(t))
    for i in range(t.shape[1]):
        np.bitwise_or.at(table, (rows, t[:, i]), np.int64(1) << i)
    table[:, alphabet.size :] = 0
    return table


def _walk(equal: Words, length_a: Words, tokens_b: Words, length_b: Words) -> Int[np.ndarray, " p"]:
    """Distances of ``p`` pairs: residues of a as bits, those of b one column after the other."""
    ones = np.int64(-1)
    plus, minus = np.full(len(equal), ones), np.zeros(len(equal), dtype=np.int64)
    last = np.int64(1) << np.maximum(length_a - 1, 0)
    score = length_a.copy()
    rows = np.arange(len(equal))
    for j in range(int(length_b.max(initial=0))):
        match = equal[rows, tokens_b[:, j]]
        diagonal = (((match & plus) + plus) ^ plus) | match | minus
        up, down = minus | ~(diagonal | plus), plus & diagonal
        live = j < length_b
        score += live * ((up & last) != 0).astype(np.int64) - live * ((down & last) != 0).astype(np.int64)
        up, down = (up << 1) | 1, down << 1
        plus, minus = down | ~(diagonal | up), up & diagonal
    # Against an empty sequence every residue of the other is one edit.
    return np.where(length_a == 0, length_b, score)


def edits(a: Int[Tensor, "b n"], b: Int[Tensor, "k m"], *, alphabet: Alphabet = PROTEIN) -> Int[Tensor, " b"]:
    """Levenshtein distance of each row of ``a`` from the same row of ``b``.

    Raises:
        InputError: if the numbers of rows differ.
    """
    if len(a) != len(b):
        raise InputError(f"expected as many sequences on both sides, got {len(a)} and {len(b)}")
    return torch.from_numpy(
        _walk(_where(a, alphabet), _lengths(a, alphabet), b.cpu().numpy().astype(np.int64), _lengths(b, alphabet))
    )


def distances(a: Int[Tensor, "b n"], b: Int[Tensor, "k m"], *, alphabet: Alphabet = PROTEIN) -> Int[Tensor, "b k"]:
    """Levenshtein distance of every row of ``a`` from every row of ``b``."""
    equal, of_a, of_b = _where(a, alphabet), _lengths(a, alphabet), _lengths(b, alphabet)
    letters = b.cpu().numpy().astype(np.int64)
    found = np.zeros((len(a), len(b)), dtype=np.int64)
    step = max(1, _CHUNK // max(1, len(b)))
    for start in range(0, len(a), step):
        part = slice(start, start + step)
        size = len(of_a[part])
        row, column = np.repeat(np.arange(size), len(b)), np.tile(np.arange(len(b)), size)
        scores = _walk(equal[part][row], of_a[part][row], letters[column], of_b[column])
        found[part] = scores.reshape(size, len(b))
    return torch.from_numpy(found)


def nearest_distance(
    designs: Int[Tensor, "b n"], known: Int[Tensor, "k m"]
) -> tuple[Int[Tensor, " b"], Int[Tensor, " b"]]:
    """Distance of each design to the nearest known sequence, and which one that is (novelty: 0 is a copy).

    Raises:
        InputError: if there is no known sequence.
    """
    if not len(known):
        raise InputError("expected at least one known sequence to measure novelty against, got none")
    step = max(1, _CHUNK // len(known))
    parts = [distances(designs[i : i + step], known).min(1) for i in range(0, len(designs), step)]
    if not parts:
        empty = torch.zeros(0, dtype=torch.int64)
        return empty, empty
    return torch.cat([part.values for part in parts]), torch.cat([part.indices for part in parts])


def edits_share(designs: Int[Tensor, "b n"], templates: Int[Tensor, "b m"]) -> Float[Tensor, " b"]:
    """#mut/len: distance from the template over the template's length."""
    return edits(designs, templates) / PROTEIN.lengths(templates).clamp(min=1)


def diversity(designs: Int[Tensor, "b n"], *, most: int = 500) -> float:
    """Mean distance between two different rows; of the first ``most`` rows, 0 for a single one. [residues]"""
    kept = designs[:most]
    if len(kept) < 2:
        return 0.0
    return float(distances(kept, kept).sum()) / (len(kept) * (len(kept) - 1))


@dataclass(frozen=True)
class Spread:
    """How varied a set is.

    Args:
        distinct: share of rows that are the first of their kind.
        diversity: mean distance between two rows. [residues]
        novelty: mean distance to the nearest known sequence, NaN without known ones. [residues]
        copied: share of rows that are known sequences, NaN without known ones.
    """

    distinct: float
    diversity: float
    novelty: float
    copied: float


def spread(designs: Batch, known: Batch | None = None) -> Spread:
    """Distinct share, diversity, and novelty against known sequences.

    Raises:
        InputError: if there is no design.
    """
    tokens = designs["tokens"]
    if not len(tokens):
        raise InputError("expected at least one design to measure, got none")
    distinct = len(set(canonical(tokens))) / len(tokens)
    if known is None:
        return Spread(distinct, diversity(tokens), float("nan"), float("nan"))
    near = nearest_distance(tokens, known["tokens"])[0].double()
    return Spread(distinct, diversity(tokens), float(near.mean()), float((near == 0).double().mean()))
