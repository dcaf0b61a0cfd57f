"""Guides on problems with known answers: p(x | y) of a mixture, the tilted normal, and the order of composition."""

import math
from functools import partial

import pytest
import torch
from tests.diffusion import draws, model, one, start, three

from zsteer.core.protocols import Prediction
from zsteer.core.rng import Streams
from zsteer.errors import CapabilityError, InputError, SettingsError
from zsteer.sample.ancestral import ancestral
from zsteer.sample.solvers import walk
from zsteer.sample.times import times
from zsteer.steer.guide import ByClassifier, ByProperty, ClassifierFree, ToValue

SLOPE = torch.tensor([1.0, -0.5], dtype=torch.float64)


def linear(x):
    """An energy: minus the linear property x_1 - x_2 / 2."""
    return -(x @ SLOPE)


def in_errors(x, mean, variance):
    """Mean and variance of each coordinate from those of a normal, in standard errors."""
    n = len(x)
    first = (x.mean(0) - mean) / (variance / n).sqrt()
    second = (x.var(0) - variance) / (variance * math.sqrt(2 / n))
    return torch.cat([first, second])


def limit(seed):
    """3 standard errors as promised; over 20 further seeds 4 figures exceed 4.2 once in 450 runs of them all."""
    return 3.0 if seed == 0 else 4.2


@pytest.mark.parametrize("solver", ["multistep2", "heun"])
@pytest.mark.parametrize("way", ["score", "free"])
def test_guidance_at_scale_1_is_the_posterior(seed, way, solver):
    """x drawn for class 1 has the mean and variance of component 1."""
    n, toy, y = 1500, model(), 1
    plain, (x, rng) = toy.denoiser(None, n), start(n, seed)
    if way == "score":
        guided = ByClassifier(plain, partial(toy.log_prob_of, y), 1.0, "score")
    else:
        guided = ClassifierFree(toy.denoiser({"class": y}, n), plain, 1.0)
    found = walk(guided, x, rng, solver=solver, steps=40)
    z = in_errors(found, toy.mixture.means[y], toy.mixture.variances[y])
    assert float(z.abs().max()) < limit(seed), z


@pytest.mark.slow
def test_the_lectures_classifier_guidance_is_the_posterior_for_many_steps(seed):
    """Mode mean takes the classifier linear over a step, exact as steps grow; 1,000 of them, 3,000 walks."""
    n, y, toy = 3000, 0, model(steps=1000)
    guided = ByClassifier(toy.denoiser(None, n), partial(toy.log_prob_of, y), 1.0, "mean")
    x, rng = start(n, seed)
    found = ancestral(guided, x, times(toy.noise, 1000), rng)
    # The bias of 1,000 steps with the posterior's variance is about 1 % of the variance, 0.4 standard errors.
    z = in_errors(found, toy.mixture.means[y], toy.mixture.variances[y])
    assert float(z.abs().max()) < limit(seed) + 0.4, z


@pytest.mark.slow
def test_ancestral_walks_have_the_mixtures_moments(seed):
    """First and second moments of 3,000 walks of 1,000 steps, in standard errors."""
    n, toy = 3000, model(steps=1000)
    x, rng = start(n, seed)
    found = ancestral(toy.denoiser(None, n), x, times(toy.noise, 1000), rng)
    mixture = toy.mixture
    mean = mixture.weights @ mixture.means
    second = mixture.weights @ (mixture.variances + mixture.means**2)
    z = torch.cat(
        [
            (found.mean(0) - mean) / (found.std(0) / math.sqrt(n)),
            (found.square().mean(0) - second) / (found.square().std(0) / math.sqrt(n)),
        ]
    )
    assert float(z.abs().max()) < limit(seed) + 0.4, z


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_classifier_and_classifier_free_guidance_are_one_at_every_scale(scale):
    """grad log p(y | x_t) = score(x_t | y) - score(x_t): the two predictions are equal, whatever the scale."""
    n, toy = 25, model()
    x, plain = draws(n, 0), toy.denoiser(None, n)
    for time in (0.95, 0.5, 0.05):
        t = torch.full((n,), time, dtype=torch.float64)
        one_way = ByClassifier(plain, partial(toy.log_prob_of, 2), scale, "score").predict(x, t).x0
        other = ClassifierFree(toy.denoiser({"class": 2}, n), plain, scale).predict(x, t).x0
        assert float((one_way - other).abs().max()) < 1e-10


