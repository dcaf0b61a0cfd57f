"""Properties of Gaussian diffusion at any time: round trips, composition of posteriors, what a step keeps."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zsteer.core.protocols import Prediction
from zsteer.core.rng import Streams
from zsteer.maths import diffusion
from zsteer.maths.schedules import SCHEDULES, Listed, Schedule
from zsteer.noise.gaussian import Gaussian

VALUES = st.lists(st.floats(-3, 3), min_size=4, max_size=4).map(lambda v: torch.tensor([v], dtype=torch.float64))
SHARES = st.floats(1e-4, 1 - 1e-4)
NOISES = st.sampled_from([Gaussian(Schedule(name)) for name in SCHEDULES])


@given(x0=VALUES, eps=VALUES, abar=SHARES)
def test_every_parameterisation_leads_back(x0, eps, abar):
    x_t = diffusion.marginal(x0, abar, eps)
    v = diffusion.velocity(x0, eps, abar)
    back = [diffusion.x0_from_noise(x_t, eps, abar), diffusion.x0_from_velocity(x_t, v, abar)]
    # x_0 from the noise divides rounding by the signal, 1e-2 at least; eps from x_0 by sigma.
    assert max(float((one - x0).abs().max()) for one in back) < 1e-12
    assert float((diffusion.noise_of(x_t, x0, abar) - eps).abs().max()) < 1e-12


@given(x0=VALUES, x_t=VALUES, times=st.lists(st.floats(0.02, 0.98), min_size=3, max_size=3, unique=True), noise=NOISES)
def test_posteriors_compose(x0, x_t, times, noise):
    """Truth: q(x_r | x_t, x_0) is the integral of q(x_r | x_s, x_0) q(x_s | x_t, x_0) over x_s, for r < s < t."""
    r, s, t = sorted(times)
    near, spread = noise.posterior(x0, x_t, t, s)
    mean, variance = noise.posterior(x0, near, s, r)
    straight, whole = noise.posterior(x0, x_t, t, r)
    slope = noise.posterior(0 * x0, torch.ones_like(x0), s, r)[0]
    assert torch.allclose(mean, straight, rtol=0, atol=1e-9)
    assert torch.allclose(variance + slope**2 * spread, whole.expand_as(x0), rtol=0, atol=1e-9)


@given(x0=VALUES, x_t=VALUES, t=st.floats(0.05, 1), s=st.floats(0.02, 1), noise=NOISES)
def test_with_one_prediction_the_deterministic_step_is_its_own_way_back(x0, x_t, t, s, noise):
    said, rng = Prediction(x0), Streams.of(0, 1)
    there = noise.step(x_t, said, t, s, rng=rng, eta=0.0)
    back = noise.step(there, said, s, t, rng=rng, eta=0.0)
    # Rounding of x_s, grown by sigma_t / sigma_s, at most 100.
    assert float((back - x_t).abs().max()) < 1e-10


@given(eps=VALUES, x0=VALUES, t=st.floats(0.1, 1), share=st.floats(0, 0.99), eta=st.floats(0, 1), noise=NOISES)
def test_a_step_of_any_chance_has_the_marginal(eps, x0, t, share, eta, noise):
    """With the true x_0, x_s has mean signal x_0 and variance sigma^2: the squares of eps and z sum to it."""
    s = share * t
    now, there = (float(noise.schedule.abar(torch.tensor(time, dtype=torch.float64))) for time in (t, s))

    def step(x, noisy):
        x_t = diffusion.marginal(x, now, noisy)
        return noise.step(x_t, Prediction(x), t, s, rng=Streams.of(0, 1), eta=eta)

    still, one = torch.zeros_like(x0), torch.ones_like(x0)
    drawn = step(still, still)
    of_eps = float((step(still, one) - drawn)[0, 0])
    z = Streams.of(0, 1).normal("step", (4,), dtype=torch.float64)
    of_z = float((drawn / z)[0, 0])
    signal = float((step(one, still) - drawn)[0, 0])
    assert signal == pytest.approx(math.sqrt(there), abs=1e-9)
    assert of_eps**2 + of_z**2 == pytest.approx(1 - there, abs=1e-9)
    whole = step(x0, eps) - (math.sqrt(there) * x0 + of_eps * eps + drawn)
    assert float(whole.abs().max()) < 1e-8


@pytest.mark.parametrize("name", [*SCHEDULES, "listed"])
def test_schedules_fall_and_single_precision_is_enough(name):
    schedule = Listed(tuple(torch.linspace(1e-4, 0.02, 1000).tolist())) if name == "listed" else Schedule(name)
    t = torch.linspace(0, 1, 2001, dtype=torch.float64)
    left = schedule.abar(t)
    assert float(left[0]) == 1 and float(left[-1]) > 0 and bool((left.diff() < 0).all())
    assert bool(torch.isposinf(schedule.log_snr(t[:1])))
    assert torch.allclose(schedule.signal(t) ** 2 + schedule.sigma(t) ** 2, torch.ones_like(t), rtol=0, atol=1e-12)
    betas = schedule.betas(1000)
    assert bool(((betas > 0) & (betas < 1)).all())
    # In float32 the noise near the data keeps its digits: nothing cancels at t -> 0.
    near = torch.tensor([1e-4, 1e-3, 1e-2], dtype=torch.float64)
    assert torch.allclose(schedule.variance(near.float()).double(), schedule.variance(near), rtol=1e-6, atol=0)
