r"""The U-Net that diffusers calls UNet2DModel, computed by modules of our own: its folders are read and written.

Names of settings are the keys of its ``config.json`` and names of weights those of its file, so that neither is
translated. Every block is

.. math:: h = c_2(\text{silu}(n_2(c_1(\text{silu}(n_1(x))) + W \text{silu}(e)))), \quad x \leftarrow (x' + h) / s,

with e the code of time and class, n group norms, c convolutions, x' = x or its 1 x 1 convolution, and s = 1 but in the
middle. Our own lean net (``nets.unet``) folds pixels and scales by its norms: no setting of this one expresses that.
"""

import math
from collections.abc import Iterator
from typing import Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad, scaled_dot_product_attention, silu

from zsteer.core.artifact import Settings
from zsteer.errors import CapabilityError

__all__ = ["UNet2D", "UNet2DSettings"]

Down = Literal["DownBlock2D", "AttnDownBlock2D"]
Up = Literal["UpBlock2D", "AttnUpBlock2D"]


class UNet2DSettings(Settings):
    """What the net is built from, by the keys and with the defaults of a ``config.json``."""

    in_channels: int = Field(default=3, ge=1, description="channels of a picture")
    out_channels: int = Field(default=3, ge=1, description="channels of the prediction")
    block_out_channels: tuple[int, ...] = Field(description="channels of each level", min_length=1)
    down_block_types: tuple[Down, ...] = Field(description="of each level: with self-attention or without")
    up_block_types: tuple[Up, ...] = Field(description="likewise, the coarsest level first")
    mid_block_type: Literal["UNetMidBlock2D"] | None = Field(default="UNetMidBlock2D", description="None for no middle")
    layers_per_block: int = Field(default=2, ge=1, description="blocks at each level on the way down")
    num_class_embeds: int | None = Field(default=None, ge=1, description="rows of the class embedding")
    time_embedding_dim: int | None = Field(default=None, ge=1, description="width of the code of time")
    flip_sin_to_cos: bool = Field(default=True, description="cosines before sines")
    freq_shift: float = Field(default=0.0, description="taken from the number of frequencies")
    center_input_sample: bool = Field(default=False, description="map [0, 1] to [-1, 1] at the entrance")
    downsample_padding: Literal[0, 1] = Field(default=1, description="of the convolutions that halve the extent")
    resnet_time_scale_shift: Literal["default", "scale_shift"] = Field(default="default", description="how time enters")
    attention_head_dim: int | None = Field(default=8, ge=1, description="channels of a head; None for one head")
    add_attention: bool = Field(default=True, description="attention in the middle")
    norm_num_groups: int = Field(default=32, ge=1, description="groups of every norm")
    attn_norm_num_groups: int | None = Field(default=None, ge=1, description="groups of the attention in the middle")
    norm_eps: float = Field(default=1e-5, gt=0, description="of every norm")
    mid_block_scale_factor: float = Field(default=1.0, gt=0, description="divides what leaves a block of the middle")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="in training; only 0 can be trained here")

    @model_validator(mode="after")
    def _fits(self) -> "UNet2DSettings":
        levels = len(self.block_out_channels)
        if not (levels == len(self.down_block_types) == len(self.up_block_types)):
            raise ValueError(f"expected one block type for each of {levels} levels on both ways")
        if self.block_out_channels[0] % 2 or any(c % self.norm_num_groups for c in self.block_out_channels):
            raise ValueError(
                f"expected even channels that {self.norm_num_groups} groups divide, got {self.block_out_channels}"
            )
        if any(c % (self.attention_head_dim or 1) for c in self._attending()):
            raise ValueError(
                f"expected attention_head_dim to divide {self._attending()}, got {self.attention_head_dim}"
            )
        return self

    def _attending(self) -> list[int]:
        """Channels of the levels that attend."""
        up = zip(self.up_block_types, reversed(self.block_out_channels), strict=True)
        down = zip(self.down_block_types, self.block_out_channels, strict=True)
        middle = [self.block_out_channels[-1]] if self.mid_block_type and self.add_attention else []
        return [channels for kind, channels in (*down, *up) if kind.startswith("Attn")] + middle

    @property
    def width(self) -> int:
        """Width of the code of time and class."""
        return self.time_embedding_dim or 4 * self.block_out_channels[0]