def test_a_linear_property_of_a_normal_is_tilted_exactly(seed):
    """Truth: p(x) exp(s c.x) of N(m, V) is N(m + s V c, V); the guided prediction is its E[x_0 | x_t] at every t."""
    mean, variance, scale, n = [0.3, -0.4], [0.3, 1.2], 1.5, 1500
    toy = model(one(mean, variance))
    target = model(one([m + scale * v * float(c) for m, v, c in zip(mean, variance, SLOPE, strict=True)], variance))
    guided = ByProperty(toy.denoiser(None, n), linear, scale)
    x, rng = start(n, seed)
    for time in (0.9, 0.4, 0.05):
        t = torch.full((n,), time, dtype=torch.float64)
        gap = guided.predict(x, t).x0 - target.denoiser(None, n).predict(x, t).x0
        assert float(gap.abs().max()) < 1e-10
    found = walk(guided, x, rng, steps=40)
    z = in_errors(found, target.mixture.means[0], target.mixture.variances[0])
    assert float(z.abs().max()) < limit(seed), z


def test_a_value_of_a_linear_property_of_a_normal_is_bayes_rule(seed):
    """Truth: p(x | c.x + N(0, tau^2) = y) of a normal in closed form; the guided prediction is its E[x_0 | x_t]."""
    mean, variance = torch.tensor([0.3, -0.4]).double(), torch.tensor([0.3, 1.2]).double()
    y, tau, n = 1.1, 0.2, 1500
    toy = model(one(mean.tolist(), variance.tolist()))
    guided = ToValue(toy.denoiser(None, n), lambda x: x @ SLOPE, y, tau)
    x, rng = start(n, seed)
    for time in (0.9, 0.4, 0.05):
        t = torch.full((n,), time, dtype=torch.float64)
        # Bayes' rule twice: x_0 given x_t is normal with a diagonal covariance, then y.
        a = toy.noise.abar(t, x)
        inside = variance * (1 - a) / (a * variance + 1 - a)
        before = toy.denoiser(None, n).predict(x, t).x0
        gain = inside * SLOPE / (tau**2 + (inside * SLOPE**2).sum(1, keepdim=True))
        gap = guided.predict(x, t).x0 - (before + gain * (y - before @ SLOPE)[:, None])
        assert float(gap.abs().max()) < 1e-10
    found = walk(guided, x, rng, steps=60)
    spread = float((variance * SLOPE**2).sum())
    gain = variance * SLOPE / (tau**2 + spread)
    z = in_errors(found, mean + gain * (y - mean @ SLOPE), variance - gain * variance * SLOPE)
    assert float(z.abs().max()) < limit(seed), z


def test_a_value_needs_a_tolerance():
    with pytest.raises(SettingsError, match="tolerance"):
        ToValue(model().denoiser(None, 1), lambda x: x @ SLOPE, 1.0, 0.0)


def test_the_cheap_way_is_exact_for_data_of_unit_variance():
    toy, n = model(one([0.2, -0.1], [1.0, 1.0])), 20
    x, t = draws(n, 1), torch.full((n,), 0.4, dtype=torch.float64)
    plain = toy.denoiser(None, n)
    dear, cheap = (ByProperty(plain, linear, 0.7, way).predict(x, t).x0 for way in ("x_t", "x_0"))
    assert float((dear - cheap).abs().max()) < 1e-12


def test_property_guidance_moves_a_mixture_towards_the_property(seed):
    """No closed form for a curved density and energy; the property rises with the scale and the samples stay likely."""
    n, toy = 400, model()
    x, rng = start(n, seed)

    def energy(x0):
        return (x0[:, 0] - 0.8).square()

    means, density = [], []
    for scale in (0.0, 2.0, 6.0):
        found = walk(ByProperty(toy.denoiser(None, n), energy, scale), x, rng, steps=25)
        means.append(float(energy(found).mean()))
        density.append(float(three().log_density(found).mean()))
    assert means[0] > 1.5 * means[1] > 1.5 * means[2]
    # Mean log-density of the data themselves is about -1.9; 5 nats less would be off the data.
    assert min(density) > density[0] - 5


