"""Two-sample evaluation: equal sets are not told apart, shifted ones are, and each figure is its plain definition."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import roc_auc_score

from zsteer.core.rng import Streams
from zsteer.errors import InputError
from zsteer.evaluate.classify import classifier_two_sample_test
from zsteer.evaluate.features import feature_hash, frechet, frechet_name, moments
from zsteer.evaluate.memorise import memorised, nearest
from zsteer.evaluate.modes import modes, nearest_class
from zsteer.evaluate.neighbours import neighbourhood, radii
from zsteer.evaluate.two_sample import Sample, independent_numbers, two_sample_report
from zsteer.maths.ranks import area_under_curve


def normal(seed, n, d, purpose="a"):
    return Streams.of(seed, n).normal(purpose, (d,))


def cells(report, table, row):
    found = next(t for t in report.tables if t.title == table)
    return {k: v for line in found.rows if line[0] == row for k, v in zip(found.columns, line, strict=True)}


# -------------------------------------------------------------------------------------- precision, recall, ...


def plain_prdc(fake, real, k):
    """The definitions, pair by pair, in float64."""
    fake, real = fake.double().numpy(), real.double().numpy()

    def apart(a, b):
        return np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1))

    r_real, r_fake = np.sort(apart(real, real), 1)[:, k], np.sort(apart(fake, fake), 1)[:, k]
    across = apart(real, fake)
    return (
        (across < r_real[:, None]).any(0).mean(),
        (across < r_fake[None]).any(1).mean(),
        (across < r_real[:, None]).sum(0).mean() / k,
        (across.min(1) < r_real).mean(),
    )


@pytest.mark.parametrize("k", [1, 5])
def test_neighbourhoods_are_the_plain_definition(k, seed, monkeypatch):
    monkeypatch.setattr("zsteer.evaluate.neighbours.PIECE", 37)  # several pieces, the last one short
    real, fake = normal(seed, 150, 3), 0.6 * normal(seed, 130, 3, "b") + 0.4
    found = neighbourhood(fake, real, k)
    expected = plain_prdc(fake, real, k)
    own = (found.precision.value, found.recall.value, found.density, found.coverage.value)
    assert own == pytest.approx(expected, abs=1e-6)  # shares of whole counts, kept as float32


def test_neighbourhoods_of_equal_sets_of_collapsed_and_of_invented_samples():
    real, same = normal(0, 1000, 2), normal(0, 1000, 2, "b")
    good = neighbourhood(same, real)
    assert good.coverage.value > 0.9
    assert good.density == pytest.approx(1, abs=0.1)  # its expectation under equality is 1
    collapsed = neighbourhood(same * 0.01, real)
    assert collapsed.precision.value > 0.9 and collapsed.recall.value < 0.1 and collapsed.coverage.value < 0.1
    invented = neighbourhood(same + 20, real)
    assert invented.precision.value == 0 and invented.density == 0


def test_a_copy_is_not_its_own_neighbour():
    x = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    assert radii(x, 1).tolist() == [1, 1, 4, 16]
    with pytest.raises(InputError, match="k < number of samples"):
        radii(x, 4)


# ------------------------------------------------------------------------------------------- classifier test


@pytest.mark.slow
def test_p_of_the_classifier_is_uniform_under_the_null():
    """24 draws: their mean is 0.5 within 4 standard errors, and a Kolmogorov test does not object."""
    values = [
        classifier_two_sample_test(normal(s, 80, 2), normal(s, 80, 2, "b"), Streams.of(s, 1), hidden=0).p
        for s in range(24)
    ]
    assert abs(np.mean(values) - 0.5) < 4 * math.sqrt(1 / 12 / 24)
    assert stats.kstest(values, "uniform").pvalue > 1e-3


def test_the_classifier_sees_what_is_there(seed):
    """A shift by 1 in one of 4 directions: no reader beats AUC Phi(1 / sqrt 2) = 0.760."""
    real, made = normal(seed, 1200, 4), normal(seed, 1200, 4, "b")
    made[:, 0] += 1
    found = classifier_two_sample_test(made, real, Streams.of(seed, 1), hidden=0)
    assert found.area == pytest.approx(stats.norm.cdf(1 / math.sqrt(2)), abs=4 * found.error)
    assert found.p < 1e-6
    assert found.accuracy.value == pytest.approx(stats.norm.cdf(0.5), abs=0.08)


def test_only_a_net_sees_dependence(seed):
    """Twins against independent normals of the same margins: a linear reader is blind to that, a net is not."""
    one = normal(seed, 1500, 1)
    twins, free = torch.cat([one, one], 1), normal(seed, 1500, 2, "b")
    assert classifier_two_sample_test(twins, free, Streams.of(seed, 1)).area > 0.75
    assert classifier_two_sample_test(twins, free, Streams.of(seed, 1), hidden=0).area < 0.6


def test_the_area_is_that_of_scikit_learn():
    scores, label = normal(1, 200, 1)[:, 0].round(decimals=1), torch.arange(200) % 3 == 0
    assert area_under_curve(scores[label], scores[~label]) == pytest.approx(roc_auc_score(label, scores), abs=1e-12)


# -------------------------------------------------------------------------------------------------- features


def test_frechet_is_its_closed_form_and_zero_at_equality():
    a = normal(2, 500, 4).double()
    assert float(frechet(a, a)) == pytest.approx(0, abs=1e-9)
    assert float(frechet(a, a + 2)) == pytest.approx(16, abs=1e-9)  # a shift by 2 in 4 directions
    mu, cov = moments(a)
    assert np.allclose(cov.numpy(), np.cov(a.numpy().T))
    assert np.allclose(mu.numpy(), a.numpy().mean(0))


def test_a_net_is_named_by_its_weights():
    weights = {"b": torch.ones(2), "a": torch.zeros(3)}
    assert frechet_name(weights) == f"FFD-{feature_hash(dict(reversed(weights.items())))}"
    assert feature_hash(weights) != feature_hash({**weights, "b": torch.tensor([1.0, 1.1])})
    assert len(feature_hash(weights)) == 8


# --------------------------------------------------------------------------------------- memorisation, modes


def test_copies_and_repeats_are_counted(seed):
    train, held = normal(seed, 300, 3), normal(seed, 300, 3, "held")
    fresh = memorised(normal(seed, 300, 3, "new"), train, held)
    assert abs(fresh.nearer - 0.5) < 4 * fresh.nearer_error
    assert fresh.copies.value == 0 and fresh.repeats.value == 0
    copied = memorised(torch.cat([train[:50], train[:50], normal(seed, 100, 3, "new")]), train, held)
    assert copied.copies.value == 0.5
    assert copied.repeats.value == 0.25
    assert copied.nearer > 0.7 and copied.p < 1e-6
    near = memorised(train[:200] + 0.01, train, held)
    assert near.copies.value == 0 and near.ratio < 0.2 and near.nearer > 0.9


def test_the_nearest_is_that_of_all_pairs(monkeypatch):
    monkeypatch.setattr("zsteer.evaluate.memorise.PIECE", 7)
    x, known = normal(3, 20, 5), normal(3, 30, 5, "b")
    assert torch.allclose(nearest(x, known), torch.cdist(x, known).min(1).values, atol=1e-5)


def test_modes_are_counted_by_their_share():
    """4 modes, 100 samples: fair is 25, captured from 7 on."""
    mode = torch.tensor([0] * 60 + [1] * 30 + [2] * 7 + [3] * 3)
    found = modes(mode, torch.ones(100, dtype=torch.bool), total=4)
    assert (found.captured, found.total) == (3, 4)
    assert found.reverse_kl == pytest.approx(stats.entropy([0.6, 0.3, 0.07, 0.03], [0.25] * 4))
    half = modes(mode, mode != 0, total=4)
    assert half.high_quality.value == pytest.approx(0.4)
    weighted = modes(mode, torch.ones(100, dtype=torch.bool), torch.tensor([60.0, 30.0, 7.0, 3.0]))
    assert weighted.captured == 4 and weighted.reverse_kl == pytest.approx(0, abs=1e-12)
    with pytest.raises(InputError, match="share of each mode"):
        modes(mode, mode == 0)


def test_the_class_of_a_sample_is_that_of_its_neighbours():
    known = torch.cat([normal(4, 50, 2), normal(4, 50, 2, "b") + 10])
    label = torch.arange(100) // 50
    assert nearest_class(torch.tensor([[0.0, 0.0], [10.0, 10.0]]), known, label).tolist() == [0, 1]


# ---------------------------------------------------------------------------------------------------- report


@pytest.mark.slow
def test_a_report_on_equal_sets_finds_nothing_and_its_baseline_is_found():
    mix = torch.tensor([[1.0, 0.9, 0.0], [0.0, 0.5, 0.0], [0.0, 0.0, 1.0]])
    reference, samples = normal(5, 800, 3) @ mix, normal(5, 400, 3, "b") @ mix
    label = (reference[:, 2] > 0).long()
    report = two_sample_report(Sample(samples), Sample(reference, label), Streams.of(0, 1), repeats=4)
    assert "find no difference" in " ".join(report.summary)
    told = cells(report, "Classifier two-sample test", "samples")
    assert float(told["p"]) > 0.001
    rows = {tuple(r[:2]): float(r[4]) for r in report.tables[1].rows}
    assert rows["independent numbers", "small net"] < 1e-6
    assert cells(report, "Classes covered", "samples")["captured"] == "2 of 2"
    assert report.facts["compared"] == 400
    assert "baseline, independent numbers" in " ".join(report.tables[0].notes)


def test_a_report_on_shifted_sets_names_the_difference():
    reference, samples = normal(6, 300, 3), normal(6, 150, 3, "b") + 1
    features = {"FFD-00000000": reference}
    own = Sample(samples, features={"FFD-00000000": samples})
    report = two_sample_report(own, Sample(reference, features=features), Streams.of(0, 1), repeats=3)
    assert "tell the samples from the reference" in " ".join(report.summary)
    assert "FFD-00000000" in report.text()
    assert "FID" not in report.text()


def test_independent_numbers_keep_the_margins_and_nothing_else():
    one = normal(7, 4000, 1)
    rows = independent_numbers(torch.cat([one, one], 1), Streams.of(0, 1))
    assert torch.equal(rows[:, 0].unique(), rows[:, 0].unique().sort().values)
    assert bool(torch.isin(rows[:, 0], one).all())
    # The correlation of 4,000 independent pairs has a standard error of 0.016.
    assert abs(float(torch.corrcoef(rows.T)[0, 1])) < 0.07


def test_too_few_rows_are_refused():
    x = normal(8, 100, 2)
    with pytest.raises(InputError, match="at least 40 samples"):
        two_sample_report(Sample(x[:30]), Sample(x), Streams.of(0, 1))
    with pytest.raises(InputError, match="one form"):
        two_sample_report(Sample(x), Sample(normal(8, 100, 3)), Streams.of(0, 1))
    with pytest.raises(InputError, match="at least 20 rows"):
        classifier_two_sample_test(x[:10], x, Streams.of(0, 1))
