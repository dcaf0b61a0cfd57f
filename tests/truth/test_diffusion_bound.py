"""The bound of diffusion: unbiased estimates with an honest error, its limit, levels, and learnt variances."""

import math

import hypothesis
import pytest
import torch
from hypothesis import strategies
from tests.diffusion import data, model, one, three

from zsteer.core.protocols import Prediction
from zsteer.core.rng import Streams
from zsteer.errors import CapabilityError, SettingsError
from zsteer.maths.diffusion import discretised_log_probability
from zsteer.models.bound import bound, strata


@hypothesis.given(steps=strategies.integers(1, 1200), data=strategies.data())
def test_strata_cut_all_times_into_runs(steps, data):
    count = data.draw(strategies.integers(1, steps))
    runs = strata(steps, count)
    assert len(runs) == count
    assert [t for low, high in runs for t in range(low, high + 1)] == list(range(1, steps + 1))
    assert runs[0] == (1, 1) or count == 1


def test_a_stratified_estimate_is_the_exact_bound_within_its_error(seed):
    """2,000 points of the mixture: all 200 terms against 12 calls, each with draws of its own."""
    n, toy = 2000, model(three(), steps=200)
    x0, denoiser = data(three(), n, seed), toy.denoiser(None, n)
    exact = bound(denoiser, x0, Streams.of(seed, n).child("exact"))
    rough = bound(denoiser, x0, Streams.of(seed, n).child("rough"), calls=12)
    assert exact.exact and not rough.exact and rough.terms.shape == (n, 12)
    # Both are of the same points, so that their difference has a smaller error than either.
    gap = rough.total - exact.total
    z = float(gap.mean()) / (float(gap.std()) / math.sqrt(n))
    # 21 seeds: beyond 3.5 once in 100 runs of them all; 3 at the seed that always runs.
    assert abs(z) < (3.0 if seed == 0 else 3.5)
    # What 12 calls cost beside 200: the error grows by less than a half.
    assert exact.se < rough.se < 1.5 * exact.se
    assert sum(rough.parts().values()) == pytest.approx(rough.bits, abs=1e-12)
    assert [round(t) for t, _ in exact.curve()] == list(range(1, 201))


def test_the_reported_error_is_the_spread_of_repeats():
    """60 sets of 100 points, 8 calls each: the spread of their means against the mean of their standard errors."""
    toy, n, sets = model(three(), steps=100), 100, 60
    x0 = data(three(), n * sets, 0)
    found = bound(toy.denoiser(None, n * sets), x0, Streams.of(1, n * sets), calls=8)
    means = found.total.reshape(sets, n).mean(1)
    errors = found.total.reshape(sets, n).std(1) / math.sqrt(n)
    # The standard deviation of 60 numbers is known to 9 %; 3 of those.
    assert float(means.std() / errors.mean()) == pytest.approx(1, abs=0.28)


def test_the_bound_closes_on_the_likelihood_as_the_chain_grows():
    """With the exact denoiser what is missing falls as 1 / T; it never is negative."""
    mixture, n = one([0.2, -0.5], [0.3, 0.6]), 3000
    x0 = data(mixture, n, 0)
    likelihood = -mixture.log_density(x0)
    gaps = []
    for steps in (20, 80, 320):
        toy = model(mixture, steps=steps)
        found = bound(toy.denoiser(None, n), x0, Streams.of(0, n), calls=min(steps, 40))
        gap = found.total - likelihood
        gaps.append(float(gap.mean()))
        assert gaps[-1] > -3 * float(gap.std()) / math.sqrt(n)
    assert gaps[0] > 2 * gaps[1] > 4 * gaps[2]


def test_levels_are_bins_that_sum_to_one():
    """Truth: the probabilities of all levels sum to 1, however narrow or far the normal; the tails stay finite."""
    levels = 8
    x = torch.linspace(-1, 1, levels, dtype=torch.float64)[:, None]
    for mean, log_var in ((0.1, -1.0), (-3.0, -2.0), (0.5, -12.0), (40.0, 0.0)):
        row = torch.full((levels, 1), mean, dtype=torch.float64)
        found = discretised_log_probability(x, row, torch.full((levels, 1), log_var, dtype=torch.float64), levels)
        assert float(found.exp().sum()) == pytest.approx(1, abs=1e-10)
        assert bool(torch.isfinite(found).all())
    # A bin far in the tail, against the leading term of the tail's expansion: no floor hides it.
    row = torch.zeros(1, 1, dtype=torch.float64)
    far = discretised_log_probability(row + 1, row - 39, torch.zeros(1, 1, dtype=torch.float64), levels)
    edge = 40 - 1 / 7
    assert float(far) == pytest.approx(-0.5 * edge**2 - math.log(edge * math.sqrt(2 * math.pi)), abs=1e-3)


def test_images_of_levels_and_flat_rows_give_the_same_bits():
    toy, n = model(one([0.1] * 4, [0.2] * 4), steps=30), 50
    x0 = (data(toy.mixture, n, 0).clamp(-1, 1) * 127.5).round() / 127.5
    # Levels are odd multiples of 1 / 255 for 256 of them; shift the rounding there.
    x0 = ((x0 + 1) * 127.5).floor().clamp(0, 255) / 127.5 - 1
    flat = bound(toy.denoiser(None, n), x0, Streams.of(0, n), levels=256)

    class Images:
        noise = toy.noise

        def predict(self, x, t):
            return Prediction(toy.denoiser(None, n).predict(x.flatten(1), t).x0.reshape(x.shape))

    image = bound(Images(), x0.reshape(n, 1, 2, 2), Streams.of(0, n), levels=256)
    assert torch.allclose(flat.total, image.total, rtol=1e-12, atol=0)
    assert flat.dims == image.dims == 4
    # Data with a density p have log2(255 / 2) bits more a dimension as levels of that width, about.
    density = bound(toy.denoiser(None, n), x0, Streams.of(0, n))
    assert flat.bits == pytest.approx(density.bits + math.log2(127.5), abs=0.2)


def test_a_learnt_variance_enters_the_bound():
    """Spread 0 is the posterior's variance: the same bound; the best share for this normal lies between 0 and 1."""
    toy, n = model(one([0.0], [0.3]), steps=10), 2000
    x0 = data(toy.mixture, n, 0)

    class Learnt:
        noise = toy.noise

        def __init__(self, share):
            self.share = share

        def predict(self, x, t):
            return Prediction(toy.denoiser(None, n).predict(x, t).x0, spread=torch.full_like(x, self.share))

    found = {share: bound(Learnt(share), x0, Streams.of(0, n)).bits for share in (0.0, 0.4, 1.0)}
    assert found[0.0] == pytest.approx(bound(toy.denoiser(None, n), x0, Streams.of(0, n)).bits, abs=1e-12)
    assert found[0.4] < min(found[0.0], found[1.0])


def test_what_has_no_such_bound_is_refused():
    toy = model(steps=10)
    x0 = data(three(), 4, 0)
    with pytest.raises(SettingsError, match="1 to 10 strata"):
        bound(toy.denoiser(None, 4), x0, Streams.of(0, 4), calls=11)

    class Other:
        noise = replace(toy.noise)

    # Anything but the class itself, with every method of the protocol.
    Other.noise.__class__ = type("Uniform", (), {name: getattr(type(toy.noise), name) for name in METHODS})
