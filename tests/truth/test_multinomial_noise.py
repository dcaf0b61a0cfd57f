"""Categorical noise where everything can be listed: samplers end at the data, guidance at the exact conditional.

Walks are products of transition matrices over all states of two positions, so nothing here is a matter of chance but
the draws themselves. Given x_t, the positions of x_s depend on each other; a step that moves each on its own is right
to first order, so that a walk's error falls in proportion to the step (and for one position there is none).
"""

from dataclasses import dataclass

import pytest
import torch
from tests.states import K, Listed, N, at, chain, data, noise, states, variation

from zsteer.core.protocols import Noise, Prediction
from zsteer.core.rng import Streams
from zsteer.errors import CapabilityError, SettingsError
from zsteer.maths import categorical
from zsteer.maths.schedules import Schedule
from zsteer.noise.categorical import Categorical
from zsteer.sample.ancestral import ancestral
from zsteer.steer.guide import ByClassifier

KERNELS = ["uniform", "absorbing"]
EXACT = 1e-12


def even(steps):
    return [1 - k / steps for k in range(steps)] + [0.0]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("eta", [1.0, 0.0, 0.4])
def test_a_walk_with_the_exact_denoiser_ends_at_the_data(kernel, eta):
    denoiser = Listed(noise(kernel), data())
    coarse, fine = (variation(chain(denoiser, even(steps), eta=eta), data()) for steps in (64, 128))
    # First order: half the step, half the error.
    assert fine < 0.01
    assert 1.6 < coarse / fine < 2.4


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("eta", [1.0, 0.0, 0.4])
def test_one_position_is_exact_for_any_steps(kernel, eta):
    own = noise(kernel)
    p0 = torch.tensor([0.6, 0.1, 0.3], dtype=torch.float64)
    wide = torch.nn.functional.pad(p0, (0, int(own.absorbing)))
    x = torch.eye(own.states, dtype=torch.float64)[:, None]
    p = categorical.marginal(wide, float(own.schedule.abar(at(1.0, 1))), own.rest(x)).exp()
    for t, s in ((1.0, 0.7), (0.7, 0.2), (0.2, 0.0)):
        seen = own.evidence(x, at(t, own.states))
        prediction = Prediction(seen + categorical.log_of(wide))
        p = p @ own.kernel_between(x, prediction, t, s, eta=eta)[:, 0].exp()
    assert float((p - wide).abs().max()) < EXACT


def conditional(seed=1):
    """p(y | x_0) of the samples."""
    return 0.02 + 0.96 * Streams.of(seed, 1).uniform("y", (K**N,), dtype=torch.float64)[0]


def gradient(denoiser, p_y):
    """Gradient of log p(y | x_t), made linear in the row of each position; by autograd, as a guide takes it."""

    def tilt(x, t):
        log_h = (denoiser.over_samples(x, at(t, len(x))) @ p_y).log()
        rows = x.clone().requires_grad_()
        # The product of rows is 1 at the state itself and 0 at all others: a table as a function of the rows.
        weight = torch.einsum("bi,si,bj,sj->bs", rows[:, 0], x[:, 0], rows[:, 1], x[:, 1])
        return torch.autograd.grad((weight @ log_h).sum(), rows)[0]

    return tilt


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_tilt_by_the_gradient_ends_at_the_exact_conditional(kernel):
    """Classifier guidance: Algorithm 1 of its slide for categories, scale 1."""
    denoiser, p_y = Listed(noise(kernel), data()), conditional()
    wanted = data() * p_y / (data() * p_y).sum()
    assert variation(data(), wanted) > 0.1  # there is something to guide
    tilt = gradient(denoiser, p_y)
    coarse, fine = (variation(chain(denoiser, even(steps), tilt=tilt), wanted) for steps in (64, 128))
    assert fine < 0.02
    assert 1.6 < coarse / fine < 2.4


@dataclass(frozen=True)
class Asked:
    """log p(y | x_t) of every state, linear in the row of each position: what a guide takes the gradient of."""

    denoiser: Listed
    p_y: torch.Tensor

    def __call__(self, x, t):
        every = states(self.denoiser.noise.states)
        log_h = (self.denoiser.over_samples(every, t[:1].expand(len(every))) @ self.p_y).log()
        weight = torch.einsum("bi,si,bj,sj->bs", x[:, 0], every[:, 0], x[:, 1], every[:, 1])
        return weight @ log_h


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("mode", ["mean", "score"])
def test_the_guide_by_a_classifier_ends_at_the_exact_conditional(kernel, mode):
    """Mode ``mean`` is the tilt above; ``score`` shifts the prediction: exact for a mask, nearly so for the other."""
    denoiser, p_y = Listed(noise(kernel), data()), conditional()
    wanted = data() * p_y / (data() * p_y).sum()
    guided = ByClassifier(denoiser, Asked(denoiser, p_y), mode=mode)
    found = variation(chain(guided, even(128)), wanted)
    if mode == "mean":
        tilt = gradient(denoiser, p_y)
        assert found == pytest.approx(variation(chain(denoiser, even(128), tilt=tilt), wanted), abs=1e-9)
    # Unguided the distance is above 0.1. The uniform kernel's shift is right to first order in what y says.
    assert found < (0.02 if mode == "mean" or kernel == "absorbing" else 0.1)


