"""A toy of diffusion with known answers, for several tests: three normals in the plane, and their exact denoiser."""

import torch

from zsteer.core.rng import Streams
from zsteer.maths.mixture import Mixture
from zsteer.maths.schedules import Schedule
from zsteer.models.diffusion.mixture import MixtureDiffusion
from zsteer.noise.gaussian import Gaussian


def three():
    """Weights .2 .3 .5; the normals overlap, so that p(y | x) is no step."""
    return Mixture(
        torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64),
        torch.tensor([[-1.0, 0.5], [0.8, 1.0], [0.3, -0.9]], dtype=torch.float64),
        torch.tensor([[0.10, 0.25], [0.20, 0.08], [0.15, 0.15]], dtype=torch.float64),
    )


def one(mean, variance):
    """A single normal."""
    rows = [torch.tensor([values], dtype=torch.float64) for values in (mean, variance)]
    return Mixture(torch.ones(1, dtype=torch.float64), *rows)


def model(mixture=None, **noise):
    """The mixture as a diffusion model, with next to no signal left at t = 1."""
    settings = {"schedule": Schedule("cosine", rest=1e-8), "steps": 1000, **noise}
    return MixtureDiffusion(three() if mixture is None else mixture, Gaussian(**settings))


def draws(n, seed, d=2, purpose="data"):
    """Standard normal numbers, float64."""
    return Streams.of(seed, n).normal(purpose, (d,), dtype=torch.float64)


def data(mixture, n, seed, given=None):
    """Samples of the mixture."""
    u = Streams.of(seed, n).uniform("component", dtype=torch.float64)
    return mixture.place(u, draws(n, seed, mixture.means.shape[1]), given)


def start(n, seed, d=2):
    """Noise at t = 1 and the streams."""
    return draws(n, seed, d, "prior"), Streams.of(seed, n)
