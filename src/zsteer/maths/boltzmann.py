r"""Equations of the restricted Boltzmann machine, for three kinds of visible and three kinds of hidden unit.

.. math:: E(v, h) = U(v) - \sum_j b_j h_j - \sum_{ij} v_i w_{ij} h_j + R(h), \quad p(v, h) \propto e^{-E(v, h)}

========= ===================== ============================= =========================================
visible   v                     U(v)                          given h, with field f = a + W h
========= ===================== ============================= =========================================
binary    {0, 1}                -a v                          Bernoulli(sigmoid(f))
real      real numbers          (v - a)^2 / 2                 N(f, 1)
levels    one-hot of K levels   -a v                          softmax over the K levels of a place
========= ===================== ============================= =========================================

========= ===================== ============================= =========================================
hidden    h                     R(h)                          given v, with field x = b + W^T v
========= ===================== ============================= =========================================
bernoulli {0, 1}                0                             Bernoulli(sigmoid(x))
gaussian  real numbers          h^2 / 2                       N(x, 1)
relu      h >= 0                h^2 / 2                       N(x, 1) cut off below 0
========= ===================== ============================= =========================================

A visible vector is flat: for levels the place i and level k stand at i K + k. Everything is per sample and in nats.

Source: Salakhutdinov, Mnih, Hinton, "Restricted Boltzmann machines for collaborative filtering", ICML 2007 (levels);
Welling, Rosen-Zvi, Hinton, "Exponential family harmoniums", NeurIPS 2004 (the general form).
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.errors import InputError

__all__ = [
    "MOST_UNITS",
    "Couplings",
    "Hidden",
    "Visible",
    "binary_states",
    "contrast",
    "energy",
    "free_energy",
    "hidden_draw",
    "hidden_field",
    "hidden_mean",
    "hidden_potential",
    "hidden_probability",
    "level_states",
    "log_joint",
    "log_partition",
    "visible_draw",
    "visible_energy",
    "visible_field",
    "visible_mean",
    "visible_potential",
    "weight_update",
    "zero_sum",
]

Visible = Literal["binary", "real", "levels"]
Hidden = Literal["bernoulli", "gaussian", "relu"]

MOST_UNITS = 20
"""Units that are enumerated at most: 2^20 states take seconds, 2^30 take hours."""

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


@dataclass(frozen=True)
class Couplings:
    """Parameters of a machine with ``n`` visible and ``m`` hidden numbers.

    Args:
        w: weights.
        a: biases of the visible units, for real ones their means at h = 0.
        b: biases of the hidden units.
        visible: kind of the visible units.
        hidden: kind of the hidden units.
        levels: K, levels of each place; 1 unless ``visible`` is levels.

    Raises:
        InputError: if the visible numbers are no multiple of the levels.
    """

    w: Float[Tensor, "n m"]
    a: Float[Tensor, " n"]
    b: Float[Tensor, " m"]
    visible: Visible = "binary"
    hidden: Hidden = "bernoulli"
    levels: int = 1

    def __post_init__(self) -> None:
        if self.levels < 1 or len(self.a) % self.levels:
            raise InputError(f"expected a multiple of {self.levels} levels, got {len(self.a)} visible numbers")


def hidden_field(v: Float[Tensor, "*b n"], p: Couplings) -> Float[Tensor, "*b m"]:
    """x_j = b_j + sum_i v_i w_ij."""
    return v @ p.w + p.b


def visible_field(h: Float[Tensor, "*b m"], p: Couplings) -> Float[Tensor, "*b n"]:
    """f_i = a_i + sum_j w_ij h_j."""
    return h @ p.w.T + p.a


def visible_energy(v: Float[Tensor, "*b n"], p: Couplings) -> Float[Tensor, "*b"]:
    """U(v), the part of the energy that the hidden units do not see."""
    if p.visible == "real":
        return 0.5 * (v - p.a).square().sum(-1)
    return -(v @ p.a)


def energy(v: Float[Tensor, "*b n"], h: Float[Tensor, "*b m"], p: Couplings) -> Float[Tensor, "*b"]:
    r"""Energy of a joint state.

    .. math:: E(v, h) = -\sum_i a_i v_i - \sum_j b_j h_j - \sum_i \sum_j v_i w_{i,j} h_j

    for binary and levels visible and Bernoulli hidden units; the module says what the other kinds change.

    Args:
        v: visible state.
        h: hidden state.
        p: parameters.

    Lecture: rbm.energy
    """
    own = 0.0 if p.hidden == "bernoulli" else 0.5 * h.square().sum(-1)
    return visible_energy(v, p) - h @ p.b - ((v @ p.w) * h).sum(-1) + own


def log_joint(
    v: Float[Tensor, "*b n"], h: Float[Tensor, "*b m"], p: Couplings, log_z: float = 0.0
) -> Float[Tensor, "*b"]:
    r"""Log-probability of a joint state: unnormalised, or exact once log Z is known.

    .. math:: p(\mathbf{v}, \mathbf{h}) \propto e^{-E(\mathbf{v}, \mathbf{h})}

    Args:
        v: visible state.
        h: hidden state.
        p: parameters.
        log_z: log Z, for example by ``log_partition``; 0 leaves the result unnormalised.

    Lecture: rbm.joint
    """
    return -energy(v, h, p) - log_z


def hidden_probability(v: Float[Tensor, "*b n"], p: Couplings) -> Float[Tensor, "*b m"]:
    r"""Probability that a Bernoulli hidden unit is on.

    .. math:: p(h_j = 1) = \frac{1}{1 + e^{-(b_j + \sum_{i \in vis} v_i w_{ij})}}

    Args:
        v: visible state.
        p: parameters.

    Lecture: rbm.hidden
    """
    return torch.sigmoid(hidden_field(v, p))


def hidden_potential(x: Float[Tensor, "*b"], kind: Hidden) -> Float[Tensor, "*b"]:
    r"""What a hidden unit adds to -F(v): :math:`\log \sum_h e^{x h - R(h)}` (an integral for real h)."""
    if kind == "bernoulli":
        return torch.nn.functional.softplus(x)
    gaussian = 0.5 * x.square() + _HALF_LOG_2PI
    return gaussian if kind == "gaussian" else gaussian + torch.special.log_ndtr(x)


def hidden_mean(x: Float[Tensor, "*b"], kind: Hidden) -> Float[Tensor, "*b"]:
    """E[h | v], the derivative of ``hidden_potential``."""
    if kind == "bernoulli":
        return torch.sigmoid(x)
    if kind == "gaussian":
        return x
    # The hazard phi(x) / Phi(x) by logarithms: both vanish for a unit far below its threshold.
    return x + torch.exp(-0.5 * x.square() - _HALF_LOG_2PI - torch.special.log_ndtr(x))


def hidden_draw(x: Float[Tensor, "*b"], kind: Hidden, u: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    """A draw of h given v by inversion of its distribution function.

    Args:
        x: fields.
        kind: of the unit.
        u: uniform numbers in (0, 1).
    """
    if kind == "bernoulli":
        return (u < torch.sigmoid(x)).to(x.dtype)
    wide = x.double()
    if kind == "gaussian":
        return (wide + torch.special.ndtri(u.double())).to(x.dtype)
    # Phi(x - h) = u Phi(x). Phi by its logarithm, for ndtr rounds to 0 below -8; in the far tail Phi underflows too,
    # and h is exponential with rate |x|.
    tail = wide - torch.special.ndtri(u.double() * torch.special.log_ndtr(wide).exp())
    far = -torch.log(u.double()) / wide.abs().clamp(min=1.0)
    return torch.where(wide > -30.0, tail, far).clamp(min=0.0).to(x.dtype)


def visible_potential(f: Float[Tensor, "*b n"], p: Couplings) -> Float[Tensor, "*b"]:
    r"""Log-partition of the visible units at their fields, :math:`\log \sum_v e^{-U(v) + v \cdot (f - a)}`."""
    if p.visible == "binary":
        return torch.nn.functional.softplus(f).sum(-1)
    if p.visible == "levels":
        return torch.logsumexp(f.unflatten(-1, (-1, p.levels)), -1).sum(-1)
    return (0.5 * (f.square() - p.a.square()) + _HALF_LOG_2PI).sum(-1)


def visible_mean(f: Float[Tensor, "*b n"], p: Couplings) -> Float[Tensor, "*b n"]:
    """E[v | h], the derivative of ``visible_potential``; for levels the probability of each."""
    if p.visible == "binary":
        return torch.sigmoid(f)
    if p.visible == "levels":
        return torch.softmax(f.unflatten(-1, (-1, p.levels)), -1).flatten(-2)
    return f


def visible_draw(f: Float[Tensor, "*b n"], p: Couplings, u: Float[Tensor, "*b s"]) -> Float[Tensor, "*b n"]:
    """A draw of v given h.

    Args:
        f: fields.
        p: parameters.
        u: uniform numbers in (0, 1), one for each unit; for levels one for each place.
    """
    if p.visible == "binary":
        return (u < torch.sigmoid(f)).to(f.dtype)
    if p.visible == "real":
        return f + torch.special.ndtri(u.double()).to(f.dtype)
    chances = torch.softmax(f.unflatten(-1, (-1, p.levels)), -1).cumsum(-1)
    # The last sum is 1 up to rounding; without the clamp a u of nearly 1 would find no level.
    level = (chances < u[..., None]).sum(-1).clamp(max=p.levels - 1)
    return torch.nn.functional.one_hot(level, p.levels).to(f.dtype).flatten(-2)


def free_energy(v: Float[Tensor, "*b n"], p: Couplings) -> Float[Tensor, "*b"]:
    r"""Free energy of a visible state: the hidden units summed out.

    .. math:: F(v) = -\log \sum_h e^{-E(v, h)} = U(v) - \sum_j \log \sum_{h_j} e^{x_j h_j - R(h_j)}

    For the lecture's machine :math:`F(v) = -a \cdot v - \sum_j \log(1 + e^{x_j})`.

    Args:
        v: visible state.
        p: parameters.

    Source: Hinton, "A practical guide to training restricted Boltzmann machines", 2010, section 16.1.
    """
    return visible_energy(v, p) - hidden_potential(hidden_field(v, p), p.hidden).sum(-1)


def contrast(data: Float[Tensor, " b"], model: Float[Tensor, "..."]) -> Float[Tensor, " b"]:
    r"""Loss of each sample, :math:`F(v_i) - F(v_k)`: its gradient is the rule of ``weight_update``.

    Args:
        data: free energies of data.
        model: free energies of the chain that started at each datum (contrastive divergence), or the mean over
            chains that go on from update to update.
    """
    return data - model


def weight_update(
    data: tuple[Float[Tensor, "b n"], Float[Tensor, "b m"]],
    model: tuple[Float[Tensor, "c n"], Float[Tensor, "c m"]],
    rate: float,
) -> Float[Tensor, "n m"]:
    r"""Change of the weights by the learning rule.

    .. math:: \Delta w_{ij} = \epsilon (\langle v_i h_j \rangle^0 - \langle v_i h_j \rangle^\infty)

    Args:
        data: v and E[h | v] with the data on the visible units.
        model: v and E[h | v] of states of the model, from a chain of k steps for k instead of infinity.
        rate: epsilon.

    Lecture: rbm.update
    """
    (v0, h0), (vk, hk) = data, model
    return rate * (v0.T @ h0 / len(v0) - vk.T @ hk / len(vk))


def zero_sum(p: Couplings) -> Couplings:
    """The same distribution with weights and visible biases that sum to 0 over the levels of each place.

    A place is at exactly one level, so a number added to all its levels changes nothing but the hidden biases, which
    take up the mean weights. Free directions let weights drift and make decay act on what has no meaning.
    """
    if p.visible != "levels":
        return p
    w, a = p.w.unflatten(0, (-1, p.levels)), p.a.unflatten(0, (-1, p.levels))
    mean = w.mean(1)
    own = ((w - mean[:, None]).flatten(0, 1), (a - a.mean(1, keepdim=True)).flatten(), p.b + mean.sum(0))
    return Couplings(*own, p.visible, p.hidden, p.levels)


def binary_states(n: int, first: int = 0, last: int | None = None) -> Float[Tensor, "s n"]:
    """States ``first ... last - 1`` of ``n`` binary units in counting order, float64."""
    index = torch.arange(first, 2**n if last is None else last)
    return ((index[:, None] >> torch.arange(n)) & 1).double()


def level_states(places: int, levels: int, first: int = 0, last: int | None = None) -> Float[Tensor, "s n"]:
    """States ``first ... last - 1`` of ``places`` places with ``levels`` levels each, one-hot and flat, float64."""
    index = torch.arange(first, levels**places if last is None else last)
    digits = (index[:, None] // levels ** torch.arange(places)) % levels
    return torch.nn.functional.one_hot(digits, levels).flatten(1).double()


def log_partition(p: Couplings) -> Float[Tensor, ""]:
    r"""Exact log Z by enumeration of the side with fewer states, in float64. [nats]

    .. math:: Z = \sum_v e^{-F(v)} = \sum_h e^{b \cdot h} \sum_v e^{-U(v) + v \cdot W h}

    Args:
        p: parameters.

    Raises:
        InputError: if no side can be enumerated: each has more than 2^20 states or real units.
    """
    n, m = p.w.shape
    wide = Couplings(p.w.double(), p.a.double(), p.b.double(), p.visible, p.hidden, p.levels)
    places = n // p.levels
    bits_v = math.inf if p.visible == "real" else places * math.log2(max(p.levels, 2))
    bits_h = m if p.hidden == "bernoulli" else math.inf
    if min(bits_v, bits_h) > MOST_UNITS + 1e-9:
        raise InputError(
            f"exact log Z enumerates at most 2^{MOST_UNITS} states of one side; {n} visible ({p.visible}) and {m} "
            f"hidden ({p.hidden}) units have more, or are real; estimate it by annealing"
        )
    by_hidden = bits_h <= bits_v
    count = 2**m if by_hidden else 2**places if p.visible == "binary" else p.levels**places
    # Pieces of 2^22 numbers, 32 MB.
    piece = max(1, 2**22 // max(n, m))
    sums = []
    for first in range(0, count, piece):
        last = min(first + piece, count)
        if by_hidden:
            h = binary_states(m, first, last)
            sums.append(torch.logsumexp(h @ wide.b + visible_potential(visible_field(h, wide), wide), 0))
        else:
            states = binary_states(n, first, last) if p.visible == "binary" else None
            v = level_states(places, p.levels, first, last) if states is None else states
            sums.append(torch.logsumexp(-free_energy(v, wide), 0))
    return torch.logsumexp(torch.stack(sums), 0)
