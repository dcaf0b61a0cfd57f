r"""Bernoulli hidden units for one user's ratings, as published in 2007.

.. math:: F(v \mid S) = -\sum_{i \in S} c_{i v_i} - \sum_j \log \left( 1 + e^{x_j} \right), \quad
          x_j = b_j + d_j(S) + \sum_{i \in S} W_{i v_i j}

W of an item is one row of weights for each level: tied by an ordinal score, free, or of low rank; d(S) is what the
conditional machine reads from which items are rated.

Source: Salakhutdinov, Mnih, Hinton, "Restricted Boltzmann machines for collaborative filtering", ICML 2007.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zsteer.maths.boltzmann import hidden_mean, hidden_potential
from zsteer.models.ratings.settings import Rated

__all__ = ["field", "minus_free_energy", "query", "reconstruct"]


def field(
    weights: Float[Tensor, "r k f"], rated: Rated, v: Float[Tensor, "r k"], bias: Float[Tensor, "b f"]
) -> Float[Tensor, "b f"]:
    """Field of the hidden units given levels or their probabilities."""
    return rated.total(torch.einsum("rk,rkf->rf", v, weights)) + bias


def minus_free_energy(
    c: Float[Tensor, "r k"], x: Float[Tensor, "b f"], rated: Rated, v: Float[Tensor, "r k"]
) -> Float[Tensor, " b"]:
    """-F(v | S) of each user, the hidden units summed out; for probabilities v that of the mean field."""
    return rated.total((v * c).sum(1)) + hidden_potential(x, "bernoulli").sum(1)


def reconstruct(
    c: Float[Tensor, "r k"], weights: Float[Tensor, "r k f"], rated: Rated, x: Float[Tensor, "b f"]
) -> Float[Tensor, "r k"]:
    """Probability of each level given the mean of the hidden units."""
    return (c + torch.einsum("rkf,rf->rk", weights, hidden_mean(x, "bernoulli")[rated.user])).softmax(1)


def query(
    c: Float[Tensor, "q k"], weights: Float[Tensor, "q k f"], x: Float[Tensor, "b f"], user: Int[Tensor, " q"]
) -> Float[Tensor, "q k"]:
    """Log-probability of each level of another item of a user, the hidden units summed out."""
    return (c + hidden_potential(x[user][:, None, :] + weights, "bernoulli").sum(2)).log_softmax(1)
