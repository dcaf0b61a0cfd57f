"""A small space of categorical samples whose every state is listed: the exact denoiser, and chains as matrices."""

from dataclasses import dataclass
from itertools import pairwise, product

import torch

from zsteer.core.protocols import Prediction
from zsteer.core.rng import Streams
from zsteer.maths import categorical
from zsteer.maths.schedules import Schedule
from zsteer.noise.categorical import Categorical

K, N = 3, 2


def noise(kernel, *, name="cosine", steps=50):
    return Categorical(Schedule(name), K, kernel, steps)


def states(width, n=N):
    """All one-hot states, (width^n, n, width), float64."""
    index = torch.tensor(list(product(range(width), repeat=n)))
    return torch.nn.functional.one_hot(index, width).double()


def data(seed=0):
    """Probabilities of the K^N samples; positions depend on each other."""
    p = Streams.of(seed, 1).uniform("data", (K**N,), dtype=torch.float64)[0] ** 2
    return p / p.sum()


@dataclass(frozen=True)
class Listed:
    """The exact denoiser of listed samples, by Bayes' rule over all of them."""

    noise: Categorical
    p: torch.Tensor

    def over_samples(self, x_t, t):
        """p(x_0 | x_t) over the samples, (b, K^N)."""
        seen = self.noise.evidence(x_t.double(), t)
        x0 = self.samples()
        return torch.softmax(self.p.log() + torch.einsum("bnk,snk->bs", seen, x0), 1)

    def samples(self):
        """The samples in the states' width."""
        extra = int(self.noise.absorbing)
        return torch.nn.functional.pad(states(K), (0, extra))

    def predict(self, x_t, t):
        found = torch.einsum("bs,snk->bnk", self.over_samples(x_t, t), self.samples())
        return Prediction(categorical.log_of(found).to(x_t.dtype))


def at(t, n):
    return torch.full((n,), t, dtype=torch.float64)


def transition(denoiser, t, s, *, eta=1.0, tilt=None):
    """Matrix of one reverse step over all states: positions move on their own, as they do in a sampler."""
    x = states(denoiser.noise.states)
    prediction = denoiser.predict(x, at(t, len(x)))
    if tilt is not None:
        prediction = Prediction(prediction.x0, mean_shift_gradient=tilt(x, t))
    log_p = denoiser.noise.kernel_between(x, prediction, t, s, eta=eta)
    return torch.einsum("bnk,snk->bs", log_p, x).exp()


def chain(denoiser, times, **how):
    """Distribution at the last time of a walk that starts at the prior, over the samples."""
    x = states(denoiser.noise.states)
    p = torch.einsum("k,snk->sn", denoiser.noise.log_prior(x), x).sum(1).exp()
    for t, s in pairwise(times):
        p = p @ transition(denoiser, t, s, **how)
    if denoiser.noise.absorbing:
        p = p[x[..., -1].sum(1) == 0]
    return p


def variation(p, q):
    """Total variation distance."""
    return float((p - q).abs().sum() / 2)
