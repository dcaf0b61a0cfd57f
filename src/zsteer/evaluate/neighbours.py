r"""Fidelity and diversity by nearest neighbours: precision, recall, density and coverage.

With R_i the distance from reference sample i to its k-th nearest other reference sample, and B_i the ball of that
radius around it,

.. math:: \text{precision} = \overline{1[y_j \in \cup_i B_i]}, \quad
          \text{density} = \frac{1}{k M} \sum_{ij} 1[y_j \in B_i], \quad
          \text{coverage} = \overline{1[\exists j: y_j \in B_i]},

and recall is precision with the roles exchanged. Exact, in pieces, so that memory grows with one side only. Precision
and recall follow outliers; density and coverage do not. None of them is 1 between two parts of one set: read them
beside the real-vs-real row.

Source: Kynkaanniemi et al., NeurIPS 2019; Naeem et al., "Reliable fidelity and diversity metrics", ICML 2020.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from zsteer.errors import InputError
from zsteer.evaluate.steering import Share, share
from zsteer.maths.transport import squared_distances

__all__ = ["Neighbourhood", "neighbourhood", "radii"]

PIECE = 1024


@dataclass(frozen=True)
class Neighbourhood:
    """What the neighbourhoods of two sets say.

    Args:
        precision: share of samples in a neighbourhood of the reference.
        recall: share of the reference in a neighbourhood of the samples.
        density: mean number of reference neighbourhoods around a sample, over k; may exceed 1.
        coverage: share of reference neighbourhoods with a sample.
        k: neighbours that set the radius.
    """

    precision: Share
    recall: Share
    density: float
    coverage: Share
    k: int


def _centred(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """A common shift changes no distance and keeps rounding small where squares are large."""
    centre = b.mean(0)
    return a - centre, b - centre


def radii(x: Float[Tensor, "n d"], k: int) -> Float[Tensor, " n"]:
    """Squared distance from each sample to its k-th nearest other sample.

    Raises:
        InputError: if there are not more than k samples.
    """
    if not 1 <= k < len(x):
        raise InputError(f"expected 1 <= k < number of samples, got k={k} and {len(x)} samples")
    pieces: list[Tensor] = []
    for start in range(0, len(x), PIECE):
        squared = squared_distances(x[start : start + PIECE], x)
        # A sample is no neighbour of its own, also where rounding gives it a distance above 0.
        own = torch.arange(start, start + len(squared), device=x.device)
        squared[torch.arange(len(squared), device=x.device), own] = -1.0
        pieces.append(squared.topk(k + 1, largest=False, sorted=True).values[:, k])
    return torch.cat(pieces)


def _inside(
    points: Float[Tensor, "m d"], centres: Float[Tensor, "n d"], squared_radii: Float[Tensor, " n"]
) -> tuple[Float[Tensor, " m"], Bool[Tensor, " n"]]:
    """How many balls hold each point, and which balls hold a point."""
    counts: list[Tensor] = []
    held = torch.zeros(len(centres), dtype=torch.bool, device=centres.device)
    for start in range(0, len(points), PIECE):
        inside = squared_distances(points[start : start + PIECE], centres) < squared_radii
        counts.append(inside.sum(1))
        held |= inside.any(0)
    return torch.cat(counts).to(points.dtype), held


def neighbourhood(samples: Float[Tensor, "m d"], reference: Float[Tensor, "n e"], k: int = 5) -> Neighbourhood:
    """Precision, recall, density and coverage of samples.

    Args:
        samples: rows of numbers or features.
        reference: rows of the real thing; about as many.
        k: neighbours that set the radius.

    Raises:
        InputError: if the widths differ, or a set has not more than k rows.
    """
    if samples.shape[1] != reference.shape[1]:
        raise InputError(f"samples have {samples.shape[1]} numbers each, the reference {reference.shape[1]}")
    samples, reference = _centred(samples, reference)
    counts, covered = _inside(samples, reference, radii(reference, k))
    recalled, _ = _inside(reference, samples, radii(samples, k))
    return Neighbourhood(share(counts > 0), share(recalled > 0), float(counts.double().mean()) / k, share(covered), k)
