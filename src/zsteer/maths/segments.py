r"""The lecture's two segments: P on x = 0 and Q on x = theta, y uniform on (0, 1) on both.

What a learner sees of theta in each distance. P and Q share their y and are two point masses in x, so that the
divergences are those of the point masses; the distances that follow the geometry have closed forms in theta, and only
those have a gradient that leads Q towards P:

.. math:: D_{KL} = \infty, \quad D_{JS} = \log 2 \quad (\theta \ne 0), \qquad W = |\theta| .

With u = |y - y'| of density 2 (1 - u), the energy distance and the MMD need E sqrt(theta^2 + u^2) and E exp(-u^2 / s).
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.maths.distances import on_a_line
from zsteer.maths.divergences import jensen_shannon, kl_divergence

__all__ = ["all_at", "energy", "gaussian_mmd", "js", "kl_pq", "kl_qp", "points", "wasserstein_segments"]


def _point_masses(theta: Float[Tensor, " k"]) -> tuple[Float[Tensor, "k 2"], Float[Tensor, "k 2"]]:
    """P and Q over the places x = 0 and x = theta, which are one place for theta = 0."""
    apart = (theta != 0).to(theta.dtype)
    return torch.stack([torch.ones_like(theta), torch.zeros_like(theta)], 1), torch.stack([1 - apart, apart], 1)


def kl_pq(theta: Float[Tensor, " k"]) -> Float[Tensor, " k"]:
    r"""KL divergence of P from Q: infinite, wherever Q is. [nats]

    .. math:: D_{KL}(P \Vert Q) = \sum_{x = 0} 1 \cdot \log \frac10 = +\infty \text{ for } \theta \ne 0

    Lecture: wasserstein.segments.kl_pq
    """
    p, q = _point_masses(theta)
    return kl_divergence(p, q)


def kl_qp(theta: Float[Tensor, " k"]) -> Float[Tensor, " k"]:
    r"""KL divergence of Q from P: infinite, wherever Q is. [nats]

    .. math:: D_{KL}(Q \Vert P) = \sum_{x = \theta} 1 \cdot \log \frac10 = +\infty \text{ for } \theta \ne 0

    Lecture: wasserstein.segments.kl_qp
    """
    p, q = _point_masses(theta)
    return kl_divergence(q, p)


def js(theta: Float[Tensor, " k"]) -> Float[Tensor, " k"]:
    r"""Jensen-Shannon divergence of P and Q: the same wherever Q is. [nats]

    .. math:: D_{JS}(P, Q) = \tfrac12 \left( 1 \cdot \log \frac{1}{1/2} + 1 \cdot \log \frac{1}{1/2} \right)
              = \log 2 \text{ for } \theta \ne 0

    Lecture: wasserstein.segments.js
    """
    p, q = _point_masses(theta)
    return jensen_shannon(p.detach(), q.detach()) + 0 * theta  # the point masses do not change with theta: slope 0


def wasserstein_segments(theta: Float[Tensor, " k"]) -> Float[Tensor, " k"]:
    r"""Wasserstein distance of P and Q: every point moves by theta along x.

    .. math:: W(P, Q) = |\theta|

    Lecture: wasserstein.segments.distance
    """
    return torch.stack([on_a_line(torch.zeros_like(t)[None], t[None]) for t in theta])


def all_at(theta: Float[Tensor, " k"]) -> dict[str, Float[Tensor, " k"]]:
    r"""The four figures of the slide by name; all are 0 where the segments overlap.

    .. math:: D_{KL}(P \Vert Q) = D_{KL}(Q \Vert P) = D_{JS}(P, Q) = 0, \quad W(P, Q) = 0 = |\theta|
              \text{ for } \theta = 0

    Lecture: wasserstein.segments.overlap
    """
    return {
        "KL(P|Q)": kl_pq(theta),
        "KL(Q|P)": kl_qp(theta),
        "JS": js(theta),
        "W": wasserstein_segments(theta),
    }


def energy(theta: Float[Tensor, " k"]) -> Float[Tensor, " k"]:
    r"""Energy distance of P and Q.

    .. math:: 2 \left( \mathbb{E} \sqrt{\theta^2 + u^2} - \tfrac13 \right), \quad
              \mathbb{E} \sqrt{\theta^2 + u^2} = \sqrt{1 + \theta^2} + \theta^2 \, \text{asinh} \tfrac{1}{|\theta|}
              - \tfrac23 \left( (1 + \theta^2)^{3/2} - |\theta|^3 \right)
    """
    # At 0 the term with asinh is 0; the shift keeps its gradient finite there.
    size = theta.abs() + 1e-30
    root = (1 + theta.square()).sqrt()
    mean = root + size.square() * torch.asinh(1 / size) - (2 / 3) * (root.pow(3) - size.pow(3))
    return 2 * (mean - 1 / 3)


def gaussian_mmd(theta: Float[Tensor, " k"], square: float = 1.0) -> Float[Tensor, " k"]:
    r"""Squared MMD of P and Q with the kernel exp(-|a - b|^2 / s).

    .. math:: 2 \, \mathbb{E} e^{-u^2 / s} \left( 1 - e^{-\theta^2 / s} \right), \quad
              \mathbb{E} e^{-u^2 / s} = \sqrt{\pi s} \, \text{erf} \tfrac{1}{\sqrt s} - s (1 - e^{-1/s})
    """
    within = math.sqrt(math.pi * square) * math.erf(1 / math.sqrt(square)) - square * (1 - math.exp(-1 / square))
    return 2 * within * (1 - torch.exp(-theta.square() / square))


def points(y: Float[Tensor, " n"], theta: Float[Tensor, ""] | float = 0.0) -> Float[Tensor, "n 2"]:
    """Draws from a segment: x = theta and the given y."""
    return torch.stack([0 * y + theta, y], 1)
