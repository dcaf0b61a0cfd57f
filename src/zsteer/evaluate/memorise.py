r"""Do samples repeat the data they were learned from?

For each sample and each held-out real sample the distance to the nearest training sample is taken. If the model has
learned the distribution and not the list, both distances have one law:

.. math:: \text{nearer} = P(d_{train}(\text{sample}) < d_{train}(\text{held out})) \approx \tfrac12 .

Well above 1/2 samples sit on training data; well below they lie off the data altogether. Exact copies of training
samples, and samples that come more than once, are counted apart.

Source: Meehan, Chaudhuri, Dasgupta, "A three sample test to detect data copying", AISTATS 2020.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.errors import InputError
from zsteer.evaluate.steering import Share, share
from zsteer.maths.ranks import area_error, area_under_curve
from zsteer.maths.transport import squared_distances

__all__ = ["Memorised", "memorised", "nearest"]

PIECE = 1024


@dataclass(frozen=True)
class Memorised:
    """How samples lie to the training data, compared with held-out samples.

    Args:
        ratio: median distance of samples to the training data over that of held-out samples; below 1 is nearer.
        nearer: probability that a sample lies nearer than a held-out one.
        nearer_error: its standard error.
        copies: share of samples that are a training sample.
        repeats: share of samples that came before.
        p: of ``nearer`` as far above 1/2 by chance.
    """

    ratio: float
    nearer: float
    nearer_error: float
    copies: Share
    repeats: Share
    p: float


def nearest(x: Float[Tensor, "n d"], known: Float[Tensor, "m e"]) -> Float[Tensor, " n"]:
    """Distance from each row of ``x`` to the nearest row of ``known``.

    Raises:
        InputError: if ``known`` is empty, or the widths differ.
    """
    if not len(known) or x.shape[1] != known.shape[1]:
        raise InputError(f"expected rows of one width to look among, got {tuple(x.shape)} and {tuple(known.shape)}")
    centre = known.mean(0)
    shifted = known - centre
    found = [squared_distances(x[i : i + PIECE] - centre, shifted).min(1) for i in range(0, len(x), PIECE)]
    if not found:
        return x.new_zeros(0)
    # The nearest is found by a matrix product; its distance is taken again without, so that a copy has exactly 0.
    return (x - known[torch.cat([piece.indices for piece in found])]).norm(dim=1)


def memorised(samples: Float[Tensor, "n d"], train: Float[Tensor, "m e"], held_out: Float[Tensor, "k f"]) -> Memorised:
    """Compare samples with held-out data by their distance to the training data.

    Args:
        samples: rows of a model.
        train: rows that it learned from.
        held_out: rows of the same source that it did not.

    Raises:
        InputError: if a set is empty, or the widths differ.
    """
    if not len(samples) or not len(held_out):
        raise InputError(f"expected samples and held-out rows, got {len(samples)} and {len(held_out)}")
    own, other = nearest(samples, train), nearest(held_out, train)
    area = area_under_curve(-own, -other)
    error = math.sqrt((len(own) + len(other) + 1) / (12 * len(own) * len(other)))
    _, inverse = torch.unique(samples, dim=0, return_inverse=True)
    order = inverse.argsort(stable=True)
    repeated = torch.zeros(len(samples), dtype=torch.bool, device=samples.device)
    repeated[order[1:]] = inverse[order[1:]] == inverse[order[:-1]]
    return Memorised(
        float(own.median() / other.median().clamp(min=1e-12)),
        area,
        area_error(area, len(own), len(other)),
        share(own == 0),
        share(repeated),
        0.5 * math.erfc((area - 0.5) / error / math.sqrt(2)),
    )
