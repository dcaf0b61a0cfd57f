r"""Classifier two-sample test: can a reader that has seen one half of both sets tell the other half apart?

.. math:: \text{AUC} = P(s(\text{real}) > s(\text{made})) + \tfrac12 P(s(\text{real}) = s(\text{made}))

1/2 means that this reader cannot. The rows to be judged took no part in learning, so that under the null the AUC is
that of random ranks, with variance (n + m + 1) / (12 n m), whatever the reader is.

Source: Lopez-Paz and Oquab, "Revisiting classifier two-sample tests", ICLR 2017.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.core.rng import Streams
from zsteer.errors import InputError
from zsteer.evaluate.disentangle import ProbeSettings, probe_scores
from zsteer.evaluate.steering import Share, share
from zsteer.maths.ranks import area_error, area_under_curve

__all__ = ["Separation", "classifier_two_sample_test"]


@dataclass(frozen=True)
class Separation:
    """How well a reader tells two sets apart.

    Args:
        area: area under the curve on held-out rows; 0.5 is chance.
        error: its standard error.
        accuracy: share of held-out rows named rightly, of as many of each set.
        p: of an area as far above 1/2 by chance.
        n: held-out rows of each set.
    """

    area: float
    error: float
    accuracy: Share
    p: float
    n: int


def classifier_two_sample_test(
    samples: Float[Tensor, "n d"], reference: Float[Tensor, "m e"], rng: Streams, *, hidden: int = 64, most: int = 5000
) -> Separation:
    """Train a reader on half of both sets and judge it on the other half.

    Args:
        samples: rows of a model.
        reference: rows of the real thing.
        rng: streams, of which the first is used.
        hidden: width of the reader's hidden layer; 0 is logistic regression.
        most: rows taken of each set.

    Raises:
        InputError: if a set has fewer than 20 rows, or the widths differ.
    """
    k = min(len(samples), len(reference), most)
    if k < 20 or samples.shape[1] != reference.shape[1]:
        raise InputError(
            f"a classifier test needs at least 20 rows of one width in each set, got shapes {tuple(samples.shape)} and "
            f"{tuple(reference.shape)}"
        )
    one = rng.take(slice(0, 1)).child("classifier test")
    own = samples[one.permutation("samples", len(samples))[0, :k]]
    real = reference[one.permutation("reference", len(reference))[0, :k]]
    half = k // 2
    label = torch.cat([torch.ones(half), torch.zeros(half)]).bool().to(real.device)
    learn, judge = torch.cat([real[:half], own[:half]]), torch.cat([real[half : 2 * half], own[half : 2 * half]])
    settings = ProbeSettings(hidden=hidden, seed=one.seed, size=min(256, half))
    scores = probe_scores((learn, label), judge, settings)
    area = area_under_curve(scores[:half], scores[half:])
    spread = math.sqrt((2 * half + 1) / (12 * half * half))
    p = 0.5 * math.erfc((area - 0.5) / spread / math.sqrt(2))
    return Separation(area, area_error(area, half, half), share((scores > 0) == label), p, half)
