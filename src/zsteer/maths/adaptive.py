r"""Conditioning by adaptive sampling: from a prior p(x) and a wanted set S to the weights that refit a search model q.

The target is the prior given the set, equation (1); q is fitted to it by forward divergence, (2) and (3), of which
only (5) depends on q. S is rare under p, so draws come from the present q over (x, z), and each is weighed by

.. math:: w_i = \frac{p(x_i, z_i)}{q(x_i, z_i)} \, P(S^{(t)} \mid x_i) .

Draws of several rounds count together where q is their mixture (the balance heuristic). Everything is in logarithms.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from zsteer.errors import InputError
from zsteer.maths.importance import effective_sample_size

__all__ = [
    "conditional",
    "cross_entropy",
    "forward_divergence",
    "log_mixture",
    "log_prob_within",
    "log_weight",
    "percentile_level",
    "sized_level",
]


def conditional(log_prior: Float[Tensor, " n"], log_inside: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    r"""The prior given the set, over a space that is listed whole. [nats]

    .. math:: \log p(x \mid S) = \log P(S \mid x) + \log p(x) - \log P(S)

    Args:
        log_prior: log p of everything there is.
        log_inside: log P(S | x) of each.

    Raises:
        InputError: if nothing lies in the set.

    Lecture: cbas.conditional
    """
    joint = log_prior + log_inside
    total = torch.logsumexp(joint, 0)
    if not bool(torch.isfinite(total)):
        raise InputError("nothing of the space lies in the wanted set; widen the goal")
    return joint - total


def forward_divergence(log_target: Float[Tensor, " n"], log_model: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    r"""What the projection (2) minimises: it is infinite where the model forgets a part of the target. [nats]

    .. math:: D_{KL}(p(x \mid S) \,\Vert\, q) = \sum_x p(x \mid S) \, (\log p(x \mid S) - \log q(x))

    Lecture: cbas.projection
    """
    there = log_target > -torch.inf
    return (log_target[there].exp() * (log_target[there] - log_model[there])).sum()


def cross_entropy(log_weights: Float[Tensor, " n"], log_model: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    r"""The part of the divergence that depends on the model, estimated from weighted draws. [nats]

    .. math:: -\frac{\sum_i w_i \log q(x_i)}{\sum_i w_i}

    With weights w = P(S | x) of draws of the prior this is minus (4), whose constant P(S) is the mean of the weights;
    with importance weights it is the same expectation over draws of another model.

    Args:
        log_weights: of each draw; -inf for none.
        log_model: log q of each draw.

    Lecture: cbas.cross_entropy, cbas.objective.normalised, cbas.objective
    """
    share = torch.softmax(log_weights, 0)
    return -torch.where(share > 0, share * log_model, 0.0).sum()


def log_mixture(log_q: Float[Tensor, "k n"], counts: Float[Tensor, " k"]) -> Float[Tensor, " n"]:
    r"""Log-density of the mixture of k models, each with the share of the draws that it made. [nats]

    .. math:: \log \sum_k \frac{n_k}{\sum_j n_j} q_k(x)

    Args:
        log_q: log-density of each draw under each model.
        counts: draws of each model.

    Source: Veach, Guibas, SIGGRAPH 1995 (the balance heuristic).
    """
    return torch.logsumexp(log_q + (counts / counts.sum()).log()[:, None], 0)


def log_weight(
    log_prior: Float[Tensor, " n"], log_proposal: Float[Tensor, " n"], log_inside: Float[Tensor, " n"]
) -> Float[Tensor, " n"]:
    r"""Importance weight of each draw. [nats]

    .. math:: \log w_i = \log p(x_i, z_i) - \log q(x_i, z_i) + \log P(S^{(t)} \mid x_i)

    Args:
        log_prior: of each draw with its path under the prior.
        log_proposal: of the same under what drew it.
        log_inside: log-probability that it lies in the relaxed set.

    Lecture: cbas.importance, cbas.weights
    """
    return log_prior - log_proposal + log_inside


def log_prob_within(
    mean: Float[Tensor, " n"], std: Float[Tensor, " n"], low: float, high: float
) -> Float[Tensor, " n"]:
    r"""Log-probability that a normal variable lies in [low, high]; with std 0 it is 0 or -inf. [nats]

    .. math:: \log [\Phi((h - \mu) / \sigma) - \Phi((l - \mu) / \sigma)]

    Both tails are kept: the difference is taken on the side where it is small.
    """
    inside = torch.where((mean >= low) & (mean <= high), 0.0, -torch.inf).to(mean.dtype)
    width = torch.where(std > 0, std, 1.0)
    a, b = (low - mean) / width, (high - mean) / width
    flip = a > 0
    a, b = torch.where(flip, -b, a), torch.where(flip, -a, b)
    upper, lower = torch.special.log_ndtr(b), torch.special.log_ndtr(a)
    found = upper + torch.log1p(-(lower - upper).exp().clamp(max=1))
    return torch.where(std > 0, found, inside)


def percentile_level(scores: Float[Tensor, " n"], q: float, before: float, goal: float) -> float:
    r"""The next threshold of Algorithm 1: the Q-th percentile of what was scored; it never falls, and ends at the goal.

    .. math:: \gamma^{(t)} = \min(\gamma^*, \max(\gamma^{(t - 1)}, \text{quantile}_Q h(x_i)))

    Lecture: cbas.threshold
    """
    return min(goal, max(before, float(torch.quantile(scores, q))))


def sized_level(
    levels: Float[Tensor, " k"],
    log_inside: Float[Tensor, "k n"],
    log_ratio: Float[Tensor, " n"],
    *,
    least: float,
    before: float,
    goal: float,
) -> float:
    r"""The highest threshold whose weights are worth enough draws; it never falls, and ends at the goal.

    .. math:: \gamma^{(t)} = \max \{\gamma : \text{ESS}(w^{\gamma}) \ge m\}

    Args:
        levels: thresholds to choose from.
        log_inside: log-probability of the set of each threshold, for each draw.
        log_ratio: log p - log q of each draw.
        least: m, effective draws that must remain.
        before: the threshold of the round before.
        goal: the last threshold.
    """
    size = effective_sample_size(log_ratio + log_inside).nan_to_num(0.0)  # nothing lies inside
    fine: Bool[Tensor, " k"] = (size >= least) & (levels <= goal)
    best = float(levels[fine].max()) if bool(fine.any()) else -math.inf
    return min(goal, max(before, best))
