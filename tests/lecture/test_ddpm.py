"""Slides on DDPM: the chain, its posterior, the bound, both algorithms, and the slip in Algorithm 2.

The numbers to compare with are worked here from the definitions: products of betas, densities on a grid, Bayes.
"""

import math

import pytest
import torch
from tests.diffusion import data, draws, model, one

from zsteer.core.batch import Batch
from zsteer.core.protocols import Prediction
from zsteer.core.rng import Streams
from zsteer.core.sample_spec import SampleSpec
from zsteer.maths import diffusion
from zsteer.maths.schedules import SCHEDULES, Schedule, abar, alpha
from zsteer.models.diffusion.bound import bound
from zsteer.models.diffusion.ddpm import DDPM
from zsteer.models.diffusion.settings import DDPMSettings
from zsteer.noise.gaussian import Gaussian
from zsteer.sample.ancestral import ancestral

STEPS = 50


def betas():
    """Betas of their own, no schedule's: 0.001 ... 0.2 over 50 steps."""
    return torch.linspace(0.001, 0.2, STEPS, dtype=torch.float64)


def levels(t):
    """abar at t and at t - 1, as a double loop finds them."""
    left = [math.prod(1 - float(beta) for beta in betas()[:i]) for i in range(STEPS + 1)]
    return left[t], left[t - 1]


def density(grid, mean, variance):
    return torch.exp(-0.5 * (grid - mean) ** 2 / variance) / math.sqrt(2 * math.pi * variance)


def moments(grid, weights):
    weights = weights / weights.sum()
    mean = float((grid * weights).sum())
    return mean, float(((grid - mean) ** 2 * weights).sum())


@pytest.mark.lecture("ddpm.alpha", "ddpm.abar")
def test_products_of_alphas(measured):
    left = abar(alpha(betas()))
    error = max(abs(float(left[t - 1]) - levels(t)[0]) for t in range(1, STEPS + 1))
    measured(error, "largest difference from the product of 1 - beta", of="ddpm.abar")
    measured(float((alpha(betas()) + betas() - 1).abs().max()), "largest |alpha + beta - 1|", of="ddpm.alpha")
    assert error < 1e-15
    # The betas of a schedule give its abar back: the discrete chain and the continuous schedule are one.
    for name in SCHEDULES:
        schedule = Schedule(name)
        again = abar(alpha(schedule.betas(1000)))
        there = schedule.abar(torch.arange(1, 1001, dtype=torch.float64) / 1000)
        assert float(((again - there) / there).abs().max()) < 1e-10, name


@pytest.mark.lecture("ddpm.forward", "ddpm.marginal")
def test_steps_of_the_forward_process_compose_to_the_marginal(measured):
    """Linear in x_0 and the z: the coefficient of x_0 and the sum of squares of the others are exact numbers."""
    signal, noise = torch.ones(1, dtype=torch.float64), torch.zeros(STEPS, dtype=torch.float64)
    for t, beta in enumerate(betas()):
        still = torch.zeros(1, dtype=torch.float64)
        signal = diffusion.forward_step(signal, beta, still)
        unit = torch.zeros(STEPS, dtype=torch.float64)
        unit[t] = 1.0
        noise = diffusion.forward_step(noise, beta, unit)
    left, _ = levels(STEPS)
    x0, eps = torch.tensor([1.7], dtype=torch.float64), torch.tensor([-0.4], dtype=torch.float64)
    expected = math.sqrt(left) * 1.7 + math.sqrt(1 - left) * -0.4
    error = max(abs(float(signal) - math.sqrt(left)), abs(float(noise.square().sum()) - (1 - left)))
    measured(error, "coefficients after 50 steps against sqrt(abar) and 1 - abar", of="ddpm.forward")
    gap = abs(float(diffusion.marginal(x0, left, eps)) - expected)
    measured(gap, "difference from sqrt(abar) x_0 + sqrt(1 - abar) eps", of="ddpm.marginal")
    # 50 products and sums of numbers below 1 in float64.
    assert error < 1e-14 and gap < 1e-15


@pytest.mark.lecture("ddpm.prior")
def test_prior_is_standard_normal_and_one_stream_a_sample(seed, measured):
    noise, n = Gaussian(Schedule()), 20_000
    x = noise.prior(torch.empty(n, 3, dtype=torch.float64), Streams.of(seed, n))
    flat = x.flatten()
    z = [float(flat.mean()) * math.sqrt(flat.numel()), float(flat.var() - 1) * math.sqrt(flat.numel() / 2)]
    measured(max(map(abs, z)), "mean and variance from 0 and 1, in standard errors")
    # 21 seeds times 2 figures: beyond 4.5 standard errors once in 3,500 runs of them all.
    assert max(map(abs, z)) < 4.5
    part = noise.prior(torch.empty(2, 3, dtype=torch.float64), Streams.of(seed, n).take(slice(5, 7)))
    assert torch.equal(part, x[5:7])


