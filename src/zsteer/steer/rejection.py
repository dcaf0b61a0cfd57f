"""Samples drawn again: those that are not valid, and the nearest of several to what is wanted (best of N).

Row i of the first draw has stream i; a further draw has a child of it, so that drawing more changes no sample but by a
valid or nearer one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.core.batch import Batch
from zsteer.core.rng import Streams
from zsteer.errors import InputError
from zsteer.steer.options import DrawOptions

__all__ = ["Distance", "Draw", "Drawing", "Problems", "draw_valid"]

Draw = Callable[[Tensor, Streams], tuple[Batch, dict[str, Any]]]
"""(rows, their streams) -> a sample for each row, and facts about the draw."""
Problems = Callable[[Batch], Sequence[str]]
"""Empty for each sample that is valid, else what is wrong with it."""
Distance = Callable[[Batch, Tensor], Float[Tensor, " m"]]
"""(samples, their rows) -> how far each is from what its row wants; NaN where that cannot be measured."""


@dataclass(frozen=True)
class Drawing:
    """One sample for each row.

    Args:
        batch: the last that was drawn of each, or the nearest of the valid ones.
        problems: empty where a sample is valid, else why not.
        first: share that was valid at the first draw.
        rounds: draws that were taken, at most.
        calls: samples whose distance was measured.
        facts: about the first draw.
    """

    batch: Batch
    problems: list[str]
    first: float
    rounds: int
    calls: int = 0
    facts: dict[str, Any] = field(default_factory=dict)


def draw_valid(
    draw: Draw,
    rng: Streams,
    *,
    options: DrawOptions,
    problems: Problems | None = None,
    distance: Distance | None = None,
) -> Drawing:
    """Draw a sample for each stream; again where it is not valid, and several times where the nearest is wanted.

    Args:
        draw: draws samples.
        rng: one stream for each row.
        options: how often.
        problems: says what is not valid; all are valid when None.
        distance: from what is wanted, for the best of several.

    Raises:
        InputError: if the best of several is wanted, and nothing tells their distance.
    """
    if options.best_of > 1 and distance is None:
        raise InputError("--best-of keeps the sample nearest to a value, and no value that can be measured is wanted")
    judge = problems or (lambda x: [""] * len(x))
    n, calls = len(rng), 0
    batch, facts = draw(torch.arange(n), rng)
    reasons = list(judge(batch))
    far = _far(distance if options.best_of > 1 else None, batch, torch.arange(n), reasons)
    calls += n if options.best_of > 1 else 0
    first, rounds = sum(not reason for reason in reasons) / max(n, 1), 1
    attempts = options.best_of + (options.max_retries if problems is not None else 0)
    for attempt in range(1, attempts):
        rows = torch.arange(n) if attempt < options.best_of else far.isinf().nonzero()[:, 0]
        if not len(rows):
            break
        fresh, _ = draw(rows, rng.take(rows.to(rng.ids.device)).child(f"try {attempt}"))
        why = list(judge(fresh))
        new = _far(distance if options.best_of > 1 else None, fresh, rows, why)
        calls += len(rows) if options.best_of > 1 else 0
        # Where neither is valid the fresh one is taken, as where it is nearer.
        better = ((new < far[rows]) | far[rows].isinf()).nonzero()[:, 0]
        place = torch.arange(n)
        place[rows[better]] = n + better
        far[rows[better]] = new[better]
        for k in better.tolist():
            reasons[int(rows[k])] = why[k]
        batch, rounds = Batch.cat([batch, fresh]).take(place), attempt + 1
    return Drawing(batch, reasons, first, rounds, calls, facts)


def _far(distance: Distance | None, batch: Batch, rows: Tensor, reasons: Sequence[str]) -> Float[Tensor, " m"]:
    """Distances; infinite for samples that are not valid."""
    found = torch.zeros(len(rows), dtype=torch.float64)
    if distance is not None:
        found = distance(batch, rows).double().cpu()
    # A valid sample that cannot be measured is behind all that can, and before those that are not valid.
    found = torch.where(found.isfinite(), found, torch.finfo(torch.float64).max)
    good = torch.tensor([not reason for reason in reasons])
    return torch.where(good, found, torch.inf)
