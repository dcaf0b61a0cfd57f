r"""Kernels, and the two-sample statistics that follow from one Gram matrix of both samples.

With K over all N = n + m points and a vector s that is 1 on the first sample, all three sums of the maximum mean
discrepancy are sums of K over s and 1 - s,

.. math:: \text{MMD}^2 = \frac{s^T K s}{n^2} + \frac{(1-s)^T K (1-s)}{m^2} - \frac{2 s^T K (1-s)}{n m},

so that a permutation test computes K once and then one matrix product for all permutations. The energy distance is the
MMD of the kernel -|x - y|. The unbiased form leaves the diagonal out.

Source: Gretton et al., "A kernel two-sample test", JMLR 2012; Sejdinovic et al. 2013 for the energy distance.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from zsteer.errors import InputError
from zsteer.maths.distances import distances
from zsteer.maths.transport import SCALES, squared_distances

__all__ = [
    "distance_kernel",
    "gaussian_kernel",
    "median_square",
    "mmd_of_gram",
    "multiquadric_kernel",
    "p_value",
    "polynomial_kernel",
]


def median_square(x: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """Median squared distance of different samples; the zero diagonal takes no part.

    Raises:
        InputError: if there are fewer than two samples, or more than half of the pairs coincide.
    """
    n = len(x)
    if n < 2:
        raise InputError(f"the median distance needs at least 2 samples, got {n}")
    above = torch.triu_indices(n, n, 1, device=x.device)
    median = squared_distances(x, x)[above[0], above[1]].median()
    if float(median) <= 0:
        raise InputError("more than half of the samples coincide, so their median distance is 0; give a width")
    return median


def gaussian_kernel(
    a: Float[Tensor, "n d"], b: Float[Tensor, "m d"], square: Float[Tensor, ""] | float
) -> Float[Tensor, "n m"]:
    r"""Gaussian kernel.

    .. math:: k(a, b) = e^{-\|a - b\|^2 / s}

    Args:
        a: points.
        b: points.
        square: s, for example the median squared distance (``median_square``).
    """
    return torch.exp(-squared_distances(a, b) / square)


def multiquadric_kernel(
    a: Float[Tensor, "n d"], b: Float[Tensor, "m d"], square: Float[Tensor, ""] | float
) -> Float[Tensor, "n m"]:
    r"""Inverse multiquadric at the seven scales of WAE-MMD, around a given squared distance; one distance matrix.

    .. math:: k(a, b) = \frac17 \sum_c \frac{c s}{c s + \|a - b\|^2}

    Args:
        a: points.
        b: points.
        square: s, for example the median squared distance (``median_square``).
    """
    distance = squared_distances(a, b)
    terms = [scale * square / (scale * square + distance) for scale in SCALES]
    return sum(terms, torch.zeros_like(distance)) / len(SCALES)


def polynomial_kernel(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    r"""Cubic kernel of the kernel inception distance.

    .. math:: k(a, b) = \left( \frac{\langle a, b \rangle}{d} + 1 \right)^3

    Source: Binkowski et al., "Demystifying MMD GANs", ICLR 2018.
    """
    return (a @ b.T / a.shape[1] + 1).pow(3)


def distance_kernel(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """-|a - b|, whose squared MMD is the energy distance."""
    return -distances(a, b)


def mmd_of_gram(
    gram: Float[Tensor, "k k"], first: Bool[Tensor, "s k"], *, unbiased: bool = True
) -> Float[Tensor, " s"]:
    r"""Squared MMD of each of s ways to part the samples in two; sizes may differ.

    Args:
        gram: kernel of all pairs of the samples, both sets together.
        first: which samples are of the first set, one row for each way.
        unbiased: leave the diagonal out; the estimate may then be below zero.

    Raises:
        InputError: if a way leaves a set with fewer than two samples.
    """
    n = first.sum(1)
    m = gram.shape[0] - n
    if int(n.min()) < 2 or int(m.min()) < 2:
        raise InputError("expected at least 2 samples in each set; give more samples")
    s = first.to(gram.dtype)
    inner, total = s @ gram, gram.sum()
    both, row = (inner * s).sum(1), inner.sum(1)  # s K s and s K 1
    across = row - both
    other = total - 2 * row + both
    if not unbiased:
        return both / n**2 + other / m**2 - 2 * across / (n * m)
    diagonal = gram.diagonal()
    own = s @ diagonal
    return (both - own) / (n * (n - 1)) + (other - (diagonal.sum() - own)) / (m * (m - 1)) - 2 * across / (n * m)


def p_value(found: Float[Tensor, ""], permuted: Float[Tensor, " s"]) -> float:
    """Share of ways, the true one among them, that part the samples at least as far."""
    # Ties by rounding count as equal: the same sums in another order differ in the last digits.
    slack = 1e-6 * float(permuted.abs().max().clamp(min=1e-30)) if len(permuted) else 0.0
    return (1 + int((permuted >= found - slack).sum())) / (1 + len(permuted))