@pytest.mark.lecture("ddpm.posterior", "ddpm.posterior.mean", "ddpm.posterior.variance")
@pytest.mark.parametrize("t", [2, 7, STEPS])
def test_posterior_is_bayes_on_a_grid(measured, t):
    """q(x_{t-1} | x_t, x_0) by Bayes: the product of the densities of both neighbours, normalised on a grid."""
    left, before = levels(t)
    beta, x0, x_t = float(betas()[t - 1]), 0.8, -0.3
    grid = torch.linspace(-12, 12, 400_001, dtype=torch.float64)
    product = density(grid, math.sqrt(before) * x0, 1 - before) * density(x_t, math.sqrt(1 - beta) * grid, beta)
    mean, variance = moments(grid, product)
    given = [torch.tensor([value], dtype=torch.float64) for value in (x0, x_t)]
    mean_error = abs(float(diffusion.posterior_mean(*given, left, before)) - mean)
    variance_error = abs(float(diffusion.posterior_variance(left, before)) - variance)
    measured(mean_error, "mean against Bayes on a grid", of="ddpm.posterior.mean")
    measured(variance_error, "variance against Bayes on a grid", of="ddpm.posterior.variance")
    # The trapezoid rule on a normal density, 400,000 points: the rest is rounding.
    assert mean_error < 1e-10 and variance_error < 1e-10
    # The distribution of the noise object at any two times, one for all samples or one for each.
    noise, times = Gaussian(Schedule("linear")), (0.4, 0.31)
    now, then = (float(noise.schedule.abar(torch.tensor(time, dtype=torch.float64))) for time in times)
    step = density(x_t, math.sqrt(now / then) * grid, 1 - now / then)
    mean, variance = moments(grid, density(grid, math.sqrt(then) * x0, 1 - then) * step)
    rows = [value[:, None] for value in given]
    for t_s in (times, tuple(torch.tensor([time], dtype=torch.float64) for time in times)):
        found = noise.posterior(*rows, *t_s)
        error = max(abs(float(found[0]) - mean), abs(float(found[1]) - variance))
        measured(error, "mean and variance between t = 0.4 and 0.31 against Bayes", of="ddpm.posterior")
        assert error < 1e-10


@pytest.mark.lecture("ddpm.posterior.mean_from_noise", "ddpm.mean")
def test_the_means_from_noise_and_from_x0_are_one(measured):
    x0, eps = draws(7, 0), draws(7, 0, purpose="eps")
    errors = []
    for t in range(2, STEPS + 1):
        left, before = levels(t)
        beta = 1 - left / before
        x_t = math.sqrt(left) * x0 + math.sqrt(1 - left) * eps
        printed = (x_t - beta / math.sqrt(1 - left) * eps) / math.sqrt(1 - beta)
        found = diffusion.mean_from_noise(x_t, eps, left, before)
        errors.append(
            max(
                float((found - diffusion.posterior_mean(x0, x_t, left, before)).abs().max()),
                float((found - printed).abs().max()),
            )
        )
    for name in ("ddpm.posterior.mean_from_noise", "ddpm.mean"):
        measured(max(errors), "largest difference from mu-tilde with the true noise, t = 2 ... 50", of=name)
    assert max(errors) < 1e-12
    # Parameterisations lead to one another.
    left, _ = levels(20)
    x_t = diffusion.marginal(x0, left, eps)
    back = (
        diffusion.x0_from_noise(x_t, eps, left),
        diffusion.x0_from_velocity(x_t, diffusion.velocity(x0, eps, left), left),
    )
    assert max(float((one - x0).abs().max()) for one in back) < 1e-14
    assert float((diffusion.noise_of(x_t, x0, left) - eps).abs().max()) < 1e-14


