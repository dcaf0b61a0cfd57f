r"""Gaussian diffusion: the equations of the lecture's slides, one function each.

Coefficients (``beta``, ``abar`` at t, ``before`` = abar at t - 1 or at any earlier time) are numbers or tensors that
broadcast with the data; ``beta`` of a longer step from time s to t is 1 - abar_t / abar_s. Time 0 is data.
"""

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = [
    "discretised_log_probability",
    "forward_step",
    "kl_of_means",
    "kl_of_normals",
    "log_normal_mass",
    "marginal",
    "mean_from_noise",
    "noise_of",
    "posterior_mean",
    "posterior_variance",
    "simple_loss",
    "step_from_noise",
    "velocity",
    "weighted_noise_loss",
    "x0_from_noise",
    "x0_from_velocity",
]

Number = float | Tensor


def forward_step(before: Float[Tensor, "*x"], beta: Number, z: Float[Tensor, "*x"]) -> Float[Tensor, "*x"]:
    r"""x_t = sqrt(1 - beta_t) x_{t-1} + sqrt(beta_t) z_t.

    Args:
        before: x_{t-1}.
        beta: variance of the step.
        z: standard normal noise.

    Lecture: ddpm.forward
    """
    return (1 - beta) ** 0.5 * before + beta**0.5 * z


def marginal(x0: Float[Tensor, "*x"], abar: Number, eps: Float[Tensor, "*x"]) -> Float[Tensor, "*x"]:
    r"""x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps.

    Lecture: ddpm.marginal
    """
    return abar**0.5 * x0 + (1 - abar) ** 0.5 * eps


def posterior_mean(
    x0: Float[Tensor, "*x"], x_t: Float[Tensor, "*x"], abar: Number, before: Number
) -> Float[Tensor, "*x"]:
    r"""Mean of q(x_{t-1} | x_t, x_0).

    .. math:: \tilde\mu_t = \frac{\sqrt{\bar\alpha_{t-1}} \beta_t}{1 - \bar\alpha_t} x_0
              + \frac{\sqrt{1 - \beta_t} (1 - \bar\alpha_{t-1})}{1 - \bar\alpha_t} x_t

    Args:
        x0: data.
        x_t: noisy data.
        abar: squared signal at t.
        before: squared signal at t - 1.

    Lecture: ddpm.posterior.mean
    """
    kept = abar / before
    return (before**0.5 * (1 - kept) * x0 + kept**0.5 * (1 - before) * x_t) / (1 - abar)


def posterior_variance(abar: Number, before: Number) -> Number:
    r"""Variance of q(x_{t-1} | x_t, x_0): (1 - abar_{t-1}) / (1 - abar_t) beta_t.

    Lecture: ddpm.posterior.variance
    """
    return (1 - before) / (1 - abar) * (1 - abar / before)


def mean_from_noise(
    x_t: Float[Tensor, "*x"], eps: Float[Tensor, "*x"], abar: Number, before: Number
) -> Float[Tensor, "*x"]:
    r"""The mean of the reverse step, from the noise in x_t: 1 / sqrt(1 - beta_t) (x_t - beta_t / sqrt(1 - abar_t) eps).

    With the noise that was added it is the posterior's mean, with the noise that a network predicts it is mu_theta.

    Args:
        x_t: noisy data.
        eps: the noise.
        abar: squared signal at t.
        before: squared signal at t - 1.

    Lecture: ddpm.posterior.mean_from_noise, ddpm.mean
    """
    kept = abar / before
    return (x_t - (1 - kept) / (1 - abar) ** 0.5 * eps) / kept**0.5


def step_from_noise(
    z_t: Float[Tensor, "*x"], eps: Float[Tensor, "*x"], z: Float[Tensor, "*x"], abar: Number, before: Number
) -> Float[Tensor, "*x"]:
    r"""EDM's step back in time, from the noise in z_t.

    .. math:: z_s = \frac{1}{\alpha_{t|s}} z_t - \frac{\sigma_{t|s}^2}{\alpha_{t|s} \sigma_t} \epsilon_\theta
              + \sigma_{t \to s}\, z, \quad \alpha_{t|s} = \frac{\alpha_t}{\alpha_s}, \quad
              \sigma_{t|s}^2 = \sigma_t^2 - \alpha_{t|s}^2 \sigma_s^2, \quad
              \sigma_{t \to s} = \frac{\sigma_{t|s} \sigma_s}{\sigma_t}

    Args:
        z_t: noisy data.
        eps: the noise in them, phi(z_t, t).
        z: new noise; of coordinates, without centre of mass.
        abar: squared signal alpha_t^2.
        before: squared signal alpha_s^2 at the earlier time.

    Lecture: edm.sample
    """
    # sigma_{t|s}^2 = 1 - abar_t - (abar_t / abar_s) (1 - abar_s) = 1 - alpha_{t|s}^2
    kept, variance = (abar / before) ** 0.5, 1 - abar / before
    mean = z_t / kept - variance / (kept * (1 - abar) ** 0.5) * eps
    return mean + (variance * (1 - before) / (1 - abar)) ** 0.5 * z


def noise_of(x_t: Float[Tensor, "*x"], x0: Float[Tensor, "*x"], abar: Number) -> Float[Tensor, "*x"]:
    """The noise that turned x_0 into x_t."""
    return (x_t - abar**0.5 * x0) / (1 - abar) ** 0.5


