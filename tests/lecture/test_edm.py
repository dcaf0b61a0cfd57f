"""Slides on the equivariant diffusion model: Algorithms 1 and 2 of EDM."""

import math

import pytest
import torch
from tests.composite import product
from tests.truth.test_edm_bound import SETTINGS, molecules

from zsteer.core.protocols import Prediction
from zsteer.core.rng import Streams, initialised
from zsteer.maths import diffusion
from zsteer.models.edm.edm import EDM
from zsteer.models.edm.states import states_of


def state(noise, seed, n=3):
    """Data of the toy: coordinates of zero centre, and numbers."""
    rng = Streams.of(seed, n)
    x = noise.part("positions").noise.drawn("x", torch.zeros(n, 4, 3, dtype=torch.float64), rng)
    return noise.join({"positions": x, "charge": rng.normal("h", (4, 2), dtype=torch.float64)})


@pytest.mark.lecture("edm.sample")
def test_step_of_algorithm_2_is_the_reverse_step_of_every_sampler(measured, seed):
    """Truth: z_s of the slide, from phi and noise without centre of gravity, is what ancestral sampling draws."""
    noise = product(kinds=False, gap=1e-5)
    rng, errors = Streams.of(seed, 3), []
    z_t = noise.prior(state(noise, seed), rng)
    phi = state(noise, seed + 1)
    for t, s in ((1.0, 0.99), (0.5, 0.49), (0.02, 0.01), (0.8, 0.3)):
        own = noise.parts[0].noise
        now, before = own.abar(t, z_t), own.abar(s, z_t)
        eps = noise.join(
            {
                part.name: part.noise.drawn("step", noise.split(z_t)[part.name], rng.child(part.name))
                for part in noise.parts
            }
        )
        positions = noise.split(eps)["positions"]
        assert float(positions.mean(1).abs().max()) < 1e-15
        slide = diffusion.step_from_noise(z_t, phi, eps, now, before)
        prediction = Prediction(diffusion.x0_from_noise(z_t, phi, now))
        ours = noise.step(z_t, prediction, t, s, rng=rng, eta=1.0)
        errors.append(float((slide - ours).abs().max() / slide.abs().max()))
    measured(max(errors), "largest relative difference of z_s from noise.step at four pairs of times")
    assert max(errors) < 1e-12


@pytest.mark.lecture("edm.sample")
def test_sigmas_of_the_slide_are_those_of_the_chain():
    """Truth: forward from s to t has the marginal of t; the step back with the true noise has that of s."""
    noise = product(kinds=False, gap=1e-5).parts[0].noise
    like = torch.zeros(1, 4, 3, dtype=torch.float64)
    now, before = noise.abar(0.5, like), noise.abar(0.3, like)
    ones, none = torch.ones_like(like), torch.zeros_like(like)
    # The factor of z is sigma_{t -> s}, that of eps tells sigma^2_{t|s}, that of z_t tells alpha_{t|s}.
    drawn = float(diffusion.step_from_noise(none, none, ones, now, before).flatten()[0])
    moved = -float(diffusion.step_from_noise(none, ones, none, now, before).flatten()[0])
    kept = 1 / float(diffusion.step_from_noise(ones, none, none, now, before).flatten()[0])
    left, there = float(now), float(before)
    variance = moved * kept * math.sqrt(1 - left)
    assert kept == pytest.approx(math.sqrt(left / there), rel=1e-12)
    assert kept**2 * (1 - there) + variance == pytest.approx(1 - left, rel=1e-12)
    assert drawn**2 == pytest.approx(variance * (1 - there) / (1 - left), rel=1e-12)
    # Of z_t = alpha_t x_0 + sigma_t eps with the true eps, what is left of eps and z has variance sigma_s^2.
    of_eps = math.sqrt(1 - left) / kept - moved
    assert of_eps**2 + drawn**2 == pytest.approx(1 - there, rel=1e-12)


