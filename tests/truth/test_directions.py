"""Heads and steps in a code against closed forms: the lecture's edit, held attributes, and what lies between codes."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zsteer.core.rng import Streams
from zsteer.errors import InputError
from zsteer.maths.directions import (
    area_out_of_bag,
    joint_step,
    lerp,
    logistic,
    mahalanobis,
    mix,
    move,
    predict,
    r_squared,
    r_squared_out_of_bag,
    radius,
    ridge,
    slerp,
    strength,
    swap,
)


def normal(n, *shape, purpose="x", seed=5):
    return Streams.of(seed, n).normal(purpose, shape, dtype=torch.float64)


def metric(d, seed=5):
    root = normal(d, d, purpose="metric", seed=seed)
    return root @ root.T / d + 0.1 * torch.eye(d, dtype=torch.float64)


def counts(n, k=20):
    rows = Streams.of(0, k).integers("draws", n, (n,))
    return torch.stack([row.bincount(minlength=n) for row in rows]).double()


@settings(max_examples=30)
@given(st.integers(0, 1000), st.integers(1, 12), st.floats(-5, 5))
def test_the_edited_code_reads_the_wanted_value(seed, d, wanted):
    z, w = normal(4, d, seed=seed), normal(1, d, purpose="w", seed=seed)[0]
    b, y = torch.tensor(0.7, dtype=torch.float64), torch.full((4,), wanted, dtype=torch.float64)
    after = predict(move(z, strength(z, w, b, y), w), w, b)
    assert torch.allclose(after, y, atol=1e-9)


@pytest.mark.lecture("semantic.linear", "semantic.scale", "semantic.edit")
def test_the_lectures_edit_by_hand(measured):
    """Truth: w = (3, 4), b = 1 reads 12 at (1, 2); 37 is 25 more, and w.w = 25, so s = 1 and z^t = (4, 6)."""
    z, w = torch.tensor([[1.0, 2.0]], dtype=torch.float64), torch.tensor([3.0, 4.0], dtype=torch.float64)
    b = torch.tensor(1.0, dtype=torch.float64)
    y = predict(z, w, b)
    s = strength(z, w, b, torch.tensor([37.0], dtype=torch.float64))
    z_t = move(z, s, w)
    measured(abs(float(y) - 12), "difference from the value by hand", of="semantic.linear")
    measured(abs(float(s) - 1), "difference from the strength by hand", of="semantic.scale")
    measured(float((z_t - torch.tensor([[4.0, 6.0]])).abs().max()), "difference by hand", of="semantic.edit")
    assert float(y) == 12
    assert float(s) == 1
    assert z_t.tolist() == [[4.0, 6.0]]


@pytest.mark.lecture("semantic.interpolate.code")
def test_the_line_between_two_codes(measured):
    a, b = normal(3, 5), normal(3, 5, purpose="b")
    error = float((lerp(a, b, 0.25) - (b + 0.25 * (a - b))).abs().max())
    measured(error, "difference from the point a quarter of the way to the first code")
    assert error < 1e-14
    assert torch.equal(lerp(a, b, 1.0), a)
    assert torch.equal(lerp(a, b, 0.0), b)


@pytest.mark.lecture("diffae.attributes")
def test_two_attributes_move_and_a_third_stays(measured):
    """By hand: heads (1, 0, 0), (1, 1, 0), (0, 0, 1), no metric; changes 2, 3, 0 are made by dz = (2, 1, 0)."""
    heads = torch.tensor([[1.0, 0, 0], [1, 1, 0], [0, 0, 1]], dtype=torch.float64)
    change = torch.tensor([[2.0, 3.0, 0.0]], dtype=torch.float64)
    dz = joint_step(heads, change, torch.eye(3, dtype=torch.float64))
    gap = float((dz - torch.tensor([[2.0, 1.0, 0.0]], dtype=torch.float64)).abs().max())
    measured(gap, "difference of the step by hand")
    assert gap < 1e-12


@settings(max_examples=30)
@given(st.integers(0, 1000), st.integers(1, 4))
def test_held_heads_stay_and_aimed_ones_move(seed, k):
    heads, m = normal(k, 8, purpose="heads", seed=seed), metric(8, seed)
    change = normal(5, k, purpose="change", seed=seed)
    change[:, 1:] = 0
    dz = joint_step(heads, change, m)
    assert torch.allclose(dz @ heads.T, change, atol=1e-8)


def test_one_head_and_no_metric_is_the_lectures_step():
    z, w = normal(6, 4), normal(1, 4, purpose="w")[0]
    b, y = torch.tensor(-0.2, dtype=torch.float64), normal(6, purpose="y")
    own = strength(z, w, b, y)[:, None] * w
    joint = joint_step(w[None], (y - predict(z, w, b))[:, None], torch.eye(4, dtype=torch.float64))
    assert torch.allclose(own, joint, atol=1e-12)


def test_the_joint_step_is_the_shortest_that_does_it():
    heads, m = normal(2, 6, purpose="heads"), metric(6)
    dz = joint_step(heads, normal(1, 2, purpose="change"), m)
    # Any other step with the same change differs by something that no head sees, and is longer.
    null = torch.linalg.svd(heads)[2][2:]
    inverse = torch.linalg.inv(m)
    for other in dz + 0.3 * torch.cat([null, -null]):
        assert float(other @ inverse @ other) > float(dz[0] @ inverse @ dz[0])


def test_two_heads_of_one_direction_are_refused_and_eps_settles_it():
    w = normal(1, 4, purpose="w")
    twice, change = torch.cat([w, w]), torch.ones(1, 2, dtype=torch.float64)
    with pytest.raises(InputError):
        joint_step(twice, change, torch.eye(4, dtype=torch.float64))
    dz = joint_step(twice, change, torch.eye(4, dtype=torch.float64), 1e-6)
    assert torch.allclose(dz @ w[0], torch.ones(1, dtype=torch.float64), atol=1e-5)


def test_ridge_finds_the_head_that_made_the_values_and_shrinks_it():
    z, w = 3 + normal(200, 5), normal(1, 5, purpose="w")[0]
    y = z @ w + 2
    found, b = ridge(z, y, 0.0)
    assert torch.allclose(found, w, atol=1e-10)
    assert float(b) == pytest.approx(2, abs=1e-9)
    less, _ = ridge(z, y, 0.5)
    assert float(less.norm()) < float(w.norm())
    # The penalty is relative: another unit of z gives the same values.
    scaled, offset = ridge(1000 * z, y, 0.5)
    assert torch.allclose(scaled * 1000, less, atol=1e-9)
    assert torch.isfinite(offset)


def test_weights_of_ridge_and_logistic_are_repeated_rows():
    z = normal(40, 3)
    y, times = z[:, 0] + 0.3 * normal(40, purpose="y"), torch.arange(40) % 3
    for fit, label in ((ridge, y), (logistic, y > 0.2)):
        w, b = fit(z, label, 0.01, times.double())
        again, c = fit(z.repeat_interleave(times, 0), label.repeat_interleave(times), 0.01)
        assert torch.allclose(w, again, atol=1e-6)
        assert float(b) == pytest.approx(float(c), abs=1e-6)


def test_logistic_is_at_its_maximum_and_finds_the_log_odds():
    """Truth: two normals N(+-m, I) have log-odds 2 m . z."""
    n, m = 4000, torch.tensor([0.8, -0.3, 0.0], dtype=torch.float64)
    positive = torch.arange(n) % 2 == 0
    z = normal(n, 3) + torch.where(positive[:, None], m, -m)
    w, b = logistic(z, positive, 0.0)
    assert torch.allclose(w, 2 * m, atol=0.15)
    assert abs(float(b)) < 0.1
    slope = z.T @ (positive.double() - torch.sigmoid(z @ w + b))
    assert float(slope.abs().max()) < 1e-6
    apart, _ = logistic(10 * m * (2 * positive.double() - 1)[:, None], positive, 1e-3)
    assert torch.isfinite(apart).all()
    with pytest.raises(InputError):
        logistic(z, torch.ones(n, dtype=torch.bool), 0.0)


def test_quality_out_of_bag_tells_signal_from_noise():
    z = normal(300, 4)
    clear, noise = z[:, 0] + 0.1 * normal(300, purpose="e"), normal(300, purpose="noise")
    assert float(r_squared_out_of_bag(z, clear, counts(300), 1e-3).min()) > 0.9
    assert float(r_squared_out_of_bag(z, noise, counts(300), 1e-3).mean()) < 0.05
    assert float(area_out_of_bag(z, clear > 0, counts(300), 1e-3).min()) > 0.9
    assert abs(float(area_out_of_bag(z, noise > 0, counts(300), 1e-3).mean()) - 0.5) < 0.1
    assert float(r_squared(clear, clear)) == 1
    assert float(r_squared(clear, clear.mean().expand(300))) == pytest.approx(0, abs=1e-12)


def test_lengths_of_normal_codes_follow_chi_squared():
    m = metric(5)
    z = 2 + normal(20_000, 5) @ torch.linalg.cholesky(m).T
    lengths = mahalanobis(z, torch.full((5,), 2.0, dtype=torch.float64), m)
    # 99 % quantile of chi-squared with 5 degrees of freedom: 15.086.
    assert radius(lengths, 0.99) == pytest.approx(math.sqrt(15.086), abs=0.06)
    with pytest.raises(InputError):
        mahalanobis(z, z.mean(0), torch.zeros(5, 5, dtype=torch.float64))


def test_the_circle_keeps_the_length_where_the_line_does_not():
    a, b = torch.nn.functional.normalize(normal(9, 6)), torch.nn.functional.normalize(normal(9, 6, purpose="b"))
    middle = slerp(a, b, 0.5)
    assert torch.allclose(middle.norm(dim=1), torch.ones(9, dtype=torch.float64))
    assert float(lerp(a, b, 0.5).norm(dim=1).max()) < 1
    angle = (a * b).sum(1).acos()
    assert torch.allclose((slerp(a, b, 0.25) * b).sum(1).acos(), 0.25 * angle)
    assert torch.allclose(slerp(2 * a, 4 * b, 1.0), 2 * a)
    assert torch.allclose(slerp(a, a, 0.3), a)
    zero = torch.zeros_like(a)
    assert torch.allclose(slerp(zero, a, 0.5), 0.5 * a)


def test_mixing_keeps_normal_codes_normal():
    z, eps = normal(50_000, 1), normal(50_000, 1, purpose="eps")
    assert float(mix(z, eps, 0.6).var()) == pytest.approx(1, abs=0.02)
    assert torch.equal(mix(z, eps, 0.0), z)
    assert torch.equal(mix(z, eps, 1.0), eps)


def test_swap_takes_the_named_parts():
    first, second = {"f": torch.zeros(2, 3), "s": torch.zeros(2, 1)}, {"f": torch.ones(2, 3), "s": torch.ones(2, 1)}
    both = swap(first, second, ["f"])
    assert both["f"] is second["f"]
    assert both["s"] is first["s"]
    with pytest.raises(InputError):
        swap(first, second, ["g"])
