"""Closed forms of a mixture of normals under noise, against quadrature and automatic differentiation."""

import math

import pytest
import torch
from tests.diffusion import data, draws, model, three

from zsteer.core.protocols import Conditional, Denoiser
from zsteer.core.rng import Streams
from zsteer.errors import InputError
from zsteer.maths.mixture import Mixture


def line():
    return Mixture(
        torch.tensor([0.3, 0.7], dtype=torch.float64),
        torch.tensor([[-1.0], [1.5]], dtype=torch.float64),
        torch.tensor([[0.2], [0.4]], dtype=torch.float64),
    )


@pytest.mark.parametrize("abar", [0.9, 0.3, 0.01])
def test_everything_at_x_t_by_quadrature_over_x_0(abar):
    """p(x_t), p(k | x_t) and E[x_0 | x_t] are integrals over x_0 of p(k, x_0) q(x_t | x_0)."""
    mixture, x_t = line(), 0.37
    grid = torch.linspace(-9, 9, 200_001, dtype=torch.float64)
    kernel = torch.exp(-((x_t - math.sqrt(abar) * grid) ** 2) / (2 * (1 - abar))) / math.sqrt(2 * math.pi * (1 - abar))
    mass = [(part * kernel, part * kernel * grid) for part in mixture.joint(grid[:, None]).exp().T]
    width = float(grid[1] - grid[0])
    weight = torch.stack([zeroth.sum() for zeroth, _ in mass]) * width
    first = float(sum(part.sum() for _, part in mass)) * width
    x = torch.tensor([[x_t]], dtype=torch.float64)
    # Trapezoid rule on smooth functions that vanish at the ends: exact to rounding.
    assert float(mixture.log_density(x, abar)) == pytest.approx(math.log(float(weight.sum())), abs=1e-11)
    assert torch.allclose(mixture.responsibilities(x, abar)[0], weight / weight.sum(), rtol=0, atol=1e-11)
    assert float(mixture.expected(x, abar)) == pytest.approx(first / float(weight.sum()), abs=1e-11)


def test_score_is_the_gradient_and_tweedies_formula_holds():
    mixture, x = three(), draws(50, 0).requires_grad_(True)
    for abar in (1.0, 0.7, 0.05):
        for given in (None, torch.arange(50) % 3):
            (slope,) = torch.autograd.grad(mixture.log_density(x, abar, given).sum(), x)
            score = mixture.score(x, abar, given).detach()
            # Relative to scores of up to 50: rounding.
            assert float((score - slope).abs().max()) < 1e-11
            again = (x.detach() + (1 - abar) * score) / math.sqrt(abar)
            assert float((mixture.expected(x, abar, given).detach() - again).abs().max()) < 1e-11


def test_draws_have_the_moments_of_the_mixture(seed):
    mixture, n = three(), 20_000
    x = data(mixture, n, seed)
    mean = mixture.weights @ mixture.means
    second = mixture.weights @ (mixture.variances + mixture.means**2)
    z = [
        (x.mean(0) - mean) / (x.std(0) / math.sqrt(n)),
        (x.square().mean(0) - second) / (x.square().std(0) / math.sqrt(n)),
    ]
    # 21 seeds times 4 figures: beyond 4.5 once in 1,700 runs of them all.
    assert float(torch.cat(z).abs().max()) < 4.5


def test_the_mixture_is_a_diffusion_model():
    toy = model()
    assert isinstance(toy, Conditional) and isinstance(toy.denoiser({"class": [0, 2]}, 2), Denoiser)
    assert toy.finish(draws(3, 0))["x"].shape == toy.like(3, Streams.of(0, 3)).shape


def test_a_mixture_that_is_none_is_refused():
    ones = torch.ones(2, 1)
    with pytest.raises(InputError, match="sum to 1"):
        Mixture(torch.tensor([0.5, 0.6]), ones, ones)
    with pytest.raises(InputError, match="class"):
        model().denoiser({"clas": 1}, 2)
    with pytest.raises(InputError, match=r"0 \.\.\. 2"):
        model().denoiser({"class": 3}, 2)