@pytest.mark.lecture("ddpm.reverse")
def test_reverse_kernel_has_the_mean_and_the_three_variances(measured):
    """Of fixed posterior, fixed forward and learnt variance, each from the betas of the chain."""
    schedule, steps, t = Schedule("cosine"), 40, 13
    chain = schedule.betas(steps)
    left = torch.cumprod(1 - chain, 0)
    now, before = float(left[t - 1]), float(left[t - 2])
    beta = float(chain[t - 1])
    tilde = (1 - before) / (1 - now) * beta
    x0, x_t = draws(5, 1), draws(5, 1, purpose="x_t")
    mean = (math.sqrt(before) * beta * x0 + math.sqrt(1 - beta) * (1 - before) * x_t) / (1 - now)
    share = torch.full_like(x0, 0.25)
    wanted = {"posterior": tilde, "forward": beta, "learnt": beta**0.25 * tilde**0.75}
    errors = []
    for name, variance in wanted.items():
        noise = Gaussian(schedule, steps, "forward" if name == "forward" else "posterior")
        found = noise.kernel(
            x_t, Prediction(x0, variance_fraction=share if name == "learnt" else None), t / steps, (t - 1) / steps
        )
        errors += [float((found[0] - mean).abs().max()), float((found[1] - variance).abs().max())]
    measured(max(errors), "mean and variances against the betas of the chain")
    # abar is the product of 13 factors here and the schedule's own number there.
    assert max(errors) < 1e-12
    # At t = 1 beta-tilde is 0; the variance of L_0 is beta, and the lower end of a learnt one that of the step before.
    noise = Gaussian(schedule, steps)
    two = (1 - float(left[0])) / (1 - float(left[1])) * float(chain[1])
    for prediction, variance in ((Prediction(x0), float(chain[0])), (Prediction(x0, variance_fraction=0 * share), two)):
        last = noise.kernel(x_t, prediction, 1 / steps, 0.0)
        assert float((last[1] - variance).abs().max()) < 1e-12
        assert float((last[0] - x0).abs().max()) < 1e-12


@pytest.mark.lecture("ddpm.kl", "ddpm.loss")
def test_the_two_forms_of_a_term_agree_with_an_integral(measured):
    """KL of two normals by quadrature; then the same from the noise, by the coefficient on the slide."""
    t, variance = 9, 0.03
    left, before = levels(t)
    x0, eps, predicted = (torch.tensor([[value]], dtype=torch.float64) for value in (0.6, -1.1, -0.7))
    x_t = diffusion.marginal(x0, left, eps)
    mean, other = (diffusion.mean_from_noise(x_t, e, left, before) for e in (eps, predicted))
    grid = torch.linspace(-4, 4, 200_001, dtype=torch.float64)
    p, q = density(grid, float(mean), variance), density(grid, float(other), variance)
    # Both densities are 0 in float64 far out; there the integrand is 0 too.
    inside = (p > 0) & (q > 0)
    integral = float((p[inside] * (p[inside] / q[inside]).log()).sum() * (grid[1] - grid[0]))
    error = abs(float(diffusion.kl_of_means(mean, other, variance)) - integral)
    measured(error, "against KL by quadrature, equal variances", of="ddpm.kl")
    from_noise = float(diffusion.weighted_noise_loss(eps, predicted, left, before, variance))
    noise_error = abs(from_noise - integral)
    measured(noise_error, "against the same KL by quadrature, from the noise", of="ddpm.loss")
    assert max(error, noise_error) < 1e-9
    # With other variances too; this one is the bound's.
    logs = [torch.full((1, 1), math.log(value), dtype=torch.float64) for value in (0.03, 0.05)]
    q = density(grid, float(other), 0.05)
    inside = (p > 0) & (q > 0)
    integral = float((p[inside] * (p[inside] / q[inside]).log()).sum() * (grid[1] - grid[0]))
    assert abs(float(diffusion.kl_of_normals(mean, logs[0], other, logs[1])) - integral) < 1e-9


@pytest.mark.lecture("ddpm.train")
def test_algorithm_1_descends_to_the_conditional_mean_of_the_noise(seed, measured):
    """Truth: for x_0 ~ N(0, c) the best linear estimate of eps from x_t is x_t sigma / (abar c + sigma^2)."""
    n, c = 20_000, 0.3
    left, _ = levels(25)
    x0, eps = math.sqrt(c) * draws(n, seed, 1), draws(n, seed, 1, "eps")
    x_t = diffusion.marginal(x0, left, eps)
    slope = torch.zeros((), dtype=torch.float64, requires_grad=True)
    loss = diffusion.simple_loss(eps, slope * x_t)
    assert loss.shape == (n,)
    of_three = diffusion.simple_loss(torch.tensor([[1.0, 2.0, 3.0]]), torch.zeros(1, 3))
    assert of_three.tolist() == [14.0]  # |eps - eps_theta|^2, a sum over the dimensions
    # The loss is a square in the slope: one Newton step from 0 with curvature 2 E x_t^2 ends in its minimum.
    (gradient,) = torch.autograd.grad(loss.mean(), slope)
    found = -float(gradient) / (2 * float(x_t.square().mean()))
    spread = left * c + 1 - left
    expected = math.sqrt(1 - left) / spread
    # Residual variance of eps given x_t, over n x_t^2.
    se = math.sqrt(left * c / spread / n / spread)
    measured(abs(found - expected) / se, "slope of the best noise estimate, in standard errors")
    assert abs(found - expected) < 4.5 * se


