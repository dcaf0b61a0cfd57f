"""Slides on the Wasserstein distance: its definition, and the two segments in every distance, with their slopes."""

import itertools
import math

import pytest
import torch

from zsteer.core.rng import Streams
from zsteer.maths import segments
from zsteer.maths.distances import energy_distance, wasserstein
from zsteer.maths.kernels import gaussian_kernel, mmd_of_gram

THETA = torch.tensor([0.0, 0.25, 0.5, 1.0], dtype=torch.float64)


def slope(function, theta):
    theta = torch.tensor([theta], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(function(theta).sum(), theta)
    return float(gradient)


@pytest.mark.lecture("wasserstein.distance")
def test_no_way_to_move_the_mass_is_cheaper(measured):
    """Truth: the minimum over all 720 ways to carry 6 points to 6 points."""
    a, b = (Streams.of(0, 6).normal(name, (2,), dtype=torch.float64) for name in ("p", "q"))
    cheapest = min(float((a - b[list(way)]).norm(dim=1).mean()) for way in itertools.permutations(range(6)))
    error = abs(float(wasserstein(a, b)) - cheapest)
    measured(error, "difference from the cheapest of all 720 assignments")
    assert error < 1e-12


@pytest.mark.lecture("wasserstein.segments.kl_pq")
def test_kl_of_p_from_q_is_infinite(measured):
    assert segments.kl_pq(THETA).tolist() == [0.0, math.inf, math.inf, math.inf]
    measured(0.0, "infinite for theta = 0.25, 0.5, 1 and 0 for theta = 0, exactly")


@pytest.mark.lecture("wasserstein.segments.kl_qp")
def test_kl_of_q_from_p_is_infinite(measured):
    assert segments.kl_qp(THETA).tolist() == [0.0, math.inf, math.inf, math.inf]
    measured(0.0, "infinite for theta = 0.25, 0.5, 1 and 0 for theta = 0, exactly")


@pytest.mark.lecture("wasserstein.segments.js")
def test_js_is_log_2_and_teaches_nothing(measured):
    error = float((segments.js(THETA)[1:] - math.log(2)).abs().max())
    measured(max(error, abs(slope(segments.js, 0.5))), "difference from log 2, and slope in theta at 0.5")
    assert error < 1e-15
    assert slope(segments.js, 0.5) == 0


@pytest.mark.lecture("wasserstein.segments.distance")
def test_wasserstein_is_theta_and_its_slope_is_one(measured):
    theta = torch.tensor([-0.5, 0.0, 0.25, 1.0], dtype=torch.float64)
    error = float((segments.wasserstein_segments(theta) - theta.abs()).abs().max())
    measured(error, "difference from |theta|")
    assert error < 1e-15
    assert slope(segments.wasserstein_segments, 0.5) == 1
    assert slope(segments.wasserstein_segments, -0.5) == -1


@pytest.mark.lecture("wasserstein.segments.overlap")
def test_all_four_are_zero_where_the_segments_overlap(measured):
    values = {name: float(value[0]) for name, value in segments.all_at(THETA).items()}
    measured(max(map(abs, values.values())), "largest of the four at theta = 0")
    assert values == {"KL(P|Q)": 0, "KL(Q|P)": 0, "JS": 0, "W": 0}
    apart = {name: float(value) for name, value in segments.all_at(torch.tensor([-0.5])).items()}
    assert apart == {"KL(P|Q)": math.inf, "KL(Q|P)": math.inf, "JS": pytest.approx(math.log(2)), "W": 0.5}


def test_samples_tell_theta():
    """500 points on each segment; the null of W at this size is about 0.02, so the figure is right to that."""
    y_p, y_q = (Streams.of(1, 500).uniform(name, dtype=torch.float64) for name in ("p", "q"))
    for theta in (0.25, 0.5, 1.0):
        value = float(wasserstein(segments.points(y_p), segments.points(y_q, theta)))
        assert value == pytest.approx(theta, abs=2e-2)
    assert float(wasserstein(segments.points(y_p), segments.points(y_q))) < 3e-2


@pytest.mark.parametrize("theta", [0.0, 0.3, 1.0])
def test_closed_forms_of_energy_and_mmd_are_what_samples_give(theta, seed):
    """2,000 points: standard errors of about 0.01 for the energy distance and less for the MMD."""
    y_p, y_q = (Streams.of(seed, 2000).uniform(name, dtype=torch.float64) for name in ("p", "q"))
    p, q = segments.points(y_p), segments.points(y_q, theta)
    at = torch.tensor([theta], dtype=torch.float64)
    assert float(energy_distance(p, q)) == pytest.approx(float(segments.energy(at)), abs=3e-2)
    pooled = torch.cat([p, q])
    value = mmd_of_gram(gaussian_kernel(pooled, pooled, 1.0), torch.arange(4000)[None] < 2000)[0]
    assert float(value) == pytest.approx(float(segments.gaussian_mmd(at)), abs=3e-2)


def test_energy_and_mmd_lie_between_no_slope_and_a_constant_one():
    """They teach theta, but less where the segments are close: a slope of 0 at 0, that grows from there."""
    for function in (segments.energy, segments.gaussian_mmd):
        slopes = [slope(function, theta) for theta in (0.0, 0.1, 0.3)]
        assert slopes[0] == pytest.approx(0, abs=1e-12)
        assert 0 < slopes[1] < slopes[2]


def test_samples_have_the_slope_of_the_closed_form():
    y = Streams.of(2, 400).uniform("y", dtype=torch.float64)
    theta = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    (one,) = torch.autograd.grad(wasserstein(segments.points(y), segments.points(y, theta)), theta)
    assert float(one) == pytest.approx(1, abs=1e-12)
    (found,) = torch.autograd.grad(energy_distance(segments.points(y), segments.points(y, theta)), theta)
    assert float(found) == pytest.approx(slope(segments.energy, 0.5), abs=5e-2)