def test_a_shift_of_a_masked_position_is_bayes():
    denoiser, p_y = Listed(noise("absorbing"), data()), conditional()
    x, t = states(K + 1), 0.6
    found = denoiser.noise.shift(denoiser.predict(x, at(t, len(x))).x0, gradient(denoiser, p_y)(x, t), at(t, len(x)))
    told = denoiser.over_samples(x, at(t, len(x))) * p_y
    wanted = torch.einsum("bs,snk->bnk", told / told.sum(1, keepdim=True), denoiser.samples())
    masked = x[..., -1] == 1
    assert float((found.softmax(-1) - wanted)[masked].abs().max()) < EXACT


@pytest.mark.parametrize("t", [0.2, 0.5, 0.8])
def test_a_shift_of_the_uniform_kernel_is_bayes_to_first_order(t):
    """Categories that are alike: the error of the shifted prediction is of second order in what y says."""
    own = noise("uniform")
    x, lean = torch.eye(K, dtype=torch.float64)[:, None], torch.tensor([1.0, -0.4, -0.6], dtype=torch.float64)
    seen = own.evidence(x, at(t, K))[:, 0].softmax(1)
    errors = []
    for size in (1e-2, 1e-3):
        p_y = 0.5 * (1 + size * lean)
        log_h = (seen @ p_y).log()
        shifted = own.shift(seen.log()[:, None], log_h.expand(K, 1, K), at(t, K))[:, 0].softmax(1)
        wanted = seen * p_y / (seen @ p_y)[:, None]
        errors.append(float((shifted - wanted).abs().max()))
        assert errors[-1] < size**2
    assert 80 < errors[0] / errors[1] < 120


@pytest.mark.parametrize("kernel", KERNELS)
def test_drawn_walks_have_the_data_s_frequencies(kernel, seed):
    n, denoiser = 4000, Listed(noise(kernel), data())
    rng = Streams.of(seed, n).child(kernel)
    like = torch.ones(n, N, denoiser.noise.states)
    x = ancestral(denoiser, denoiser.noise.prior(like, rng), even(40), rng)
    found = torch.einsum("bnk,snk->bs", x.double(), denoiser.samples()).floor_divide(N).mean(0)
    # Standard error of a frequency at most sqrt(0.25 / 4,000) = 0.008, times 4.5; the walk's own error is below 0.02.
    assert float((found - data()).abs().max()) < 0.055
    assert bool((x.sum(-1) == 1).all())


@pytest.mark.parametrize("kernel", KERNELS)
def test_corrupted_samples_have_the_marginal(kernel, seed):
    own, n = noise(kernel), 20_000
    x0 = torch.nn.functional.one_hot(torch.zeros(n, 1, dtype=torch.long), own.states).float()
    x_t = own.corrupt(x0, torch.full((n,), 0.4), Streams.of(seed, n))
    wanted = categorical.marginal(x0[0, 0].double(), float(own.schedule.abar(at(0.4, 1))), own.rest(x0.double())).exp()
    # Standard error at most 0.0035; five of them.
    assert float((x_t[:, 0].double().mean(0) - wanted).abs().max()) < 0.018


@pytest.mark.parametrize("kernel", KERNELS)
def test_padding_stays_padding_and_draws_depend_on_their_stream_alone(kernel):
    own, rng = noise(kernel), Streams.of(3, 6)
    like = torch.ones(6, 5, own.states)
    like[:, 3:] = 0
    x = own.prior(like, rng)
    prediction = Prediction(rng.normal("logits", (5, own.states)))
    t = torch.full((6,), 0.5)
    for made in (x, own.corrupt(x, t, rng), own.step(x, prediction, 0.9, 0.4, rng=rng, eta=1.0)):
        assert bool((made[:, :3].sum(-1) == 1).all()) and bool((made[:, 3:] == 0).all())
    for eta in (0.0, 1.0):
        whole = own.step(x, prediction, 0.9, 0.4, rng=rng, eta=eta)
        alone = own.step(x[4:5], Prediction(prediction.x0[4:5]), 0.9, 0.4, rng=rng.take(slice(4, 5)), eta=eta)
        assert torch.equal(whole[4:5], alone)


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_last_step_ends_on_the_prediction(kernel):
    own, rng = noise(kernel), Streams.of(0, 4)
    x = own.prior(torch.ones(4, 2, own.states), rng)
    sure = torch.zeros(4, 2, own.states)
    sure[..., 1] = 60.0
    for eta in (0.0, 1.0):
        assert bool((own.step(x, Prediction(sure), 0.3, 0.0, rng=rng, eta=eta)[..., 1] == 1).all())


def test_the_noise_keeps_its_protocol_and_refuses_what_cannot_be():
    own, rng = noise("uniform"), Streams.of(0, 2)
    assert isinstance(own, Noise)
    assert own.log_prior(torch.ones(1)).exp().tolist() == pytest.approx([1 / 3] * 3)
    assert noise("absorbing").log_prior(torch.ones(1)).exp()[-1] == pytest.approx(1, abs=1e-4)
    x = own.prior(torch.ones(2, 2, 3), rng)
    with pytest.raises(CapabilityError, match="expected an earlier time"):
        own.step(x, Prediction(x), 0.2, 0.3, rng=rng, eta=0.0)
    with pytest.raises(CapabilityError, match="eta in"):
        own.step(x, Prediction(x), 0.3, 0.2, rng=rng, eta=1.5)
    assert torch.equal(own.step(x, Prediction(x), 0.3, 0.3, rng=rng, eta=1.0), x)
    for wrong in ({"steps": 0}, {"categories": 1}):
        with pytest.raises(SettingsError, match="expected"):
            Categorical(**{"schedule": Schedule(), "categories": 3, **wrong})
