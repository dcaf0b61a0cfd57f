r"""Multinomial diffusion: the equations of the lecture's slide, one function each, in log space.

A state is a row of probabilities over K categories, one-hot where it is known. Noise replaces it by a draw from the
resting distribution m: even, m = 1/K (the lecture), or all on one further category, the mask (absorbing). With abar at
t, ``before`` = abar at t - 1 or any earlier time, and alpha = abar / before,

.. math:: q(x_t | x_0) = C(\bar\alpha_t x_0 + (1 - \bar\alpha_t) m), \quad
          q(x_{t-1} | x_t, x_0) \propto [\alpha_t x_t + (1 - \alpha_t) m \cdot x_t] \odot
          [\bar\alpha_{t-1} x_0 + (1 - \bar\alpha_{t-1}) m] .

Functions take probabilities and give log-probabilities. Coefficients are numbers or tensors that broadcast with the
states. Impossible is ``NOTHING``, a finite number: then 0 log 0 is 0 and gradients exist.

Source: Hoogeboom et al., "Argmax flows and multinomial diffusion", 2021; Austin et al., "Structured denoising diffusion
models in discrete state-spaces", 2021 (the absorbing kernel).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = [
    "NOTHING",
    "draw",
    "evidence",
    "forward_step",
    "kl",
    "least_random",
    "log_of",
    "marginal",
    "posterior",
    "resting",
    "reverse",
    "theta",
]

Number = float | Tensor

NOTHING = -1e30
"""Log-probability of what cannot be."""


def log_of(p: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Logarithm of probabilities; ``NOTHING`` of 0."""
    some = p > 0
    return torch.where(some, torch.where(some, p, 1.0).log(), NOTHING)


def resting(categories: int, *, mask: bool, like: Tensor | None = None) -> Float[Tensor, " k"]:
    """The distribution m in which the forward process comes to rest.

    Args:
        categories: K, the mask included if there is one.
        mask: all of it on the last category, the mask; else even.
        like: gives type and device; float64 on the CPU without one.
    """
    kind = torch.float64 if like is None else like.dtype
    device = None if like is None else like.device
    if not mask:
        return torch.full((categories,), 1 / categories, dtype=kind, device=device)
    m = torch.zeros(categories, dtype=kind, device=device)
    m[-1] = 1
    return m


def forward_step(before: Float[Tensor, "... k"], beta: Number, rest: Float[Tensor, " k"]) -> Float[Tensor, "... k"]:
    r"""Log-probabilities of x_t given x_{t-1}: C((1 - beta_t) x_{t-1} + beta_t m).

    Args:
        before: x_{t-1}.
        beta: share that the step replaces.
        rest: m; 1/K on the slide.

    Lecture: multinomial.forward
    """
    return log_of((1 - beta) * before + beta * rest)


def marginal(x0: Float[Tensor, "... k"], abar: Number, rest: Float[Tensor, " k"]) -> Float[Tensor, "... k"]:
    r"""Log-probabilities of x_t given x_0: C(abar_t x_0 + (1 - abar_t) m).

    Args:
        x0: data.
        abar: share of the data that is left at t.
        rest: m; 1/K on the slide.

    Lecture: multinomial.marginal
    """
    return log_of(abar * x0 + (1 - abar) * rest)


def evidence(x_t: Float[Tensor, "... k"], kept: Number, rest: Float[Tensor, " k"]) -> Float[Tensor, "... k"]:
    r"""Log-probability of x_t from each earlier state: log(kept x_t + (1 - kept) m . x_t).

    Args:
        x_t: the later state.
        kept: share that is left in between: alpha_t from t - 1, abar_t from 0.
        rest: m; with 1/K the last term is (1 - kept) / K.
    """
    return log_of(kept * x_t + (1 - kept) * (x_t * rest).sum(-1, keepdim=True))


def theta(
    x_t: Float[Tensor, "... k"], x0: Float[Tensor, "... k"], abar: Number, before: Number, rest: Float[Tensor, " k"]
) -> Float[Tensor, "... k"]:
    r"""Log of theta-tilde = [alpha_t x_t + (1 - alpha_t) / K] * [abar_{t-1} x_0 + (1 - abar_{t-1}) / K].

    Args:
        x_t: state at t.
        x0: data.
        abar: share of the data that is left at t.
        before: the same at t - 1.
        rest: m; 1/K on the slide.

    Lecture: multinomial.theta
    """
    return evidence(x_t, abar / before, rest) + marginal(x0, before, rest)


