r"""Entropic transport without its bias: the Sinkhorn divergence.

.. math:: S_\epsilon(P, Q) = OT_\epsilon(P, Q) - \tfrac12 OT_\epsilon(P, P) - \tfrac12 OT_\epsilon(Q, Q), \qquad
          OT_\epsilon = \min_\pi \mathbb{E}_\pi |x - y|^p + \epsilon \, KL(\pi \Vert P \otimes Q) .

OT_eps alone is not 0 between equal samples; S_eps is, and it is never negative. The potentials are found in the log
domain with epsilon falling by halves from the largest cost; at the last epsilon matrix-vector products take over, with
their scalings absorbed into the potentials before they grow, so that a small epsilon neither overflows nor stalls.

Source: Feydy et al., "Interpolating between optimal transport and MMD using Sinkhorn divergences", AISTATS 2019;
Schmitzer, "Stabilized sparse scaling algorithms for entropy regularized transport problems", 2019.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.errors import InputError, RefusedError
from zsteer.maths.distances import distances

__all__ = ["sinkhorn_divergence"]

ROUNDS = 20_000
BLOCK = 50
TOLERANCE = 1e-5
"""Largest mass, summed over points, by which a marginal may be wrong; the value is off by that share of a potential."""
RELAXATION = 1.7
"""Power of a scaling step: above 1 it overshoots, which near the optimum saves most of the rounds; 2 is unstable."""


def _soft_min(cost: Float[Tensor, "n m"], potential: Float[Tensor, " m"], epsilon: float) -> Float[Tensor, " n"]:
    """-eps log mean_j exp((g_j - C_ij) / eps)."""
    share = torch.log(torch.tensor(float(cost.shape[1]), dtype=cost.dtype, device=cost.device))
    return -epsilon * (torch.logsumexp((potential[None, :] - cost) / epsilon, 1) - share)


def _polish(
    cost: Float[Tensor, "n m"], g: Float[Tensor, " m"], epsilon: float
) -> tuple[Float[Tensor, " n"], Float[Tensor, " m"]]:
    """Potentials at the last epsilon, by blocks of scalings of the plan that the potentials give."""
    n, m = cost.shape
    power, last = RELAXATION, float("inf")
    for _ in range(ROUNDS // BLOCK):
        # In the log domain first: rows are right afterwards whatever came before, so that the plan is finite.
        f = _soft_min(cost, g, epsilon)
        plan = torch.exp((f[:, None] + g[None, :] - cost) / epsilon) / (n * m)
        columns = plan.sum(0)
        error = float((columns - 1 / m).abs().sum())
        if error < TOLERANCE:
            return f, g
        power = RELAXATION if error < last else 1.0  # back to plain steps where overshooting does harm
        last = error
        g = g + epsilon * _scalings(plan, columns, power)
    raise RefusedError(
        f"entropic transport has not converged in {ROUNDS} rounds at epsilon={epsilon:.3g} (largest cost "
        f"{float(cost.max()):.3g}); take a larger epsilon, or exact assignment (wasserstein)"
    )


def _scalings(plan: Float[Tensor, "n m"], columns: Float[Tensor, " m"], power: float) -> Float[Tensor, " m"]:
    """Logarithm of what a block of rounds multiplies the columns of a plan by."""
    n, m = plan.shape
    log_u, log_v = torch.zeros_like(plan[:, 0]), -(m * columns.clamp(min=1e-300)).log()
    for _ in range(BLOCK):
        log_u = log_u.lerp(-(n * (plan @ log_v.exp()).clamp(min=1e-300)).log(), power)
        log_v = log_v.lerp(-(m * (log_u.exp() @ plan).clamp(min=1e-300)).log(), power)
        if float(torch.maximum(log_u.abs().max(), log_v.abs().max())) > 100:
            break  # absorb before a scaling overflows
    return log_v


def _alone(cost: Float[Tensor, "n n"], epsilon: float) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Potentials of a sample with itself, by averaged steps, which converge quickly.

    Both sides have one potential. Returned are the last but one and what a step makes of it: for that pair the rows of
    the plan are right, so that the value is off by the square of what is left.
    """
    f = torch.zeros_like(cost[0])
    step = max(float(cost.max()), epsilon)
    while step > epsilon:
        f = (f + _soft_min(cost, f, step)) / 2
        step /= 2
    for _ in range(ROUNDS // BLOCK):
        found = _soft_min(cost, f, epsilon)
        if float((torch.exp((f - found) / epsilon) - 1).abs().mean()) < TOLERANCE:
            return found, f
        f = (f + found) / 2
    raise RefusedError(f"entropic transport of a sample to itself has not converged at epsilon={epsilon:.3g}")


def _entropic(cost: Float[Tensor, "n m"], epsilon: float, *, alone: bool) -> Float[Tensor, ""]:
    """OT_eps, differentiable in the cost: at the optimum its derivative is the plan."""
    fixed = cost.detach()
    if alone:
        f, g = _alone(fixed, epsilon)
    else:
        g = torch.zeros_like(fixed[0])
        step = max(float(fixed.max()), epsilon)
        while step > epsilon:
            g = _soft_min(fixed.T, _soft_min(fixed, g, step), step)
            step /= 2
        f, g = _polish(fixed, g, epsilon)
    value = f.mean() + g.mean()
    if not cost.requires_grad:
        return value
    plan = torch.exp((f[:, None] + g[None, :] - fixed) / epsilon) / fixed.numel()
    moved = (plan * cost).sum()
    return value + moved - moved.detach()


def sinkhorn_divergence(
    a: Float[Tensor, "n d"], b: Float[Tensor, "m e"], epsilon: float, p: float = 2.0
) -> Float[Tensor, ""]:
    """Debiased entropic transport cost of two samples of any sizes, computed in float64.

    Args:
        a: points.
        b: points.
        epsilon: regularisation, in the unit of the cost |x - y|^p. For epsilon to 0 the value becomes W_p^p; a larger
            one is faster and nearer to an MMD.
        p: power of the distance.

    Returns:
        A cost (no root is taken), in the unit of |x - y|^p.

    Raises:
        InputError: if epsilon is not positive, a sample is empty, or the widths differ.
        RefusedError: if the iteration does not converge.
    """
    if epsilon <= 0:
        raise InputError(f"expected epsilon > 0, got {epsilon}; for epsilon = 0 use wasserstein")
    if not len(a) or not len(b) or a.shape[1] != b.shape[1]:
        raise InputError(f"expected two samples of one width, got shapes {tuple(a.shape)} and {tuple(b.shape)}")
    x, y = a.double(), b.double()
    across, left, right = (
        _entropic(distances(s, t).pow(p), epsilon, alone=s is t) for s, t in ((x, y), (x, x), (y, y))
    )
    return (across - (left + right) / 2).to(a.dtype)
