"""Slides on guidance: the score of p(x | y), Algorithm 1 of classifier guidance, and guidance without a classifier."""

import math
from functools import partial

import pytest
import torch
from tests.diffusion import draws, model

from zsteer.core.batch import Batch
from zsteer.core.protocols import Prediction
from zsteer.core.rng import Streams
from zsteer.core.sample_spec import SampleSpec
from zsteer.errors import InputError, SettingsError
from zsteer.maths import diffusion
from zsteer.maths.schedules import Schedule
from zsteer.models.diffusion.ddpm import DDPM
from zsteer.models.diffusion.settings import DDPMSettings
from zsteer.noise.gaussian import Gaussian
from zsteer.steer.guide import ByClassifier, ClassifierFree


@pytest.mark.lecture("guidance.score")
def test_score_of_a_class_is_the_score_plus_the_classifiers_gradient(measured):
    """Truth: the shifted prediction is E[x_0 | x_t, y], the class's own closed form, at every time."""
    toy, n = model(), 40
    x = 1.5 * draws(n, 0)
    errors = []
    for time in (0.9, 0.5, 0.1, 0.01):
        t = torch.full((n,), time, dtype=torch.float64)
        for y in range(3):
            guided = ByClassifier(toy.denoiser(None, n), partial(toy.log_prob_of, y), mode="score").predict(x, t)
            exact = toy.denoiser({"class": y}, n).predict(x, t)
            errors.append(float((guided.x0 - exact.x0).abs().max()))
    measured(max(errors), "largest difference from E[x_0 | x_t, y] of a mixture of three normals")
    # Where sigma is small the gradient is large and its product with sigma^2 of order 1: rounding of 1e-16 / sigma^2.
    assert max(errors) < 1e-9


@pytest.mark.lecture("guidance.classifier")
def test_a_step_draws_from_the_kernel_times_the_classifier_made_linear(measured):
    """Truth: p(x_s | x_t) exp(s g (x_s - x_t)), normalised on a grid, has mean mu + s Sigma g and variance Sigma."""
    noise, scale = Gaussian(Schedule("linear")), 2.5
    t, s = 0.5, 0.47
    x_t, x0 = torch.tensor([[0.3]], dtype=torch.float64), torch.tensor([[-0.2]], dtype=torch.float64)

    class Plain:
        def __init__(self):
            self.noise = noise

        def predict(self, *_):
            return Prediction(x0)

    def log_prob(x, t):
        """A classifier with slope 1 / (1 + e^x)."""
        return torch.nn.functional.logsigmoid(x).sum(1)

    guided = ByClassifier(Plain(), log_prob, scale).predict(x_t, torch.tensor([t], dtype=torch.float64))
    mean, variance = noise.kernel(x_t, guided, t, s)
    plain_mean, plain_variance = noise.kernel(x_t, Prediction(x0), t, s)
    slope = 1 / (1 + math.exp(0.3))
    grid = torch.linspace(-6, 6, 400_001, dtype=torch.float64)
    log = -0.5 * (grid - float(plain_mean)) ** 2 / float(plain_variance) + scale * slope * (grid - 0.3)
    weight = (log - log.max()).exp()
    weight = weight / weight.sum()
    wanted = float((weight * grid).sum())
    spread = float((weight * (grid - wanted) ** 2).sum())
    error = max(abs(float(mean) - wanted), abs(float(variance) - spread))
    measured(error, "mean and variance of a step against the tilted density on a grid")
    assert error < 1e-10
    assert float(mean - plain_mean) == pytest.approx(scale * float(plain_variance) * slope, rel=1e-12)


