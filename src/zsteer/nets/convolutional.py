"""Small convolutional nets for the two players of an adversarial game on images; no batch statistics anywhere.

The generator turns a code into a picture through two doublings of its extent; the critic goes the other way. Height
and width are multiples of 4. Models put losses on top.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zsteer.errors import SettingsError
from zsteer.nets.spectral import SpectralConv, SpectralLinear

__all__ = ["ConvCritic", "ConvGenerator"]

SLOPE = 0.2


def _quarter(shape: tuple[int, ...]) -> tuple[int, int, int]:
    if len(shape) != 3 or shape[1] % 4 or shape[2] % 4:
        raise SettingsError(
            f"expected images of shape (c, h, w) with h and w multiples of 4, got {shape}; "
            f"pad them, or flatten them to a table"
        )
    return shape[0], shape[1] // 4, shape[2] // 4


class ConvGenerator(nn.Module):
    """From a code to the logits (or values) of a picture.

    Args:
        latent: width of the code.
        shape: (c, h, w) of a picture.
        width: channels of the last hidden layer; the first has twice as many.

    Raises:
        SettingsError: if h or w is no multiple of 4.
    """

    def __init__(self, latent: int, shape: tuple[int, ...], width: int) -> None:
        super().__init__()
        channels, height, breadth = _quarter(shape)
        self.start = (2 * width, height, breadth)
        self.first = nn.Linear(latent, 2 * width * height * breadth)
        self.second = nn.ConvTranspose2d(2 * width, width, 4, 2, 1)
        self.third = nn.ConvTranspose2d(width, channels, 4, 2, 1)

    def forward(self, z: Float[Tensor, "b i"]) -> Float[Tensor, "b c h w"]:
        """Draw one picture for each code."""
        hidden = torch.relu(self.first(z)).reshape(len(z), *self.start)
        return self.third(torch.relu(self.second(hidden)))


class ConvCritic(nn.Module):
    """From a picture to one number.

    Args:
        shape: (c, h, w) of a picture.
        width: channels of the first hidden layer; the second has twice as many.
        spectral: divide every weight by its largest singular value.

    Raises:
        SettingsError: if h or w is no multiple of 4.
    """

    def __init__(self, shape: tuple[int, ...], width: int, *, spectral: bool) -> None:
        super().__init__()
        channels, height, breadth = _quarter(shape)
        flat = 2 * width * height * breadth
        if spectral:
            self.first: nn.Module = SpectralConv(channels, width, 4, 2)
            self.second: nn.Module = SpectralConv(width, 2 * width, 4, 2)
            self.third: nn.Module = SpectralLinear(flat, 1)
        else:
            self.first = nn.Conv2d(channels, width, 4, 2, 1)
            self.second = nn.Conv2d(width, 2 * width, 4, 2, 1)
            self.third = nn.Linear(flat, 1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 1"]:
        """Judge the pictures of a batch."""
        hidden = nn.functional.leaky_relu(self.first(x), SLOPE)
        return self.third(nn.functional.leaky_relu(self.second(hidden), SLOPE).flatten(1))
