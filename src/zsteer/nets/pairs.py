r"""An E(3)-equivariant net on atoms and on undirected pairs of atoms, dense, for molecules of one size: no padding.

Each layer, with pairs p = (i, j), i < j, and u = U h, v = V h,

.. math:: z_p = \text{silu}(W_1 [e_p, \triangle_p] + u_i + u_j + W_d\, \text{rbf}(|x_i - x_j|) + c), \quad
          e_p \leftarrow e_p + W_2 z_p, \quad
          h_i \leftarrow h_i + \text{mlp}\Big(h_i, \sum_{p \ni i} (W_m z_p) (v_i + v_j)\Big), \quad
          x_i \leftarrow x_i + \sum_j w \cdot z_p\, \frac{x_i - x_j}{|x_i - x_j| + 1} ,

with the state of the pair beside that of the atoms, so that bonds are read off directly, and with what the pair learns
from the third atoms of its triangles (``nets.triangles``). What depends on one atom is
worked out once for each atom, and both gathering and summing are products with one fixed incidence matrix. The force of
a pair acts on both its atoms with opposite signs, so the centre of mass stays where it is, exactly. Distances are the
only thing that is read from coordinates: rotations and reflections turn the forces, and change nothing else.

Geometry is float32 at least; the rest follows autocast.

Source: Satorras, Hoogeboom, Welling, "E(n) equivariant graph neural networks", 2021 (equivariant updates); Vignac et
al., "MiDi: mixed graph and 3D denoising diffusion for molecule generation", 2023 (states of pairs).
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear, silu

from zsteer.errors import SettingsError
from zsteer.nets.precision import at_least_single
from zsteer.nets.triangles import triangle_products

__all__ = ["PairNet", "PairNetSettings", "pairs"]

CENTRES = 24
"""Gaussians that a distance is spread over."""


@dataclass(frozen=True)
class PairNetSettings:
    """What the net is built from.

    Args:
        atoms: features of an atom that go in.
        pairs: features of a pair that go in; 0 where pairs have none of their own.
        context: features of the whole molecule that go in: time and conditions.
        out_atoms: features of an atom that come out.
        out_pairs: features of a pair that come out; 0 for none.
        width: of the state of an atom.
        pair_width: of the state of a pair.
        layers: how many.
        reach: distance up to which distances are resolved. [unit of the coordinates]
        geometries: sets of coordinates whose distances are read; only the first one is moved.
        push: factor of every force. An atom is moved by all others in every layer, so that one step of an optimiser
            that moves each weight by as much (Adam) moves the coordinates of large molecules too far; 2 / n will do.
        triangles: channels of the products along triangles; 0 for none.

    Raises:
        SettingsError: if a number is not positive.
    """

    atoms: int
    pairs: int
    context: int
    out_atoms: int
    out_pairs: int
    width: int = 128
    pair_width: int = 96
    layers: int = 6
    reach: float = 8.0
    geometries: int = 1
    push: float = 1.0
    triangles: int = 0

    def __post_init__(self) -> None:
        least = {"pairs": -1, "out_pairs": -1, "triangles": -1}
        wrong = [name for name, value in vars(self).items() if not value > least.get(name, 0)]
        if wrong:
            raise SettingsError(f"expected positive numbers for {', '.join(wrong)}")


@lru_cache(maxsize=256)
def _matrices(n: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """(P, n) incidence, both ends 1; and the difference of the ends, 1 and -1."""
    i, j = torch.triu_indices(n, n, 1, device=device)
    rows = torch.arange(len(i), device=device)
    both, difference = (torch.zeros(len(i), n, dtype=dtype, device=device) for _ in range(2))
    both[rows, i] = both[rows, j] = difference[rows, i] = 1
    difference[rows, j] = -1
    return both, difference


def pairs(n: int) -> int:
    """Number of pairs of n atoms."""
    return n * (n - 1) // 2


class _Spread(nn.Module):
    """Distances as Gaussians of rising width: bond lengths are resolved finely, far pairs coarsely."""

    def __init__(self, reach: float) -> None:
        super().__init__()
        # Centres lie even in the square root of the distance: half of them below a quarter of the reach.
        root = torch.linspace(0.1, 1.0, CENTRES) * reach**0.5
        self.centre: Tensor
        self.register_buffer("centre", root, persistent=False)
        self.sharpness = 0.5 / float(root[1] - root[0]) ** 2

    def forward(self, distance: Float[Tensor, "b p"]) -> Float[Tensor, "b p k"]:
        return torch.exp(-self.sharpness * (distance.sqrt()[..., None] - self.centre.to(distance.dtype)).square())


class _Layer(nn.Module):
    def __init__(self, s: PairNetSettings) -> None:
        super().__init__()
        wide, thin = s.width, s.pair_width
        self.pair_norm, self.norm = nn.LayerNorm(thin), nn.LayerNorm(wide)
        self.of_pair = nn.Linear(thin + s.triangles + CENTRES * s.geometries, thin)
        self.of_triangle = nn.Linear(thin, 2 * s.triangles) if s.triangles else None
        self.of_atom = nn.Linear(wide, 2 * thin, bias=False)
        self.of_context = nn.Linear(s.context, thin + 2 * wide)
        self.out = nn.Linear(thin, 2 * thin + 1)
        self.mlp = nn.Sequential(nn.Linear(wide + thin, 2 * wide), nn.SiLU(), nn.Linear(2 * wide, wide))
        # At first a layer adds nothing to the atoms.
        for weight in self.mlp[-1].parameters():
            nn.init.zeros_(weight)
        self.thin, self.wide, self.push = thin, wide, s.push

    def forward(
        self,
        h: Float[Tensor, "b n w"],
        e: Float[Tensor, "b p v"],
        near: Float[Tensor, "b p k"],
        c: Float[Tensor, "b c"],
        *,
        triangles: bool,
    ) -> tuple[Float[Tensor, "b n w"], Float[Tensor, "b p v"], Float[Tensor, "b p"]]:
        """New states, and the strength of each pair's force."""
        thin, wide = self.thin, self.wide
        shift, scale, move = self.of_context(c)[:, None].split([thin, wide, wide], -1)
        normal = self.norm(h)
        both, _ = _matrices(h.shape[1], h.dtype, h.device)
        ends, chosen = (both @ self.of_atom(normal)).chunk(2, -1)
        seen = self.pair_norm(e)
        parts = [seen, near]
        if self.of_triangle is not None and triangles:
            parts = [seen, triangle_products(self.of_triangle(seen), h.shape[1]), near]
        elif self.of_triangle is not None:
            parts = [seen, near.new_zeros(*near.shape[:2], self.of_triangle.out_features // 2), near]
        z = silu(self.of_pair(torch.cat(parts, -1)) + ends + shift)
        # The force is read apart: a product with one column more than whole registers hold takes half as long again.
        weight, bias = self.out.weight, self.out.bias
        change, message = linear(z, weight[:-1], bias[:-1]).chunk(2, -1)
        force = self.push * linear(z, weight[-1:], bias[-1:])[..., 0]
        gathered = both.T @ (message * chosen) / h.shape[1] ** 0.5
        h = h + self.mlp(torch.cat([normal * (1 + scale) + move, gathered], -1))
        return h, e + change, force


class PairNet(nn.Module):
    """Atoms, pairs and coordinates in; atoms, pairs and moved coordinates out.

    Args:
        settings: what it is built from.
    """

    def __init__(self, settings: PairNetSettings) -> None:
        super().__init__()
        s = self.settings = settings
        self.atoms_in = nn.Linear(s.atoms, s.width)
        # Pairs that bring nothing start from one learned state.
        self.pairs_in = nn.Linear(s.pairs, s.pair_width) if s.pairs else nn.Embedding(1, s.pair_width)
        self.spread = _Spread(s.reach)
        self.context = nn.Sequential(
            nn.Linear(s.context, 2 * s.context), nn.SiLU(), nn.Linear(2 * s.context, s.context)
        )
        self.layers = nn.ModuleList([_Layer(s) for _ in range(s.layers)])
        self.atoms_out = nn.Sequential(nn.LayerNorm(s.width), nn.Linear(s.width, s.out_atoms))
        self.pairs_out = self._head(s) if s.out_pairs else None

    @staticmethod
    def _head(s: PairNetSettings) -> nn.Sequential:
        thin = s.pair_width
        return nn.Sequential(nn.LayerNorm(thin), nn.Linear(thin, thin), nn.SiLU(), nn.Linear(thin, s.out_pairs))

    def forward(
        self,
        h: Float[Tensor, "b n f"],
        e: Float[Tensor, "b p g"],
        x: Float[Tensor, "b n 3"],
        context: Float[Tensor, "b c"],
        others: tuple[Float[Tensor, "b n 3"], ...] = (),
        *,
        triangles: bool = True,
    ) -> tuple[Float[Tensor, "b n f2"], Float[Tensor, "b p g2"], Float[Tensor, "b n 3"]]:
        """Run the net.

        Args:
            h: features of atoms.
            e: features of pairs, in the order of ``torch.triu_indices(n, n, 1)``.
            x: coordinates.
            context: features of the molecule.
            others: further coordinates whose distances are read, ``geometries - 1`` of them.
            triangles: False puts zeros in place of the products along triangles: a weaker net.

        Returns:
            Features of atoms, features of pairs, and how far each atom has moved; the moves sum to zero.
        """
        start, (_, difference) = x, _matrices(x.shape[1], x.dtype, x.device)
        c = silu(self.context(context))
        h = self.atoms_in(h)
        e = self.pairs_in(e if self.settings.pairs else e.new_zeros(e.shape[:2], dtype=torch.long))
        fixed = [self._near(other, difference)[0] for other in others]
        for layer in self.layers:
            near, arrow = self._near(x, difference)
            h, e, force = layer(h, e, torch.cat([near, *fixed], -1).to(h.dtype), c, triangles=triangles)
            with torch.autocast(x.device.type, enabled=False):
                x = x + difference.T @ (force[..., None].to(x.dtype) * arrow)
        read = e[..., :0] if self.pairs_out is None else self.pairs_out(e)
        return at_least_single(self.atoms_out(h)), at_least_single(read), x - start

    def _near(
        self, x: Float[Tensor, "b n 3"], difference: Float[Tensor, "p n"]
    ) -> tuple[Float[Tensor, "b p k"], Float[Tensor, "b p 3"]]:
        """Spread distances of pairs, and the arrows between their ends, shortened to less than 1."""
        with torch.autocast(x.device.type, enabled=False):
            arrow = difference @ x
            # The gradient of a length at 0 is not defined; two atoms at one place is what noise may give.
            distance = (arrow.square().sum(-1) + 1e-8).sqrt()
            return self.spread(distance), arrow / (distance[..., None] + 1)
