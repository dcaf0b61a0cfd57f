"""The two halves of an autoencoder of plain numbers: fully connected, or convolutional for images.

Both work on flat rows; the convolutional kind folds them into pictures inside.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zsteer.errors import SettingsError
from zsteer.nets.convolutional import ConvGenerator
from zsteer.nets.mlp import MLP

__all__ = ["ConvEncoder", "Flat", "decoder", "encoder"]

SLOPE = 0.2


class ConvEncoder(nn.Module):
    """From a picture to features, through two halvings of its extent.

    Args:
        shape: (c, h, w) of a picture; h and w multiples of 4.
        width: channels of the first layer; the second has twice as many.
        out: number of features.

    Raises:
        SettingsError: if h or w is no multiple of 4.
    """

    def __init__(self, shape: tuple[int, ...], width: int, out: int) -> None:
        super().__init__()
        if len(shape) != 3 or shape[1] % 4 or shape[2] % 4:
            raise SettingsError(f"expected images (c, h, w) with h and w multiples of 4, got {shape}; use net=mlp")
        channels, height, breadth = shape
        self.shape = shape
        self.first = nn.Conv2d(channels, width, 4, 2, 1)
        self.second = nn.Conv2d(width, 2 * width, 4, 2, 1)
        self.last = nn.Linear(2 * width * (height // 4) * (breadth // 4), out)

    def forward(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b o"]:
        """Features of flat pictures."""
        picture = x.reshape(len(x), *self.shape)
        hidden = nn.functional.leaky_relu(self.first(picture), SLOPE)
        return self.last(nn.functional.leaky_relu(self.second(hidden), SLOPE).flatten(1))


class Flat(nn.Module):
    """A net of pictures whose result is flat rows.

    Args:
        net: the net.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, z: Float[Tensor, "b i"]) -> Float[Tensor, "b d"]:
        """Rows of numbers."""
        return torch.flatten(self.net(z), 1)


def encoder(
    net: Literal["mlp", "conv"], shape: tuple[int, ...], out: int, *, hidden: Sequence[int], width: int
) -> nn.Module:
    """From flat samples to ``out`` features.

    Args:
        net: kind of network.
        shape: of one sample.
        out: number of features.
        hidden: widths of the hidden layers of an MLP.
        width: channels of the convolutional kind.
    """
    if net == "conv":
        return ConvEncoder(shape, width, out)
    return MLP([torch.Size(shape).numel(), *hidden, out])


def decoder(
    net: Literal["mlp", "conv"], shape: tuple[int, ...], latent: int, *, hidden: Sequence[int], width: int
) -> nn.Module:
    """From codes to flat samples (or their logits).

    Args:
        net: kind of network.
        shape: of one sample.
        latent: width of the code.
        hidden: widths of the encoder's hidden layers, taken in reverse.
        width: channels of the convolutional kind.
    """
    if net == "conv":
        return Flat(ConvGenerator(latent, shape, width))
    return MLP([latent, *reversed(hidden), torch.Size(shape).numel()])
