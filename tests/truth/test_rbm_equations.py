"""Every kind of unit against enumeration and quadrature; the gauge; what is refused."""

import math

import pytest
import torch

from zsteer.core.rng import Streams
from zsteer.errors import InputError
from zsteer.maths.boltzmann import (
    Couplings,
    binary_states,
    energy,
    free_energy,
    hidden_draw,
    hidden_mean,
    hidden_potential,
    level_states,
    log_partition,
    visible_draw,
    visible_field,
    visible_mean,
    visible_potential,
    zero_sum,
)

KINDS = ("bernoulli", "gaussian", "relu")


def machine(seed, visible="binary", hidden="bernoulli", n=6, m=3, levels=1, scale=0.5):
    rng = Streams.of(seed, n + m).child("machine")
    both = scale * rng.normal("w", (m,), dtype=torch.float64)
    bias = 0.5 * rng.normal("bias", (), dtype=torch.float64)
    return Couplings(both[:n].clone(), bias[:n].clone(), bias[n:].clone(), visible, hidden, levels)


def grid(hidden, m):
    """Quadrature points and weights over all hidden states; for real units a grid to +-12 with step 1/64."""
    if hidden == "bernoulli":
        h = binary_states(m)
        return h, torch.ones(len(h), dtype=torch.float64)
    line = torch.arange(0.0 if hidden == "relu" else -12.0, 12.0, 1 / 64, dtype=torch.float64)
    weight = torch.full_like(line, 1 / 64)
    if hidden == "relu":
        weight[0] /= 2  # trapezoid rule at the cut-off
    return line[:, None], weight


@pytest.mark.parametrize("hidden", KINDS)
@pytest.mark.parametrize("visible", ["binary", "real", "levels"])
def test_free_energy_sums_the_hidden_units_out(seed, visible, hidden):
    levels = 3 if visible == "levels" else 1
    p = machine(seed, visible, hidden, m=3 if hidden == "bernoulli" else 1, levels=levels)
    u = Streams.of(seed, 4).uniform("u", (6 // levels,), dtype=torch.float64)
    v = visible_draw(p.a.expand(4, 6), p, u)
    h, weight = grid(hidden, 3)
    total = torch.stack([(torch.exp(-energy(one.expand(len(h), 6), h, p)) * weight).sum() for one in v])
    # The trapezoid rule with step s errs by s^2/12 = 2e-5 times the slope at the cut-off over the sum, which is
    # below 20 for fields above -4, for relu; exponentially little for the others.
    assert torch.allclose(free_energy(v, p), -total.log(), atol=1e-3 if hidden == "relu" else 1e-10)


@pytest.mark.parametrize("hidden", KINDS)
def test_hidden_mean_is_the_derivative_of_the_potential(hidden):
    x = torch.linspace(-40, 8, 97, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(hidden_potential(x, hidden).sum(), x)
    assert torch.allclose(hidden_mean(x.detach(), hidden), slope, atol=1e-9)
    far = hidden_mean(torch.tensor([-30.0]), hidden)
    assert bool(torch.isfinite(far).all())


@pytest.mark.parametrize("hidden", KINDS)
def test_hidden_draws_have_the_mean_of_the_conditional(seed, hidden):
    x = torch.linspace(-35, 3, 20, dtype=torch.float64)
    u = Streams.of(seed, 4000).uniform("u", (20,), dtype=torch.float64)
    h = hidden_draw(x.expand(4000, 20), hidden, u)
    mean, sd = h.mean(0), h.std(0) / math.sqrt(4000)
    # Five standard errors for 20 fields; a unit that is never on has none, hence the floor.
    assert bool(((mean - hidden_mean(x, hidden)).abs() < 5 * sd + 2e-3).all())
    assert hidden != "relu" or bool((h >= 0).all())


@pytest.mark.parametrize("visible", ["binary", "real", "levels"])
def test_visible_draws_have_the_mean_of_the_conditional(seed, visible):
    p = machine(seed, visible, levels=3 if visible == "levels" else 1)
    f = visible_field(torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64), p)
    u = Streams.of(seed, 6000).uniform("u", (6 // p.levels,), dtype=torch.float64)
    v = visible_draw(f.expand(6000, 6), p, u)
    # Five standard errors of 6 means of 6,000 draws; a unit's variance is at most 1 here.
    assert float((v.mean(0) - visible_mean(f, p)).abs().max()) < 5 / math.sqrt(6000)
    slope = torch.autograd.functional.jacobian(lambda x: visible_potential(x, p), f)
    assert torch.allclose(slope, visible_mean(f, p), atol=1e-12)


@pytest.mark.parametrize("hidden", ["bernoulli", "gaussian", "relu"])
def test_both_sides_give_the_same_log_partition(seed, hidden):
    """By hidden states (bernoulli) and by visible states: the smaller side is chosen, so shapes decide."""
    p = machine(seed, hidden=hidden, n=6, m=3)
    by_visible = torch.logsumexp(-free_energy(binary_states(6), p), 0)
    assert float(log_partition(p) - by_visible) == pytest.approx(0, abs=1e-10)


def test_log_partition_of_levels_and_real_visibles(seed):
    p = machine(seed, "levels", levels=3)
    assert float(log_partition(p)) == pytest.approx(
        float(torch.logsumexp(-free_energy(level_states(2, 3), p), 0)), abs=1e-10
    )
    one = machine(seed, "real", n=1, m=3)
    line = torch.arange(-15, 15, 1 / 32, dtype=torch.float64)[:, None]
    numeric = torch.logsumexp(-free_energy(line, one), 0) - math.log(32)
    assert float(log_partition(one)) == pytest.approx(float(numeric), abs=1e-8)


def test_the_gauge_changes_no_probability_and_leaves_zero_sums(seed):
    p = machine(seed, "levels", levels=3)
    q = zero_sum(p)
    v = level_states(2, 3)
    shift = free_energy(v, p) - free_energy(v, q)
    assert torch.allclose(shift, shift[:1].expand_as(shift), atol=1e-12)
    assert float(q.w.unflatten(0, (2, 3)).sum(1).abs().max()) < 1e-12
    assert float(q.a.unflatten(0, (2, 3)).sum(1).abs().max()) < 1e-12
    assert zero_sum(machine(seed)).w is not None


def test_what_cannot_be_enumerated_is_refused():
    with pytest.raises(InputError, match=r"at most 2\^20 states"):
        log_partition(machine(0, n=24, m=21))
    with pytest.raises(InputError, match="anneal"):
        log_partition(machine(0, "real", "gaussian", n=3, m=2))
    with pytest.raises(InputError, match="multiple of 4 levels"):
        machine(0, "levels", levels=4)
