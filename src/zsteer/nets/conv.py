"""``MotifNet``: a masked convolutional net that reads motifs of a sequence and where they sit.

Each residue is embedded together with its distance from both ends, because the ends of a CDR3 are germline and its
middle is not. Two kernel widths and one layer on top are max-pooled over the real positions. Several members run side
by side as groups of one convolution, so that an ensemble costs one call.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import pad, relu, relu_

from zsteer.core.alphabet import PROTEIN
from zsteer.core.rng import Streams
from zsteer.nets.mlp import dropout

__all__ = ["MotifNet"]

GAP = 2
"""Empty places between sequences that stand one behind the other: the reach of the wide kernel."""
PIECE = 512
"""Sequences that are read together where nothing is learned."""


class MotifNet(nn.Module):
    """Sequence to one code for each member.

    Args:
        width: of the code.
        channels: of each convolution.
        members: independent nets side by side.
        dropout: share of channels dropped before the code, half of it between the layers.
        hidden: width of a layer between the pooled channels and the code; 0 for none.
        vocabulary: number of tokens.
        length: longest sequence.
        embed: width of the residue embedding.
    """

    def __init__(
        self,
        *,
        width: int,
        channels: int = 48,
        members: int = 1,
        dropout: float = 0.3,
        hidden: int = 0,
        vocabulary: int = PROTEIN.vocabulary,
        length: int = 30,
        embed: int = 32,
    ) -> None:
        super().__init__()
        m, c = members, channels
        self.members, self.channels, self.dropout, self.hidden, self.width = m, c, dropout, hidden, width
        self.residue = nn.Embedding(vocabulary, m * embed)
        self.from_start = nn.Embedding(length, m * embed)
        self.from_end = nn.Embedding(length, m * embed)
        for table in (self.residue, self.from_start, self.from_end):
            nn.init.normal_(table.weight, std=0.2)
        self.narrow = nn.Conv1d(m * embed, m * c, 3, padding=1, groups=m)
        self.wide = nn.Conv1d(m * embed, m * c, 5, padding=2, groups=m)
        self.above = nn.Conv1d(2 * m * c, m * c, 3, padding=1, groups=m)
        if hidden:
            self.between = nn.Conv1d(3 * m * c, m * hidden, 1, groups=m)
        self.out = nn.Conv1d(m * (hidden or 3 * c), m * width, 1, groups=m)

    def forward(
        self, tokens: Int[Tensor, "b n"], mask: Bool[Tensor, "b n"], rng: Streams | None = None
    ) -> Float[Tensor, "b members width"]:
        """Code of each sequence by each member.

        Args:
            tokens: residues.
            mask: true on residues; they stand at the start.
            rng: streams for dropout; None means evaluation.
        """
        if not torch.is_grad_enabled() and rng is None and len(tokens):
            return self._by_length(tokens, mask)
        b, m, c = len(tokens), self.members, self.channels
        lengths = mask.sum(1)
        longest = max(int(lengths.max()), 1)
        tokens, real = tokens[:, :longest], mask[:, :longest]
        position = torch.arange(longest, device=tokens.device)
        from_end = (lengths[:, None] - 1 - position).clamp(min=0)
        x = self.residue(tokens) + self.from_start(position) + self.from_end(from_end)
        x = (x * real[..., None]).transpose(1, 2)
        shown = real[:, None].to(x.dtype)
        pair = (relu(self.narrow(x)) * shown, relu(self.wide(x)) * shown)
        low = torch.cat([part.view(b, m, c, -1) for part in pair], 2)
        low = self._drop(low.view(b, 2 * m * c, -1), self.dropout / 2, rng, "low")
        high = relu(self.above(low)) * shown
        # ReLU makes everything >= 0, so the zeros of padding never win the maximum.
        pooled = torch.cat([low.view(b, m, 2 * c, -1), high.view(b, m, c, -1)], 2).amax(-1)
        x = dropout(pooled.view(b, -1), self.dropout, rng, "pooled")[..., None]
        if self.hidden:
            x = relu(self.between(x))
        return self.out(x).view(b, m, self.width)

    def _by_length(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """The same where nothing is learned: rows of like length together, convolutions as products of matrices."""
        lengths = mask.sum(1)
        order = lengths.argsort(stable=True)
        parts = [self._products(tokens[rows], lengths[rows]) for rows in order.split(PIECE)]
        return torch.cat(parts)[order.argsort(stable=True)]

    def _products(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Codes of rows that stand one below the other, two empty places behind each: what a kernel looks past an end.

        A convolution then is a sum over its taps t of products, y_i = sum_t x_{i+t} W_t, over all rows at once.
        """
        b, m = len(tokens), self.members
        longest = max(int(lengths[-1]), 1)
        position = torch.arange(longest, device=tokens.device)
        shown = position < lengths[:, None]
        from_end = (lengths[:, None] - 1 - position).clamp(min=0)
        x = self.residue(tokens[:, :longest]) + self.from_start(position) + self.from_end(from_end)
        x = (x * shown[..., None]).view(b, longest, m, -1)
        real = pad(shown, (0, GAP)).flatten()[:, None].to(x.dtype)
        rows = pad(x, (0, 0, 0, 0, 0, GAP)).flatten(0, 1).transpose(0, 1)
        low = torch.cat([relu_(_taps(rows, kernel, m)).mul_(real) for kernel in (self.narrow, self.wide)], -1)
        high = relu_(_taps(low, self.above, m)).mul_(real)
        pooled = torch.cat([part.view(m, b, longest + GAP, -1).amax(2) for part in (low, high)], -1)
        for layer in (self.between, self.out) if self.hidden else (self.out,):
            weight = layer.weight.view(m, -1, pooled.shape[-1]).transpose(1, 2)
            bias = 0.0 if layer.bias is None else layer.bias.view(m, 1, -1)
            pooled = torch.bmm(pooled, weight) + bias
            pooled = pooled if layer is self.out else relu_(pooled)
        return pooled.transpose(0, 1)

    def _drop(self, x: Tensor, rate: float, rng: Streams | None, purpose: str) -> Tensor:
        return dropout(x.transpose(1, 2), rate, rng, purpose).transpose(1, 2)


def _taps(x: Float[Tensor, "m r i"], kernel: nn.Conv1d, members: int) -> Float[Tensor, "m r c"]:
    """A convolution along the rows, zeros before the first and behind the last."""
    size, reach = kernel.kernel_size[0], kernel.kernel_size[0] // 2
    weight = kernel.weight.view(members, -1, x.shape[-1], size)
    wide, count = pad(x, (0, 0, reach, reach)), x.shape[1]
    bias = x.new_zeros(1) if kernel.bias is None else kernel.bias.view(members, 1, -1)
    found = torch.baddbmm(bias, wide[:, :count], weight[..., 0].transpose(1, 2))
    for tap in range(1, size):
        found.baddbmm_(wide[:, tap : tap + count], weight[..., tap].transpose(1, 2))
    return found
