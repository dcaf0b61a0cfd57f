r"""A lean U-Net for images of any size: what a diffusion model's denoiser runs, sized for a processor.

Most of the time of a common U-Net goes into convolutions and attention at full resolution. Here 2 x 2 pixels are folded
into channels first (``patch``), so that the widest part works on a quarter of the positions; attention runs at the
coarsest level alone. Time and class enter every block by adaptive group normalisation,

.. math:: h \leftarrow (1 + \gamma(t, y)) \cdot \text{norm}(h) + \beta(t, y),

and the last convolution of each block and of the net start at zero, so that training begins at the identity. A net that
decodes a semantic code z scales by it too, level by level: the right side is multiplied by :math:`1 + \delta(z)`.
Source: Dhariwal, Nichol, "Diffusion models beat GANs on image synthesis", 2021 (adaptive group normalisation);
Preechakul et al., "Diffusion autoencoders: toward a meaningful and decodable representation", 2022 (the scale by z).
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from zsteer.errors import SettingsError
from zsteer.nets.precision import at_least_single

__all__ = ["PictureEncoder", "TimedEncoder", "UNet", "time_features"]

GROUPS = 8


def time_features(t: Float[Tensor, " b"], width: int) -> Float[Tensor, "b width"]:
    """Sines and cosines of 1,000 t at frequencies from 1 down to 1e-4, half of ``width`` each.

    Args:
        t: times in [0, 1].
        width: even number of features.
    """
    half = width // 2
    frequencies = torch.exp(-math.log(10_000) * torch.arange(half, device=t.device, dtype=t.dtype) / half)
    angle = 1000 * t[:, None] * frequencies
    return torch.cat([angle.cos(), angle.sin()], 1)


def _zero(layer: nn.Conv2d) -> nn.Conv2d:
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class Norm(nn.GroupNorm):
    """Group normalisation in the precision of its input; autocast would go to float32 and back at every layer."""

    def __init__(self, channels: int) -> None:
        super().__init__(math.gcd(GROUPS, channels), channels)

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:  # noqa: A002 - torch's own name
        """Normalise each group of channels of each sample."""
        with torch.autocast(input.device.type, enabled=False):
            weight, bias = self.weight.to(input.dtype), self.bias.to(input.dtype)
            return functional.group_norm(input, self.num_groups, weight, bias, self.eps)

    def adapted(
        self, x: Float[Tensor, "b c h w"], scale: Float[Tensor, "b c"], shift: Float[Tensor, "b c"]
    ) -> Float[Tensor, "b c h w"]:
        """Normalise, and scale and shift the channels of each sample by numbers of its own, in one pass.

        Samples are laid side by side as channels of one: the norm's own weights then differ between them, and the pass
        that a scale and a shift of their own would take (a tenth of a call) falls away.

        Args:
            x: features.
            scale: gamma of the module's equation.
            shift: beta of it.
        """
        b, c, *extent = x.shape
        weight = (1 + scale) * self.weight
        bias = (1 + scale) * self.bias + shift
        with torch.autocast(x.device.type, enabled=False):
            found = functional.group_norm(
                x.reshape(1, b * c, *extent),
                b * self.num_groups,
                weight.flatten().to(x.dtype),
                bias.flatten().to(x.dtype),
                self.eps,
            )
        return found.reshape(x.shape)


class Block(nn.Module):
    """Two convolutions with a way around them; the code of time and class scales and shifts between.

    Args:
        before: channels that come in.
        after: channels that go out.
        code: width of the code of time and class.
        semantic: width of the code of the content; 0 for none.
    """

    def __init__(self, before: int, after: int, code: int, semantic: int = 0) -> None:
        super().__init__()
        self.first_norm, self.first = Norm(before), nn.Conv2d(before, after, 3, padding=1)
        self.adapt = nn.Linear(code, 2 * after)
        if semantic:
            self.scale = nn.Linear(semantic, after)
        self.second_norm, self.second = Norm(after), _zero(nn.Conv2d(after, after, 3, padding=1))
        self.around = nn.Conv2d(before, after, 1) if before != after else nn.Identity()

    def forward(
        self, x: Float[Tensor, "b c h w"], code: Float[Tensor, "b e"], content: Float[Tensor, "b s"] | None = None
    ) -> Float[Tensor, "b d h w"]:
        """Change the features of each position."""
        hidden = self.first(functional.silu(self.first_norm(x)))
        scale, shift = at_least_single(self.adapt(code)).chunk(2, 1)
        if content is not None:
            # (1 + delta) ((1 + gamma) norm(h) + beta), folded into one scale and one shift.
            factor = 1 + at_least_single(self.scale(content))
            scale, shift = (1 + scale) * factor - 1, shift * factor
        return self.around(x) + self.second(functional.silu(self.second_norm.adapted(hidden, scale, shift)))


class Attention(nn.Module):
    """Self-attention over the positions of a picture.

    Args:
        channels: of the features.
        heads: of attention.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = Norm(channels)
        self.inwards = nn.Conv2d(channels, 3 * channels, 1)
        self.outwards = _zero(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Let every position look at every other."""
        b, c, h, w = x.shape
        q, k, v = (
            self.inwards(self.norm(x)).reshape(b, 3, self.heads, c // self.heads, h * w).transpose(-1, -2).unbind(1)
        )
        seen = functional.scaled_dot_product_attention(q, k, v)
        return x + self.outwards(seen.transpose(-1, -2).reshape(b, c, h, w))


class UNet(nn.Module):
    """Noisy pictures and their times (and classes) to a prediction for every pixel.

    Args:
        channels: of a picture.
        out: channels of the prediction.
        width: channels at the finest level.
        multiples: width of each level in units of ``width``; each level halves the extent.
        blocks: at each level on the way down; one more on the way up.
        patch: pixels along an edge that are folded into channels: 1 or 2.
        classes: number of classes; 0 for none. One more code stands for "no class".
        semantic: width of the semantic code z that every level is scaled by; 0 for none.

    Raises:
        SettingsError: if a number is not positive, or ``patch`` is neither 1 nor 2.
    """

    def __init__(
        self,
        channels: int,
        out: int,
        *,
        width: int = 64,
        multiples: Sequence[int] = (1, 2),
        blocks: int = 2,
        patch: int = 2,
        classes: int = 0,
        semantic: int = 0,
    ) -> None:
        super().__init__()
        if min(channels, out, width, blocks, *multiples) < 1 or patch not in {1, 2} or width % 2:
            raise SettingsError(
                f"expected positive sizes, an even width and patch 1 or 2, got width={width}, blocks={blocks}, "
                f"multiples={tuple(multiples)}, patch={patch}"
            )
        self.patch, self.width, self.classes = patch, width, classes
        self.stride = patch * 2 ** (len(multiples) - 1)
        code = 4 * width
        self.time = nn.Sequential(nn.Linear(width, code), nn.SiLU(), nn.Linear(code, code))
        if classes:
            self.label = nn.Embedding(classes + 1, code)
        self.levels, inner = len(multiples), code if semantic else 0
        if semantic:
            self.content = nn.Linear(semantic, code)
        sizes = [width * multiple for multiple in multiples]
        self.enter = nn.Conv2d(channels * patch**2, width, 3, padding=1)
        kept, now = [width], width
        self.down, self.shrink = nn.ModuleList(), nn.ModuleList()
        for level, size in enumerate(sizes):
            rows = nn.ModuleList()
            for _ in range(blocks):
                rows.append(Block(now, size, code, inner))
                kept.append(now := size)
            self.down.append(rows)
            if level < len(sizes) - 1:
                self.shrink.append(nn.Conv2d(now, now, 3, stride=2, padding=1))
                kept.append(now)
        heads = max(1, now // 64)
        self.middle = nn.ModuleList([Block(now, now, code, inner), Attention(now, heads), Block(now, now, code, inner)])
        self.up, self.grow = nn.ModuleList(), nn.ModuleList()
        for level, size in reversed(list(enumerate(sizes))):
            rows = nn.ModuleList()
            for _ in range(blocks + 1):
                rows.append(Block(now + kept.pop(), size, code, inner))
                now = size
            self.up.append(rows)
            if level:
                self.grow.append(nn.Conv2d(now, now, 3, padding=1))
        self.leave_norm, self.leave = Norm(now), _zero(nn.Conv2d(now, out * patch**2, 3, padding=1))

    def forward(
        self,
        x: Float[Tensor, "b c h w"],
        t: Float[Tensor, " b"],
        y: Int[Tensor, " b"] | None = None,
        z: Float[Tensor, "b levels s"] | None = None,
    ) -> Float[Tensor, "b o h w"]:
        """Predict for every pixel.

        Args:
            x: noisy pictures of any size.
            t: time of each, in [0, 1].
            y: class of each, -1 for none; None when no picture has one.
            z: semantic code of each at every level, the finest first; of a net with such a code.
        """
        height, breadth = x.shape[-2:]
        down, right = -height % self.stride, -breadth % self.stride
        if down or right:
            x = functional.pad(x, (0, right, 0, down))
        code = self._code(t, y)
        content = [None] * self.levels if z is None else functional.silu(self.content(z)).unbind(1)
        x = self.enter(functional.pixel_unshuffle(x, self.patch) if self.patch > 1 else x)
        kept = [x]
        for level, rows in enumerate(self.down):
            for block in rows:  # pyright: ignore[reportGeneralTypeIssues] - a ModuleList iterates
                x = block(x, code, content[level])
                kept.append(x)
            if level < len(self.shrink):
                kept.append(x := self.shrink[level](x))
        first, attend, second = self.middle
        x = second(attend(first(x, code, content[-1])), code, content[-1])
        for level, rows in enumerate(self.up):
            for block in rows:  # pyright: ignore[reportGeneralTypeIssues] - a ModuleList iterates
                x = block(torch.cat([x, kept.pop()], 1), code, content[self.levels - 1 - level])
            if level < len(self.grow):
                x = self.grow[level](functional.interpolate(x, scale_factor=2.0, mode="nearest"))
        x = at_least_single(self.leave(functional.silu(self.leave_norm(x))))
        if self.patch > 1:
            x = functional.pixel_shuffle(x, self.patch)
        return x[..., :height, :breadth]

    def _code(self, t: Float[Tensor, " b"], y: Int[Tensor, " b"] | None) -> Float[Tensor, "b e"]:
        """Code of time and class, ready for the blocks."""
        code = self.time(time_features(t, self.width))
        if self.classes:
            none = torch.full((len(t),), self.classes, device=t.device) if y is None else y % (self.classes + 1)
            code = code + self.label(none)
        return functional.silu(code)


class TimedEncoder(nn.Module):
    """Noisy pictures and their times to a few numbers each: the way down of the U-Net, averaged over the positions.

    Args:
        channels: of a picture.
        out: numbers for each picture.
        width: channels at the finest level; the next has twice as many.
    """

    PATCH = 2

    def __init__(self, channels: int, out: int, width: int) -> None:
        super().__init__()
        code = 2 * width
        self.width = width
        self.time = nn.Sequential(nn.Linear(width, code), nn.SiLU(), nn.Linear(code, code))
        self.enter = nn.Conv2d(channels * self.PATCH**2, width, 3, padding=1)
        self.first = Block(width, width, code)
        self.shrink = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.second = Block(2 * width, 2 * width, code)
        self.attend = Attention(2 * width, max(1, width // 32))
        self.norm, self.leave = Norm(2 * width), nn.Linear(2 * width, out)

    def forward(self, x: Float[Tensor, "b c h w"], t: Float[Tensor, " b"]) -> Float[Tensor, "b o"]:
        """Numbers for each picture.

        Args:
            x: noisy pictures of any size.
            t: time of each, in [0, 1].
        """
        down, right = -x.shape[-2] % self.PATCH, -x.shape[-1] % self.PATCH
        if down or right:
            x = functional.pad(x, (0, right, 0, down))
        code = functional.silu(self.time(time_features(t, self.width)))
        x = self.first(self.enter(functional.pixel_unshuffle(x, self.PATCH)), code)
        x = self.attend(self.second(self.shrink(x), code))
        return self.leave(at_least_single(functional.silu(self.norm(x)).mean((2, 3))))


class PictureEncoder(nn.Module):
    """Pictures to a few numbers each: the way down of a U-Net without time, and every position of its coarsest level.

    Args:
        channels: of a picture.
        extent: its height and width. [pixels]
        out: numbers for each picture.
        width: channels at the finest level; the coarser ones have twice as many.
    """

    PATCH = 2

    def __init__(self, channels: int, extent: tuple[int, int], out: int, width: int) -> None:
        super().__init__()
        self.stride = 4 * self.PATCH
        rows, columns = (-(-size // self.stride) for size in extent)
        self.enter = nn.Conv2d(channels * self.PATCH**2, width, 3, padding=1)
        self.first = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.second = nn.Conv2d(2 * width, 2 * width, 3, stride=2, padding=1)
        self.norms = nn.ModuleList([Norm(width), Norm(2 * width), Norm(2 * width)])
        self.leave = nn.Linear(2 * width * rows * columns, out)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b o"]:
        """Numbers for each picture."""
        x = functional.pad(x, (0, -x.shape[-1] % self.stride, 0, -x.shape[-2] % self.stride))
        x = functional.pixel_unshuffle(x, self.PATCH)
        for layer, norm in zip((self.enter, self.first, self.second), self.norms, strict=True):
            x = functional.silu(norm(layer(x)))
        return at_least_single(self.leave(x.flatten(1)))
