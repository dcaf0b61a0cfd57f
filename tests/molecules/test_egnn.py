"""The network against a naive reference, and its symmetries."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import linear, silu

from zsteer.core.rng import Streams, initialised
from zsteer.errors import CapabilityError, SettingsError
from zsteer.maths.geometry import equivariance_error, invariance_error, rotation
from zsteer.nets import edges
from zsteer.nets.egnn import EGNN, EGNNSettings

SMALL = EGNNSettings(features=5, width=16, layers=2, norm=3.0)
VARIANTS = {
    "edm": {},
    "as many out": {"out": 7, "sublayers": 2},
    "bare": {"attention": False, "tanh": False},
    "shared": {"shared": True},
    "shared, bare": {"shared": True, "attention": False, "sublayers": 2},
}


def net(dtype=torch.float64, **changes):
    """A net with moves of some size: fresh ones are a thousandth."""
    with initialised(3):
        made = EGNN(replace(SMALL, **changes)).to(dtype)
    with torch.no_grad():
        for name, weight in made.named_parameters():
            if "move.weight" in name:
                weight.mul_(1000)
    return made


def points(n, b=3, seed=0, dtype=torch.float64):
    rng = Streams.of(seed, b)
    return rng.normal("h", (n, 5), dtype=dtype), 1.5 * rng.normal("x", (n, 3), dtype=dtype)


def naive(made, h, x):
    """One molecule at a time, one pair at a time, first layers of joined inputs: as the papers write it."""
    s, found = made.settings, []
    for feature, start in zip(h, x, strict=True):
        f, at = linear(feature, made.enter.weight, made.enter.bias), start
        n = len(at)

        def message(pairs, f, at, i, j, start=start):
            near, then = (at[i] - at[j]).square().sum(), (start[i] - start[j]).square().sum()
            joined = torch.cat([f[i], f[j], near[None], then[None]])
            inner = silu(linear(joined, pairs.first.weight, pairs.first.bias))
            return silu(linear(inner, pairs.second.weight, pairs.second.bias))

        for block in made.blocks:
            moves = {}
            for k, (pairs, node) in enumerate(zip(block.messages, block.nodes, strict=True)):
                total = torch.zeros_like(f)
                for i in range(n):
                    for j in range(n):
                        if i != j:
                            m = message(pairs, f, at, i, j)
                            gate = torch.sigmoid(pairs.attention(m)) if s.attention else 1.0
                            total[i] = total[i] + gate * m / s.norm
                            if s.shared and k == s.sublayers - 1:
                                moves[i, j] = pairs.move(m)
                f = f + node(torch.cat([f, total], 1))
            places = at.clone()
            for i in range(n):
                for j in range(n):
                    if i != j:
                        move = moves[i, j] if s.shared else block.moves.move(message(block.moves, f, at, i, j))
                        move = s.reach * torch.tanh(move) if s.tanh else move
                        gap = at[i] - at[j]
                        # The small number under the root is part of the definition.
                        places[i] = places[i] + gap / ((gap.square().sum() + 1e-8).sqrt() + 1) * move / s.norm
            at = places
        v = at - start
        found.append((linear(f, made.leave.weight, made.leave.bias), v - v.mean(0)))
    return tuple(torch.stack(part) for part in zip(*found, strict=True))


def gradients(made, h, x):
    """Of a sum that reads every output, with respect to the inputs and the weights."""
    h, x = h.clone().requires_grad_(True), x.clone().requires_grad_(True)
    out, v = made(h, x)
    loss = (out * torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)).sum() + v.square().sum()
    return torch.autograd.grad(loss, [h, x, *made.parameters()])


def worst(one, other):
    """Largest difference, relative to the largest number of each tensor."""
    return max(
        float((a - b).abs().max() / a.abs().max().clamp(min=1e-3))
        for a, b in ((a.detach(), b.detach()) for a, b in zip(one, other, strict=True))
    )


@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_agrees_with_a_naive_reference(variant):
    """1e-10 in float64, 1e-5 in float32; both ways of the pairs."""
    made, (h, x) = net(**VARIANTS[variant]), points(5)
    wanted = naive(made, h, x)
    assert float(wanted[1].abs().max()) > 0.01
    assert worst(wanted, made(h, x)) < 1e-10
    assert worst(wanted, net(**VARIANTS[variant], fused=False)(h, x)) < 1e-10
    single = net(torch.float32, **VARIANTS[variant])
    assert worst(wanted, [one.double() for one in single(h.float(), x.float())]) < 1e-5


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("n", [1, 2, 6])
def test_way_back_of_the_fast_pairs_is_that_of_the_plain_ones(variant, n, monkeypatch):
    """Outputs and all gradients; with pieces of two molecules, so that the last piece is a smaller one."""
    monkeypatch.setattr(edges, "ROWS", 2 * n * (n - 1))
    h, x = points(n)
    made, plain = net(**VARIANTS[variant]), net(**VARIANTS[variant], fused=False)
    assert worst(plain(h, x), made(h, x)) < 1e-12
    # A hundred roundings of 1e-16, relative to each gradient's largest number.
    assert worst(gradients(plain, h, x), gradients(made, h, x)) < 1e-10


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("improper", [False, True])
@torch.no_grad()
def test_outputs_turn_with_the_frame(variant, improper, seed):
    """Features stay, moves turn, a shift changes nothing, the mean move is zero; 1e-10 in float64, 1e-5 in float32."""
    rng = Streams.of(seed, 3)
    turn = rotation(rng.normal("turn", (4,), dtype=torch.float64), improper=improper)
    shift = 2 * rng.normal("shift", (1, 3), dtype=torch.float64)
    for dtype, limit in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        made, (h, x) = net(dtype, **VARIANTS[variant]), points(6, seed=seed, dtype=dtype)
        move, turned, by = float(made(h, x)[1].abs().max()), turn.to(dtype), shift.to(dtype)
        # Differences of coordinates after a shift are rounded; the outputs are of order 1, moves up to 5 angstrom.
        allowed = limit * max(1.0, move) * (1 if dtype == torch.float64 else 3)
        assert float(equivariance_error(lambda at, h=h, m=made: m(h, at)[1], x, turned, by).max()) < allowed
        assert float(invariance_error(lambda at, h=h, m=made: m(h, at)[0], x, turned, by).max()) < allowed
        assert float(made(h, x)[1].mean(1).abs().max()) < allowed


@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_order_of_points_and_batches_does_not_matter(variant, seed):
    made, (h, x) = net(**VARIANTS[variant]), points(7, seed=seed)
    order = torch.argsort(Streams.of(seed, 1).uniform("order", (7,))[0])
    moved = made(h[:, order], x[:, order])
    assert worst([one[:, order] for one in made(h, x)], moved) < 1e-10
    assert worst([one[1:2] for one in made(h, x)], made(h[1:2], x[1:2])) < 1e-12


@pytest.mark.parametrize("fused", [True, False])
def test_half_precision_is_near_and_keeps_coordinates_in_single(fused):
    """Products in bfloat16 have 8 bits: outputs differ by a few percent, gradients point the same way."""
    made, (h, x) = net(torch.float32, fused=fused), points(6, dtype=torch.float32)
    exact, slopes = made(h, x), gradients(made, h, x)
    with torch.autocast("cpu", torch.bfloat16):
        half = made(h, x)
        near = gradients(made, h, x)
    assert all(one.dtype == torch.float32 for one in half)
    # Moves of angstroms in two layers, as here, make the rounding larger than it is in a trained net.
    assert 1e-6 < worst(exact, half) < 0.15
    one, other = (torch.cat([slope.flatten() for slope in each]) for each in (slopes, near))
    assert float(torch.cosine_similarity(one, other, 0)) > 0.99


def test_inference_mode_leaves_nothing_behind():
    """Room that is used again must not be that of another mode."""
    made, (h, x) = net(), points(6)
    wanted = gradients(made, h, x)
    with torch.inference_mode():
        made(*points(40))
    assert worst(wanted, gradients(made, h, x)) == 0.0


def test_points_that_meet_have_finite_gradients():
    h, x = points(4)
    x[:, 1] = x[:, 0]
    assert all(bool(torch.isfinite(one).all()) for one in gradients(net(), h, x))


def test_second_derivatives_exist_on_the_plain_way_only():
    h, x = points(4)
    x.requires_grad_(True)
    (slope,) = torch.autograd.grad(net(fused=False)(h, x)[0].sum(), x, create_graph=True)
    assert bool(torch.isfinite(torch.autograd.grad(slope.square().sum(), x)[0]).all())
    with pytest.raises(CapabilityError, match="fused=False"):
        torch.autograd.grad(net()(h, x)[0].sum(), x, create_graph=True)


def test_settings_say_what_is_wrong():
    with pytest.raises(SettingsError, match="'width': 0"):
        replace(SMALL, width=0)
    with pytest.raises(SettingsError, match="'out': 0"):
        replace(SMALL, out=0)
