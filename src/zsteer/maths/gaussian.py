r"""The normal distribution: log-density, the reparameterised draw, and distances between two of them in closed form.

Two normals N(mu, S) with full covariances have closed forms for the KL divergence, the Wasserstein distance W2 and the
affinity, and none for the Jensen-Shannon divergence, which is held between two bounds.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.errors import InputError

__all__ = [
    "affinity",
    "jensen_shannon_bounds",
    "kl_between",
    "kl_to_standard_normal",
    "log_density",
    "reparameterise",
    "wasserstein2_squared",
]


def log_density(
    x: Float[Tensor, "*#b d"], mu: Float[Tensor, "*#b d"], log_var: Float[Tensor, "*#b d"]
) -> Float[Tensor, "*b"]:
    r"""Log-density log N(x; mu, diag exp log_var), summed over dimensions. [nats]

    .. math:: -\frac12 \sum_j \left( \log 2 \pi + \log \sigma_j^2 + (x_j - \mu_j)^2 / \sigma_j^2 \right)

    Args:
        x: points; leading axes of size 1 are repeated.
        mu: means.
        log_var: log-variances.
    """
    return -0.5 * (math.log(2 * math.pi) + log_var + (x - mu).square() * (-log_var).exp()).sum(-1)


def kl_to_standard_normal(mu: Float[Tensor, "b d"], log_var: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
    r"""KL of N(mu, sigma) from N(0, I). [nats]

    .. math:: \frac12 \sum_j \left( \mu_j^2 + \sigma_j^2 - 1 - \log \sigma_j^2 \right)
    """
    return 0.5 * (mu.square() + log_var.exp() - 1 - log_var).sum(-1)


def reparameterise(
    mu: Float[Tensor, "*#b d"], log_var: Float[Tensor, "*#b d"], eps: Float[Tensor, "*b d"]
) -> Float[Tensor, "*b d"]:
    """Draw z = mu + sigma eps from N(mu, sigma) through which gradients flow."""
    return mu + (0.5 * log_var).exp() * eps


def _log_det(cov: Float[Tensor, "d d"], name: str) -> tuple[Float[Tensor, "d d"], Float[Tensor, ""]]:
    """Cholesky factor and log-determinant."""
    factor, failed = torch.linalg.cholesky_ex(cov)
    if int(failed):
        raise InputError(
            f"expected a positive definite covariance {name}, got one whose leading minor {int(failed)} is not; "
            f"drop constant or copied columns"
        )
    return factor, 2 * factor.diagonal().log().sum()


def kl_between(
    mu_p: Float[Tensor, " d"], cov_p: Float[Tensor, "d d"], mu_q: Float[Tensor, " d"], cov_q: Float[Tensor, "d d"]
) -> Float[Tensor, ""]:
    r"""KL divergence of N(mu_p, S_p) from N(mu_q, S_q). [nats]

    .. math:: \frac12 \left( \text{tr} \, \Sigma_q^{-1} \Sigma_p + (\mu_q - \mu_p)^T \Sigma_q^{-1} (\mu_q - \mu_p) - d
              + \log \det \Sigma_q - \log \det \Sigma_p \right)

    Raises:
        InputError: if a covariance is not positive definite.
    """
    factor_p, log_det_p = _log_det(cov_p, "S_p")
    factor_q, log_det_q = _log_det(cov_q, "S_q")
    trace = torch.linalg.solve_triangular(factor_q, factor_p, upper=False).square().sum()
    shift = torch.linalg.solve_triangular(factor_q, (mu_q - mu_p)[:, None], upper=False).square().sum()
    return 0.5 * (trace + shift - len(mu_p) + log_det_q - log_det_p)


def _root(cov: Float[Tensor, "d d"]) -> Float[Tensor, "d d"]:
    """Symmetric square root of a positive semi-definite matrix."""
    values, vectors = torch.linalg.eigh(cov)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def wasserstein2_squared(
    mu_p: Float[Tensor, " d"], cov_p: Float[Tensor, "d d"], mu_q: Float[Tensor, " d"], cov_q: Float[Tensor, "d d"]
) -> Float[Tensor, ""]:
    r"""Squared Wasserstein distance W2^2 of two normals; singular covariances are allowed. [unit of x, squared]

    .. math:: \|\mu_p - \mu_q\|^2 + \text{tr} \left( \Sigma_p + \Sigma_q
              - 2 (\Sigma_p^{1/2} \Sigma_q \Sigma_p^{1/2})^{1/2} \right)

    Between features of two sets of samples this is the Frechet distance.

    Source: Dowson and Landau, "The Frechet distance between multivariate normal distributions", 1982.
    """
    root = _root(cov_p)
    inner = root @ cov_q @ root
    cross = torch.linalg.eigvalsh((inner + inner.T) / 2).clamp(min=0).sqrt().sum()
    # Rounding can leave a distance of a normal from itself a little below zero; a square is not.
    return ((mu_p - mu_q).square().sum() + cov_p.trace() + cov_q.trace() - 2 * cross).clamp(min=0)


def affinity(
    mu_p: Float[Tensor, " d"], cov_p: Float[Tensor, "d d"], mu_q: Float[Tensor, " d"], cov_q: Float[Tensor, "d d"]
) -> Float[Tensor, ""]:
    r"""Bhattacharyya coefficient of two normals: 1 for equal ones, 0 for disjoint ones.

    .. math:: \int \sqrt{p q} = \frac{(\det \Sigma_p \det \Sigma_q)^{1/4}}{(\det \bar\Sigma)^{1/2}}
              e^{-\frac18 (\mu_p - \mu_q)^T \bar\Sigma^{-1} (\mu_p - \mu_q)}, \quad
              \bar\Sigma = \tfrac12 (\Sigma_p + \Sigma_q)

    Raises:
        InputError: if a covariance is not positive definite.
    """
    factor, log_det = _log_det((cov_p + cov_q) / 2, "(S_p + S_q) / 2")
    shift = torch.linalg.solve_triangular(factor, (mu_p - mu_q)[:, None], upper=False).square().sum()
    halves = 0.25 * (_log_det(cov_p, "S_p")[1] + _log_det(cov_q, "S_q")[1])
    return (halves - 0.5 * log_det - shift / 8).exp().clamp(max=1)


def jensen_shannon_bounds(
    mu_p: Float[Tensor, " d"], cov_p: Float[Tensor, "d d"], mu_q: Float[Tensor, " d"], cov_q: Float[Tensor, "d d"]
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    r"""Lower and upper bound of the Jensen-Shannon divergence of two normals. [nats]

    .. math:: (1 - a) \log 2 \; \le \; \text{JS} \; \le \; \min \left\{ 1 - a, \;
              \log 2 - \tfrac12 \textstyle\sum_k \log(1 + e^{-k}), \;
              H(\mathcal N(\bar\mu, \bar S)) - \tfrac12 (H_p + H_q) \right\}

    a is the affinity; k runs over the two KL divergences (Jensen's inequality for the softplus); the last is the
    entropy of the normal that has mean and covariance of the mixture, the largest of all with those (maximum entropy).

    Raises:
        InputError: if a covariance is not positive definite.
    """
    moments = (mu_p, cov_p, mu_q, cov_q)
    apart = 1 - affinity(*moments)
    kls = torch.stack([kl_between(*moments), kl_between(mu_q, cov_q, mu_p, cov_p)])
    softplus = math.log(2) - 0.5 * torch.nn.functional.softplus(-kls).sum()
    half = (mu_p - mu_q) / 2
    mixed = (cov_p + cov_q) / 2 + half[:, None] * half[None, :]
    halves = 0.5 * (_log_det(cov_p, "S_p")[1] + _log_det(cov_q, "S_q")[1])
    entropy = 0.5 * (_log_det(mixed, "of the mixture")[1] - halves)
    return apart * math.log(2), torch.stack([apart, softplus, entropy]).min().clamp(min=0)
