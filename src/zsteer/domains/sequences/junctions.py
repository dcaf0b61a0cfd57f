"""New receptors that are whole junctions: a draw that does not run from C to F or W is drawn again.

A language model gives about one such draw in a thousand; nothing that reads receptors would take it. Row i of a seed
is the same for every number of rows, since each row is drawn again with its own stream.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from zsteer.core.alphabet import PROTEIN
from zsteer.core.batch import Batch
from zsteer.core.protocols import Generative
from zsteer.core.rng import Streams

__all__ = ["anchored", "whole"]


def anchored(tokens: Int[Tensor, "b n"]) -> Bool[Tensor, " b"]:
    """Whether each row begins with C and ends with F or W."""
    last = tokens.gather(1, (PROTEIN.lengths(tokens)[:, None] - 1).clamp(min=0))[:, 0]
    ends = (last == PROTEIN.token("F")) | (last == PROTEIN.token("W"))
    return (tokens[:, 0] == PROTEIN.token("C")) & ends


def whole(
    model: Generative, n: int, rng: Streams, *, given: Mapping[str, object] | None = None, tries: int = 5
) -> Batch:
    """New receptors; rows that are no whole junction are drawn again, at most ``tries`` times.

    Args:
        model: draws them.
        n: how many.
        rng: one stream for each.
        given: conditions.
        tries: a model that has hardly learned keeps some broken rows; ``anchored`` finds them.
    """
    made = model.sample(n, given=given, rng=rng)
    for attempt in range(tries):
        rows = torch.nonzero(~anchored(made["tokens"]))[:, 0]
        if not len(rows):
            break
        again = model.sample(len(rows), given=given, rng=rng.take(rows).child(f"again {attempt}"))
        fields = {name: value.index_copy(0, rows, again[name]) for name, value in made.fields.items()}
        made = replace(made, fields=fields, mask=PROTEIN.real(fields["tokens"]))
    return made
