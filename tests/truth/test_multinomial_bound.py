"""The bound of multinomial diffusion where it is known: independent positions, whose exact denoiser is their frequency.

With the exact reverse kernel the chain that generates is the chain that makes noise, read backwards, so that the bound
is tight: its mean over the data is their entropy (and L_T).
"""

import math

import pytest
import torch
from tests.states import K

from zsteer.core.batch import Batch
from zsteer.core.rng import Streams
from zsteer.core.sample_spec import SampleSpec
from zsteer.models.multinomial.multinomial import MultinomialDiffusion, MultinomialSettings

P = torch.tensor([0.6, 0.1, 0.3])
ENTROPY = -float((P * P.log()).sum())
N = 4


class Frequencies(torch.nn.Module):
    """What the rest says of a position that is independent of it: how often each category is."""

    def __init__(self, states):
        super().__init__()
        self.logits = torch.nn.Parameter(torch.nn.functional.pad(P.log(), (0, states - K)))

    def forward(self, x, t, y=None):
        del t, y
        return self.logits.expand_as(x)


def exact(kernel, *, variable=False, schedule="cosine", steps=20):
    datum = SampleSpec(shape=(N,), values="levels", levels=K)
    values = {"datum": datum, "variable": variable, "kernel": kernel, "schedule": schedule, "steps": steps}
    model = MultinomialDiffusion(MultinomialSettings.model_validate(values))
    model.net = Frequencies(model.noise.states)
    return model


def drawn(seed, n, *, variable=False):
    rng = Streams.of(seed, n).child("samples")
    x = torch.searchsorted(P.double().cumsum(0), rng.uniform("x", (N,), dtype=torch.float64)).clamp(max=K - 1)
    if not variable:
        return Batch({"x": x.float()})
    mask = torch.arange(N) < 1 + rng.integers("length", N)[:, None]
    return Batch({"tokens": torch.where(mask, x, 22)}, mask=mask)


def within(values, wanted, errors=4.0):
    """Whether a mean lies within so many standard errors; 4 hold over 20 seeds and 8 cases with 99 %."""
    se = float(values.std()) / math.sqrt(len(values))
    return abs(float(values.mean()) - wanted) < errors * se


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
@pytest.mark.parametrize("kernel", ["uniform", "absorbing"])
def test_the_bound_of_the_exact_denoiser_is_the_entropy(kernel, schedule, seed):
    model, x = exact(kernel, schedule=schedule), drawn(seed, 3000)
    found = model.bound_of(x, Streams.of(seed, len(x)))
    assert found.terms.shape == (3000, 20) and bool((found.at == torch.arange(1, 21)).all())
    # Subtracting the known -log p(x) leaves the noise of x_t alone.
    own = -(P.double().log()[x["x"].long()]).sum(1)
    assert within(found.total - own, float(found.far.mean()))
    assert float(found.far.max()) < 1e-3
    assert found.length is None and found.exact
    assert within(found.total, N * ENTROPY)


@pytest.mark.parametrize("kernel", ["uniform", "absorbing"])
def test_strata_leave_the_mean_as_it_is(kernel, seed):
    model, x = exact(kernel), drawn(seed, 3000)
    whole = model.bound_of(x, Streams.of(seed, len(x))).total
    for k in (1, 3, 7):
        some = model.bound_of(x, Streams.of(seed, len(x)).child(f"{k}"), calls=k)
        assert some.terms.shape == (3000, k) and float(some.sizes.sum()) == 20
        assert within(some.total - whole, 0.0)
    assert torch.equal(model.log_prob(x, Streams.of(seed, len(x))), -whole.float())  # 20 calls are all there are


def test_the_length_counts(seed):
    model, x = exact("uniform", variable=True), drawn(seed, 3000, variable=True)
    model.begin(x)
    found = model.bound_of(x, Streams.of(seed, len(x)))
    assert float(found.length.mean()) == pytest.approx(math.log(N), abs=0.01)
    residues = x.mask.sum(1).double()
    assert found.bits == pytest.approx(float(found.total.sum() / residues.sum()) / math.log(2))
    assert sum(found.parts().values()) == pytest.approx(found.bits)
    assert within(found.total - found.length - residues * ENTROPY, 0.0)


def test_the_training_loss_estimates_the_sum_of_the_terms(seed):
    model, x = exact("uniform"), drawn(seed, 4000)
    whole = model.bound_of(x, Streams.of(seed, len(x))).terms.sum(1)
    model.seen.fill_(11)
    model.squares.copy_(1 / torch.arange(1, 21.0))
    assert float(model.odds()[0] / model.odds()[-1]) > 3
    loss = model.losses(x, "denoiser", Streams.of(seed + 100, len(x)))["bound"].detach().double()
    assert within(loss - whole, 0.0)


def test_a_batch_covers_the_times_evenly(seed):
    """200 samples over 20 times: ten each for a grid; independent draws have a deviation of three."""
    model, x = exact("uniform"), drawn(seed, 200)
    model.losses(x, "denoiser", Streams.of(seed, len(x)))
    count = torch.bincount(model._last[0], minlength=20)
    assert 8 <= int(count.min()) and int(count.max()) <= 12


@pytest.mark.parametrize("kernel", ["uniform", "absorbing"])
def test_the_gradient_with_respect_to_a_state_is_what_another_state_would_change(kernel):
    """Of anything linear in the probabilities of x_0; the value with a gradient is the one without."""
    model = exact(kernel).double()
    states = model.noise.states
    every = torch.eye(states, dtype=torch.float64)[:, None]
    t = torch.full((states,), 0.3, dtype=torch.float64)
    worth = torch.arange(1.0, states + 1, dtype=torch.float64)

    def value(x):
        return model.log_x0(x, t).softmax(-1)[:, 0] @ worth

    plain = value(every).detach()
    rows = every.clone().requires_grad_()
    found = value(rows)
    assert torch.allclose(found, plain, atol=1e-12)
    slope = torch.autograd.grad(found.sum(), rows)[0][:, 0]
    change = slope - slope.diagonal()[:, None]
    possible = torch.ones(states, states, dtype=torch.bool)
    if kernel == "absorbing":
        possible[:-1] = False  # an open position stays as it is, whatever its gradient
    assert float((change - (plain[None] - plain[:, None]))[possible].abs().max()) < 1e-9


@pytest.mark.parametrize("kernel", ["uniform", "absorbing"])
def test_samples_of_the_exact_denoiser_have_the_frequencies(kernel, seed):
    found = exact(kernel).sample(2000, rng=Streams.of(seed, 2000))["x"].long().flatten()
    share = torch.bincount(found, minlength=K) / len(found)
    # 8,000 positions: a standard error is at most 0.0056; four of them.
    assert float((share - P).abs().max()) < 0.023
