r"""Adversarial losses, per sample and on logits (log D = log sigmoid of the logit), and gradient reversal.

A loss is what a player minimises: minus what the lecture ascends. D reads data x against made samples G(z); the critic
f of the WGAN has no logarithm. The penalty keeps the critic's slope at 1, sample by sample.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import Function, FunctionCtx
from torch.nn.functional import logsigmoid

from zsteer.errors import InputError

__all__ = [
    "binary_cross_entropy",
    "critic_loss",
    "discriminator_loss",
    "generator_loss",
    "gradient_penalty",
    "latent_autoencoder_loss",
    "latent_discriminator_loss",
    "minimax_generator_loss",
    "reverse_gradient",
    "slopes",
    "wasserstein_generator_loss",
]


def discriminator_loss(real_logit: Float[Tensor, " b"], made_logit: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    r"""What the discriminator of a GAN minimises.

    .. math:: -\left[ \log D(x^{(i)}) + \log (1 - D(G(z^{(i)}))) \right]

    Args:
        real_logit: logit of D at data x.
        made_logit: logit of D at made samples G(z).

    Source: Goodfellow et al., "Generative adversarial nets", NIPS 2014, algorithm 1.
    Lecture: gan.discriminator
    """
    return -(logsigmoid(real_logit) + logsigmoid(-made_logit))


def generator_loss(made_logit: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    r"""What the generator of a GAN minimises, in the non-saturating form that the lecture shows.

    .. math:: -\log D(G(z^{(i)}))

    Args:
        made_logit: logit of D at made samples G(z).

    Source: Goodfellow et al. 2014, section 3.
    Lecture: gan.generator
    """
    return -logsigmoid(made_logit)


def minimax_generator_loss(made_logit: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    r"""What the generator of a minimax GAN minimises; its gradient fades where D is sure.

    .. math:: \log (1 - D(G(z^{(i)})))

    Args:
        made_logit: logit of D at made samples G(z).

    Source: Goodfellow et al. 2014, equation 1.
    """
    return logsigmoid(-made_logit)


def critic_loss(real: Float[Tensor, " b"], made: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    r"""What the critic of a WGAN minimises; minus its mean is the estimate of W1 when the critic is 1-Lipschitz.

    .. math:: -\left[ f(x^{(i)}) - f(G(z^{(i)})) \right]

    Args:
        real: f at data x.
        made: f at made samples G(z).

    Source: Arjovsky, Chintala, Bottou, "Wasserstein GAN", ICML 2017, algorithm 1.
    Lecture: wgan.critic
    """
    return made - real


def wasserstein_generator_loss(made: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    r"""What the generator of a WGAN minimises.

    .. math:: -f(G(z^{(i)}))

    Args:
        made: f at made samples G(z).

    Source: Arjovsky et al. 2017, algorithm 1.
    Lecture: wgan.generator
    """
    return -made


def slopes(gradient: Float[Tensor, "b ..."]) -> Float[Tensor, " b"]:
    """Length of each sample's gradient over all its numbers together: one slope for a sample, not for a pixel."""
    # The root of a sum of squares has no derivative at zero; a constant critic must not give NaN.
    return (gradient.flatten(1).square().sum(1) + 1e-12).sqrt()


def gradient_penalty(slope: Float[Tensor, "*any"], *, one_sided: bool = False) -> Float[Tensor, " b"]:
    r"""Penalty of a critic whose slope is not 1.

    .. math:: (\|\nabla_{\hat x} f(\hat x)\|_2 - 1)^2

    Args:
        slope: length of the gradient at one point for each sample, from ``slopes``.
        one_sided: punish slopes above 1 only.

    Raises:
        InputError: diagnosis "per-pixel penalty", if there is more than one slope for a sample.

    Source: Gulrajani et al., "Improved training of Wasserstein GANs", NeurIPS 2017, equation 3.
    """
    if slope.ndim != 1:
        raise InputError(
            f"per-pixel penalty: expected one slope for each sample, shape (b,), got {tuple(slope.shape)}; "
            f"flatten the gradient of a sample before its norm (maths.adversarial.slopes)"
        )
    excess = slope - 1
    return (excess.clamp(min=0) if one_sided else excess).square()


def latent_discriminator_loss(
    prior_logit: Float[Tensor, " n"], code_logit: Float[Tensor, " n"], weight: float = 1.0
) -> Float[Tensor, " n"]:
    r"""What the latent discriminator of WAE-GAN minimises.

    .. math:: -\lambda \left( \log D_\gamma(z_i) + \log(1 - D_\gamma(\tilde z_i)) \right)

    Args:
        prior_logit: logit of D at draws z_i from the prior.
        code_logit: logit of D at codes z~_i of the data.
        weight: lambda.

    Source: Tolstikhin et al. 2018, algorithm 1.
    Lecture: wae.gan.discriminator
    """
    return -weight * (logsigmoid(prior_logit) + logsigmoid(-code_logit))


def latent_autoencoder_loss(
    cost: Float[Tensor, " n"], code_logit: Float[Tensor, " n"], weight: float = 1.0
) -> Float[Tensor, " n"]:
    r"""What the encoder and the decoder of WAE-GAN minimise.

    .. math:: c(x_i, G_\theta(\tilde z_i)) - \lambda \log D_\gamma(\tilde z_i)

    Args:
        cost: reconstruction cost of each sample.
        code_logit: logit of D at the codes z~_i of the data.
        weight: lambda, in units of the cost.

    Source: Tolstikhin et al. 2018, algorithm 1.
    Lecture: wae.gan.autoencoder
    """
    return cost - weight * logsigmoid(code_logit)


class _Reverse(Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, scale: float) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.scale = scale  # type: ignore[attr-defined]
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return -ctx.scale * grad, None


def reverse_gradient(x: Float[Tensor, "*any"], scale: float = 1.0) -> Float[Tensor, "*any"]:
    """Identity forwards, ``-scale`` times the gradient backwards: one loss trains a reader and hides from it.

    Args:
        x: any tensor.
        scale: strength; 0 trains the reader alone.

    Source: Ganin and Lempitsky, "Unsupervised domain adaptation by backpropagation", ICML 2015.
    """
    reversed_: Tensor = _Reverse.apply(x, scale)  # pyright: ignore[reportAssignmentType]
    return reversed_


def binary_cross_entropy(logit: Float[Tensor, "*any"], label: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """-y log p - (1 - y) log(1 - p) for p = sigmoid(logit), element by element."""
    return torch.nn.functional.binary_cross_entropy_with_logits(logit, label, reduction="none")
