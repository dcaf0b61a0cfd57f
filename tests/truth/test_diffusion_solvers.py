"""Solvers on a mixture with its exact denoiser: order of convergence, ends of a walk, inversion, automatic steps."""

import math
from functools import cache
from itertools import pairwise

import pytest
import torch
from tests.diffusion import data, draws, model, one, start, three

from zsteer.core.rng import Streams
from zsteer.errors import CapabilityError, SettingsError
from zsteer.maths.schedules import SCHEDULES, Schedule
from zsteer.maths.solvers import mean_weights, midpoint_weights, value_weights
from zsteer.sample.auto import auto
from zsteer.sample.ddim import ddim
from zsteer.sample.invert import invert
from zsteer.sample.solvers import SOLVERS, walk
from zsteer.sample.times import steps_of, times, times_from

DETERMINISTIC = [name for name, solver in SOLVERS.items() if not solver.stochastic]
RANGE = 2.0
"""Of values in [-1, 1], in which images are; the toy's data have the same spread."""


def psnr(x, y):
    return 20 * math.log10(RANGE / float((x - y).square().mean().sqrt()))


def evenly(n, begin=0.8, end=0.2):
    return [begin + (end - begin) * i / n for i in range(n + 1)]


@cache
def crossed(name, steps, back):
    """Between t = 0.8 and 0.2, where the denoiser is smooth, from fixed points."""
    x, rng = start(32, 0)
    return SOLVERS[name].run(model().denoiser(None, 32), x, evenly(steps)[:: -1 if back else 1], rng)


@pytest.mark.parametrize("name", DETERMINISTIC)
@pytest.mark.parametrize("back", [False, True], ids=["to data", "to noise"])
def test_order_of_convergence(name, back):
    """Halving the steps divides the error by 2^order."""
    solver = SOLVERS[name]
    # Of order 3 at 400 steps: its own error is 1/100 of the smallest that is measured, or less.
    fine = crossed("corrected", 400, back)
    errors = [float((crossed(name, steps, back) - fine).square().mean().sqrt()) for steps in (20, 40, 80)]
    orders = [math.log2(rough / better) for rough, better in pairwise(errors)]
    assert all(abs(order - solver.order) < 0.3 for order in orders), (errors, orders)


def test_ddim_on_a_normal_is_the_product_of_its_steps():
    """Each step is linear in x there; the whole walk is a product that is worked out by hand."""
    mean, variance, steps = 0.6, 0.3, 12
    toy = model(one([mean], [variance]))
    x, rng = start(3, 0, 1)
    at = times(toy.noise, steps)
    left = [float(toy.noise.schedule.abar(torch.tensor(t, dtype=torch.float64))) for t in at]
    y = x.clone()
    for now, then in pairwise(left):
        x0 = mean + math.sqrt(now) * variance / (now * variance + 1 - now) * (y - math.sqrt(now) * mean)
        y = math.sqrt(then) * x0 + math.sqrt(1 - then) * (y - math.sqrt(now) * x0) / math.sqrt(1 - now)
    assert float((ddim(toy.denoiser(None, 3), x, at, rng) - y).abs().max()) < 1e-12


def test_the_exact_walk_of_a_normal_keeps_quantiles():
    """Truth: the deterministic flow takes the quantile of x_1 to the same quantile of the data."""
    mean, variance = [0.6, -0.2], [0.3, 1.4]
    toy = model(one(mean, variance))
    x, rng = start(8, 0)
    wanted = torch.tensor(mean, dtype=torch.float64) + torch.tensor(variance, dtype=torch.float64).sqrt() * x
    for name in DETERMINISTIC:
        found = walk(toy.denoiser(None, 8), x, rng, solver=name, steps=80)
        # Order 1 at 80 steps; the others end with one short step of order 1.
        assert float((found - wanted).abs().max()) < (0.2 if name == "ddim" else 0.02), name


