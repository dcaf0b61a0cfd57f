r"""Losses that compare distributions: the bound of the VAE, dependence, divergences of categorical distributions."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zsteer.errors import InputError
from zsteer.maths.gaussian import kl_to_standard_normal
from zsteer.maths.transport import squared_distances

__all__ = ["dependence", "hsic", "jensen_shannon", "kl_divergence", "total_variation", "vae_loss"]


def vae_loss(
    x: Float[Tensor, "b d"], x_hat: Float[Tensor, "b d"], mu: Float[Tensor, "b k"], log_var: Float[Tensor, "b k"]
) -> Float[Tensor, " b"]:
    r"""Loss of the variational autoencoder, per sample.

    .. math:: \|x - \hat x\|^2 + \text{KL}[N(\mu_x, \sigma_x), N(0, I)]

    Args:
        x: data.
        x_hat: d(z), the reconstruction.
        mu: mean of the code.
        log_var: log of the code's variance.

    Source: Kingma and Welling, "Auto-encoding variational Bayes", ICLR 2014.
    Lecture: vae.loss
    """
    return (x - x_hat).square().sum(-1) + kl_to_standard_normal(mu, log_var)


def _centred(gram: Float[Tensor, "n n"]) -> Float[Tensor, "n n"]:
    return gram - gram.mean(0, keepdim=True) - gram.mean(1, keepdim=True) + gram.mean()


def hsic(k: Float[Tensor, "n n"], l: Float[Tensor, "n n"]) -> Float[Tensor, ""]:  # noqa: E741 (the paper's symbol)
    r"""Hilbert-Schmidt independence criterion of two Gram matrices (biased estimate).

    .. math:: \frac{1}{n^2} \text{tr}(K H L H), \quad H = I - \frac1n 1 1^T

    Args:
        k: kernel of the first variable between all pairs of samples.
        l: kernel of the second.

    Raises:
        InputError: if the matrices differ in shape.

    Source: Gretton et al., "Measuring statistical dependence with Hilbert-Schmidt norms", ALT 2005.
    """
    if k.shape != l.shape:
        raise InputError(f"expected two Gram matrices of one shape, got {tuple(k.shape)} and {tuple(l.shape)}")
    return (_centred(k) * _centred(l)).sum() / len(k) ** 2


def dependence(z: Float[Tensor, "n d"], label: Int[Tensor, " n"], eps: float = 1e-3) -> Float[Tensor, " n"]:
    r"""Share of each sample in the normalised HSIC between a code and a label; their mean is the criterion.

    .. math:: \frac{\langle K_c, L_c \rangle}{\|K_c\| \|L_c\| + \epsilon}

    with a multi-scale Gaussian kernel at the median distance for the code and the equality kernel for the label.
    The norm of K_c takes part as a number, without gradient: otherwise growing noise elsewhere would lower the loss.

    Args:
        z: code.
        label: class of each sample.
        eps: keeps a collapsed code finite.
    """
    distance = squared_distances(z, z)
    median = distance.detach().median().clamp(min=1e-3)
    gram = torch.stack([torch.exp(-distance / (2 * median * scale)) for scale in (0.1, 0.3, 1.0)]).mean(0)
    same = (label[:, None] == label[None, :]).to(z.dtype)
    k, l = _centred(gram), _centred(same)  # noqa: E741
    norm = k.detach().square().sum().sqrt() * l.square().sum().sqrt() + eps
    return len(z) * (k * l).sum(1) / norm


def kl_divergence(p: Float[Tensor, "*any k"], q: Float[Tensor, "*any k"]) -> Float[Tensor, "*any"]:
    r"""KL divergence of categorical distributions; infinite where q lacks what p has. [nats]

    .. math:: D_{KL}(P \Vert Q) = \sum_k p_k \log \frac{p_k}{q_k}

    Args:
        p: probabilities over the last axis.
        q: probabilities over the last axis.
    """
    return (torch.xlogy(p, p) - torch.xlogy(p, q)).sum(-1)


def jensen_shannon(p: Float[Tensor, "*any k"], q: Float[Tensor, "*any k"]) -> Float[Tensor, "*any"]:
    r"""Jensen-Shannon divergence of categorical distributions, between 0 and log 2. [nats]

    .. math:: D_{JS}(P, Q) = \tfrac12 D_{KL}(P \Vert \tfrac{P + Q}{2}) + \tfrac12 D_{KL}(Q \Vert \tfrac{P + Q}{2})

    Args:
        p: probabilities over the last axis.
        q: probabilities over the last axis.
    """
    middle = (p + q) / 2
    return (kl_divergence(p, middle) + kl_divergence(q, middle)) / 2


def total_variation(p: Float[Tensor, "*any k"], q: Float[Tensor, "*any k"]) -> Float[Tensor, "*any"]:
    r"""Total variation distance of categorical distributions, between 0 and 1.

    .. math:: \tfrac12 \sum_k |p_k - q_k|
    """
    return (p - q).abs().sum(-1) / 2