class TimeEmbedding(nn.Module):
    """Two layers from the features of time to its code."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.linear_1, self.linear_2 = nn.Linear(features, width), nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "b f"]) -> Float[Tensor, "b e"]:
        """The code."""
        return self.linear_2(silu(self.linear_1(x)))


class Resnet(nn.Module):
    """The block of the module's equation; the code is added, or scales and shifts the second norm.

    Args:
        before: channels that come in.
        after: channels that go out.
        settings: of the net.
        divisor: s of the equation.
    """

    def __init__(self, before: int, after: int, settings: UNet2DSettings, divisor: float = 1.0) -> None:
        super().__init__()
        groups, eps = settings.norm_num_groups, settings.norm_eps
        self.divisor, self.scales = divisor, settings.resnet_time_scale_shift == "scale_shift"
        self.norm1, self.conv1 = nn.GroupNorm(groups, before, eps), nn.Conv2d(before, after, 3, padding=1)
        self.time_emb_proj = nn.Linear(settings.width, 2 * after if self.scales else after)
        self.norm2, self.conv2 = nn.GroupNorm(groups, after, eps), nn.Conv2d(after, after, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(before, after, 1) if before != after else None

    def forward(self, x: Float[Tensor, "b c h w"], code: Float[Tensor, "b e"]) -> Float[Tensor, "b d h w"]:
        """Change the features; ``code`` has gone through silu already."""
        hidden = self.conv1(silu(self.norm1(x)))
        time_code = self.time_emb_proj(code)[..., None, None]
        if self.scales:
            scale, shift = time_code.chunk(2, 1)
            hidden = self.norm2(hidden) * (1 + scale) + shift
        else:
            hidden = self.norm2(hidden + time_code)
        hidden = self.conv2(silu(hidden))
        return ((x if self.conv_shortcut is None else self.conv_shortcut(x)) + hidden) / self.divisor


class SelfAttention(nn.Module):
    """Every position looks at every other, with a way around.

    Args:
        channels: of the features.
        head: channels of a head; None for one head.
        groups: of the norm; None for no norm.
        eps: of the norm.
        divisor: divides the result.
    """

    def __init__(self, channels: int, head: int | None, groups: int | None, eps: float, divisor: float = 1.0) -> None:
        super().__init__()
        self.heads, self.divisor = channels // (head or channels), divisor
        self.group_norm = None if groups is None else nn.GroupNorm(groups, channels, eps)
        self.to_q, self.to_k, self.to_v = (nn.Linear(channels, channels) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Mix the positions."""
        b, c, h, w = x.shape
        rows = (x if self.group_norm is None else self.group_norm(x)).flatten(2).transpose(1, 2)
        q, k, v = (
            layer(rows).reshape(b, h * w, self.heads, -1).transpose(1, 2) for layer in (self.to_q, self.to_k, self.to_v)
        )
        seen = scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, h * w, c)
        return (x + self.to_out[0](seen).transpose(1, 2).reshape(b, c, h, w)) / self.divisor


class Resample(nn.Module):
    """A convolution that halves the extent, or one after it was doubled.

    Args:
        channels: of the features.
        halve: True on the way down.
        padding: on the way down: 1, or 0 for one column and row at the far edges alone.
    """

    def __init__(self, channels: int, *, halve: bool, padding: int = 1) -> None:
        super().__init__()
        self.halve, self.far_edges = halve, halve and padding == 0
        self.conv = nn.Conv2d(channels, channels, 3, stride=2 if halve else 1, padding=padding)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c p q"]:
        """Change the extent."""
        if self.halve:
            return self.conv(pad(x, (0, 1, 0, 1)) if self.far_edges else x)
        return self.conv(interpolate(x, scale_factor=2.0, mode="nearest"))


