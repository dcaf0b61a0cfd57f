r"""How well steering worked: shares with intervals, the gap between oracles, specificity.

A share k of n has Wilson's interval at 95 %,

.. math:: \frac{\hat p + z^2 / 2n \pm z \sqrt{\hat p (1 - \hat p) / n + z^2 / 4n^2}}{1 + z^2 / n}, \quad z = 1.96 .

The gap is the share that passes the oracle that steered less the share that passes the judge, which did not.

Source: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 1927.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from zsteer.errors import InputError

__all__ = ["Share", "first_of_each", "off_target", "share"]

_Z = 1.959964


@dataclass(frozen=True)
class Share:
    """A share of a sample with its interval at 95 %."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def share(hits: Bool[Tensor, " n"]) -> Share:
    """Share of true entries with Wilson's interval.

    Raises:
        InputError: if there is no entry.
    """
    n = len(hits)
    if n == 0:
        raise InputError("expected at least one sample to take a share of, got none")
    p, z2 = float(hits.float().mean()), _Z**2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return Share(p, max(0.0, centre - half), min(1.0, centre + half), n)


def off_target(passes: Bool[Tensor, "n p"], target: int) -> Bool[Tensor, " n"]:
    """Which samples also pass for another property than the target's column."""
    others = passes.clone()
    others[:, target] = False
    return others.any(1)


def first_of_each(names: Int[Tensor, " n"]) -> Bool[Tensor, " n"]:
    """True where a value comes for the first time, so that a repeated design counts once."""
    _, inverse = torch.unique(names, return_inverse=True)
    first = torch.full((int(inverse.max()) + 1 if len(names) else 0,), len(names), dtype=torch.long)
    first = first.scatter_reduce(0, inverse, torch.arange(len(names)), "amin")
    return first[inverse] == torch.arange(len(names))
