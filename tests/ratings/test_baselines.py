"""Baselines against closed forms, and figures against their definitions."""

import numpy as np
import pytest
import torch

from zsteer.core.rng import Streams
from zsteer.domains.ratings import metrics
from zsteer.domains.ratings.space import table
from zsteer.errors import InputError
from zsteer.models.ratings.baselines import Baselines, blend, fit_baselines, levels_of_normal, ridge_biases


def drawn(seed, users=25, items=15, n=220):
    """Ratings 1 ... 5 of a model with biases and one factor."""
    rng = Streams.of(seed, 1)
    pairs = rng.permutation("pair", users * items)[0][:n]
    u, i = pairs // items, pairs % items
    a, p = (rng.normal(name, (users,), dtype=torch.float64)[0] for name in "ap")
    b, q = (rng.normal(name, (items,), dtype=torch.float64)[0] for name in "bq")
    noise = 0.3 * rng.normal("noise", (n,), dtype=torch.float64)[0]
    value = (3 + 0.6 * a[u] + 0.6 * b[i] + 0.7 * p[u] * q[i] + noise).round().clamp(1, 5)
    return table([f"u{k}" for k in u.tolist()], [f"i{k}" for k in i.tolist()], value.tolist())


def test_biases_are_the_ridge_regression(seed):
    ratings = drawn(seed)
    value = torch.tensor(ratings.scale.values, dtype=torch.float64)[ratings.level]
    value = value - value.mean()
    sizes = (len(ratings.users), len(ratings.items))
    a, b = ridge_biases(value, ratings.user, ratings.item, sizes, (5.0, 3.0))
    design = torch.cat(
        [torch.nn.functional.one_hot(x, n) for x, n in zip((ratings.user, ratings.item), sizes, strict=True)], 1
    )
    design = design.double()
    decay = torch.diag(torch.tensor([5.0] * sizes[0] + [3.0] * sizes[1], dtype=torch.float64))
    exact = torch.linalg.solve(design.T @ design + decay, design.T @ value)
    # The alternation stops at changes of 1e-9; it contracts by a factor of about 1/2 a round.
    assert torch.allclose(torch.cat([a, b]), exact, atol=1e-7)


def test_factors_are_a_stationary_point(seed):
    ratings = drawn(seed)
    found = fit_baselines(ratings, factors=2, decay=1.0)
    value = found.values[ratings.level] - found.mean - found.a[ratings.user] - found.b[ratings.item]
    left = value - (found.p[ratings.user] * found.q[ratings.item]).sum(1)
    gradient = -torch.zeros_like(found.q).index_add(0, ratings.item, left[:, None] * found.p[ratings.user]) + found.q
    # The last half step solves for q exactly given p.
    assert float(gradient.abs().max()) < 1e-9


def test_each_baseline_is_better_than_the_one_before(seed):
    ratings = drawn(seed, 60, 30, 1200)
    found = fit_baselines(ratings, factors=1, decay=0.5, biases=(1.0, 1.0))
    truth = found.values[ratings.level]
    errors = [float((found.expect(n, ratings.user, ratings.item) - truth).square().mean()) for n in Baselines.names]
    assert errors == sorted(errors, reverse=True)
    assert all(width > 0 for width in found.sigma)
    with pytest.raises(InputError, match="unknown baseline"):
        found.expect("median", ratings.user, ratings.item)


def test_a_cut_normal_is_a_distribution_over_levels():
    values = torch.tensor([0.5, 1.0, 3.0, 4.0], dtype=torch.float64)
    mean = torch.tensor([0.0, 2.0, 9.0], dtype=torch.float64)
    log_p = levels_of_normal(mean, 0.7, values)
    assert torch.allclose(log_p.exp().sum(1), torch.ones(3, dtype=torch.float64))
    # Level 1 holds what lies between the edges 0.75 and 2.
    from scipy.stats import norm

    expected = norm.cdf(2.0, 2.0, 0.7) - norm.cdf(0.75, 2.0, 0.7)
    assert float(log_p[1, 1].exp()) == pytest.approx(expected, abs=1e-8)  # TINY is 1e-10


def test_a_blend_has_the_mean_of_the_expectations():
    values = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    parts = [torch.tensor([row], dtype=torch.float64).log() for row in ([0.1, 0.2, 0.7], [0.6, 0.3, 0.1])]
    mixed = metrics.expectation(blend(parts), values)
    assert float(mixed) == pytest.approx((2.6 + 1.5) / 2, abs=1e-12)


def test_figures_are_their_definitions():
    log_p = torch.tensor([[0.2, 0.8], [0.5, 0.5]]).double().log()
    level, values = torch.tensor([1, 0]), torch.tensor([1.0, 3.0]).double()
    found = metrics.figures(log_p, level, values)
    assert torch.allclose(found["squared error"], torch.tensor([0.16, 1.0]).double())
    assert torch.allclose(found["absolute error"], torch.tensor([0.4, 1.0]).double())
    assert torch.allclose(found["log-loss"], -torch.tensor([0.8, 0.5]).double().log())
    with pytest.raises(InputError, match="test part is empty"):
        metrics.figures(log_p[:0], level[:0], values)


def test_the_interval_is_over_users(seed):
    """Truth: with one value per user repeated m times, the standard error is that of the users, not of the ratings."""
    users, times = 80, 10
    each = Streams.of(seed, users).normal("value")
    found = metrics.bootstrap(each.repeat_interleave(times), torch.arange(users).repeat_interleave(times), seed=seed)
    se = float(each.std(correction=0)) / np.sqrt(users)
    # 1,000 draws estimate a 95 % width to about 5 %; normal tails to about as much again.
    assert (found.high - found.low) / (2 * 1.96 * se) == pytest.approx(1.0, abs=0.2)
    assert found.value == pytest.approx(float(each.mean()), abs=1e-6)


def test_calibrated_distributions_keep_their_promises(seed):
    n = 20_000
    rng = Streams.of(seed, n)
    log_p = rng.normal("logits", (5,)).log_softmax(1)
    level = (log_p + rng.gumbel("level", (5,))).argmax(1)
    rows = metrics.calibration(log_p, level)
    assert sum(row[3] for row in rows) == 5 * n
    # Ten groups of 10^2 ... 10^5 statements, weighted by size: standard error about 0.5 / sqrt(n) = 0.0035.
    assert metrics.spread_error(rows) < 0.01
    assert metrics.spread_error(metrics.calibration((2 * log_p).log_softmax(1), level)) > 0.03