@pytest.mark.lecture("edm.train")
def test_algorithm_1_asks_the_net_for_the_noise(measured, seed):
    """Truth: the loss of the model is |eps - phi(z_t, t)|^2 of a z_t made by hand, over the free dimensions."""
    with initialised(0):
        model = EDM(SETTINGS)
    x, rng, t = molecules(seed).take(torch.tensor([1, 3, 5])), Streams.of(seed, 3), 0.4
    found = model.losses_at(x, t, rng)["squared_error"]
    noise = model.noise_of(5)
    x0 = states_of(SETTINGS, noise, x, 5, like=torch.zeros(1))
    drawn = {part.name: rng.child(part.name).normal("eps", part.shape) for part in noise.parts}
    drawn["xyz"] = drawn["xyz"] - drawn["xyz"].mean(1, keepdim=True)
    eps, abar = noise.join(drawn), noise.parts[0].noise.abar(t, x0).float()
    times = torch.full((3,), t)
    context = model.context(times, 5, torch.zeros(3, 0), torch.zeros(3, 0, dtype=torch.bool))
    z_t = noise.split(abar.sqrt() * x0 + (1 - abar).sqrt() * eps)
    h = torch.cat([z_t["kinds"], z_t["numbers"], context[:, None].expand(-1, 5, -1)], -1)
    out, move = model.net(h, z_t["xyz"])
    phi = noise.join({"xyz": move, "kinds": out[..., :-1], "numbers": out[..., -1:]})
    wanted = (eps - phi).square().sum(1) / (noise.size - 3)
    error = float((found - wanted).abs().max().detach())
    measured(error, "largest difference of the model's loss from |eps - phi(z_t, t)|^2, in float32")
    # Rounding of float32 over a few dozen squares of order 1.
    assert error < 1e-5


@pytest.mark.lecture("edm.train")
def test_z_t_of_algorithm_1_has_no_centre_of_gravity_in_its_noise(seed):
    """Truth: z_t = alpha_t [x, h] + sigma_t eps with the centre of eps^(x) taken away; the true noise costs nothing."""
    noise = product(kinds=False, gap=1e-5)
    x0, rng = state(noise, seed), Streams.of(seed, 3)
    t = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    z_t, own = noise.corrupt(x0, t, rng), noise.parts[0].noise
    abar = own.abar(t, x0)
    drawn = {part.name: rng.child(part.name).normal("eps", part.shape, dtype=torch.float64) for part in noise.parts}
    drawn["positions"] = drawn["positions"] - drawn["positions"].mean(1, keepdim=True)
    eps = noise.join(drawn)
    error = float((z_t - (abar.sqrt() * x0 + (1 - abar).sqrt() * eps)).abs().max())
    assert error < 1e-12
    assert float(diffusion.simple_loss(eps, diffusion.noise_of(z_t, x0, abar)).max()) < 1e-20
    nothing = diffusion.simple_loss(eps, torch.zeros_like(eps))
    assert torch.allclose(nothing, eps.square().sum(1))


@pytest.mark.parametrize("early", [1.0, 2.0])
def test_the_times_of_algorithm_1_are_drawn(early, monkeypatch):
    """t = u^early for a uniform u, no earlier than the chain's first time: mean 1 / (early + 1), both ends seen."""
    n, steps = 4000, 50
    model = EDM(SETTINGS.model_copy(update={"early": early, "steps": steps}))
    seen = {}

    def keep(*arguments):
        seen["t"] = arguments[1]
        return {}

    monkeypatch.setattr(model, "_by_size", keep)
    many = molecules(0).take(torch.zeros(n, dtype=torch.long))
    model.losses(many, "denoiser", Streams.of(0, n))
    t = seen["t"]
    # The floor of 1 / T adds less than its square to the mean.
    spread = math.sqrt(1 / (2 * early + 1) - 1 / (early + 1) ** 2)
    assert abs(float(t.mean()) - 1 / (early + 1)) < 5 * spread / math.sqrt(n) + 1 / steps / 10
    assert float(t.min()) == pytest.approx(1 / steps) and float(t.max()) > 0.99
    assert abs(float((t < 0.5).double().mean()) - 0.5 ** (1 / early)) < 5 * 0.5 / math.sqrt(n)