def x0_from_noise(x_t: Float[Tensor, "*x"], eps: Float[Tensor, "*x"], abar: Number) -> Float[Tensor, "*x"]:
    """The data from which that noise led to x_t."""
    return (x_t - (1 - abar) ** 0.5 * eps) / abar**0.5


def velocity(x0: Float[Tensor, "*x"], eps: Float[Tensor, "*x"], abar: Number) -> Float[Tensor, "*x"]:
    """The velocity signal eps - sigma x_0, the direction in which x_t turns.

    Source: Salimans, Ho, "Progressive distillation for fast sampling of diffusion models", 2022.
    """
    return abar**0.5 * eps - (1 - abar) ** 0.5 * x0


def x0_from_velocity(x_t: Float[Tensor, "*x"], v: Float[Tensor, "*x"], abar: Number) -> Float[Tensor, "*x"]:
    """x_0 = signal x_t - sigma v."""
    return abar**0.5 * x_t - (1 - abar) ** 0.5 * v


def simple_loss(eps: Float[Tensor, "b ..."], predicted: Float[Tensor, "b ..."]) -> Float[Tensor, " b"]:
    r"""Algorithm 1's loss: the squared error of the predicted noise, summed over a sample.

    Lecture: ddpm.train
    """
    return (eps - predicted).square().flatten(1).sum(1)


def weighted_noise_loss(
    eps: Float[Tensor, "b ..."], predicted: Float[Tensor, "b ..."], abar: Number, before: Number, variance: Number
) -> Float[Tensor, " b"]:
    r"""L_{t-1} up to its constant, from the noise.

    .. math:: \frac{\beta_t^2}{2 \sigma_t^2 (1 - \beta_t) (1 - \bar\alpha_t)} \|\epsilon - \epsilon_\theta\|^2

    Args:
        eps: the noise that was added.
        predicted: the noise that the network found.
        abar: squared signal at t.
        before: squared signal at t - 1.
        variance: sigma_t^2 of the reverse step.

    Lecture: ddpm.loss
    """
    kept = abar / before
    return (1 - kept) ** 2 / (2 * variance * kept * (1 - abar)) * simple_loss(eps, predicted)


def kl_of_means(mean: Float[Tensor, "b ..."], other: Float[Tensor, "b ..."], variance: Number) -> Float[Tensor, " b"]:
    r"""KL of two normal distributions that share the variance: |mu - mu'|^2 / (2 sigma^2), L_{t-1} of the slide. [nats]

    Lecture: ddpm.kl
    """
    return (mean - other).square().flatten(1).sum(1) / (2 * variance)


def kl_of_normals(
    mean: Float[Tensor, "b ..."],
    log_var: Float[Tensor, "#b ..."],
    other: Float[Tensor, "b ..."],
    other_log_var: Float[Tensor, "#b ..."],
) -> Float[Tensor, " b"]:
    """KL of one diagonal normal distribution from another, summed over a sample. [nats]

    Args:
        mean: of the first.
        log_var: of the first.
        other: mean of the second.
        other_log_var: log-variance of the second.
    """
    gap = other_log_var - log_var
    each = gap + (-gap).exp() + (mean - other).square() * (-other_log_var).exp() - 1
    return 0.5 * each.expand_as(mean).flatten(1).sum(1)


def discretised_log_probability(
    x: Float[Tensor, "b ..."], mean: Float[Tensor, "b ..."], log_var: Float[Tensor, "#b ..."], levels: int
) -> Float[Tensor, " b"]:
    r"""Log-probability of values on ``levels`` even levels in [-1, 1], of a normal distribution cut into bins. [nats]

    A bin reaches 1 / (levels - 1) to both sides; the outer two reach to infinity. That is L_0 of a diffusion model of
    images.

    Args:
        x: values on the levels.
        mean: of the normal distribution.
        log_var: its log-variance.
        levels: 256 for images of 8 bits.

    Source: Ho, Jain, Abbeel, "Denoising diffusion probabilistic models", 2020, section 3.3.
    """
    half = 1 / (levels - 1)
    inside = log_normal_mass(x - mean, 0.5 * log_var, half)
    scale = (-0.5 * log_var).exp()
    found = torch.where(x < -1 + half, torch.special.log_ndtr((x - mean + half) * scale), inside)
    found = torch.where(x > 1 - half, torch.special.log_ndtr((mean - x + half) * scale), found)
    return found.flatten(1).sum(1)


def log_normal_mass(
    gap: Float[Tensor, "b ..."], log_std: Float[Tensor, "#b ..."], half: float
) -> Float[Tensor, "b ..."]:
    r"""Log of the integral of a normal of zero mean from gap - half to gap + half. [nats]

    Args:
        gap: from the mean to the middle of the interval.
        log_std: log of the standard deviation.
        half: of the interval.
    """
    scale = (-log_std).exp()
    upper, lower = (gap + half) * scale, (gap - half) * scale
    # By symmetry the bin is taken on the side where the distribution function is small: nothing cancels in the tail.
    flip = (lower > 0).to(gap.dtype) * 2 - 1
    a, b = torch.maximum(-flip * upper, -flip * lower), torch.minimum(-flip * upper, -flip * lower)
    top, bottom = torch.special.log_ndtr(a), torch.special.log_ndtr(b)
    return top + torch.log(-torch.expm1((bottom - top).clamp(max=-1e-12)))
