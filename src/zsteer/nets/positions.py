"""``PositionNet`` and ``PictureNet``: noisy categories and their times to log-probabilities for every position.

Both read rows of floats and not indices, so that gradients with respect to a state exist; a row of zeros is padding.
The first is a transformer over the positions of a sequence, given how far each is from either end; the second lays the
positions out as a picture and runs the U-Net.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from zsteer.errors import SettingsError
from zsteer.nets.precision import at_least_single
from zsteer.nets.transformer import Block
from zsteer.nets.unet import UNet, time_features

__all__ = ["PictureNet", "PositionNet"]


class PositionNet(nn.Module):
    """Transformer over the positions of sequences of different lengths.

    Args:
        states: categories of a position, the mask included if there is one.
        length: most positions.
        width: of the features; even.
        heads: of attention.
        layers: number of blocks.
        classes: number of classes; 0 for none. One more code stands for "no class".

    Raises:
        SettingsError: if ``width`` is odd or no multiple of ``heads``.
    """

    def __init__(
        self, *, states: int, length: int, width: int = 64, heads: int = 4, layers: int = 3, classes: int = 0
    ) -> None:
        super().__init__()
        if width % heads or width % 2:
            raise SettingsError(f"expected an even width that {heads} heads divide, got {width}")
        self.width, self.classes = width, classes
        self.enter = nn.Linear(states, width)
        self.from_start, self.from_end = nn.Embedding(length, width), nn.Embedding(length, width)
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        if classes:
            self.label = nn.Embedding(classes + 1, width)
        self.blocks = nn.ModuleList(Block(width, heads, 2 * width) for _ in range(layers))
        self.norm, self.leave = nn.LayerNorm(width), nn.Linear(width, states)

    def forward(
        self, x: Float[Tensor, "b n k"], t: Float[Tensor, " b"], y: Int[Tensor, " b"] | None = None
    ) -> Float[Tensor, "b n k"]:
        """Unnormalised log-probabilities of each position.

        Args:
            x: noisy one-hot rows, zero on padding.
            t: time of each sample, in [0, 1].
            y: class of each, -1 for none; None when no sample has one.
        """
        real = x.detach().sum(-1) > 0
        position = torch.arange(x.shape[1], device=x.device)
        from_end = (real.sum(1, keepdim=True) - 1 - position).clamp(min=0)
        code = self.time(time_features(t, self.width))
        if self.classes:
            none = torch.full((len(t),), self.classes, device=t.device) if y is None else y % (self.classes + 1)
            code = code + self.label(none)
        features = self.enter(x) + self.from_start(position) + self.from_end(from_end) + code[:, None]
        for block in self.blocks:
            features = block(features, real)
        return at_least_single(self.leave(self.norm(features)))


class PictureNet(nn.Module):
    """The U-Net over positions that are the pixels of a picture.

    Args:
        states: categories of a pixel, the mask included if there is one.
        shape: channels, height and width of a picture.
        net: U-Net of ``states`` numbers in and out for each pixel and channel.
    """

    def __init__(self, states: int, shape: tuple[int, int, int], net: UNet) -> None:
        super().__init__()
        self.states, self.shape, self.net = states, shape, net

    def forward(
        self, x: Float[Tensor, "b n k"], t: Float[Tensor, " b"], y: Int[Tensor, " b"] | None = None
    ) -> Float[Tensor, "b n k"]:
        """Unnormalised log-probabilities of each pixel.

        Args:
            x: noisy one-hot rows, pixels in reading order, channel by channel.
            t: time of each sample, in [0, 1].
            y: class of each, -1 for none; None when no sample has one.
        """
        b, (c, h, w) = len(x), self.shape
        # Rows of the same scale as standardised pixels: a one-hot row has a mean square of 1 / K.
        scaled = (x - 1 / self.states) * math.sqrt(self.states)
        picture = scaled.reshape(b, c, h, w, self.states).permute(0, 1, 4, 2, 3).reshape(b, -1, h, w)
        out = self.net(picture, t, y).reshape(b, c, self.states, h, w)
        return out.permute(0, 1, 3, 4, 2).reshape(b, c * h * w, self.states)