def posterior(
    x_t: Float[Tensor, "... k"], x0: Float[Tensor, "... k"], abar: Number, before: Number, rest: Float[Tensor, " k"]
) -> Float[Tensor, "... k"]:
    r"""Log-probabilities of x_{t-1} given x_t and x_0: theta_post = theta-tilde over its sum.

    Args:
        x_t: state at t.
        x0: data.
        abar: share of the data that is left at t.
        before: the same at t - 1.
        rest: m; 1/K on the slide.

    Lecture: multinomial.posterior
    """
    return theta(x_t, x0, abar, before, rest).log_softmax(-1)


def reverse(
    x_t: Float[Tensor, "... k"], log_x0: Float[Tensor, "... k"], abar: Number, before: Number, rest: Float[Tensor, " k"]
) -> Float[Tensor, "... k"]:
    r"""Log-probabilities of x_{t-1} given x_t, where x_0 is known by its distribution only.

    .. math:: p(x_{t-1} | x_t) = \sum_{x_0} q(x_{t-1} | x_t, x_0)\, p(x_0 | x_t)
              = [\alpha_t x_t + (1 - \alpha_t) m \cdot x_t] \odot
              \left[\bar\alpha_{t-1} w + (1 - \bar\alpha_{t-1}) m \textstyle\sum w\right], \quad
              w = p(x_0 | x_t) / q(x_t | x_0) .

    The sum is what Bayes' rule asks for. theta_post with the probabilities in the place of x_0 is the same thing for a
    prediction that has not looked at x_t's own position: p(x_0) q(x_t | x_0) up to its sum is the prediction that has.

    Args:
        x_t: state at t.
        log_x0: unnormalised log-probabilities of x_0 given x_t; those from which x_t cannot come are left out.
        abar: share of the data that is left at t.
        before: the same at t - 1.
        rest: m.
    """
    seen = evidence(x_t, abar, rest)
    possible = seen > NOTHING / 2
    log_p = torch.where(possible, log_x0, NOTHING).log_softmax(-1)
    log_w = torch.where(possible, log_p - seen, NOTHING)
    share = torch.as_tensor(before, dtype=log_w.dtype, device=log_w.device)
    data = log_of(share) + log_w
    noise = log_of(1 - share) + log_of(rest) + log_w.logsumexp(-1, keepdim=True)
    return evidence(x_t, abar / before, rest) + torch.logaddexp(data, noise)


def least_random(
    x_t: Float[Tensor, "... k"], log_x0: Float[Tensor, "... k"], abar: Number, before: Number
) -> Float[Tensor, "... k"]:
    r"""Log-probabilities of x_{t-1} in the process with the same marginals that moves as seldom as it can.

    .. math:: C(\sigma x_t + (1 - \sigma)\, p(x_0 | x_t)), \quad
              \sigma = \frac{1 - \bar\alpha_{t-1}}{1 - \bar\alpha_t} .

    No larger share can stay: the general form has the further term ((1 - abar_{t-1}) - (1 - abar_t) sigma) m, which
    must not be negative.

    Args:
        x_t: state at t.
        log_x0: unnormalised log-probabilities of x_0 given x_t.
        abar: share of the data that is left at t.
        before: the same at t - 1.

    Source: Song, Meng, Ermon, "Denoising diffusion implicit models", 2021, appendix on discrete data.
    """
    stay = (1 - before) / (1 - abar)
    return log_of(stay * x_t + (1 - stay) * log_x0.softmax(-1))


def kl(log_p: Float[Tensor, "... k"], log_q: Float[Tensor, "... k"]) -> Float[Tensor, "..."]:
    """KL of a categorical distribution from another, for each row. [nats]

    Args:
        log_p: log-probabilities of the first.
        log_q: log-probabilities of the second.
    """
    return (log_p.exp() * (log_p - log_q)).sum(-1)


def draw(log_p: Float[Tensor, "... k"], u: Float[Tensor, "..."]) -> Float[Tensor, "... k"]:
    """One-hot rows drawn by the inverse of the distribution function: one uniform number a row.

    Args:
        log_p: log-probabilities.
        u: uniform numbers in (0, 1).
    """
    edges = log_p.double().exp().cumsum(-1)
    # The last edge is 1 up to rounding; u is scaled to it, so that no category beyond the possible ones is met.
    index: Int[Tensor, "..."] = (u[..., None].double() * edges[..., -1:] > edges).sum(-1)
    return torch.nn.functional.one_hot(index, log_p.shape[-1]).to(log_p.dtype)