@pytest.mark.lecture("guidance.free")
def test_guidance_without_a_classifier_moves_the_noise(measured):
    """eps_u + scale (eps_c - eps_u), from the scores of the mixture and of its component."""
    toy, n = model(), 30
    x, t = draws(n, 1), torch.full((30,), 0.6, dtype=torch.float64)
    left = float(toy.noise.schedule.abar(torch.tensor(0.6, dtype=torch.float64)))
    y = torch.full((n,), 1)
    errors = []
    for scale in (0.0, 0.5, 1.0, 3.0):
        prediction = ClassifierFree(toy.denoiser({"class": 1}, n), toy.denoiser(None, n), scale).predict(x, t)
        eps = [-math.sqrt(1 - left) * toy.mixture.score(x, left, given) for given in (None, y)]
        wanted = eps[0] + scale * (eps[1] - eps[0])
        errors.append(float((diffusion.noise_of(x, prediction.x0, left) - wanted).abs().max()))
    measured(max(errors), "largest difference of the guided noise from that of the two scores")
    assert max(errors) < 1e-12


def test_interval_of_guidance_saves_calls_outside():
    toy, n = model(), 6
    asked = []

    class Counted:
        def __init__(self, inner, name):
            self.inner, self.name, self.noise = inner, name, inner.noise

        def predict(self, x, t):
            asked.append(self.name)
            return self.inner.predict(x, t)

    conditional = Counted(toy.denoiser({"class": 2}, n), "conditional")
    guided = ClassifierFree(conditional, Counted(toy.denoiser(None, n), "null"), 2.0, (0.2, 0.7))
    x = draws(n, 2)
    outside = guided.predict(x, torch.full((n,), 0.8, dtype=torch.float64))
    assert asked == ["conditional"]
    assert torch.equal(outside.x0, conditional.inner.predict(x, torch.full((n,), 0.8, dtype=torch.float64)).x0)
    guided.predict(x, torch.full((n,), 0.7, dtype=torch.float64))
    assert asked == ["conditional", "conditional", "null"]
    # One time a sample: each row is guided or not by its own.
    mixed = guided.predict(x, torch.linspace(0.1, 0.9, n, dtype=torch.float64))
    plain = conditional.inner.predict(x, torch.linspace(0.1, 0.9, n, dtype=torch.float64))
    moved = (mixed.x0 - plain.x0).abs().sum(1) > 1e-12
    assert moved.tolist() == [False, True, True, True, False, False]


def test_an_interval_that_is_none_is_refused():
    denoiser = model().denoiser(None, 2)
    with pytest.raises(SettingsError, match="interval"):
        ClassifierFree(denoiser, denoiser, 1.0, (0.7, 0.2))


@pytest.mark.parametrize(
    "log_prob, message",
    [
        (lambda x, _: x.sum(), "one value"),
        (lambda x, _: x.detach().sum(1), "no gradient"),
        (lambda x, _: (0 * x).sqrt().sum(1), "not finite"),
    ],
)
def test_a_classifier_that_cannot_guide_is_named(log_prob, message):
    guide = ByClassifier(model().denoiser(None, 3), log_prob)
    with pytest.raises(InputError, match=message):
        guide.predict(draws(3, 0), torch.full((3,), 0.5, dtype=torch.float64))


class Deaf(torch.nn.Module):
    """A net that keeps the classes it was shown and says nothing."""

    def forward(self, x, t, y=None):
        del t
        self.shown = y
        return torch.zeros_like(x)


@pytest.mark.parametrize("drop", [0.1, 0.4])
def test_training_without_a_classifier_shows_a_share_of_none(drop):
    """Line 3 of classifier-free training: y becomes None for a share of the samples; the others keep theirs."""
    n, classes = 4000, ("a", "b", "c")
    settings = DDPMSettings(datum=SampleSpec(shape=(2,), values="real"), net="mlp", classes=classes, drop=drop, width=8)
    model = DDPM(settings)
    model.net = Deaf()
    y = torch.arange(n) % 3
    model.losses(Batch({"x": torch.zeros(n, 2), "y": y}), "denoiser", Streams.of(0, n))
    none = model.net.shown == -1
    assert abs(float(none.double().mean()) - drop) < 5 * math.sqrt(drop * (1 - drop) / n)
    assert torch.equal(model.net.shown[~none], y[~none])
    assert not bool(none[:300].all()) and len(y[none].unique()) == 3
