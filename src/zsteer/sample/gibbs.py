r"""Block Gibbs sampling of restricted Boltzmann machines, at any inverse temperature and fast.

Between the base-rate model (beta = 0: biases ``base``, no weights) and the machine (beta = 1) stand

.. math:: E_\beta(v, h) = U(v; a_\beta) - \beta\, b \cdot h - \beta\, v^T W h + R(h), \quad
          a_\beta = (1 - \beta) a_0 + \beta a .

One sweep draws all hidden units given v, then all visible units given h. Activations are scaled by beta; no weight
matrix is built for a temperature. ``Coins`` draws Bernoulli variables from 16-bit words, ``Product`` multiplies by
the fastest kernel at hand; both serve training, annealing (``sample/annealed``) and sampling.
"""

import functools
from dataclasses import replace
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.core.rng import Streams
from zsteer.errors import SettingsError
from zsteer.maths.boltzmann import (
    Couplings,
    hidden_draw,
    hidden_potential,
    visible_draw,
)
from zsteer.nets.precision import bfloat16_pays

__all__ = ["Coins", "Draws", "Gibbs", "PerSample", "Precision", "Product", "precision_of"]

Precision = Literal["float32", "bfloat16"]


def precision_of(wish: Literal["auto", "float32", "bfloat16"], device: torch.device) -> Precision:
    """The precision of products: as wished, or bfloat16 where it pays."""
    if wish != "auto":
        return wish
    return "bfloat16" if bfloat16_pays(device) else "float32"


@functools.cache
def _onednn() -> Any | None:
    """OneDNN's float32 product, twice as fast as the default one on some CPUs; None where it is not built in."""
    space = getattr(torch.ops, "mkldnn", None)
    if space is None or not torch.backends.mkldnn.is_available() or not hasattr(space, "_linear_pointwise"):
        return None
    return space._linear_pointwise  # noqa: SLF001 - torch has no public name for it


class Product:
    """Products with one weight matrix, v W and h W^T, without gradients.

    Args:
        w: weights, shape ``(n, m)``.
        precision: bfloat16 rounds the weights and the result (relative error 2^-9; states of 0 and 1 are exact);
            float32 rounds nothing.
    """

    def __init__(self, w: Float[Tensor, "n m"], precision: Precision = "float32") -> None:
        w = w.detach()
        self.low = precision == "bfloat16" and w.dtype == torch.float32
        self.kernel = None
        if self.low:
            w = w.bfloat16()
        elif w.dtype == torch.float32 and w.device.type == "cpu":
            self.kernel = _onednn()
        self.w, self.wt = w, w.T

    def _times(self, x: Tensor, weight: Tensor) -> Tensor:
        if self.low:
            return torch.nn.functional.linear(x.to(torch.bfloat16), weight).float()
        x = x.to(weight.dtype)
        if self.kernel is not None and x.ndim == 2:
            return self.kernel(x, weight, None, "none", [], "")
        return torch.nn.functional.linear(x, weight)

    def up(self, v: Float[Tensor, "c n"]) -> Float[Tensor, "c m"]:
        """V W, a new tensor of the type of the weights given."""
        return self._times(v, self.wt)

    def down(self, h: Float[Tensor, "c m"]) -> Float[Tensor, "c n"]:
        """H W^T, a new tensor."""
        return self._times(h, self.w)

    @staticmethod
    def outer(v: Float[Tensor, "c n"], r: Float[Tensor, "c m"]) -> Float[Tensor, "n m"]:
        """V^T R, in bfloat16 if ``v`` is, else rounded nowhere; of the type of ``r``."""
        if v.dtype == torch.bfloat16:
            return (v.T @ r.bfloat16()).to(r.dtype)
        kernel = _onednn() if v.dtype == r.dtype == torch.float32 and v.device.type == "cpu" else None
        return v.T @ r if kernel is None else kernel(v.T.contiguous(), r.T, None, "none", [], "")