class Stage(nn.Module):
    """One level of a way: blocks, attention after each if wanted, and a change of extent at its end.

    Args:
        sizes: channels into each block.
        after: channels that go out.
        settings: of the net.
        attends: with attention.
    """

    def __init__(self, sizes: list[int], after: int, settings: UNet2DSettings, *, attends: bool) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(Resnet(before, after, settings) for before in sizes)
        head, groups, eps = settings.attention_head_dim, settings.norm_num_groups, settings.norm_eps
        made = [SelfAttention(after, head, groups, eps) for _ in sizes] if attends else []
        self.attentions = nn.ModuleList(made)
        self.downsamplers, self.upsamplers = nn.ModuleList(), nn.ModuleList()

    def one(self, i: int, x: Float[Tensor, "b c h w"], code: Float[Tensor, "b e"]) -> Float[Tensor, "b d h w"]:
        """Block i, with its attention."""
        x = self.resnets[i](x, code)
        return self.attentions[i](x) if len(self.attentions) else x


class Middle(nn.Module):
    """Block, attention, block at the coarsest level."""

    def __init__(self, channels: int, settings: UNet2DSettings) -> None:
        super().__init__()
        divisor = settings.mid_block_scale_factor
        self.resnets = nn.ModuleList(Resnet(channels, channels, settings, divisor) for _ in range(2))
        groups = settings.attn_norm_num_groups
        if groups is None and settings.resnet_time_scale_shift == "default":
            groups = settings.norm_num_groups
        made = SelfAttention(channels, settings.attention_head_dim, groups, settings.norm_eps, divisor)
        self.attentions = nn.ModuleList([made] if settings.add_attention else [])

    def forward(self, x: Float[Tensor, "b c h w"], code: Float[Tensor, "b e"]) -> Float[Tensor, "b c h w"]:
        """Change the features of the coarsest level."""
        x = self.resnets[0](x, code)
        for attention in self.attentions:
            x = attention(x)
        return self.resnets[1](x, code)


def _stages(blocks: nn.ModuleList) -> Iterator[Stage]:
    """The stages of a way, by their type."""
    return (stage for stage in blocks if isinstance(stage, Stage))


