r"""The contrast F(v_i) - F(v_k) as one operation: one product forwards, one backwards, data and chains together.

With the rows of data and chains stacked, c_i the derivative of the loss by each row's free energy, and
:math:`\sum_i c_i = 0` (data against chains), the gradients by (w, a, b) are

.. math:: g_w = -\sum_i c_i (v_i - \mu)(h_i - \lambda)^T, \quad g_a = -\sum_i c_i v_i - g_w \lambda, \quad
          g_b = -\sum_i c_i h_i - \mu^T g_w .

With offsets mu = lambda = 0 that is the plain gradient. With means of the data it is the gradient by the parameters of
the centred machine, written for the parameters of the plain one: the step no longer depends on which state of a unit
is called 1. The hidden means stand in for hidden samples, which only add noise.

Source: Melchior, Fischer, Wiskott, "How to center deep Boltzmann machines", JMLR 2016, section 3.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.maths.boltzmann import Couplings, contrast, hidden_mean, hidden_potential, visible_energy
from zsteer.sample.gibbs import Product

__all__ = ["Rows", "contrast_of"]

_FEW = 64
"""Up to so many rows the product of rows is cheaper in float32: bfloat16 has to be widened afterwards."""


@dataclass(frozen=True)
class Rows:
    """What an update sees.

    Args:
        states: data, then chains, then one row with the offsets mu (0 for the plain gradient), in the type that the
            product reads.
        data: how many of the rows are data.
        product: prepared for the weights of this update.
        lam: offsets of the hidden units, or None for the plain gradient.
        paired: chain i belongs to datum i (contrastive divergence); else all chains to all data.
    """

    states: Float[Tensor, "r n"]
    data: int
    product: Product
    lam: Float[Tensor, " m"] | None
    paired: bool


class _Contrast(torch.autograd.Function):
    """Loss of each datum, and the hidden means of all rows (without gradient)."""

    @staticmethod
    def forward(ctx: Any, w: Tensor, a: Tensor, b: Tensor, rows: Rows, p: Couplings) -> tuple[Tensor, Tensor]:
        del w  # the product was prepared from it; it is an argument for its gradient
        v = rows.states[:-1]
        x = rows.product.up(v).add_(b)
        h = hidden_mean(x, p.hidden)
        potential = _softplus_sum(x, h) if p.hidden == "bernoulli" else hidden_potential(x, p.hidden).sum(1)
        free = visible_energy(v.to(a.dtype), p) - potential
        ctx.rows, ctx.h = rows, h
        ctx.mark_non_differentiable(h)
        model = free[rows.data :]
        return contrast(free[: rows.data], model if rows.paired else model.mean()), h

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        rows, h, g = ctx.rows, ctx.h, grads[0]
        chains = len(h) - rows.data
        c = torch.cat([-g, g if rows.paired else (g.sum() / chains).expand(chains)])
        # The last row holds mu: its weight -s makes the product over all rows the sum over (v - mu)(h - lam).
        r = torch.empty(len(h) + 1, h.shape[1], dtype=h.dtype, device=h.device)
        torch.mul(h if rows.lam is None else h - rows.lam, c[:, None], out=r[:-1])
        s = r[:-1].sum(0)
        torch.neg(s, out=r[-1])
        v = rows.states.to(h.dtype)
        few = len(r) <= _FEW
        grad_w = Product.outer(v if few else rows.states, r)
        if rows.lam is None:
            return grad_w, c @ v[:-1], s, None, None
        # g_w lam and mu^T g_w by the rows, without another pass over the weights.
        grad_a = torch.cat([c - r[:-1] @ rows.lam, (s @ rows.lam)[None]]) @ v
        return grad_w, grad_a, s - (v @ v[-1]) @ r, None, None


def _softplus_sum(x: Tensor, h: Tensor) -> Tensor:
    """Sum over units of log(1 + e^x), from h = sigmoid(x) in half the time: max(x, 0) - log max(h, 1 - h)."""
    return x.clamp(min=0).sum(1) - torch.maximum(h, 1 - h).log_().sum(1)


def contrast_of(p: Couplings, rows: Rows) -> tuple[Float[Tensor, " b"], Float[Tensor, "r m"]]:
    """Loss of each datum with the (centred) gradient, and E[h | v] of data and chains.

    Args:
        p: parameters that require a gradient.
        rows: data and chains.
    """
    return _Contrast.apply(p.w, p.a, p.b, rows, p)
