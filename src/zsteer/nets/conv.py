"""``MotifNet``: a masked convolutional net that reads motifs of a sequence and where they sit.

Each residue is embedded together with its distance from both ends, because the ends of a CDR3 are germline and its
middle is not. Two kernel widths and one layer on top are max-pooled over the real positions. Several members run side
by side as groups of one convolution, so that an ensemble costs one call.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import relu

from zsteer.core.alphabet import PROTEIN
from zsteer.core.rng import Streams
from zsteer.nets.mlp import dropout

__all__ = ["MotifNet"]


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

    def _drop(self, x: Tensor, rate: float, rng: Streams | None, purpose: str) -> Tensor:
        return dropout(x.transpose(1, 2), rate, rng, purpose).transpose(1, 2)