@pytest.mark.lecture("ddpm.sample")
def test_algorithm_2_with_the_exact_denoiser_gives_the_data(seed, measured):
    """Truth: on a normal each step is linear, so mean and variance of x_0 follow by recursion; the walk has them."""
    mean, variance, steps, n = 0.7, 0.2, 60, 20_000
    toy = model(one([mean], [variance]), steps=steps)
    left = [1.0, *torch.cumprod(1 - toy.noise.schedule.betas(steps), 0).tolist()]
    m, v = 0.0, 1.0
    for t in range(steps, 0, -1):
        now, before, beta = left[t], left[t - 1], 1 - left[t] / left[t - 1]
        gain = math.sqrt(now) * variance / (now * variance + 1 - now)
        first, second = math.sqrt(before) * beta / (1 - now), math.sqrt(1 - beta) * (1 - before) / (1 - now)
        tilde = (1 - before) / (1 - now) * beta
        m = first * (mean + gain * (m - math.sqrt(now) * mean)) + second * m
        v = (first * gain + second) ** 2 * v + tilde
    x = draws(n, seed, 1, "prior")
    times = [1 - i / steps for i in range(steps + 1)]
    x0 = ancestral(toy.denoiser(None, n), x, times, Streams.of(seed, n))
    z = [float(x0.mean() - m) / math.sqrt(v / n), float(x0.var() - v) / (v * math.sqrt(2 / n))]
    measured(max(map(abs, z)), "mean and variance of x_0 after 60 steps, in standard errors of 20,000 walks")
    assert max(map(abs, z)) < 4.5
    # What is missing to the data themselves is the error of 60 steps, not of the algorithm; it falls as 1 / T.
    assert abs(m - mean) < 0.01 and abs(v / variance - 1) < 0.15


def variance_after(steps, *, transcribed):
    """Variance at the end of Algorithm 2 for data N(0, 1) with their exact denoiser, by recursion: all is linear."""
    left, v = [1.0, *torch.cumprod(1 - Schedule("linear").betas(steps), 0).tolist()], 1.0
    for t in range(steps, 0, -1):
        now, before = left[t], left[t - 1]
        kept = now / before
        # E[x_0 | x_t] = sqrt(abar_t) x_t, and so the noise is sqrt(1 - abar_t) x_t; z is 0 in the last step.
        alpha_t = now if transcribed else kept
        gain = (1 - (1 - alpha_t) / math.sqrt(1 - now) * math.sqrt(1 - now)) / math.sqrt(alpha_t)
        v = gain**2 * v + (1 - before) / (1 - now) * (1 - kept)
    return v


def test_algorithm_2_as_transcribed_collapses_to_the_mean():
    assert variance_after(1000, transcribed=False) == pytest.approx(1, abs=0.02)
    assert variance_after(1000, transcribed=True) == pytest.approx(0.04, abs=0.005)


def test_algorithm_2_as_transcribed_returns_x0_in_one_step():
    """The slip: with abar_t in place of alpha_t line 4 is the estimate of x_0 itself, whatever t.

    A chain that takes it stands at x_0-hat after its first step and would then treat that as x_{T-1}: noise alone.
    """
    noise, steps = Gaussian(Schedule("linear"), 100), 100
    x0, eps = draws(6, 3), draws(6, 3, purpose="eps")
    left = [1.0, *torch.cumprod(1 - noise.schedule.betas(steps), 0).tolist()]
    for t in (2, 50, 100):
        now, before = left[t], left[t - 1]
        x_t = diffusion.marginal(x0, now, eps)
        transcribed = (x_t - (1 - now) / math.sqrt(1 - now) * eps) / math.sqrt(now)
        assert float((transcribed - x0).abs().max()) < 1e-12
        # The right line has the marginal of t - 1: its signal is sqrt(abar_{t-1}), not 1.
        right = diffusion.mean_from_noise(x_t, eps, now, before)
        ones = torch.ones(1, dtype=torch.float64)
        kept = float(diffusion.mean_from_noise(math.sqrt(now) * ones, 0 * ones, now, before))
        assert kept == pytest.approx(math.sqrt(before), rel=1e-12)
        assert float((right - transcribed).abs().max()) > 0.05 or t == 2


