r"""Adversarial losses, per sample and on logits (log D = log sigmoid of the logit), and gradient reversal."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import Function, FunctionCtx
from torch.nn.functional import logsigmoid

__all__ = ["latent_autoencoder_loss", "latent_discriminator_loss", "reverse_gradient"]


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
