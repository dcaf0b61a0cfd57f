"""Disentanglement metrics where the answer is known: one code a factor, all codes a factor, no code a factor."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import mutual_info_score

from zsteer.core.rng import Streams
from zsteer.errors import InputError
from zsteer.evaluate.factors import dci, factor_table, mutual_information, mutual_information_gap, separated


def known(seed=0, n=2000):
    rng = Streams.of(seed, n)
    return torch.stack([rng.integers("shape", 3), rng.integers("size", 4)], 1)


def codes(factors, seed=0, noise=0.05):
    rng = Streams.of(seed, len(factors))
    z = factors.double() + noise * rng.normal("noise", (2,)).double()
    return torch.cat([z, rng.normal("free", (1,)).double()], 1)


def test_a_disentangled_code_scores_near_one(seed):
    factors = known(seed)
    z = codes(factors, seed)
    # A code that knows a factor up to its bins; the runner-up has the bias of MI, bins * classes / 2n = 0.02 nats.
    assert mutual_information_gap(z, factors) > 0.95
    # The best can be 1; the runner-up is right by chance, 1/3 and 1/4: 1 - 7/24.
    assert separated(z, factors) == pytest.approx(1 - (1 / 3 + 1 / 4) / 2, abs=0.05)
    found = dci(z, factors)
    assert min(found.disentanglement, found.completeness, found.informativeness) > 0.95


def test_a_mixed_code_scores_near_zero(seed):
    """Both codes are sums of both factors with equal weight: each tells both alike."""
    factors = known(seed)
    z = codes(factors, seed)
    a, b = z[:, 0] / 1.5, z[:, 1] / 2
    mixed = torch.stack([a + b, a - b], 1)
    assert mutual_information_gap(mixed, factors) < 0.15
    assert separated(mixed, factors) < 0.15
    found = dci(mixed, factors)
    assert found.disentanglement < 0.3 and found.completeness < 0.3
    assert found.informativeness > 0.9  # it is all there, only mixed


def test_a_code_that_knows_nothing_is_not_informative():
    factors = known()
    z = Streams.of(3, len(factors)).normal("z", (3,))
    assert mutual_information_gap(z, factors) < 0.02
    assert abs(separated(z, factors)) < 0.1
    assert dci(z, factors).informativeness == pytest.approx((1 / 3 + 1 / 4) / 2, abs=0.06)


def test_mutual_information_is_that_of_scikit_learn():
    factors = known(n=300)
    z = codes(factors, noise=0.7)
    found, entropy = mutual_information(z, factors, bins=7)
    for j in range(z.shape[1]):
        edges = np.linspace(float(z[:, j].min()), float(z[:, j].max()), 8)[1:-1]
        place = np.digitize(z[:, j].numpy(), edges)
        for k in range(2):
            assert float(found[j, k]) == pytest.approx(mutual_info_score(place, factors[:, k].numpy()), abs=1e-9)
    assert float(entropy[0]) == pytest.approx(mutual_info_score(factors[:, 0].numpy(), factors[:, 0].numpy()), abs=1e-9)
    assert float(entropy[1]) < math.log(4)


def test_real_factors_are_told_by_r_squared():
    x = Streams.of(4, 3000).normal("x", (2,)).double()
    noise = Streams.of(4, 3000).normal("noise", (2,)).double()
    # Each code holds one factor with variance 1 and noise of variance 1: R^2 = 1/2, and 0 for the other.
    assert separated(x + noise, x) == pytest.approx(0.5, abs=0.05)


def test_the_table_shows_the_mixed_code_beside():
    factors = known(n=600)
    table = factor_table(codes(factors), factors, ("shape", "size"))
    mixed = dict(zip(table.columns, table.rows[1], strict=True))
    own = dict(zip(table.columns, table.rows[0], strict=True))
    assert own["MIG"] > 0.8
    assert mixed["MIG"] < 0.5
    assert "LightGBM" in table.text() and "shape, size" in table.text()


def test_what_cannot_be_judged_is_refused():
    z = torch.zeros(10, 2)
    with pytest.raises(InputError, match="factor 1 is constant"):
        mutual_information_gap(z, torch.zeros(10, 1, dtype=torch.long))
    with pytest.raises(InputError, match="same samples"):
        separated(z, torch.zeros(9, 1, dtype=torch.long))
    with pytest.raises(InputError, match="at least 2"):
        dci(z, torch.arange(10)[:, None])