@pytest.mark.lecture("ddpm.bound", "ddpm.bound.terms")
def test_bound_is_the_closed_form_and_above_the_likelihood(seed, measured):
    """Truth: on a normal with its exact denoiser E|x_0 - x_0-hat|^2 is known at every t, and so is every term."""
    mean, variance, steps, n = 0.4, 0.3, 25, 4000
    mixture = one([mean], [variance])
    toy = model(mixture, steps=steps)
    left = [1.0, *torch.cumprod(1 - toy.noise.schedule.betas(steps), 0).tolist()]
    far = 0.5 * (left[-1] * (mean**2 + variance) + 1 - left[-1] - 1 - math.log(1 - left[-1]))
    expected = far
    for t in range(2, steps + 1):
        now, before = left[t], left[t - 1]
        beta = 1 - now / before
        tilde = (1 - before) / (1 - now) * beta
        unknown = variance * (1 - now) / (now * variance + 1 - now)
        expected += (math.sqrt(before) * beta / (1 - now)) ** 2 * unknown / (2 * tilde)
    unknown = variance * (1 - left[1]) / (left[1] * variance + 1 - left[1])
    near = 1 - left[1]
    expected += 0.5 * (math.log(2 * math.pi * near) + unknown / near)
    x0 = data(mixture, n, seed)
    found = bound(toy.denoiser(None, n), x0, Streams.of(seed, n))
    total = found.total
    z = (float(total.mean()) - expected) / (float(total.std()) / math.sqrt(n))
    measured(abs(z), "mean of the bound against its closed form, in standard errors of 4,000", of="ddpm.bound")
    # 21 seeds: beyond 4 standard errors once in 750 runs of them all.
    assert abs(z) < 4
    likelihood = -float(mixture.log_density(x0).mean())
    assert float(total.mean()) > likelihood
    parts = found.parts()
    again = sum(parts.values()) - found.bits
    measured(abs(again), "L_T + sum of L_{t-1} + L_0 less the whole, bits a dimension", of="ddpm.bound.terms")
    assert abs(again) < 1e-12
    assert parts["L_T"] == pytest.approx(far / math.log(2), rel=0.3)


class Said(torch.nn.Module):
    """A net that says one thing and keeps what it saw."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, x, t, y=None):
        del y
        self.seen = (x, t)
        return self.value.expand_as(x)


@pytest.mark.parametrize("target", ["eps", "x0", "v"])
def test_the_training_step_of_the_model_is_algorithm_1(target):
    """x_t, its noise and its times are drawn by hand; the loss is the squared distance from what the target names."""
    n, steps, value = 6000, 10, torch.tensor([0.3, -0.2])
    settings = DDPMSettings(datum=SampleSpec(shape=(2,), values="real"), net="mlp", target=target, steps=steps, width=8)
    model = DDPM(settings)
    model.net = Said(value)
    rng, x0 = Streams.of(1, n), draws(n, 2, 2).float()
    loss = model.losses(Batch({"x": x0}), "denoiser", rng)["squared_error"]
    eps, (x_t, t) = rng.normal("eps", (2,)), model.net.seen
    left = model.noise.schedule.abar(t.double())[:, None].float()
    assert torch.allclose(x_t, left.sqrt() * x0 + (1 - left).sqrt() * eps, atol=1e-6)
    wanted = {"eps": eps, "x0": x0, "v": left.sqrt() * eps - (1 - left).sqrt() * x0}[target]
    assert torch.allclose(loss, (wanted - value).square().sum(1), rtol=1e-5, atol=1e-5)
    # Uniform over 1 ... T: every time is seen, none is 0, and each as often but for chance.
    index, counts = (t * steps).round().unique(return_counts=True)
    assert index.tolist() == list(range(1, steps + 1))
    assert float((counts - n / steps).abs().max()) < 5 * math.sqrt(n / steps)


def test_the_last_step_of_algorithm_2_draws_nothing():
    """Line 3: z = 0 for t = 1, so that x_0 is the mean of the kernel, bit for bit; before it noise is drawn."""
    toy, n = model(), 8
    x, prediction = draws(n, 4), Prediction(draws(n, 5))
    for t in (0.02, 1 / toy.noise.steps):
        last = toy.noise.step(x, prediction, t, 0.0, rng=Streams.of(0, n), eta=1.0)
        assert torch.equal(last, toy.noise.kernel(x, prediction, t, 0.0)[0])
    middle = toy.noise.step(x, prediction, 0.5, 0.4, rng=Streams.of(0, n), eta=1.0)
    assert not torch.equal(middle, toy.noise.kernel(x, prediction, 0.5, 0.4)[0])
