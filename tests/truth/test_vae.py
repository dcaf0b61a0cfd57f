"""The VAE where the truth is known: a linear decoder, whose likelihood and posterior are closed forms."""

import math

import pytest
import torch
from tests.vectors import datum, samples

from zsteer.core.batch import Batch
from zsteer.core.rng import Streams, initialised
from zsteer.maths.bernoulli import log_probability
from zsteer.maths.importance import doubly_reparameterised, effective_sample_size, importance_bound
from zsteer.models.autoencoder.vae import VAE, VAESettings
from zsteer.train.loop import Optim, Plan, fit
from zsteer.train.source import Shuffled

D, K = 6, 2


def linear(**variant):
    """A VAE with linear halves: p(x) = N(bias, W W' + I / 2)."""
    with initialised(3):
        return VAE(VAESettings(datum=datum("real", (D,)), latent=K, hidden=(), **variant))


@torch.no_grad()
def exact(model, x):
    """log p(x) of the linear model, in double precision."""
    layer = model.decoder.layers[0]
    w, bias = layer.weight.double(), layer.bias.double()
    cov = w @ w.T + 0.5 * torch.eye(D, dtype=torch.float64)
    gap = x.double() - bias
    inner = (gap * torch.linalg.solve(cov, gap.T).T).sum(1)
    return -0.5 * (inner + torch.logdet(cov) + D * math.log(2 * math.pi))


@torch.no_grad()
def set_posterior(model):
    """Give the encoder the exact posterior of the linear model."""
    layer, first = model.decoder.layers[0], model.encoder.layers[0]
    w = layer.weight.double()
    cov = torch.linalg.inv(torch.eye(K, dtype=torch.float64) + 2 * w.T @ w)
    assert float((cov - torch.diag(torch.diagonal(cov))).abs().max()) < 1e-6
    gain = 2 * cov @ w.T
    first.weight[:K], first.bias[:K] = gain.float(), -(gain @ layer.bias.double()).float()
    first.weight[K:], first.bias[K:] = 0.0, torch.diagonal(cov).log().float()


@torch.no_grad()
def orthogonal(model):
    """Columns of the decoder at right angles: then the posterior's covariance is diagonal, as the encoder's is."""
    w = model.decoder.layers[0].weight
    w.copy_(torch.linalg.qr(w)[0] * torch.tensor([1.5, 0.7]))
    return model


def data(seed, n=400):
    return Batch({"x": Streams.of(seed, n).normal("data", (D,))})


def test_with_the_exact_posterior_every_bound_is_the_likelihood(seed):
    model = orthogonal(linear())
    set_posterior(model)
    x = data(seed)
    # Every importance weight equals p(x): float32 sums of six squares leave 1e-5.
    gap = model.log_weights(x, Streams.of(seed, len(x)), 3).double() - exact(model, x["x"])[:, None]
    assert float(gap.abs().max()) < 1e-4


def test_the_bound_rises_to_the_likelihood_as_samples_are_added(seed):
    model, x = linear(), data(seed)
    truth = exact(model, x["x"]).mean()
    rng = Streams.of(seed, len(x))
    bounds = [float(importance_bound(model.log_weights(x, rng.at(k), k)).double().mean()) for k in (1, 10, 100, 3000)]
    assert bounds == sorted(bounds)
    assert bounds[-1] <= float(truth) + 0.02  # the estimate is a bound in expectation; its noise here is below 0.01
    assert float(truth) - bounds[-1] < 0.05


def test_training_reaches_the_likelihood_of_the_principal_components(seed):
    # Probabilistic principal components: with noise 1/2 fixed, the best likelihood of a K-factor model is known from
    # the eigenvalues of the covariance (Tipping and Bishop 1999); the linear VAE must come close to it and not above.
    rng = Streams.of(seed, 3000)
    mix = torch.tensor([[2.0, 0, 0.5, 1, 0, 0], [0, 1.5, -1, 0, 0.5, 0]])
    x = rng.normal("z", (K,)) @ mix + math.sqrt(0.5) * rng.normal("noise", (D,))
    model = linear()
    plan = Plan(steps=600, optim=Optim(lr=2e-2, clip=1e6, decay="cosine"), ema=None)
    fit(model, Shuffled(Batch({"x": x}), 200), plan, seed=seed)
    values = torch.linalg.eigvalsh(torch.cov(x.double().T, correction=0)).flip(0)
    top = values[:K].clamp(min=0.5)
    best = -0.5 * (D * math.log(2 * math.pi) + top.log().sum() + K + (D - K) * math.log(0.5) + 2 * values[K:].sum())
    reached = exact(model, x).mean()
    assert float(best - reached) < 0.02  # 600 noisy steps stay within a fiftieth of a nat
    assert float(reached) <= float(best) + 1e-9


