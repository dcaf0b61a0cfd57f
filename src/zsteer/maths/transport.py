r"""Distances between the codes and the prior: the penalty D_Z of the Wasserstein autoencoder.

.. math:: \text{MMD}^2 = \frac{1}{n(n-1)} \sum_{l \ne j} k(z_l, z_j) + \frac{1}{n(n-1)} \sum_{l \ne j}
          k(\tilde z_l, \tilde z_j) - \frac{2}{n^2} \sum_{l, j} k(z_l, \tilde z_j)

with the multi-scale inverse multiquadric k(a, b) = mean_c C / (C + |a - b|^2), C = 2 d c. On the whole code
("joint") it also punishes dependence between its parts; on each dimension alone ("marginal") it cannot see any.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.errors import InputError

__all__ = ["inverse_multiquadric", "marginal_mmd", "mmd", "mmd_shares", "squared_distances", "wae_objective"]

SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
FEW_SCALES = (0.2, 1.0, 5.0)
"""For one dimension at a time: d Gram matrices cost d times as much, and three scales cover one normal."""


def squared_distances(a: Float[Tensor, "... n d"], b: Float[Tensor, "... m d"]) -> Float[Tensor, "... n m"]:
    """|a_i - b_j|^2 for all pairs; differentiable where points coincide, unlike a squared square root."""
    # In bfloat16 the three terms would not cancel: distances are computed in the precision of the points.
    with torch.autocast(a.device.type, enabled=False):
        cross = a @ b.transpose(-1, -2)
    return (a.square().sum(-1)[..., :, None] + b.square().sum(-1)[..., None, :] - 2 * cross).clamp(min=0)


def inverse_multiquadric(
    a: Float[Tensor, "... n d"], b: Float[Tensor, "... m d"], scales: Sequence[float] = SCALES
) -> Float[Tensor, "... n m"]:
    r"""Multi-scale inverse multiquadric kernel for a standard normal prior.

    Args:
        a: points.
        b: points.
        scales: c in C = 2 d c; 2 d is the expected squared distance of two draws from the prior.

    Returns:
        k(a_i, b_j) in (0, 1].

    Source: Tolstikhin et al., "Wasserstein auto-encoders", ICLR 2018, section 4.
    """
    distance = squared_distances(a, b)
    widths = [2.0 * a.shape[-1] * scale for scale in scales]
    return sum((width / (width + distance) for width in widths), torch.zeros_like(distance)) / len(widths)


def mmd_shares(
    prior: Float[Tensor, "... n d"], code: Float[Tensor, "... n d"], scales: Sequence[float] = SCALES
) -> Float[Tensor, "... n"]:
    """Share of each sample in the penalty: their mean over the n samples is ``mmd``.

    Args:
        prior: z_i, draws from the prior.
        code: z~_i, codes of the data.
        scales: of the kernel.

    Raises:
        InputError: if there are fewer than two samples, or the shapes differ.
    """
    n = code.shape[-2]
    if n < 2 or prior.shape != code.shape:
        raise InputError(
            f"expected two sets of the same shape with at least 2 samples, got {tuple(prior.shape)} and "
            f"{tuple(code.shape)}; use a batch of two or more"
        )
    others = 1.0 - torch.eye(n, dtype=code.dtype, device=code.device)
    within_prior = (inverse_multiquadric(prior, prior, scales) * others).sum(-1) / (n - 1)
    within_code = (inverse_multiquadric(code, code, scales) * others).sum(-1) / (n - 1)
    across = inverse_multiquadric(prior, code, scales)
    return within_prior + within_code - (across.sum(-1) + across.sum(-2)) / n


def mmd(prior: Float[Tensor, "n d"], code: Float[Tensor, "n d"], scales: Sequence[float] = SCALES) -> Float[Tensor, ""]:
    r"""Penalty of WAE-MMD, an unbiased estimate of MMD^2 (so it may be slightly negative).

    .. math:: \frac{1}{n(n-1)} \sum_{l \ne j} k(z_l, z_j) + \frac{1}{n(n-1)} \sum_{l \ne j} k(\tilde z_l, \tilde z_j)
              - \frac{2}{n^2} \sum_{l, j} k(z_l, \tilde z_j)

    Args:
        prior: z_i, draws from the prior.
        code: z~_i, codes of the data.
        scales: of the kernel.

    Raises:
        InputError: if there are fewer than two samples, or the shapes differ.

    Source: Tolstikhin et al. 2018, algorithm 2.
    Lecture: wae.mmd
    """
    return mmd_shares(prior, code, scales).mean()


def marginal_mmd(
    prior: Float[Tensor, "n d"], code: Float[Tensor, "n d"], scales: Sequence[float] = FEW_SCALES
) -> Float[Tensor, " n"]:
    """Shares of the mean over dimensions of the one-dimensional MMD: blind to dependence between dimensions.

    Args:
        prior: z_i, draws from the prior.
        code: z~_i, codes of the data.
        scales: of the kernel.
    """
    return mmd_shares(prior.T[..., None], code.T[..., None], scales).mean(0)


def wae_objective(
    cost: Float[Tensor, " n"], penalty: Float[Tensor, " n"] | Float[Tensor, ""], weight: float
) -> Float[Tensor, " n"]:
    r"""Objective of the Wasserstein autoencoder, per sample.

    .. math:: \mathbb{E}_{P_X} \mathbb{E}_{Q(Z|X)} [c(X, G(Z))] + \lambda \mathcal{D}_Z(Q_Z, P_Z)

    Args:
        cost: c(x_i, G(z~_i)), for continuous data the squared error summed over dimensions, for sequences the
            negative log-likelihood summed over residues [nats].
        penalty: D_Z, one number or the share of each sample.
        weight: lambda, in units of the cost.

    Source: Tolstikhin et al. 2018, equation 4.
    Lecture: wae.objective
    """
    return cost + weight * penalty