class UNet2D(nn.Module):
    """Noisy pictures, their times and classes to a prediction for every pixel.

    Args:
        settings: by the keys of a ``config.json``.
        steps: T of the chain it was trained on; its time k = 0 ... T - 1 is our (k + 1) / T.
        null: the last row of the class embedding stands for no class.
    """

    def __init__(self, settings: UNet2DSettings, *, steps: int = 1000, null: bool = True) -> None:
        super().__init__()
        self.settings, self.steps, self.null = settings, steps, null
        sizes = list(settings.block_out_channels)
        self.stride = 2 ** (len(sizes) - 1)
        self.conv_in = nn.Conv2d(settings.in_channels, sizes[0], 3, padding=1)
        self.time_embedding = TimeEmbedding(sizes[0], settings.width)
        rows = settings.num_class_embeds
        self.class_embedding = None if rows is None else nn.Embedding(rows, settings.width)
        kept = self._way_down(sizes)
        self.mid_block = None if settings.mid_block_type is None else Middle(sizes[-1], settings)
        self._way_up(sizes, kept)
        self.conv_norm_out = nn.GroupNorm(settings.norm_num_groups, sizes[0], settings.norm_eps)
        self.conv_out = nn.Conv2d(sizes[0], settings.out_channels, 3, padding=1)

    def _way_down(self, sizes: list[int]) -> list[int]:
        """Build the way down; the channels of what it keeps for the way up."""
        settings, now, kept = self.settings, sizes[0], [sizes[0]]
        self.down_blocks = nn.ModuleList()
        for level, (size, kind) in enumerate(zip(sizes, settings.down_block_types, strict=True)):
            entering = [now] + [size] * (settings.layers_per_block - 1)
            stage, now = Stage(entering, size, settings, attends=kind == "AttnDownBlock2D"), size
            kept += [size] * settings.layers_per_block
            if level < len(sizes) - 1:
                stage.downsamplers.append(Resample(size, halve=True, padding=settings.downsample_padding))
                kept.append(size)
            self.down_blocks.append(stage)
        return kept

    def _way_up(self, sizes: list[int], kept: list[int]) -> None:
        settings, now = self.settings, sizes[-1]
        self.up_blocks = nn.ModuleList()
        for level, (size, kind) in enumerate(zip(reversed(sizes), settings.up_block_types, strict=True)):
            entering = [(now if i == 0 else size) + kept.pop() for i in range(settings.layers_per_block + 1)]
            stage, now = Stage(entering, size, settings, attends=kind == "AttnUpBlock2D"), size
            if level < len(sizes) - 1:
                stage.upsamplers.append(Resample(size, halve=False))
            self.up_blocks.append(stage)

    def forward(
        self, x: Float[Tensor, "b c h w"], t: Float[Tensor, " b"], y: Int[Tensor, " b"] | None = None
    ) -> Float[Tensor, "b o h w"]:
        """Predict for every pixel.

        Args:
            x: noisy pictures of any size; those that the levels do not divide are padded inside.
            t: time of each, in [0, 1].
            y: class of each, -1 for none; None when no picture has one.

        Raises:
            CapabilityError: if a class is left out and the net has no row for that, or dropout is to be trained.
        """
        if self.training and self.settings.dropout:
            raise CapabilityError("this U-Net is read with dropout and can be sampled only; set dropout=0 to train it")
        height, breadth = x.shape[-2:]
        x = pad(x, (0, -breadth % self.stride, 0, -height % self.stride))
        code = silu(self._code(t, y))
        x = self.conv_in(2 * x - 1 if self.settings.center_input_sample else x)
        kept = [x]
        for stage in _stages(self.down_blocks):
            for i in range(self.settings.layers_per_block):
                kept.append(x := stage.one(i, x, code))  # noqa: PERF401 - each feeds the next
            for change in stage.downsamplers:
                kept.append(x := change(x))  # noqa: PERF401 - each feeds the next
        if self.mid_block is not None:
            x = self.mid_block(x, code)
        for stage in _stages(self.up_blocks):
            for i in range(self.settings.layers_per_block + 1):
                x = stage.one(i, torch.cat([x, kept.pop()], 1), code)
            for change in stage.upsamplers:
                x = change(x)
        return self.conv_out(silu(self.conv_norm_out(x)))[..., :height, :breadth]

    def _code(self, t: Float[Tensor, " b"], y: Int[Tensor, " b"] | None) -> Float[Tensor, "b e"]:
        """Code of time and class."""
        half = self.settings.block_out_channels[0] // 2
        index = torch.arange(half, dtype=torch.float32, device=t.device) / (half - self.settings.freq_shift)
        k = (t * self.steps - 1).clamp(min=0)
        # (k + 1) / T is rounded in float32; a time of the chain is met to the last digit all the same.
        k = torch.where((k - k.round()).abs() < 1e-3, k.round(), k)
        angle = k[:, None] * torch.exp(-math.log(10_000) * index).to(t.dtype)
        waves = (angle.cos(), angle.sin()) if self.settings.flip_sin_to_cos else (angle.sin(), angle.cos())
        code = self.time_embedding(torch.cat(waves, 1))
        if self.class_embedding is None:
            return code
        y = torch.full((len(t),), -1, device=t.device) if y is None else y
        if not self.null and bool((y < 0).any()):
            raise CapabilityError("this U-Net was trained with a class for every picture; pass --given class=...")
        return code + self.class_embedding(y % self.class_embedding.num_embeddings)
