"""The slide on GAN and WGAN: losses whose gradients are the printed ones, worked out on numbers."""

import math

import pytest
import torch
from scipy import stats

from zsteer.core.batch import Batch
from zsteer.core.rng import Streams, initialised
from zsteer.core.sample_spec import SampleSpec
from zsteer.errors import InputError
from zsteer.maths.adversarial import (
    critic_loss,
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    minimax_generator_loss,
    slopes,
    wasserstein_generator_loss,
)
from zsteer.models.gan.gan import Gan, GanSettings


def numbers(name, n=12):
    return Streams.of(3, n).normal(name, dtype=torch.float64)


@pytest.mark.lecture("gan.discriminator")
def test_the_discriminator_ascends_the_printed_sum_and_ends_at_the_density_ratio(measured):
    """Truth: the printed formula with D = sigmoid; at the best D the loss is 2 log 2 - 2 JS."""
    real, made = numbers("real"), numbers("made")
    printed = torch.log(torch.sigmoid(real)) + torch.log(1 - torch.sigmoid(made))
    error = float((discriminator_loss(real, made) + printed).abs().max())
    x = torch.linspace(-12, 13, 20_001, dtype=torch.float64)
    p, q = (torch.from_numpy(stats.norm(centre, 1).pdf(x.numpy())) for centre in (0.0, 1.0))
    ratio = (p / q).log()
    zero = torch.zeros_like(ratio)
    on_real, on_made = discriminator_loss(ratio, zero) - math.log(2), discriminator_loss(zero, ratio) - math.log(2)
    value = float(torch.trapezoid(p * on_real + q * on_made, x))
    middle = (p + q) / 2
    js = float(torch.trapezoid(p * (p / middle).log() + q * (q / middle).log(), x)) / 2
    error = max(error, abs(value - (2 * math.log(2) - 2 * js)))
    measured(error, "difference from the printed formula, and from 2 log 2 - 2 JS at the best D")
    assert error < 1e-9


@pytest.mark.lecture("gan.generator")
def test_the_generator_ascends_log_d_and_its_gradient_does_not_fade(measured):
    made = numbers("made")
    error = float((generator_loss(made) + torch.log(torch.sigmoid(made))).abs().max())
    measured(error, "difference from -log D")
    assert error < 1e-12
    # Where D is sure that a sample is made, the non-saturating slope is -1 and the minimax one is 0.
    for loss, slope in ((generator_loss, -1.0), (minimax_generator_loss, 0.0)):
        far = torch.tensor([-50.0], requires_grad=True)
        loss(far).sum().backward()
        assert float(far.grad) == pytest.approx(slope, abs=1e-6)


def test_the_minimax_generator_descends_what_the_discriminator_ascends():
    made = numbers("made")
    assert torch.allclose(minimax_generator_loss(made), torch.log(1 - torch.sigmoid(made)))


@pytest.mark.lecture("wgan.critic")
def test_the_critic_ascends_the_gap(measured):
    """Truth: minus the loss is f(x) - f(G(z)); with f(x) = x on two shifted samples its mean is the shift, W1."""
    x = numbers("x", 500)
    value = -float(critic_loss(x + 0.7, x).mean())
    error = abs(value - 0.7)
    measured(error, "difference of the mean gap from W1 = 0.7 of a shift, at the best critic")
    assert error < 1e-12


@pytest.mark.lecture("wgan.generator")
def test_the_generator_ascends_the_critic(measured):
    """Truth: the gradient of the loss is minus the gradient of f, which is 1 for f(x) = x wherever the sample is."""
    made = numbers("made").requires_grad_()
    wasserstein_generator_loss(made).sum().backward()
    error = float((made.grad + 1).abs().max())
    measured(error, "difference of the gradient from -1")
    assert error == 0


def test_a_slope_is_that_of_a_whole_sample():
    gradient = torch.zeros(2, 3, 4, 4, dtype=torch.float64)
    gradient[0, :, 0, 0] = torch.tensor([2.0, 3.0, 6.0])
    assert slopes(gradient).tolist() == pytest.approx([7.0, 0.0], abs=1e-5)
    assert gradient_penalty(slopes(gradient)).tolist() == pytest.approx([36.0, 1.0], abs=1e-4)
    assert gradient_penalty(slopes(gradient), one_sided=True).tolist() == pytest.approx([36.0, 0.0], abs=1e-4)


def test_a_penalty_for_each_pixel_is_a_named_fault():
    with pytest.raises(InputError, match="per-pixel penalty"):
        gradient_penalty(torch.zeros(2, 3, 4).norm(dim=1))


def test_a_constant_critic_has_a_finite_penalty_gradient():
    x = torch.zeros(3, 2, requires_grad=True)
    gradient_penalty(slopes(x)).sum().backward()
    assert bool(torch.isfinite(x.grad).all())


@pytest.mark.parametrize("loss", ["minimax", "non-saturating", "wasserstein"])
def test_one_step_of_each_player_goes_the_printed_way(loss):
    """A small step down the model's own loss: the generator's raises f(G(z)), the critic's raises f(x) - f(G(z))."""
    with initialised(0):
        model = Gan(GanSettings(datum=SampleSpec(shape=(2,), values="real"), loss=loss, width=8, depth=2)).double()
    rng, x = Streams.of(5, 64), Batch({"x": 3 + Streams.of(6, 64).normal("x", (2,), dtype=torch.float64)})

    def worth():
        with torch.no_grad():
            made = model.critic(model._made(rng)).mean()
            return float(made), float(model.critic(x["x"]).mean() - made)

    for player, place in (("generator", 0), ("critic", 1)):
        before, weights = worth()[place], list(model.players()[player])
        # The penalty of the critic's slope is another term, with a way of its own.
        slopes_of = torch.autograd.grad(model.losses(x, player, rng)["loss"].mean(), weights, allow_unused=True)
        with torch.no_grad():
            for weight, slope in zip(weights, slopes_of, strict=True):
                if slope is not None:
                    weight.sub_(slope, alpha=1e-4)
        assert worth()[place] > before, player
