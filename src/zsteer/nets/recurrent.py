r"""``ConditionalDecoder``: the next residue from the residues so far and a condition.

.. math:: \log p(x | c) = \sum_{i=1}^{n+1} \log p(x_i | x_{<i}, c), \quad x_{n+1} = \text{stop}

The condition enters the gates of every step, as if it were appended to every input, and the output layer. ``steps``
gives the same net one token at a time: what sampling and the beam need. Both run the same cell, so they agree.
"""

from dataclasses import dataclass
from typing import Literal, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import linear, log_softmax

from zsteer.core.alphabet import PROTEIN
from zsteer.core.rng import Streams
from zsteer.nets.mlp import dropout

__all__ = ["ConditionalDecoder", "Steps"]

State = tuple[Tensor, ...]
"""Row of the condition, position, and the hidden tensors of each layer; each has one entry for each sequence."""

NEVER = -1e9
"""Log-probability of a symbol that cannot come; finite, so that 0 * NEVER is no NaN."""


class ConditionalDecoder(nn.Module):
    """Recurrent decoder of sequences.

    Args:
        condition: width of the condition.
        hidden: width of each layer.
        layers: number of layers.
        cell: ``gru`` or ``lstm``.
        embed: width of residue and position embeddings.
        residues: number of residues; the tokens after them are start, stop and padding.
        length: longest sequence.
        dropout: share of hidden features dropped before the output layer.
    """

    def __init__(
        self,
        *,
        condition: int,
        hidden: int = 128,
        layers: int = 1,
        cell: Literal["gru", "lstm"] = "gru",
        embed: int = 32,
        residues: int = PROTEIN.size,
        length: int = 30,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.hidden, self.layers, self.kind, self.dropout = hidden, layers, cell, dropout
        self.residues, self.length = residues, length
        self.start, self.stop, self.pad = residues, residues + 1, residues + 2
        self.residue = nn.Embedding(residues + 3, embed)
        self.position = nn.Embedding(length + 2, embed)
        make = nn.GRUCell if cell == "gru" else nn.LSTMCell
        self.cells = nn.ModuleList(make(embed if layer == 0 else hidden, hidden) for layer in range(layers))
        gates = 3 if cell == "gru" else 4
        self.to_gates = nn.Linear(condition, gates * hidden)
        self.to_hidden = nn.Linear(condition, layers * hidden)
        self.mix = nn.Linear(hidden + condition, hidden)
        self.out = nn.Linear(hidden, residues + 3)
        allowed = torch.ones(residues + 3, dtype=torch.bool)
        allowed[[self.start, self.pad]] = False
        self.register_buffer("allowed", allowed, persistent=False)
        self.allowed: Tensor

    def forward(
        self,
        tokens: Int[Tensor, "b n"],
        mask: Bool[Tensor, "b n"],
        condition: Float[Tensor, "b c"],
        rng: Streams | None = None,
    ) -> Float[Tensor, "b m"]:
        """Log-probability of each residue and of the stop after the last one; zero on padding. [nats]

        Args:
            tokens: residues.
            mask: true on residues; they stand at the start.
            condition: of each sequence.
            rng: streams for dropout; None means evaluation.
        """
        lengths = mask.sum(1)
        m = int(lengths.max()) + 1
        padded = torch.nn.functional.pad(tokens, (0, 1), value=self.pad)[:, :m]
        target = torch.where(torch.arange(m, device=tokens.device) == lengths[:, None], self.stop, padded)
        before = torch.cat([torch.full_like(target[:, :1], self.start), target[:, :-1]], 1)
        gates = self._input_gates(before, torch.arange(m, device=tokens.device)) + self.to_gates(condition)[:, None]
        state = self._first(condition)
        outputs = []
        for i in range(m):
            state = self._cell(gates[:, i], state)
            outputs.append(state[self.layers - 1])
        hidden = dropout(torch.stack(outputs, 1), self.dropout, rng, "decoder")
        scores = self._scores(hidden, linear(condition, self.mix.weight[:, self.hidden :], self.mix.bias)[:, None])
        chosen = scores.gather(-1, target[..., None])[..., 0]
        return chosen * (torch.arange(m, device=tokens.device) <= lengths[:, None])

    def steps(self, condition: Float[Tensor, "b c"]) -> "Steps":
        """The decoder for these conditions, one token at a time."""
        cell = self._weights(0)
        gates = self.to_gates(condition)
        mixed = linear(condition, self.mix.weight[:, self.hidden :], self.mix.bias)
        # Where every row has the same condition, what it adds is the same number and need not be gathered.
        alike = not torch.is_grad_enabled() and bool((condition == condition[:1]).all())
        by_token = linear(self.residue.weight, cell.weight_ih)[:, None]
        by_place = linear(self.position.weight, cell.weight_ih, cell.bias_ih)[None]
        table = by_token + by_place
        return Steps(
            net=self,
            table=(table + gates[0] if alike else table).flatten(0, 1),
            places=table.shape[1],
            gates=None if alike else gates,
            mixed=mixed[:1] if alike else mixed,
            first=self._first(condition),
        )

    def _weights(self, layer: int) -> nn.RNNCellBase:
        return cast("nn.RNNCellBase", self.cells[layer])

    def _input_gates(self, tokens: Tensor, position: Tensor) -> Tensor:
        cell = self._weights(0)
        return linear(self.residue(tokens) + self.position(position), cell.weight_ih, cell.bias_ih)

    def _first(self, condition: Tensor) -> State:
        hidden = torch.tanh(self.to_hidden(condition)).chunk(self.layers, -1)
        memory = tuple(torch.zeros_like(h) for h in hidden) if self.kind == "lstm" else ()
        return (*hidden, *memory)

    def _cell(self, gates: Tensor, state: State) -> State:
        """One step of all layers; ``gates`` are the first layer's input contributions."""
        hidden, memory = [], []
        for layer in range(self.layers):
            cell = self._weights(layer)
            if layer > 0:
                gates = linear(hidden[-1], cell.weight_ih, cell.bias_ih)
            own = linear(state[layer], cell.weight_hh, cell.bias_hh)
            if self.kind == "gru":
                hidden.append(_gru(gates, own, state[layer]))
            else:
                h, c = _lstm(gates + own, state[self.layers + layer])
                hidden.append(h)
                memory.append(c)
        return (*hidden, *memory)

    def _scores(self, hidden: Tensor, mixed: Tensor) -> Tensor:
        """Log-probabilities of the next symbol; ``mixed`` is the condition's share of the mixing layer."""
        x = linear(hidden, self.mix.weight[:, : self.hidden])
        x = torch.relu(x + mixed) if torch.is_grad_enabled() else x.add_(mixed).relu_()
        return log_softmax(self.out(x).masked_fill(~self.allowed, NEVER), -1)


@dataclass(frozen=True)
class Steps:
    """A decoder at work on ``b`` conditions; its states can be copied, reordered and dropped at will.

    Args:
        net: the decoder.
        table: contribution of each token at each place to the first layer's gates, that of the condition with it
            where all rows have the same one.
        places: number of places.
        gates: contribution of each condition; None where it stands in the table.
        mixed: contribution of each condition to the mixing layer, or of the one that all rows have.
        first: hidden tensors before the first token.
    """

    net: ConditionalDecoder
    table: Float[Tensor, "kp g"]
    places: int
    gates: Float[Tensor, "b g"] | None
    mixed: Float[Tensor, "c h"]
    first: State

    def begin(self) -> tuple[Float[Tensor, "b k"], State]:
        """Log-probabilities of the first symbol, and the state after the start symbol."""
        rows = torch.arange(len(self.first[0]), device=self.table.device)
        return self.advance((rows, torch.zeros_like(rows), *self.first), torch.full_like(rows, self.net.start))

    def advance(self, state: State, tokens: Int[Tensor, " r"]) -> tuple[Float[Tensor, "r k"], State]:
        """Log-probabilities of the symbol after ``tokens``, and the state that has read them."""
        rows, position, *hidden = state
        gates = self.table[tokens * self.places + position]
        mixed = self.mixed
        if self.gates is not None:
            gates, mixed = gates + self.gates[rows], mixed[rows]
        new = self.net._cell(gates, tuple(hidden))  # noqa: SLF001 (two halves of one thing)
        scores = self.net._scores(new[self.net.layers - 1], mixed)  # noqa: SLF001
        return scores, (rows, position + 1, *new)


def _gru(x: Tensor, own: Tensor, h: Tensor) -> Tensor:
    width = h.shape[-1]
    if not torch.is_grad_enabled():
        gate = (x[..., : 2 * width] + own[..., : 2 * width]).sigmoid_()
        new = (own[..., 2 * width :] * gate[..., :width]).add_(x[..., 2 * width :]).tanh_()
        return (h - new).mul_(gate[..., width:]).add_(new)
    gate = torch.sigmoid(x[..., : 2 * width] + own[..., : 2 * width])
    reset, update = gate[..., :width], gate[..., width:]
    new = torch.tanh(x[..., 2 * width :] + reset * own[..., 2 * width :])
    return new + update * (h - new)


def _lstm(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    i, f, g, o = gates.chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c
