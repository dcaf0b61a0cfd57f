r"""The part of a message network that costs: two layers over all pairs of points, and what is read from them.

.. math:: u_{ij} = a_i + c_j + W_r r_{ij}, \quad m_{ij} = \text{silu}(W_2\, \text{silu}(u_{ij}) + b_2), \quad
          \ell_{ij} = A\, m_{ij} + b_A, \quad s_i = \frac{1}{Z} \sum_{j \neq i} g_{ij} m_{ij} .

The first layer of a pair is split: a = W_a h and c = W_c h are products over points and not over pairs, which leaves
one product of width x width a pair. The gate g is the logistic function of the first read-out, or 1.

``plain`` is that, differentiated by PyTorch: for a GPU, for compilation and for second derivatives. ``fused`` is the
same on a CPU: a few molecules at a time, whose pairs stay in the cache, with one tensor a layer kept for the way back
(W_2's product; the first layer is made again) and sums in float32 also where the products are in bfloat16.
"""

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import silu

from zsteer.errors import CapabilityError

__all__ = ["Weights", "apart", "fused", "plain"]

ROWS = 4096
"""Pairs that are worked on at a time."""


@dataclass(frozen=True)
class Weights:
    """Weights of the second layer and of what is read out, and how messages are summed.

    Args:
        far: W_r, of the distances.
        second: W_2.
        bias: b_2.
        heads: A.
        heads_bias: b_A.
        norm: Z; None for no sum.
        gated: whether the first read-out gates the messages.
        half: products in bfloat16.
    """

    far: Float[Tensor, "d r"]
    second: Float[Tensor, "d d"]
    bias: Float[Tensor, " d"]
    heads: Float[Tensor, "k d"]
    heads_bias: Float[Tensor, " k"]
    norm: float | None
    gated: bool
    half: bool = False


def apart(x: Float[Tensor, "b n n f"]) -> Float[Tensor, "b n m f"]:
    """Values of the pairs of two different points: the diagonal is left out, m = n - 1.

    Without its first entry a matrix written row by row has the diagonal at the end of each run of n + 1.
    """
    b, n, _, f = x.shape
    return _apart(x).reshape(b, n, n - 1, f)


def _apart(x: Tensor) -> Tensor:
    """The same as a view of shape (b, n - 1, n, f), pairs in the same order."""
    b, n, _, f = x.shape
    return x.reshape(b, n * n, f)[:, 1:].view(b, n - 1, n + 1, f)[:, :, :-1]


def plain(
    here: Float[Tensor, "b n d"], there: Float[Tensor, "b n d"], r: Float[Tensor, "b n n r"], w: Weights
) -> tuple[Float[Tensor, "b n m k"], Float[Tensor, "b n d"] | None]:
    """Read-outs of all pairs of different points, and the sum of the messages.

    Args:
        here: a, of the point that a message goes to.
        there: c, of the point that it comes from.
        r: what is known of a pair.
        w: weights.
    """
    u = apart(here[:, :, None] + there[:, None] + r.to(here.dtype) @ w.far.T.to(here.dtype))
    m = silu(torch.nn.functional.linear(silu(u), w.second.to(u.dtype), w.bias.to(u.dtype)))
    logits = torch.nn.functional.linear(m, w.heads.to(m.dtype), w.heads_bias.to(m.dtype)).to(r.dtype)
    if w.norm is None:
        return logits, None
    gate = (torch.sigmoid(logits[..., :1]) if w.gated else r.new_ones(*m.shape[:-1], 1)) / w.norm
    # A product of (1, m) and (m, d) for each point: no tensor of all gated messages.
    return logits, (gate.to(m.dtype).transpose(2, 3) @ m).squeeze(2).to(here.dtype)


def fused(
    here: Float[Tensor, "b n d"], there: Float[Tensor, "b n d"], r: Float[Tensor, "b n n r"], w: Weights
) -> tuple[Float[Tensor, "b n m k"], Float[Tensor, "b n d"] | None]:
    """What ``plain`` gives, with a way back of its own (of first order)."""
    full = r.dtype
    tensors = (here.to(full), there.to(full), r, w.far, w.second, w.bias, w.heads, w.heads_bias)
    back = torch.is_grad_enabled() and any(one.requires_grad for one in tensors)
    logits, total = _Fused.apply(_How(w.norm, w.gated, w.half, back), *tensors)
    return logits, None if w.norm is None else total


