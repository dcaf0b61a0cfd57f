"""``SequenceTransformer``: self-attention over a sequence, read out at a start symbol, with padding really masked.

Pre-norm blocks x + attention(norm x), x + feedforward(norm x); attention gives padding a weight of exactly zero.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import relu, scaled_dot_product_attention

from zsteer.core.alphabet import PROTEIN
from zsteer.errors import SettingsError

__all__ = ["Block", "SequenceTransformer"]


class Block(nn.Module):
    """Attention and a feedforward layer, each with a way around it.

    Args:
        width: of the features.
        heads: of attention.
        feedforward: width of the feedforward layer.
    """

    def __init__(self, width: int, heads: int, feedforward: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        # One matrix gives queries, keys and values. A bias of the keys would shift every weight alike: left out.
        self.query_value = nn.Linear(width, 2 * width)
        self.key = nn.Linear(width, width, bias=False)
        self.join = nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, feedforward), nn.Linear(feedforward, width)

    def forward(self, x: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"]) -> Float[Tensor, "b n d"]:
        """Let every position look at every real one."""
        b, n, d = x.shape
        normed = self.before(x)
        parts = (*self.query_value(normed).chunk(2, -1), self.key(normed))
        query, value, key = (part.view(b, n, self.heads, -1).transpose(1, 2) for part in parts)
        seen = scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None, :])
        x = x + self.join(seen.transpose(1, 2).reshape(b, n, d))
        return x + self.down(relu(self.up(self.between(x))))


class SequenceTransformer(nn.Module):
    """Sequence to a code.

    Args:
        width: of the code.
        model: width of the blocks.
        heads: of attention.
        layers: number of blocks.
        residues: number of residues; the token after them is the start symbol.
        length: longest sequence.

    Raises:
        SettingsError: if ``model`` is no multiple of ``heads``.
    """

    def __init__(
        self,
        *,
        width: int,
        model: int = 128,
        heads: int = 8,
        layers: int = 1,
        residues: int = PROTEIN.size,
        length: int = 30,
    ) -> None:
        super().__init__()
        if model % heads:
            raise SettingsError(f"expected a width that {heads} heads divide, got {model}")
        self.start = residues
        self.residue = nn.Embedding(residues + 3, model)
        self.position = nn.Embedding(length + 1, model)
        self.blocks = nn.ModuleList(Block(model, heads, model) for _ in range(layers))
        self.norm = nn.LayerNorm(model)
        self.hidden, self.out = nn.Linear(model, model), nn.Linear(model, width)

    def forward(self, tokens: Int[Tensor, "b n"], mask: Bool[Tensor, "b n"]) -> Float[Tensor, "b width"]:
        """Code of each sequence.

        Args:
            tokens: residues.
            mask: true on residues.
        """
        tokens = torch.cat([torch.full_like(tokens[:, :1], self.start), tokens], 1)
        mask = torch.cat([torch.ones_like(mask[:, :1]), mask], 1)
        x = self.residue(tokens) + self.position(torch.arange(tokens.shape[1], device=tokens.device))
        for block in self.blocks:
            x = block(x, mask)
        return self.out(relu(self.hidden(self.norm(x[:, 0]))))