class Coins:
    r"""Bernoulli draws, uniforms and normals in bulk from one generator.

    A draw compares p with (word + s) / 2^16, where the words are 16 random bits each and s is one uniform number of
    the whole block. Each (word + s) / 2^16 is uniform, so every marginal is exact to 2^-24, as with float32 uniforms;
    two units share s, which matters only where both thresholds fall into their word, once in 2^32 pairs.

    Args:
        generator: where all numbers come from; on the CPU or a CUDA device.
    """

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator
        self._share = torch.empty((), device=generator.device)
        self._blocks: dict[tuple[int, ...], tuple[Tensor, Tensor, Tensor]] = {}

    def _words(self, shape: tuple[int, ...]) -> Tensor:
        """Random 16-bit words as float32, four from each 64-bit number; the buffer is used again."""
        if shape not in self._blocks:
            count = 1
            for size in shape:
                count *= size
            wide = torch.empty(-(-count // 4), dtype=torch.int64, device=self.generator.device)
            words = wide.view(torch.int16)[:count].view(shape)
            self._blocks[shape] = (wide, words, torch.empty(shape, device=wide.device))
        wide, words, values = self._blocks[shape]
        wide.random_(-(2**63), None, generator=self.generator)
        return values.copy_(words)

    def below(self, p: Float[Tensor, "c n"], out: Float[Tensor, "c n"] | None = None) -> Float[Tensor, "c n"]:
        """1 with probability p, else 0.

        Args:
            p: probabilities; overwritten.
            out: where to write, of any floating type; ``p`` itself when None.
        """
        words = self._words(tuple(p.shape))
        share = float(self._share.uniform_(generator=self.generator))
        # Words are signed: -2^15 ... 2^15 - 1.
        p.mul_(65536.0).sub_(32768.0 + share)
        return torch.lt(words, p, out=p if out is None else out)

    def uniform(self, shape: tuple[int, ...]) -> Float[Tensor, "..."]:
        """Uniform numbers in the open interval (0, 1), float32."""
        device = self.generator.device
        return torch.empty(shape, device=device).uniform_(generator=self.generator).clamp_(min=2.0**-25)

    def normal(self, shape: tuple[int, ...]) -> Float[Tensor, "..."]:
        """Standard normal numbers, float32."""
        return torch.empty(shape, device=self.generator.device).normal_(generator=self.generator)


class PerSample:
    """The same draws from one stream for each chain: slower, and chain i does not depend on the others.

    Args:
        rng: one stream for each chain.
    """

    def __init__(self, rng: Streams) -> None:
        self.rng = rng
        self.count = 0

    def uniform(self, shape: tuple[int, ...]) -> Float[Tensor, "..."]:
        """Uniform numbers; the first axis is the chain.

        Raises:
            SettingsError: if there are not as many chains as streams.
        """
        if shape[0] != len(self.rng):
            raise SettingsError(f"expected one stream for each of {shape[0]} chains, got {len(self.rng)}")
        self.count += 1
        return self.rng.at(self.count).uniform("gibbs", shape[1:])

    def normal(self, shape: tuple[int, ...]) -> Float[Tensor, "..."]:
        """Standard normal numbers; the first axis is the chain."""
        self.count += 1
        return self.rng.at(self.count).normal("gibbs", shape[1:])

    def below(self, p: Float[Tensor, "c n"], out: Float[Tensor, "c n"] | None = None) -> Float[Tensor, "c n"]:
        """1 with probability p, else 0; written to ``out``, or over ``p``."""
        return torch.lt(self.uniform(tuple(p.shape)), p, out=p if out is None else out)


Draws = Coins | PerSample
Beta = float | Tensor
"""Inverse temperature: one for all chains, or a column ``(c, 1)``."""


class Gibbs:
    """A machine made ready for many sweeps without gradients.

    Args:
        p: its parameters.
        base: visible biases of the base-rate model at beta = 0; those of the machine when None.
        precision: of the products.
    """

    def __init__(
        self, p: Couplings, *, base: Float[Tensor, " n"] | None = None, precision: Precision = "float32"
    ) -> None:
        self.p = replace(p, w=p.w.detach(), a=p.a.detach(), b=p.b.detach())
        # States of 0 and 1 are exact in bfloat16; real states would be rounded, so they keep float32. Chains of unit
        # states never leave the type that the product reads.
        exact = p.visible != "real" and p.hidden == "bernoulli"
        self.product = Product(p.w, precision if exact else "float32")
        self.base = self.p.a if base is None else base.to(p.a)
        self.rise = self.p.a - self.base
        self.places = len(p.a) // p.levels
        self.state = torch.bfloat16 if self.product.low else p.a.dtype

    def field(self, v: Float[Tensor, "c n"]) -> Float[Tensor, "c m"]:
        """Fields of the hidden units at beta = 1."""
        return self.product.up(v).add_(self.p.b)

    def hidden(self, x: Float[Tensor, "c m"], draws: Draws, beta: Beta = 1.0) -> Float[Tensor, "c m"]:
        """Draw h at fields ``x`` (of beta = 1; overwritten)."""
        if not isinstance(beta, float) or beta != 1.0:
            x.mul_(beta)
        if self.p.hidden == "bernoulli":
            x.sigmoid_()
            return draws.below(x, x if x.dtype == self.state else torch.empty_like(x, dtype=self.state))
        if self.p.hidden == "gaussian":
            return x.add_(draws.normal(tuple(x.shape)))
        return hidden_draw(x, self.p.hidden, draws.uniform(tuple(x.shape)))

    def visible(self, h: Float[Tensor, "c m"], draws: Draws, beta: Beta = 1.0) -> Float[Tensor, "c n"]:
        """Draw v given h."""
        f = self.product.down(h)
        if isinstance(beta, float) and beta == 1.0:
            f.add_(self.p.a)
        elif isinstance(beta, float):
            f.mul_(beta).add_(torch.add(self.base, self.rise, alpha=beta))
        else:
            f.add_(self.rise).mul_(beta).add_(self.base)
        if self.p.visible == "binary":
            f.sigmoid_()
            return draws.below(f, f if f.dtype == self.state else torch.empty_like(f, dtype=self.state))
        if self.p.visible == "real":
            return f.add_(draws.normal(tuple(f.shape)))
        return visible_draw(f, self.p, draws.uniform((len(f), self.places))).to(self.state)

    def sweep(self, v: Float[Tensor, "c n"], draws: Draws, beta: Beta = 1.0) -> Float[Tensor, "c n"]:
        """One step of every chain: h given v, then v given h."""
        return self.visible(self.hidden(self.field(v), draws, beta), draws, beta)

    def run(self, v: Float[Tensor, "c n"], steps: int, draws: Draws, beta: Beta = 1.0) -> Float[Tensor, "c n"]:
        """``steps`` sweeps."""
        v = v.to(self.state)
        for _ in range(steps):
            v = self.sweep(v, draws, beta)
        return v

    def exchange(self, v: Float[Tensor, "c n"], temperatures: int, draws: Draws) -> Float[Tensor, "c n"]:
        r"""Parallel tempering: neighbours in temperature swap their states, by the rule of Metropolis.

        .. math:: A = \min(1, e^{F_i(v_i) + F_j(v_j) - F_i(v_j) - F_j(v_i)})

        Args:
            v: chains, all of the first temperature (beta = 0) first.
            temperatures: number of temperatures, evenly from 0 to 1.
            draws: random numbers.
        """
        count = len(v) // temperatures
        betas = torch.linspace(0, 1, temperatures, device=v.device)
        u = draws.uniform((temperatures, count))
        # Even or odd pairs by one number for all, so that the pairs of a round are disjoint.
        parity = int(float(u[0, 0]) < 0.5)
        step = 1.0 / (temperatures - 1)
        v = v.unflatten(0, (temperatures, count)).clone()
        for low in range(parity, temperatures - 1, 2):
            both = v[low : low + 2].flatten(0, 1)
            # F changes with beta; only its slope between the two temperatures counts, at each end of the pair.
            f_low, f_high = (self.free_energy(both, float(betas[low]) + k * step) for k in (0, 1))
            rise = (f_high - f_low).unflatten(0, (2, count))
            swap = torch.log(u[low + 1]) < (rise[1] - rise[0])
            v[low : low + 2] = torch.where(swap[None, :, None], v[low : low + 2].flip(0), v[low : low + 2])
        return v.flatten(0, 1)

    def start(self, chains: int, draws: Draws) -> Float[Tensor, "c n"]:
        """Independent draws from the base-rate model."""
        f = self.base.expand(chains, -1).clone()
        if self.p.visible == "binary":
            return draws.below(f.sigmoid_()).to(self.state)
        if self.p.visible == "real":
            return f.add_(draws.normal(tuple(f.shape)))
        return visible_draw(f, self.p, draws.uniform((chains, self.places))).to(self.state)

    def free_energy(self, v: Float[Tensor, "c n"], beta: Beta = 1.0) -> Float[Tensor, " c"]:
        """F_beta(v) of each chain, without the term of U that no state changes."""
        own = v.to(self.base.dtype)
        linear = own @ torch.stack([self.base, self.rise], 1)
        column = torch.as_tensor(beta, dtype=own.dtype, device=own.device).reshape(-1)
        square = 0.5 * own.square().sum(1) if self.p.visible == "real" else 0.0
        hidden = hidden_potential(self.field(v) * beta, self.p.hidden).sum(1)
        return square - linear[:, 0] - column * linear[:, 1] - hidden
