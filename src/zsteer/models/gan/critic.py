r"""``Critic``: a function f of one number whose slope is held, by one switch.

For a 1-Lipschitz f the gap is a lower bound of the Wasserstein distance, and the best f attains it,

.. math:: W_1(P, Q) = \max_{\|f\|_L \le 1} \; \mathbb{E}_P f(x) - \mathbb{E}_Q f(y) .

``clip`` cuts every weight to [-c, c] after a step (f is K-Lipschitz, K unknown); ``penalty`` pulls the slope between
data and made samples to 1; ``spectral`` divides each weight by its largest singular value; ``none`` is a plain GAN's.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zsteer.core.rng import Streams
from zsteer.errors import SettingsError
from zsteer.maths.adversarial import gradient_penalty, slopes
from zsteer.nets.convolutional import SLOPE, ConvCritic
from zsteer.nets.mlp import MLP
from zsteer.nets.spectral import SpectralLinear, iterate

__all__ = ["BATCH_NORM", "Critic", "Gap", "Lipschitz"]

Lipschitz = Literal["none", "clip", "penalty", "spectral"]
BATCH_NORM = "batch norm in a critic"


@dataclass(frozen=True)
class Gap:
    """What a critic says of two samples.

    Args:
        value: mean f over the first less mean f over the second.
        slope: largest slope of f found on the way between pairs of them.
    """

    value: float
    slope: float

    @property
    def wasserstein(self) -> float:
        """Estimate of W1: the gap of f divided by its slope, a lower bound but for sampling."""
        return self.value / max(self.slope, 1e-12)


class Critic(nn.Module):
    """A net from a sample to one number, and what holds its slope.

    Args:
        shape: shape of one sample; images (c, h, w) get convolutions, the rest a fully connected net.
        width: of the hidden layers (channels for images).
        depth: hidden layers of a fully connected net.
        lipschitz: how the slope is held.
        clip: c of ``clip``.
        frequencies: octaves of sines and cosines of the input that the net sees beside it: small nets cannot follow
            fine structure in a wide range without.
        net: a net of one's own instead, with output of shape ``(b, 1)``.

    Raises:
        SettingsError: diagnosis "batch norm in a critic", if the net mixes the samples of a batch.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        width: int,
        depth: int,
        lipschitz: Lipschitz,
        *,
        clip: float = 0.01,
        frequencies: int = 0,
        net: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.lipschitz, self.clip = lipschitz, clip
        self.waves: Tensor
        self.register_buffer("waves", 2.0 ** torch.arange(frequencies))
        inputs = shape if not frequencies else (math.prod(shape) * (1 + 2 * frequencies),)
        self.net = net if net is not None else _net(inputs, width, depth, spectral=lipschitz == "spectral")
        for name, module in self.net.named_modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.SyncBatchNorm):
                raise SettingsError(
                    f"{BATCH_NORM}: {name or 'the net'} is a {type(module).__name__}; it makes the value of a sample "
                    f"depend on the others, so that slopes and losses are not per sample; use LayerNorm or nothing"
                )

    def forward(self, x: Float[Tensor, "b ..."]) -> Float[Tensor, " b"]:
        """Value of f at each sample."""
        if len(self.waves):
            angle = (x.flatten(1)[:, :, None] * self.waves.to(x.dtype)).flatten(1)
            x = torch.cat([x.flatten(1), angle.sin(), angle.cos()], 1)
        return self.net(x)[:, 0]

    def slopes(self, real: Float[Tensor, "b ..."], made: Float[Tensor, "b ..."], rng: Streams) -> Float[Tensor, " b"]:
        """Slope of f at a random point between each pair; gradients flow on to the weights."""
        share = rng.uniform("between").to(real.dtype).reshape(-1, *(1,) * (real.ndim - 1))
        with torch.enable_grad():
            x_hat = (real + share * (made - real)).detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self(x_hat).sum(), x_hat, create_graph=True)
        return slopes(gradient)

    def penalty(self, real: Float[Tensor, "b ..."], made: Float[Tensor, "b ..."], rng: Streams) -> Float[Tensor, " b"]:
        """Gradient penalty of each pair."""
        return gradient_penalty(self.slopes(real, made, rng))

    @torch.no_grad()
    def after_step(self) -> None:
        """Clip the weights, or follow their singular values."""
        if self.lipschitz == "clip":
            for parameter in self.parameters():
                parameter.clamp_(-self.clip, self.clip)
        elif self.lipschitz == "spectral":
            iterate(self)

    def gap(self, real: Float[Tensor, "b ..."], made: Float[Tensor, "b ..."], rng: Streams) -> Gap:
        """Gap and largest slope between two samples of equal size."""
        with torch.no_grad():
            value = float(self(real).mean() - self(made).mean())
        return Gap(value, float(self.slopes(real, made, rng).detach().max()))


def _net(shape: tuple[int, ...], width: int, depth: int, *, spectral: bool) -> nn.Module:
    if len(shape) == 3:
        return ConvCritic(shape, width, spectral=spectral)
    if len(shape) != 1:
        raise SettingsError(f"expected samples of shape (n,) or (c, h, w), got {shape}; flatten them")
    if not spectral:
        return MLP([shape[0], *[width] * depth, 1], slope=SLOPE)
    layers: list[nn.Module] = [SpectralLinear(shape[0], width), nn.LeakyReLU(SLOPE)]
    for _ in range(depth - 1):
        layers += [SpectralLinear(width, width), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers, SpectralLinear(width, 1))
