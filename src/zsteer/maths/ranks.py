r"""How well scores tell two classes apart.

.. math:: \text{AUC} = P(s^+ > s^-) + \tfrac12 P(s^+ = s^-)
"""

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.errors import InputError

__all__ = ["area_error", "area_under_curve"]


def area_under_curve(positive: Float[Tensor, " a"], negative: Float[Tensor, " b"]) -> float:
    """Probability that a positive scores above a negative, ties counting half.

    Raises:
        InputError: if one of the two is empty.
    """
    if not len(positive) or not len(negative):
        raise InputError(f"expected scores of both classes, got {len(positive)} and {len(negative)}")
    ordered = negative.sort().values
    below = torch.searchsorted(ordered, positive, side="left").double()
    upto = torch.searchsorted(ordered, positive, side="right").double()
    return float((below + upto).mean() / (2 * len(ordered)))


def area_error(area: float, positives: int, negatives: int) -> float:
    """Standard error of an area under the curve.

    Source: Hanley and McNeil, Radiology 143, 1982.
    """
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    spread = area * (1 - area) + (positives - 1) * (q1 - area**2) + (negatives - 1) * (q2 - area**2)
    return (spread / (positives * negatives)) ** 0.5