def test_the_lecture_loss_is_minus_the_bound_of_variance_one_half():
    model, x = linear(), data(0, 16)
    rng = Streams.of(0, 16)
    loss = model.losses(x, "autoencoder", rng)["squared_error_and_kl"]
    constant = 0.5 * D * math.log(math.pi)  # of a normal of variance 1/2
    twin = linear(decoder="gaussian")
    twin.load_state_dict({**model.state_dict(), "log_var": torch.tensor(math.log(0.5))})
    terms = twin.losses(x, "autoencoder", rng)
    assert torch.allclose(loss + constant, terms["reconstruction"] + terms["kl"], atol=1e-4)


def gradients(objective, repeats, samples_a_point):
    """Encoder gradients of the bound, one for each repeat."""
    model = linear(objective=objective, samples=samples_a_point)
    x, found = data(1, 8), []
    for i in range(repeats):
        model.zero_grad()
        model.losses(x, "autoencoder", Streams.of(0, 8).at(i))["bound"].mean().backward()
        found.append(model.encoder.layers[0].weight.grad.flatten().clone())
    return torch.stack(found)


def test_the_doubly_reparameterised_gradient_has_the_same_mean_and_less_noise():
    plain, better = (gradients(kind, 600, 20) for kind in ("iwae", "dreg"))
    error = (plain.var(0) / len(plain) + better.var(0) / len(better)).sqrt()
    # 24 weights: the largest of as many normal deviations stays below 4.5 in all but one of 6,000 runs.
    assert float(((plain.mean(0) - better.mean(0)) / error).abs().max()) < 4.5
    assert float(better.var(0).mean()) < 0.5 * float(plain.var(0).mean())


def test_importance_weights_by_hand():
    log_w = torch.tensor([[1.0, 3.0], [2.0, 2.0]]).log()
    assert torch.allclose(importance_bound(log_w), torch.tensor([2.0, 2.0]).log())
    assert torch.allclose(effective_sample_size(log_w), torch.tensor([1.6, 2.0]))
    assert torch.allclose(doubly_reparameterised(log_w, torch.zeros(2, 2, 1)), importance_bound(log_w))


def test_binary_log_probability_equals_the_sum_over_pixels_and_holds_at_extreme_logits():
    x, logit = torch.tensor([[1.0, 0, 1]]), torch.tensor([[[0.3, -2, 1], [200, -300, 400]]])
    p = torch.sigmoid(logit[0, 0].double())
    assert float(log_probability(x, logit)[0, 0]) == pytest.approx(float((p[0] * (1 - p[1]) * p[2]).log()), abs=1e-6)
    assert float(log_probability(x, logit)[0, 1]) == 0.0


def test_probabilities_of_all_binary_images_sum_to_one():
    with initialised(0):
        model = VAE(VAESettings(datum=datum("binary", (4,)), latent=2, hidden=(5,), decoder="bernoulli", estimate=4000))
    every = torch.tensor([[float(i >> k & 1) for k in range(4)] for i in range(16)])
    total = model.log_prob(Batch({"x": every}), Streams.of(0, 16)).exp().sum()
    assert float(total) == pytest.approx(1, abs=0.02)  # 4,000 samples of the code leave less than a hundredth


def test_reconstructions_and_samples_have_the_shape_of_the_data():
    with initialised(0):
        model = VAE(VAESettings(datum=datum("binary"), latent=2, hidden=(5,), decoder="bernoulli"))
    x = samples("binary")
    back = model.decode(model.encode(x, Streams.of(0, 12)), Streams.of(0, 12))
    assert back["x"].shape == x["x"].shape