@pytest.mark.parametrize("spacing", ["time", "power", "log_snr", "karras"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_times_fall_from_one_to_zero(spacing, schedule):
    noise = model(schedule=Schedule(schedule)).noise
    for steps in (1, 2, 7, 50):
        found = times(noise, steps, spacing)
        assert len(found) == steps + 1 and found[0] == 1 and found[-1] == 0
        assert all(later < earlier for earlier, later in pairwise(found))
    if spacing not in {"time", "power"}:
        assert times(noise, 8, spacing)[-2] == pytest.approx(0.025, rel=1e-9)
        assert times(noise, 800, spacing)[-2] == pytest.approx(1 / noise.steps, rel=1e-9)
        assert times(noise, 7, spacing, first=0.02)[-2] == pytest.approx(0.02, rel=1e-9)
    ratio = noise.log_snr(torch.tensor(times(noise, 9, spacing)[:-1], dtype=torch.float64))
    steps = ratio.diff() if spacing == "log_snr" else (-ratio / 14).exp().diff()
    if spacing not in {"time", "power"}:
        assert float((steps - steps[0]).abs().max() / steps[0].abs()) < 1e-8


STEPS = 20
NEAR = (-1e-3, 0.0, 1e-17, 1e-6)
"""Distances of a start from a time of the grid."""


@cache
def starts(spacing):
    """Starts on and beside times of the grid, the smallest and the largest: template, state, end of a fine walk."""
    n, toy = 24, model()
    noise, denoiser, rng = toy.noise, toy.denoiser(None, n), Streams.of(0, n)
    x0, grid = data(three(), n, 0).float(), times(noise, STEPS, spacing)
    found = []
    for begin in (1e-12, *(grid[k] + off for k in (8, 19) for off in NEAR)):
        state = noise.corrupt(x0, torch.full((n,), begin, dtype=torch.float32), rng)
        whole = [begin * (1 - i / 24) ** 2 for i in range(25)]
        found.append((begin, x0, state, SOLVERS["heun"].run(denoiser, state, whole, rng)))
    return found


@pytest.mark.parametrize("spacing", ["time", "log_snr"])
@pytest.mark.parametrize("name", SOLVERS)
def test_a_start_on_a_time_of_the_grid_is_no_seam(name, spacing):
    """Partial noising and back ends where a fine walk from the same state ends, or draws from as near; in float32."""
    toy = model()
    for begin, x0, state, exact in starts(spacing):
        rng = Streams.of(0, len(x0))
        at = times_from(toy.noise, begin, STEPS, spacing)
        assert at[0] == begin and at[0] - at[1] >= (at[1] - (at[2] if len(at) > 2 else at[1])) / 2
        found = SOLVERS[name].run(toy.denoiser(None, len(x0)), state, at, rng)
        gap = float((found - exact).square().mean().sqrt())
        change = float((exact - x0).square().mean().sqrt())
        # A draw differs from the deterministic end by what the noise left open, as the template itself does.
        bar = 3 * change + 0.1 if SOLVERS[name].stochastic else 0.25
        assert gap < bar, (begin, gap, change)


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("off", [1e-17, 1e-7, 1e-4])
def test_no_solver_follows_the_slope_of_a_vanishing_step(name, off):
    """Times of one's own: two that are equal but for rounding, or nearly so, change nothing; either way in time."""
    n, toy = 24, model()
    (x, rng), denoiser = start(n, 0), toy.denoiser(None, n)
    for at in ([0.8, 0.5, 0.5 - off, 0.3, 0.1], [0.1, 0.3, 0.5 - off, 0.5, 0.8]):
        if SOLVERS[name].stochastic and at[0] < at[-1]:
            continue
        plain = [time for time in at if time == 0.5 or abs(time - 0.5) > 2e-4]
        found, wanted = (SOLVERS[name].run(denoiser, x.float(), one, rng) for one in (at, plain))
        if SOLVERS[name].stochastic:  # draws of later steps differ, for steps are counted; their size does not
            assert 0.5 < float(found.square().mean() / wanted.square().mean()) < 2
            continue
        whole = [at[0] + (at[-1] - at[0]) * i / 30 for i in range(31)]
        exact = SOLVERS["heun"].run(denoiser, x.float(), whole, rng)
        errors = [float((each - exact).square().mean().sqrt()) for each in (found, wanted)]
        assert errors[0] < 1.2 * errors[1] + 0.01, (at, errors)


def test_times_that_turn_round_are_refused():
    for at in ([0.5, 0.2, 0.3], [1.2, 0.5], [0.1, math.nan]):
        with pytest.raises(SettingsError):
            list(steps_of(at))


def test_weights_are_integrals_of_lagrange_polynomials():
    """By quadrature over the step; and a polynomial of the order's degree is averaged without error."""
    for h, nodes in ((0.4, [0.0, -0.3]), (1.1, [0.0, -0.5, -1.2]), (-0.8, [0.0, 0.6, 1.5]), (0.9, [0.0, 0.9])):
        u = torch.linspace(0, h, 20_001, dtype=torch.float64)
        for j, found in enumerate(mean_weights(h, nodes)):
            lagrange = torch.ones_like(u)
            for i, node in enumerate(nodes):
                if i != j:
                    lagrange = lagrange * (u - node) / (nodes[j] - node)
            wanted = torch.trapezoid(u.exp() * lagrange, u) / torch.trapezoid(u.exp(), u)
            # The trapezoid rule's own error at 20,000 intervals.
            assert found == pytest.approx(float(wanted), abs=1e-7)
    assert midpoint_weights(0.4, [0.0, -0.8]) == pytest.approx([1.25, -0.25])
    assert value_weights(2.0, [0.0, 1.0]) == pytest.approx([-1.0, 2.0])
    assert mean_weights(math.inf, [0.0, -1.0]) == [1.0, 0.0]


def test_the_last_step_gives_the_prediction_itself():
    toy = model()
    x, rng = start(5, 0)
    for name in DETERMINISTIC:
        found = SOLVERS[name].run(toy.denoiser(None, 5), x, [0.3, 0.0], rng)
        prediction = toy.denoiser(None, 5).predict(x, torch.full((5,), 0.3, dtype=torch.float64))
        assert torch.allclose(found, prediction.x0, rtol=0, atol=1e-14), name


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_inversion_comes_back_within_fifty_calls(seed, schedule):
    """Round trip of 64 data points at 50 network calls there, 25 back; explicit inversion at 50 for comparison."""
    n, toy = 64, model(schedule=Schedule(schedule))
    denoiser, x0 = toy.denoiser(None, n), data(three(), n, seed)
    _, rng = start(n, seed)
    found = invert(denoiser, x0, steps=25, refine=2)
    assert found.calls == 50
    back = ddim(denoiser, found.x, found.times, rng)
    assert psnr(back, x0) >= 60
    at = times(toy.noise, 50)[::-1]
    lifted = toy.noise.abar(at[1], x0).sqrt() * x0
    explicit = ddim(denoiser, ddim(denoiser, lifted, at[1:], rng), at[::-1], rng)
    assert psnr(back, x0) > psnr(explicit, x0) + 25
    # The code is noise: as a set it has the moments of a standard normal, but for the first-order error of 25 steps.
    assert abs(float(found.x.square().mean()) - 1) < 0.5


def test_inversion_converges_to_the_inverse():
    """With more iterations the round trip ends in rounding; the reported gap bounds what is left."""
    n, toy = 16, model(schedule=Schedule("cosine"))
    denoiser, x0 = toy.denoiser(None, n), data(three(), n, 0)
    _, rng = start(n, 0)
    gaps = []
    for refine in (1, 3, 9):
        found = invert(denoiser, x0, steps=15, refine=refine)
        left = (ddim(denoiser, found.x, found.times, rng) - x0).square().mean(1).sqrt()
        gaps.append(float(found.gap.max()))
        assert float(left.max()) < 3 * gaps[-1]
    assert gaps[0] > 10 * gaps[1] > 1000 * gaps[2]
    x = draws(n, 3)
    x0 = ddim(denoiser, x, times(toy.noise, 15, "log_snr"), rng)
    again = invert(denoiser, x0, steps=15, refine=12).x
    # 12 iterations at a factor of 0.2 or less each, where the walk spreads noise by no more than a factor of 10.
    assert float((again - x).abs().max()) < 1e-6


def test_automatic_steps_keep_their_tolerance(seed):
    toy, n = model(schedule=Schedule("cosine")), 16
    denoiser, (x, rng) = toy.denoiser(None, n), start(n, seed)
    fine = walk(denoiser, x, rng, solver="corrected", steps=200)
    spread = float((fine - fine.mean(0)).square().mean().sqrt())
    found = {}
    for solver in ("ddim", "multistep2"):
        chosen = auto(denoiser, x, rng, solver=solver, tolerance=0.05)
        assert chosen.met and chosen.error <= 0.05
        assert all(error > 0.05 for steps, error in chosen.tried.items() if steps < chosen.steps)
        assert chosen.calls == sum(SOLVERS[solver].count(steps) for steps in (*chosen.tried, 100))
        rough = walk(denoiser, x, rng, solver=solver, steps=chosen.steps)
        true = float((rough - fine).square().mean().sqrt()) / spread
        # The pilot's reference has an error of its own: of order 1 and 100 steps some 2/100 of the spread.
        assert true < 0.05 + 0.04
        found[solver] = chosen.steps
    assert found["multistep2"] < found["ddim"]
    assert auto(denoiser, x, rng, tolerance=1e-9, candidates=(4, 8)).met is False


def test_wishes_that_cannot_be_met_are_one_line():
    toy = model()
    denoiser, (x, rng) = toy.denoiser(None, 4), start(4, 0)
    with pytest.raises(SettingsError, match="at least 1 step, got 0"):
        walk(denoiser, x, rng, steps=0)
    with pytest.raises(SettingsError, match="did you mean 'multistep"):
        walk(denoiser, x, rng, solver="multistep")
    with pytest.raises(SettingsError, match="eta"):
        walk(denoiser, x, rng, solver="heun", eta=0.5)
    with pytest.raises(CapabilityError, match="draws anew"):
        auto(denoiser, x, rng, solver="ancestral")
    with pytest.raises(CapabilityError, match="eta=0"):
        ddim(denoiser, x, [0.2, 0.5], rng, eta=0.5)
    with pytest.raises(SettingsError, match="no noise"):
        ddim(denoiser, x, [0.0, 0.5], rng)
    with pytest.raises(SettingsError, match="refine"):
        invert(denoiser, x, refine=0)
