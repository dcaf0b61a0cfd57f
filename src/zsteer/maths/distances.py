r"""Distances between two samples: Wasserstein on a line, by exact assignment and by slices; energy.

.. math:: W_p(P, Q)^p = \min_\pi \mathbb{E}_{(x, y) \sim \pi} |x - y|^p, \qquad
          E(P, Q) = 2 \mathbb{E} |x - y| - \mathbb{E} |x - x'| - \mathbb{E} |y - y'| .

Everything is differentiable in the points. Between finite samples these are estimates with a bias of their own: two
samples of one distribution are apart too, so a figure is read beside that of a null (``evaluate.compared``).
"""

import torch
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from zsteer.errors import InputError
from zsteer.maths.transport import squared_distances

__all__ = ["distances", "energy_distance", "on_a_line", "sliced_wasserstein", "unit_directions", "wasserstein"]

FEW_DIMENSIONS = 16
"""Up to here pairs are subtracted one by one; beyond, a matrix product is faster and its rounding does not matter."""


def distances(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """|a_i - b_j| for all pairs; the gradient of a pair that coincides is 0, not NaN."""
    if a.shape[1] <= FEW_DIMENSIONS:
        return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
    # A common shift changes no distance and keeps the differences of large squares small.
    centre = (a.mean(0) + b.mean(0)).detach() / 2
    squared = squared_distances(a - centre, b - centre)
    apart = squared > 0
    return torch.where(apart, squared, 1.0).sqrt() * apart


def _check(a: Tensor, b: Tensor, p: float) -> None:
    if a.ndim > 1 and a.shape[1] != b.shape[1]:
        raise InputError(f"expected samples of one width, got {a.shape[1]} and {b.shape[1]} columns")
    if not len(a) or not len(b):
        raise InputError(f"expected at least one sample on each side, got {len(a)} and {len(b)}")
    if p < 1:
        raise InputError(f"expected an order p >= 1, got {p}; below 1 this is no distance")


def _line_cost(a: Float[Tensor, "n s"], b: Float[Tensor, "m s"], p: float) -> Float[Tensor, " s"]:
    """W_p^p of each column: the quantile functions are steps, so the integral is a sum over merged steps."""
    n, m = len(a), len(b)
    a, b = a.sort(0).values, b.sort(0).values
    if n == m:
        return (a - b).abs().pow(p).mean(0)
    # Steps end at i/n and j/m; as integers over n m, so that no rounding joins or parts them.
    ends = torch.cat([torch.arange(1, n + 1) * m, torch.arange(1, m + 1) * n]).unique().to(a.device)
    mass = torch.diff(ends, prepend=ends.new_zeros(1)).to(a.dtype) / (n * m)
    apart = a[torch.div(ends - 1, m, rounding_mode="floor")] - b[torch.div(ends - 1, n, rounding_mode="floor")]
    return (mass[:, None] * apart.abs().pow(p)).sum(0)


def on_a_line(a: Float[Tensor, " n"], b: Float[Tensor, " m"], p: float = 1.0) -> Float[Tensor, ""]:
    r"""W_p of two samples of numbers, exact, of any sizes: two sorts.

    .. math:: W_p^p = \int_0^1 |F_a^{-1}(u) - F_b^{-1}(u)|^p \, du

    Args:
        a: numbers.
        b: numbers.
        p: order, at least 1.

    Raises:
        InputError: if a sample is empty, or p < 1.
    """
    _check(a, b, p)
    return _line_cost(a[:, None], b[:, None], p)[0].pow(1 / p)


def wasserstein(a: Float[Tensor, "n d"], b: Float[Tensor, "m e"], p: float = 1.0) -> Float[Tensor, ""]:
    r"""W_p of two samples of one size: the cheapest way to turn one into the other, by exact assignment.

    .. math:: W(P, Q)^p = \min_\sigma \frac1n \sum_i \|a_i - b_{\sigma(i)}\|^p

    Args:
        a: points.
        b: as many points.
        p: order, at least 1; 1 is the earth mover's distance.

    Raises:
        InputError: if the sizes differ, a sample is empty, or p < 1.

    Source: Villani, "Optimal transport: old and new", 2009, definition 6.1; Crouse 2016 for the algorithm of scipy.
    Lecture: wasserstein.distance
    """
    _check(a, b, p)
    if len(a) != len(b):
        raise InputError(
            f"exact assignment needs two samples of one size, got {len(a)} and {len(b)}; "
            f"take a part of the larger, or use sliced_wasserstein"
        )
    if a.shape[1] == 1:
        return on_a_line(a[:, 0], b[:, 0], p)
    cost = distances(a, b).pow(p)
    rows, columns = linear_sum_assignment(cost.detach().cpu().double().numpy())
    chosen = cost[torch.from_numpy(rows).to(a.device), torch.from_numpy(columns).to(a.device)]
    return chosen.mean().pow(1 / p)


def unit_directions(normals: Float[Tensor, "s d"]) -> Float[Tensor, "s d"]:
    """Directions spread evenly over the sphere, from standard normal numbers."""
    return normals / normals.norm(dim=1, keepdim=True)


def sliced_wasserstein(
    a: Float[Tensor, "n d"], b: Float[Tensor, "m e"], directions: Float[Tensor, "s d"], p: float = 2.0
) -> Float[Tensor, ""]:
    r"""Sliced W_p: the mean over directions of the distance of the projections, of any sizes.

    .. math:: SW_p^p = \frac1s \sum_\theta W_p(\langle a, \theta \rangle, \langle b, \theta \rangle)^p

    Args:
        a: points.
        b: points.
        directions: unit vectors, from ``unit_directions``.
        p: order, at least 1.

    Raises:
        InputError: if a sample is empty, the widths differ, or p < 1.

    Source: Rabin et al., "Wasserstein barycenter and its application to texture mixing", 2011.
    """
    _check(a, b, p)
    return _line_cost(a @ directions.T, b @ directions.T, p).mean().pow(1 / p)


def energy_distance(a: Float[Tensor, "n d"], b: Float[Tensor, "m e"]) -> Float[Tensor, ""]:
    r"""Energy distance of two samples, all pairs counted: 0 at equality, never negative, of any sizes.

    .. math:: 2 \, \overline{|a_i - b_j|} - \overline{|a_i - a_j|} - \overline{|b_i - b_j|}

    Args:
        a: points.
        b: points.

    Raises:
        InputError: if a sample is empty, or the widths differ.

    Source: Szekely and Rizzo, "Energy statistics", 2013.
    """
    _check(a, b, 1.0)
    return 2 * distances(a, b).mean() - distances(a, a).mean() - distances(b, b).mean()