def test_guides_compose_in_any_order():
    """With a linear energy both shifts are the same numbers in either order; a guide in a guide keeps its graph."""
    n, toy = 12, model()
    x, t = draws(n, 0), torch.full((n,), 0.3, dtype=torch.float64)
    plain = toy.denoiser(None, n)
    by_class = partial(ByClassifier, log_prob=partial(toy.log_prob_of, 1), scale=1.3, mode="score")
    by_property = partial(ByProperty, energy=linear, scale=0.8)
    first, second = by_property(by_class(plain)), by_class(by_property(plain))
    assert float((first.predict(x, t).x0 - second.predict(x, t).x0).abs().max()) < 1e-12
    twice = by_property(by_property(plain)).predict(x, t)
    once = by_property(plain, scale=1.6).predict(x, t)
    assert float((twice.x0 - once.x0).abs().max()) < 1e-12
    # Classifier-free guidance of two guided denoisers: both move alike, so the guide comes through once.
    free = ClassifierFree(by_class(toy.denoiser({"class": 1}, n)), by_class(plain), 2.0).predict(x, t)
    apart = by_class(ClassifierFree(toy.denoiser({"class": 1}, n), plain, 2.0)).predict(x, t)
    assert float((free.x0 - apart.x0).abs().max()) < 1e-12
    tilted = partial(by_class, mode="mean")
    free = ClassifierFree(tilted(toy.denoiser({"class": 1}, n)), plain, 2.0).predict(x, t)
    alone = tilted(plain).predict(x, t)
    assert float((free.mean_shift_gradient - 2.0 * alone.mean_shift_gradient).abs().max()) < 1e-12


def test_guides_work_where_the_caller_has_switched_gradients_off_and_leave_no_graph():
    n, toy = 5, model()
    x, t = draws(n, 0), torch.full((n,), 0.3, dtype=torch.float64)
    for guide in (
        ByProperty(toy.denoiser(None, n), linear),
        ByProperty(toy.denoiser(None, n), linear, through="x_0"),
        ByClassifier(toy.denoiser(None, n), partial(toy.log_prob_of, 1), mode="score"),
    ):
        on = guide.predict(x, t)
        with torch.no_grad():
            off = guide.predict(x, t)
        assert torch.equal(on.x0, off.x0)
        assert not on.x0.requires_grad and not off.x0.requires_grad


def test_scale_0_is_the_plain_model_and_asks_no_guide():
    n, toy = 5, model()
    x, t, plain = draws(n, 0), torch.full((n,), 0.3, dtype=torch.float64), toy.denoiser(None, n)

    def never(*_):
        raise AssertionError

    for guide in (ByClassifier(plain, never, 0.0), ByProperty(plain, never, 0.0)):
        assert torch.equal(guide.predict(x, t).x0, plain.predict(x, t).x0)


def test_a_tilt_needs_a_sampler_that_draws():
    toy = model()
    guided = ByClassifier(toy.denoiser(None, 3), partial(toy.log_prob_of, 1))
    x, rng = start(3, 0)
    with pytest.raises(CapabilityError, match="mode=score"):
        walk(guided, x, rng, solver="multistep2", steps=3)
    with pytest.raises(InputError, match="energy"):
        ByProperty(toy.denoiser(None, 3), lambda x0: x0).predict(x, torch.full((3,), 0.5, dtype=torch.float64))


def test_learnt_variance_passes_through_every_guide():
    toy, spread = model(), torch.full((4, 2), 0.3, dtype=torch.float64)

    class Learnt:
        noise = toy.noise

        def predict(self, x, t):
            return Prediction(toy.denoiser(None, len(x)).predict(x, t).x0, variance_fraction=spread)

    x, t = draws(4, 0), torch.full((4,), 0.5, dtype=torch.float64)
    log_prob = partial(toy.log_prob_of, 1)
    for guide in (
        ClassifierFree(Learnt(), Learnt(), 2.0),
        ByClassifier(Learnt(), log_prob),
        ByClassifier(Learnt(), log_prob, mode="score"),
        ByProperty(Learnt(), linear),
    ):
        assert torch.equal(guide.predict(x, t).variance_fraction, spread)
    found = ancestral(ByClassifier(Learnt(), log_prob), x, times(toy.noise, 5), Streams.of(0, 4))
    assert bool(torch.isfinite(found).all())
