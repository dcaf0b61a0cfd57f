"""The net on pairs: symmetries, its equations done by loops, and what it refuses."""

import math

import pytest
import torch

from zsteer.core.rng import Streams, initialised
from zsteer.errors import SettingsError
from zsteer.nets.pairs import PairNet, PairNetSettings, pairs
from zsteer.nets.triangles import triangle_products


def net_and_input(n=5, b=3, seed=0, **values):
    shared = {"atoms": 3, "pairs": 2, "context": 4, "out_atoms": 3, "out_pairs": 2, "width": 12, "pair_width": 10}
    shared |= {"triangles": 4}
    settings = PairNetSettings(**{**shared, "layers": 3, "geometries": 2, **values})
    with initialised(seed):
        net = PairNet(settings).double()
    rng = Streams.of(seed, b).child("input")
    with torch.no_grad():
        for name, weight in net.named_parameters():
            weight.add_(0.1 * Streams.of(seed, 1).normal(name, tuple(weight.shape), dtype=torch.float64)[0])
    f64 = torch.float64
    return net, (
        rng.normal("h", (n, 3), dtype=f64),
        rng.normal("e", (pairs(n), 2), dtype=f64),
        rng.normal("x", (n, 3), dtype=f64),
        rng.normal("c", (4,), dtype=f64),
        (rng.normal("o", (n, 3), dtype=f64),),
    )


def orthogonal(seed, *, reflected):
    q, _ = torch.linalg.qr(Streams.of(seed, 1).normal("q", (3, 3), dtype=torch.float64)[0])
    return q * (-1 if (torch.det(q) > 0) == reflected else 1)


@pytest.mark.parametrize("reflected", [False, True])
def test_it_turns_with_its_coordinates(seed, reflected):
    net, (h, e, x, c, (o,)) = net_and_input(seed=seed)
    turn, shift = orthogonal(seed, reflected=reflected), torch.tensor([3.0, -1.0, 2.0], dtype=torch.float64)
    assert math.isclose(float(torch.det(turn)), -1.0 if reflected else 1.0, abs_tol=1e-9)
    plain = net(h, e, x, c, (o,))
    moved = net(h, e, x @ turn.T + shift, c, (o @ turn.T,))
    # Rounding of float64 over three layers.
    for one, other in zip((plain[0], plain[1], plain[2] @ turn.T), moved, strict=True):
        assert float((one - other).detach().abs().max()) < 1e-10
    assert float(plain[2].detach().sum(1).abs().max()) < 1e-10, "the centre of mass stays"


def test_it_follows_the_order_of_its_atoms(seed):
    net, (h, e, x, c, (o,)) = net_and_input(seed=seed)
    order = Streams.of(seed, 1).permutation("order", 5)[0]
    i, j = torch.triu_indices(5, 5, 1)
    square = torch.zeros(3, 5, 5, 2, dtype=torch.float64)
    square[:, i, j] = square[:, j, i] = e
    plain = net(h, e, x, c, (o,))
    moved = net(h[:, order], square[:, order][:, :, order][:, i, j], x[:, order], c, (o[:, order],))
    square[:, i, j] = square[:, j, i] = plain[1].detach()
    for one, other in zip(
        (plain[0][:, order], square[:, order][:, :, order][:, i, j], plain[2][:, order]), moved, strict=True
    ):
        assert float((one - other).detach().abs().max()) < 1e-10


def test_its_equations_by_loops():
    net, (h, e, x, c, _) = net_and_input(b=1, layers=1, geometries=1)
    got = net(h, e, x, c)
    layer, n = net.layers[0], 5
    silu = torch.nn.functional.silu
    context = silu(net.context(c))
    shift, scale, move = layer.of_context(context)[0].split([10, 12, 12])
    node, edge = net.atoms_in(h)[0], net.pairs_in(e)[0]
    normal = layer.norm(node)
    u, v = layer.of_atom(normal).split([10, 10], -1)
    gathered, force = torch.zeros(n, 10, dtype=torch.float64), torch.zeros(n, 3, dtype=torch.float64)
    ring = triangle_products(layer.of_triangle(layer.pair_norm(edge))[None], n)[0]
    after = []
    for p, (i, j) in enumerate(torch.combinations(torch.arange(n)).tolist()):
        d = (x[0, i] - x[0, j]).norm()
        near = net.spread((d**2 + 1e-8).sqrt().reshape(1, 1))[0, 0]
        seen = torch.cat([layer.pair_norm(edge[p]), ring[p], near])
        z = silu(layer.of_pair(seen) + u[i] + u[j] + shift)
        out = layer.out(z)
        after.append(edge[p] + out[:10])
        for a, b in ((i, j), (j, i)):
            gathered[a] += out[10:20] * (v[i] + v[j]) / n**0.5
            force[a] += out[20] * (x[0, a] - x[0, b]) / (d + 1)
    node = node + layer.mlp(torch.cat([normal * (1 + scale) + move, gathered], -1))
    expected = (net.atoms_out(node), net.pairs_out(torch.stack(after)), force)
    # The small number under the root of a distance is all that differs.
    for one, other in zip(expected, got, strict=True):
        assert float((one - other[0]).detach().abs().max()) < 1e-6


def test_one_atom_has_no_pairs():
    net, (_, _, _, c, _) = net_and_input(geometries=1)
    one = torch.ones(3, 1, 3, dtype=torch.float64)
    atoms, bonds, move = net(one, one.new_zeros(3, 0, 2), one, c)
    assert atoms.shape == (3, 1, 3)
    assert bonds.shape == (3, 0, 2)
    assert float(move.detach().abs().max()) == 0


def places(n):
    """Number of each pair, either way round."""
    found = {}
    for p, (i, j) in enumerate(torch.combinations(torch.arange(n)).tolist()):
        found[i, j] = found[j, i] = p
    return found


def test_products_along_triangles_by_loops(seed):
    n, at = 5, places(5)
    ab = Streams.of(seed, 2).normal("ab", (pairs(n), 6), dtype=torch.float64)
    a, b = ab[0, :, :3], ab[0, :, 3:]
    got = triangle_products(ab, n)[0]
    for i, j in torch.combinations(torch.arange(n)).tolist():
        others = [k for k in range(n) if k not in {i, j}]
        c = sum(a[at[i, k]] * b[at[k, j]] + b[at[i, k]] * a[at[k, j]] for k in others)
        assert torch.allclose(got[at[i, j]], c / n**0.5, atol=1e-12)


def test_products_along_triangles_count_paths():
    # A ring of five atoms: one path of two bonds between every two that are not bonded, none between those that are.
    n, at = 5, places(5)
    bonded = torch.zeros(1, pairs(n), 2, dtype=torch.float64)
    ring = [at[i, (i + 1) % n] for i in range(n)]
    bonded[:, ring] = 1
    paths = triangle_products(bonded, n)[0, :, 0] * n**0.5 / 2
    expected = torch.ones(pairs(n), dtype=torch.float64)
    expected[ring] = 0
    assert torch.allclose(paths, expected)


def test_gradients_of_products_along_triangles():
    ab = Streams.of(3, 2).normal("ab", (pairs(4), 4), dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda each: triangle_products(each, 4), (ab,))


def test_settings_are_checked():
    with pytest.raises(SettingsError, match="layers"):
        PairNetSettings(atoms=1, pairs=1, context=1, out_atoms=1, out_pairs=1, layers=0)
