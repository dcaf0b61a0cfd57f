r"""``EGNN``: points with features to points with features, whatever the frame of reference; the network of EDM.

.. math:: m_{ij} = \phi_e(h_i, h_j, d_{ij}^2, d_{ij,0}^2), \quad
          h_i \leftarrow h_i + \phi_h\Big(h_i, \frac{1}{Z} \sum_{j \neq i} \sigma(\phi_a(m_{ij}))\, m_{ij}\Big), \quad
          x_i \leftarrow x_i + \frac{1}{Z} \sum_{j \neq i}
          \frac{x_i - x_j}{d_{ij} + 1}\, R \tanh \phi_x(h_i, h_j, d_{ij}^2, d_{ij,0}^2) .

All molecules of a batch have the same number of points: there is no padding to carry along. What a molecule costs grows
with the square of its own size and not of the largest. On a CPU the pairs take the way of ``nets.edges.fused``,
elsewhere and under a compiler that of ``plain``. Every n is a static shape without a branch on data: torch.compile and
CUDA graphs would take this module's ``forward``, one graph a size. Under autocast the products of the layers are in
bfloat16, coordinates and sums in float32.

Source: Satorras, Hoogeboom, Welling, "E(n) equivariant graph neural networks", 2021; Hoogeboom, Satorras, Vignac,
Welling, "Equivariant diffusion for molecule generation in 3D", 2022, appendix B.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear

from zsteer.errors import SettingsError
from zsteer.maths.geometry import centre
from zsteer.nets.edges import Weights, apart, fused, plain

__all__ = ["EGNN", "EGNNSettings"]

FAR = 2
"""What is known of a pair: its squared distance now and at the beginning."""


@dataclass(frozen=True)
class EGNNSettings:
    """Settings of the network; the defaults are EDM's for QM9.

    Args:
        features: of a point, in.
        out: of a point, out; as many as in when None.
        width: of all layers.
        layers: blocks; each moves the coordinates once.
        sublayers: rounds of messages in a block.
        attention: gate every message with a logistic weight.
        tanh: bound the moves of a block.
        reach: bound of a move, R. [angstrom]
        norm: Z, by which sums over the other points are divided. 1 in the published runs of EDM.
        shared: the move reads the block's last message and has no layers of its own: half the cost.
        fused: on a CPU, the faster way of the pairs; without it second derivatives exist.

    Raises:
        SettingsError: if a number is not positive.
    """

    features: int
    out: int | None = None
    width: int = 256
    layers: int = 9
    sublayers: int = 1
    attention: bool = True
    tanh: bool = True
    reach: float = 15.0
    norm: float = 1.0
    shared: bool = False
    fused: bool = True

    def __post_init__(self) -> None:
        numbers = {"features": self.features, "width": self.width, "layers": self.layers, "sublayers": self.sublayers}
        wrong = {
            name: value for name, value in (numbers | {"reach": self.reach, "norm": self.norm}).items() if value <= 0
        }
        if wrong or (self.out is not None and self.out < 1):
            raise SettingsError(f"expected positive settings of an EGNN, got {wrong or {'out': self.out}}")


def _half(like: Tensor) -> bool:
    kind = like.device.type
    return torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) == torch.bfloat16


class _Pairs(nn.Module):
    """Two layers over all pairs, and what is read from them."""

    def __init__(self, settings: EGNNSettings, *, attention: bool, moves: bool, pooled: bool) -> None:
        super().__init__()
        d = settings.width
        self.first, self.second = nn.Linear(2 * d + FAR, d), nn.Linear(d, d)
        self.attention = nn.Linear(d, 1) if attention else None
        self.move = nn.Linear(d, 1, bias=False) if moves else None
        if self.move is not None:
            # Hardly any move at first, so that blocks stacked on each other do not tear the points apart.
            nn.init.xavier_uniform_(self.move.weight, gain=0.001)
        self.norm = settings.norm if pooled else None
        self.fused = settings.fused

    def forward(
        self, h: Float[Tensor, "b n d"], r: Float[Tensor, "b n n 2"]
    ) -> tuple[Float[Tensor, "b n m k"], Float[Tensor, "b n d"] | None]:
        """Read-outs of the pairs, gate before move, and the sum of the messages."""
        d = h.shape[-1]
        here, there, far = self.first.weight.split([d, d, FAR], 1)
        heads = [head.weight for head in (self.attention, self.move) if head is not None]
        bias = torch.zeros(len(heads), dtype=h.dtype, device=h.device)
        if self.attention is not None:
            bias = torch.cat([self.attention.bias, bias[1:]])
        read = torch.cat(heads) if heads else h.new_zeros(0, d)
        way = fused if self.fused and h.device.type == "cpu" and not torch.compiler.is_compiling() else plain
        weights = Weights(
            far, self.second.weight, self.second.bias, read, bias, self.norm, self.attention is not None, _half(h)
        )
        # Both ends in one product; the bias of the pair goes with the first.
        ends = linear(h, torch.cat([here, there]), torch.cat([self.first.bias, torch.zeros_like(self.first.bias)]))
        return way(ends[..., :d], ends[..., d:], r, weights)


class _Block(nn.Module):
    """Rounds of messages, and one move."""

    def __init__(self, settings: EGNNSettings) -> None:
        super().__init__()
        d, count = settings.width, settings.sublayers
        self.settings = settings
        self.messages = nn.ModuleList(
            _Pairs(settings, attention=settings.attention, moves=settings.shared and k == count - 1, pooled=True)
            for k in range(count)
        )
        self.nodes = nn.ModuleList(nn.Sequential(nn.Linear(2 * d, d), nn.SiLU(), nn.Linear(d, d)) for _ in range(count))
        self.moves = None if settings.shared else _Pairs(settings, attention=False, moves=True, pooled=False)

    def forward(
        self, h: Float[Tensor, "b n d"], x: Float[Tensor, "b n 3"], start: Float[Tensor, "b n n"] | None
    ) -> tuple[Float[Tensor, "b n d"], Float[Tensor, "b n 3"], Float[Tensor, "b n n"]]:
        """Features, coordinates and the squared distances of the beginning."""
        gap = x[:, :, None] - x[:, None]
        square = gap.square().sum(-1)
        start = square if start is None else start
        r = torch.stack([square, start], -1)
        logits = h.new_zeros(0)
        for message, node in zip(self.messages, self.nodes, strict=True):
            logits, total = message(h, r)
            h = h + node(torch.cat([h, total], -1))
        if self.moves is not None:
            logits, _ = self.moves(h, r)
        far = logits[..., -1:].to(x.dtype)
        far = torch.tanh(far) * self.settings.reach if self.settings.tanh else far
        # The small number keeps the slope of the root finite where two points meet.
        unit = apart(gap / ((square + 1e-8).sqrt() + 1)[..., None])
        return h, x + (unit * far).sum(2) / self.settings.norm, start


class EGNN(nn.Module):
    """Features and coordinates to features and a move of zero mean.

    Args:
        settings: of the network.
    """

    def __init__(self, settings: EGNNSettings) -> None:
        super().__init__()
        self.settings = settings
        out = settings.features if settings.out is None else settings.out
        self.enter, self.leave = nn.Linear(settings.features, settings.width), nn.Linear(settings.width, out)
        self.blocks = nn.ModuleList(_Block(settings) for _ in range(settings.layers))

    def forward(
        self, h: Float[Tensor, "b n f"], x: Float[Tensor, "b n 3"]
    ) -> tuple[Float[Tensor, "b n g"], Float[Tensor, "b n 3"]]:
        """Features that do not change with the frame, and a move that turns with it.

        Args:
            h: features, the same in every frame: kinds, time, conditions.
            x: coordinates; where their centre lies does not matter. [angstrom]
        """
        # Sums of residuals stay in the type of the coordinates, whatever the products are in.
        features, at = self.enter(h).to(x.dtype), x
        start = None
        for block in self.blocks:
            features, at, start = block(features, at, start)
        return self.leave(features).to(x.dtype), centre(at - x)
