r"""Gaussian hidden units for one user's ratings: the energy, what the hidden units believe, and the negative phase.

For the set S of items that a user has rated, with centred features of each level

.. math:: \phi_{ik} = \left[\, U_k - \bar U_i,\; (s_k - \bar s_i)\, w_i \,\right], \quad
          E(v, h \mid S) = -\sum_{i \in S} \left( c_{i v_i} + \phi_{i v_i} \cdot h \right) + \tfrac12 h^T \Lambda_S h
          - a_0 \cdot h, \quad \Lambda_S = I + \sum_{i \in S} \text{Cov}_{p_i}(\phi_{i \cdot}) .

The hidden precision is conditional on which items are rated. Without it a hidden mean would grow with the number of
ratings; with it h given v is the posterior of a linear model with prior N(0, I), and to second order the normaliser
is the same for every set of rated items: :math:`\sum_v e^{-F(v \mid S)} \approx 1`. That gives the negative phase in
closed form, and makes what is absent really absent. U_k holds what all items share (a user's mean tilt, and how a user
fills the scale), w_i what an item says beyond it. The user's own point h0 of the shared part is found first (a concave
problem in a few numbers), and energies are written about it.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.models.ratings.settings import Rated

__all__ = ["Loads", "Posterior", "posterior", "query", "user_point"]


@dataclass(frozen=True)
class Loads:
    """What ties levels to hidden units.

    Args:
        shared: U, loads of each level on the shared units, ``(k, u)``.
        score: s, ordinal scores of the levels, ``(k,)``.
        w: weights of the item of each rating, ``(r, f)``.
    """

    shared: Float[Tensor, "k u"]
    score: Float[Tensor, " k"]
    w: Float[Tensor, "r f"]


@torch.no_grad()
def user_point(
    c: Float[Tensor, "r k"], shared: Float[Tensor, "k u"], rated: Rated, steps: int = 6
) -> Float[Tensor, "b u"]:
    """Most probable shared units of each user given the levels, by damped Newton steps from 0.

    Args:
        c: biases of the levels of each rated item.
        shared: loads.
        rated: the ratings.
        steps: of at most length 1 in each unit.
    """
    h = torch.zeros(rated.users, shared.shape[1], dtype=c.dtype, device=c.device)
    own = rated.total(shared[rated.level])
    eye = torch.eye(shared.shape[1], dtype=c.dtype, device=c.device)
    for _ in range(steps):
        p = (c + (h @ shared.T)[rated.user]).softmax(1)
        mean = rated.total(p)
        spread = torch.diag_embed(mean) - rated.total(p[:, :, None] * p[:, None, :])
        change = torch.linalg.solve(shared.T @ spread @ shared + eye, own - mean @ shared - h)
        h = h + change / change.abs().amax(1, keepdim=True).clamp(min=1.0)
    return h


@dataclass(frozen=True)
class Posterior:
    """The hidden units of each user given the ratings, measured from the point h0.

    Args:
        point: h0, ``(b, u)``.
        log_p: log-probability of each level at h0, ``(r, k)``.
        precision: Lambda, ``(b, h, h)``.
        pull: Lambda times the mean, ``(b, h)``.
        constant: what else stands in -F, ``(b,)``.
    """

    point: Float[Tensor, "b u"]
    log_p: Float[Tensor, "r k"]
    precision: Float[Tensor, "b h h"]
    pull: Float[Tensor, "b h"]
    constant: Float[Tensor, " b"]

    def root(self) -> Float[Tensor, "b h h"]:
        """Lower Cholesky factor of the precision."""
        return torch.linalg.cholesky(self.precision)

    def mean(self) -> Float[Tensor, "b h"]:
        """E[h - h0 | v]."""
        return torch.cholesky_solve(self.pull[:, :, None], self.root())[:, :, 0]

    def minus_free_energy(self, *, normalised: bool) -> Float[Tensor, " b"]:
        r"""-F(v | S), with the hidden units' normaliser :math:`-\tfrac12 \log \det \Lambda` or without."""
        root = self.root()
        half = torch.linalg.solve_triangular(root, self.pull[:, :, None], upper=False)[:, :, 0]
        value = self.constant + 0.5 * half.square().sum(1)
        return value - root.diagonal(dim1=1, dim2=2).log().sum(1) if normalised else value


def posterior(
    c: Float[Tensor, "r k"],
    loads: Loads,
    rated: Rated,
    implicit: Float[Tensor, "b f"],
    *,
    point: Float[Tensor, "b u"],
    v: Float[Tensor, "r k"],
) -> Posterior:
    """What the hidden units believe, given the levels or (mean field) their probabilities.

    Args:
        c: biases of the levels of each rated item.
        loads: features.
        rated: which pairs; the precision depends on these alone.
        implicit: prior mean of the item units (zero, or what the rated items say by being rated).
        point: h0.
        v: indicator or probability of each level.
    """
    u, s, w = loads.shared, loads.score, loads.w
    log_p = (c + (point @ u.T)[rated.user]).log_softmax(1)
    p = log_p.exp()
    mean, square = p @ s, p @ s.square()
    spread = torch.diag_embed(rated.total(p)) - rated.total(p[:, :, None] * p[:, None, :])
    cross = rated.total(((p * (s - mean[:, None])) @ u)[:, :, None] * w[:, None, :])
    own = rated.total((square - mean.square())[:, None, None] * w[:, :, None] * w[:, None, :])
    both = torch.cat([torch.cat([u.T @ spread @ u, cross], 2), torch.cat([cross.transpose(1, 2), own], 2)], 1)
    precision = both + torch.eye(both.shape[1], dtype=c.dtype, device=c.device)
    pull = torch.cat([rated.total(v - p) @ u - point, rated.total((v @ s - mean)[:, None] * w) + implicit], 1)
    constant = rated.total((v * log_p).sum(1)) - 0.5 * (point.square().sum(1) + implicit.square().sum(1))
    return Posterior(point, log_p, precision, pull, constant)


def query(believed: Posterior, c: Float[Tensor, "q k"], loads: Loads, user: Tensor) -> Float[Tensor, "q k"]:
    r"""Log-probability of each level of another item of a user, all other blanks absent.

    .. math:: \log p(v_q = k \mid v_S) = c_{qk} + \phi_{qk} \cdot \bar h
              + \tfrac12 \phi_{qk}^T \Lambda_{S \cup q}^{-1} \phi_{qk} + \text{const},
              \quad \bar h = \Lambda_{S \cup q}^{-1} \Lambda_S \, E[h \mid v_S]

    Args:
        believed: the users.
        c: biases of the levels of the queried items.
        loads: features of the queried items.
        user: whose rating is queried, ``(q,)``.
    """
    u, s = loads.shared, loads.score
    log_p = (c + (believed.point @ u.T)[user]).log_softmax(1)
    p = log_p.exp()
    raw = torch.cat([u.expand(len(c), -1, -1), s[None, :, None] * loads.w[:, None, :]], 2)
    phi = raw - torch.einsum("qk,qkh->qh", p, raw)[:, None]
    wider = believed.precision[user] + torch.einsum("qk,qkh,qkg->qhg", p, phi, phi)
    solved = torch.linalg.solve(wider, torch.cat([believed.pull[user][:, :, None], phi.transpose(1, 2)], 2))
    linear = torch.einsum("qkh,qh->qk", phi, solved[:, :, 0])
    quadratic = torch.einsum("qkh,qhk->qk", phi, solved[:, :, 1:])
    return (log_p + linear + 0.5 * quadratic).log_softmax(1)
