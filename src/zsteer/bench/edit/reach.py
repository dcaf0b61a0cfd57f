"""Edits towards values drawn for each sample, and the share that arrives: what every table of this bench counts.

Wanted values lie between the 10th and the 90th percentile of the examples, in strata, one for each group of samples. A
value is reached within 0.05 of the range from the 1st to the 99th percentile.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from zsteer.core.batch import Batch
from zsteer.core.goal import Budget
from zsteer.core.objective import Constraint, Objective, Target
from zsteer.core.property import Function, Property
from zsteer.core.protocols import Codec
from zsteer.core.rng import Streams
from zsteer.evaluate.intervals import Draws
from zsteer.evaluate.report import Interval
from zsteer.steer.latent import LatentEdit

__all__ = ["GROUPS", "Bench", "Edited", "quantity"]

GROUPS = 10
"""Wanted values; each is that of every tenth sample."""


def quantity(name: str, function: Function, things: Any) -> Property:
    """A property with the tolerance and the spread of some things."""
    values = np.asarray(function(things), dtype=np.float64)
    low, high = np.quantile(values, [0.01, 0.99])
    return Property(name, function, spread=float(values.std()), tolerance=0.05 * float(high - low))


@dataclass(frozen=True)
class Edited:
    """Edited samples, row for row with the starts.

    Args:
        batch: what they decode to.
        scores: named scores of each.
        wanted: value that each was to reach.
        calls: measurements, all together.
    """

    batch: Batch
    scores: dict[str, Float[Tensor, " b"]]
    wanted: Float[Tensor, " b"]
    calls: int

    def reached(self, aim: Property) -> Interval:
        """Share of samples within the tolerance."""
        near = (self.scores[aim.name] - self.wanted).abs() <= aim.tolerance
        return interval(near.double().numpy())


def interval(values: NDArray[np.float64]) -> Interval:
    """Mean of one number a sample with its bootstrap interval."""
    return Draws.of(len(values), Streams.of(0, 1)).mean(values)


@dataclass(frozen=True)
class Bench:
    """A trained codec with examples to fit heads on and held-out samples to edit.

    Args:
        model: the codec.
        examples: training samples.
        held: held-out samples, a multiple of ``GROUPS``.
        decode: batch -> things that properties take.
    """

    model: Codec
    examples: Batch
    held: Batch
    decode: Callable[[Batch], Any]

    def values(self, aim: Property, x: Batch) -> NDArray[np.float64]:
        """A property of a batch."""
        return aim.values(self.decode(x), len(x))

    def wanted(self, aim: Property) -> Float[Tensor, " g"]:
        """The value of each group: the middle of its stratum."""
        low, high = np.quantile(self.values(aim, self.examples), [0.1, 0.9])
        return torch.from_numpy(low + (high - low) * (np.arange(GROUPS) + 0.5) / GROUPS)

    def edit(
        self, method: LatentEdit, aim: Property, held: Sequence[Property] = (), *, rest: bool = False, calls: int | None
    ) -> Edited:
        """Edit every held-out sample towards the value of its group.

        Args:
            method: the edit.
            aim: what is steered.
            held: what stays.
            rest: whether every other property with a head stays.
            calls: measurements of each sample at most.
        """
        order = torch.arange(len(self.held))
        trails = []
        for group, value in enumerate(self.wanted(aim).tolist()):
            rows = order[group::GROUPS]
            objective = Objective((Target(aim, value, value),), self.decode)
            constraint = Constraint(properties=tuple(held), rest=rest)
            streams = Streams.of(0, len(order)).take(rows)
            trails.append(
                method.run(self.model, self.held.take(rows), objective, constraint, Budget(calls=calls), streams)
            )
        back = torch.cat([order[group::GROUPS] for group in range(GROUPS)]).argsort()
        names = trails[0].scores
        scores = {name: torch.cat([trail.scores[name] for trail in trails])[back] for name in names}
        batch = Batch.cat([trail.batch for trail in trails]).take(back)
        wanted = self.wanted(aim)[order % GROUPS]
        return Edited(batch, scores, wanted, sum(trail.calls for trail in trails))
