r"""The normal distribution: log-density, KL to the standard normal, and the reparameterised draw."""

import math

from jaxtyping import Float
from torch import Tensor

__all__ = ["kl_to_standard_normal", "log_density", "reparameterise"]


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
