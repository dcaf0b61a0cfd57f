r"""Importance weights: log-means, effective sample size, and the bound that they give.

.. math:: \log p(x) \ge \mathbb{E} \log \frac1k \sum_{i=1}^k w_i, \quad w_i = \frac{p(x, z_i)}{q(z_i \mid x)},
          \quad z_i \sim q(z \mid x)
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["doubly_reparameterised", "effective_sample_size", "importance_bound"]


def importance_bound(log_w: Float[Tensor, "b k"]) -> Float[Tensor, " b"]:
    r"""Importance-weighted bound of k samples; k = 1 is the evidence lower bound. [nats]

    .. math:: \log \frac1k \sum_i w_i

    Args:
        log_w: log-weights.

    Source: Burda, Grosse, Salakhutdinov, "Importance weighted autoencoders", ICLR 2016, equation 8.
    """
    return torch.logsumexp(log_w, -1) - math.log(log_w.shape[-1])


def effective_sample_size(log_w: Float[Tensor, "b k"]) -> Float[Tensor, " b"]:
    r"""How many equal weights these are worth, between 1 and k.

    .. math:: \frac{(\sum_i w_i)^2}{\sum_i w_i^2}

    Source: Kong, Liu, Wong, JASA 1994.
    """
    return torch.exp(2 * torch.logsumexp(log_w, -1) - torch.logsumexp(2 * log_w, -1))


def doubly_reparameterised(log_w: Float[Tensor, "b k"], z: Float[Tensor, "b k d"]) -> Float[Tensor, " b"]:
    r"""The bound, with a gradient whose noise does not drown the encoder's signal as k grows.

    .. math:: \nabla_\theta: \sum_i \tilde w_i \nabla_\theta \log w_i, \qquad
              \nabla_\phi: \sum_i \tilde w_i^2 \frac{\partial \log w_i}{\partial z_i}
              \frac{\partial z_i}{\partial \phi}, \qquad \tilde w_i = \frac{w_i}{\sum_j w_j}

    Args:
        log_w: log-weights, with the density q in them taken at parameters that pass no gradient.
        z: the samples, through which the encoder's gradient flows.

    Source: Tucker et al., "Doubly reparameterized gradient estimators", ICLR 2019, equation 8.
    """
    share = torch.softmax(log_w.detach(), -1)
    if z.requires_grad:
        # The decoder's gradient has the factor w~ once; on its way through z to the encoder it meets the second.
        z.register_hook(lambda grad: share[..., None] * grad)
    surrogate = (share * log_w).sum(-1)
    return importance_bound(log_w).detach() + surrogate - surrogate.detach()