class _Room(threading.local):
    """Room for the pairs of a few molecules, used again and again: fresh memory costs more than the sums done in it.

    It is kept for each thread, and grows to what is needed: a few times ``ROWS`` rows.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, torch.dtype], Tensor] = {}

    def take(self, name: str, dtype: torch.dtype, *shape: int) -> Tensor:
        """A tensor with whatever numbers are in it; the next of that name and type overwrites it."""
        size, found = math.prod(shape), self.kept.get((name, dtype))
        # What was made in inference mode cannot be written to outside of it.
        if found is None or found.numel() < size or found.is_inference() != torch.is_inference_mode_enabled():
            found = self.kept[name, dtype] = torch.empty(size, dtype=dtype)
        return found[:size].view(shape)

    def cast(self, x: Tensor, dtype: torch.dtype, name: str) -> Tensor:
        """The same numbers in another type."""
        return x if x.dtype == dtype else self.take(name, dtype, *x.shape).copy_(x)

    def first(self, parts: tuple[Tensor, Tensor, Tensor], far: Tensor) -> tuple[Tensor, Tensor]:
        """The first layer u of all pairs, with the diagonal, and silu(u) without it."""
        here, there, r = parts
        c, n, d = here.shape
        square = self.take("square", here.dtype, c, n, n, d)
        y = self.take("y", here.dtype, c * n * (n - 1), d)
        torch.add(here[:, :, None], there[:, None], out=square)
        square.view(-1, d).addmm_(r.reshape(-1, r.shape[-1]), far)
        torch.ops.aten.silu.out(_apart(square), out=y.view(c, n - 1, n, d))
        return square, y

    def message(self, product: Tensor, bias: Tensor, name: str) -> tuple[Tensor, Tensor]:
        """The second layer z in the type of the sums, from its product, and silu(z)."""
        z = self.take("z", bias.dtype, *product.shape)
        # In bfloat16 a product with the bias in it costs half as much again; the sum apart costs next to nothing.
        z = torch.add(product, bias, out=z) if product.dtype == z.dtype else z.copy_(product).add_(bias)
        m = self.take(name, z.dtype, *z.shape)
        torch.ops.aten.silu.out(z, out=m)
        return z, m


_ROOM = _Room()


def _pieces(b: int, n: int) -> list[slice]:
    size = max(1, ROWS // max(n * (n - 1), 1))
    return [slice(k, min(k + size, b)) for k in range(0, b, size)]


def _rows(at: slice, n: int) -> slice:
    return slice(at.start * n * (n - 1), at.stop * n * (n - 1))


def _gate(logits: Tensor, norm: float, *, gated: bool) -> Tensor:
    """Weight of each message in the sum, (c, n, m)."""
    return torch.sigmoid(logits[..., 0]).div_(norm) if gated else logits.new_full(logits.shape[:-1], 1 / norm)


class _Fused(torch.autograd.Function):
    """Read-outs and sums of messages."""

    @staticmethod
    def forward(ctx: Any, how: "_How", *tensors: Tensor) -> tuple[Tensor, Tensor]:
        here, there, r, far, second, bias, heads, heads_bias = tensors
        b, n, d = here.shape
        far = far.T.contiguous()
        weight = second.to(how.product(here))
        pieces = _pieces(b, n)
        kept = weight.new_empty(b * n * (n - 1), d) if how.back else None
        logits = here.new_empty(b, n, n - 1, len(heads))
        total = here.new_empty(b, n, d) if how.norm is not None else here.new_empty(0)
        with torch.autocast(here.device.type, enabled=False):
            for at in pieces:
                _, y = _ROOM.first((here[at], there[at], r[at]), far)
                z = _ROOM.take("product", weight.dtype, *y.shape) if kept is None else kept[_rows(at, n)]
                torch.mm(_ROOM.cast(y, weight.dtype, "low"), weight.T, out=z)
                _, m = _ROOM.message(z, bias, "y")
                torch.addmm(heads_bias, m, heads.T, out=logits[at].view(len(m), len(heads)))
                if how.norm is not None:
                    gate = _gate(logits[at], how.norm, gated=how.gated)
                    c = len(gate) * n
                    torch.bmm(gate.view(c, 1, n - 1), m.view(c, n - 1, d), out=total[at].view(c, 1, d))
        if kept is not None:
            ctx.save_for_backward(here, there, r, far, weight, bias, heads, logits, kept)
            ctx.how = how
        return logits, total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise CapabilityError(
                "the fast way of the pairs has first derivatives only, and second ones are needed (create_graph); "
                "make the network with fused=False"
            )
        return None, *_back(ctx.how, ctx.saved_tensors, grads)


@dataclass(frozen=True)
class _How:
    """What is not a tensor: Z, whether there is a gate, the type of the products, and whether there is a way back."""

    norm: float | None
    gated: bool
    half: bool
    back: bool

    def product(self, like: Tensor) -> torch.dtype:
        return torch.bfloat16 if self.half else like.dtype


def _back(how: _How, saved: Sequence[Tensor], grads: Sequence[Tensor]) -> list[Tensor]:
    """Gradients of the eight tensors, a few molecules at a time."""
    here, there, r, far, weight, bias, heads, logits, kept = saved
    b, n, d = here.shape
    pieces = _pieces(b, n)
    found = [torch.empty_like(one) for one in (here, there, r)]
    sums = [torch.zeros_like(one) for one in (far, here.new_empty(d, d), here.new_empty(d), heads)]
    sums.append(heads.new_zeros(len(heads)))
    g_far, g_second, g_bias, g_heads, g_heads_bias = sums
    for at in pieces:
        square, y = _ROOM.first((here[at], there[at], r[at]), far)
        z, m = _ROOM.message(kept[_rows(at, n)], bias, "m")
        g_logits, c = grads[0][at].reshape(len(m), len(heads)), (at.stop - at.start) * n
        gate = total = None
        if how.norm is not None:
            total = grads[1][at].reshape(c, 1, d)
            gate = _gate(logits[at], how.norm, gated=how.gated).view(c, n - 1, 1)
            if how.gated:
                along = torch.bmm(m.view(c, n - 1, d), total.transpose(1, 2))
                g_logits = g_logits.clone()
                g_logits[:, 0] += (along * gate * (1 - how.norm * gate)).flatten()
        g_heads.addmm_(g_logits.T, m)
        g_heads_bias += g_logits.sum(0)
        g_z = torch.mm(g_logits, heads, out=_ROOM.take("g_z", here.dtype, *y.shape))
        if gate is not None and total is not None:
            g_z.view(c, n - 1, d).addcmul_(gate, total)
        torch.ops.aten.silu_backward.grad_input(g_z, z, grad_input=g_z)
        g_bias += g_z.sum(0)
        sent = _ROOM.cast(g_z, weight.dtype, "low g_z")
        g_second += sent.T @ _ROOM.cast(y, weight.dtype, "low")
        low = torch.mm(sent, weight, out=_ROOM.take("product", weight.dtype, *y.shape))
        g_y = _ROOM.cast(low, here.dtype, "g_z")
        inside = _apart(square)
        torch.ops.aten.silu_backward.grad_input(g_y.view(inside.shape), inside, grad_input=inside)
        square.diagonal(dim1=1, dim2=2).zero_()
        torch.sum(square, 2, out=found[0][at])
        torch.sum(square, 1, out=found[1][at])
        flat = square.view(-1, d)
        # Two columns: this order of the products and these layouts are four times as fast as the others.
        g_far.addmm_(r[at].reshape(-1, r.shape[-1]).T, flat)
        torch.mm(flat, far.T, out=found[2][at].view(-1, r.shape[-1]))
    return [*found, g_far.T, *sums[1:]]
