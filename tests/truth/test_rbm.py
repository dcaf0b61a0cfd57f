"""The machine against enumeration: annealing, sampling, tempering, the centred gradient, and learning."""

import math

import pytest
import torch
from tests.contract.test_rbm_models import machine, numbers

from zsteer.core.batch import Batch
from zsteer.core.rng import Streams
from zsteer.core.sample_spec import SampleSpec
from zsteer.errors import InputError, RefusedError
from zsteer.maths.boltzmann import Couplings, binary_states, free_energy, log_partition
from zsteer.models.rbm.rbm import RBM, RbmSettings
from zsteer.sample.annealed import LogZ, Tempered, anneal, ladder, log_partition_estimate
from zsteer.sample.gibbs import Coins, Gibbs, PerSample, Product
from zsteer.train.loop import Optim, Plan, fit
from zsteer.train.source import Shuffled


def random_machine(seed, n, m, scale, visible="binary", hidden="bernoulli", levels=1):
    rng = Streams.of(seed, n + m).child("machine")
    both = scale * rng.normal("w", (m,))
    bias = rng.normal("bias", ())
    return Couplings(both[:n].clone(), bias[:n].clone(), bias[n:].clone(), visible, hidden, levels)


@pytest.mark.parametrize(
    ("visible", "hidden", "levels"),
    [("binary", "bernoulli", 1), ("real", "bernoulli", 1), ("levels", "bernoulli", 4), ("binary", "relu", 1)],
)
def test_annealing_agrees_with_enumeration_on_16_hidden_units(seed, visible, hidden, levels):
    """The estimate from below, from above and the exact value, within the target of 0.05 nats."""
    n, m = (12, 16) if hidden == "relu" else (24, 16)
    # Real units see each other through squares of the weights: the same spread would be a harder machine.
    scale = 0.2 if visible == "real" else 0.15 if hidden == "relu" else 0.4
    p = random_machine(seed, n, m, scale, visible, hidden, levels)
    sampler = Gibbs(p, base=torch.zeros(n))
    exact = float(log_partition(p))
    top = sampler.run(
        sampler.start(200, Coins(Streams.of(seed, 1).bulk("t"))), 200, Coins(Streams.of(seed, 1).bulk("u"))
    )
    found = log_partition_estimate(
        sampler, Streams.of(seed, 1), chains=200, temperatures=800, equilibrium=top, settle=100
    )
    assert found.ess > 50
    # 0.05 is the target. Standard errors are below 0.01, for real units 0.02; the worst of 21 seeds is 0.029.
    assert abs(found.value - exact) < 0.05
    assert abs(found.upper - exact) < 0.05


def test_the_standard_error_covers_the_exact_value(seed):
    """Few temperatures, so that the error shows: within 4 standard errors."""
    p = random_machine(seed, 20, 10, 0.5)
    sampler = Gibbs(p, base=torch.zeros(20))
    found = log_partition_estimate(sampler, Streams.of(seed, 1), chains=400, temperatures=60)
    assert 0 < found.se < 0.2
    assert abs(found.value - float(log_partition(p))) < 4 * found.se + 1e-3
    assert math.isnan(found.upper)


def test_the_ladder_rises_from_0_to_1_and_is_dense_where_it_is_hard(seed):
    p = random_machine(seed, 30, 20, 0.8)
    betas = ladder(Tempered(Gibbs(p, base=torch.zeros(30))), 400, 100, Coins(Streams.of(seed, 1).bulk("l")))
    assert float(betas[0]) == 0.0 and float(betas[-1]) == 1.0 and len(betas) == 401
    assert bool((betas.diff() > 0).all())


def test_what_an_estimate_refuses():
    LogZ(1.0, ess=6.0, chains=100).require()
    LogZ(1.0, ess=2.0, chains=100).require(force=True)
    with pytest.raises(RefusedError, match="force=True"):
        LogZ(1.0, ess=2.0, chains=100, temperatures=10).require()
    sampler = Gibbs(random_machine(0, 4, 3, 0.1))
    with pytest.raises(InputError, match="at least 2 chains"):
        log_partition_estimate(sampler, Streams.of(0, 1), chains=1)
    with pytest.raises(InputError, match="at least two temperatures"):
        anneal(Tempered(sampler), torch.zeros(2, 4), torch.zeros(1), Coins(Streams.of(0, 1).bulk("x")))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_sweeps_leave_the_distribution_of_the_machine(seed, precision):
    """Many chains after 60 sweeps against the enumerated marginals and pairs."""
    p = random_machine(seed, 6, 4, 0.7)
    sampler = Gibbs(p, precision=precision)
    v = sampler.run(torch.zeros(20000, 6), 60, Coins(Streams.of(seed, 1).bulk("sweeps"))).float()
    states = binary_states(6)
    chance = torch.softmax(-free_energy(states, Couplings(p.w.double(), p.a.double(), p.b.double())), 0)
    exact = states.T @ (chance[:, None] * states)
    # The standard error of a mean of 20,000 draws is at most 0.0035; five of them, and rounding of bfloat16 fields.
    assert float((v.T @ v / len(v) - exact.float()).abs().max()) < 0.0177 + (0.004 if precision == "bfloat16" else 0)


def test_tempered_chains_have_the_distribution_of_their_temperature(seed):
    """Exchange keeps beta = 1 rows on the machine and beta = 0 rows on the base rates."""
    p = random_machine(seed, 5, 3, 1.0)
    sampler, draws = Gibbs(p, base=torch.zeros(5)), Coins(Streams.of(seed, 1).bulk("pt"))
    betas = torch.linspace(0, 1, 3).repeat_interleave(8000)[:, None]
    v = sampler.start(24000, draws)
    for _ in range(40):
        v = sampler.exchange(sampler.run(v, 1, draws, betas), 3, draws)
    states = binary_states(5)
    chance = torch.softmax(-free_energy(states, Couplings(p.w.double(), p.a.double(), p.b.double())), 0)
    # Five standard errors of a mean of 8,000 draws: 5 * 0.5 / sqrt(8000).
    assert float((v[-8000:].mean(0) - (chance @ states).float()).abs().max()) < 0.028
    assert float((v[:8000].mean(0) - 0.5).abs().max()) < 0.028


def test_coins_have_the_right_chance_even_for_tiny_probabilities(seed):
    draws = Coins(Streams.of(seed, 1).bulk("coins"))
    # Below 2^-16 a word alone could not tell 1 from 0. 4,000 x 4,096 draws each: 5 standard errors.
    for chance in (2.0**-18, 0.01, 0.5, 1 - 2.0**-10):
        total = 0.0
        for _ in range(400):
            total += float(draws.below(torch.full((10, 4096), chance)).sum())
        n = 400 * 40960
        # All 40,960 units of a block share the fraction of a word, which adds its own spread for tiny chances.
        assert abs(total - n * chance) < 5 * math.sqrt(n * chance * (1 - chance)) + 5 * math.sqrt(400) * 40960 / 2**17


def test_coins_of_zero_and_one_are_certain():
    draws = Coins(Streams.of(0, 1).bulk("coins"))
    assert float(draws.below(torch.zeros(100, 1000)).sum()) == 0
    assert float(draws.below(torch.ones(100, 1000)).sum()) == 100000


def test_products_agree_with_plain_ones(seed):
    rng = Streams.of(seed, 40)
    w, v, h = rng.normal("w", (30,)), rng.normal("v", (40,)), (rng.uniform("h", (30,)) < 0.5).float()
    exact = Product(w)
    assert torch.allclose(exact.up(v), v @ w, atol=1e-4)
    assert torch.allclose(exact.down(h), h @ w.T, atol=1e-4)
    assert torch.allclose(Product.outer(v, h), v.T @ h, atol=1e-4)
    low = Product(w, "bfloat16")
    # 8 bits of mantissa for weights and result: 2^-8 of the largest sum of 30 numbers of order 1.
    assert torch.allclose(low.down(h), h @ w.T, atol=0.1)


def test_the_centred_gradient_is_that_of_the_centred_parameters(seed):
    """Autograd through a' = a + W lam, b' = b + W^T mu with (W, a', b') as the parameters, in float64."""
    model = machine(method="cd", precision="float32").double()
    x, rng = numbers("binary", seed=seed), Streams.of(seed, 24)
    x = Batch({"x": x["x"].double()})
    loss = model.losses(x, "machine", rng)["contrast"]
    loss.mean().backward()
    sampler = Gibbs(model.couplings, base=model.base)
    negative = sampler.run(x["x"], 2, Coins(rng.bulk("chains")))
    w = model.w.detach().clone().requires_grad_(True)
    mu, lam = model.mu, model.lam
    own = (
        (model.a + model.w @ lam).detach().requires_grad_(True),
        (model.b + mu @ model.w).detach().requires_grad_(True),
    )
    p = Couplings(w, own[0] - w @ lam, own[1] - mu @ w)
    expected = free_energy(x["x"], p) - free_energy(negative, p)
    assert torch.allclose(loss, expected, atol=1e-6)  # coins and fields are float32 inside
    expected.mean().backward()
    # A step on (W, a', b') changes a by da' - dW lam: the gradients written for the plain parameters.
    assert torch.allclose(model.w.grad, w.grad, atol=1e-9)
    assert torch.allclose(model.a.grad, own[0].grad - w.grad @ lam, atol=1e-9)
    assert torch.allclose(model.b.grad, own[1].grad - mu @ w.grad, atol=1e-9)


def test_persistent_chains_pull_against_the_data(seed, monkeypatch):
    """Data and chains are two samples of their own size: mean F over the data less mean F over the chains."""
    model = machine(method="pcd", centre=False, precision="float32").double()
    x, rng = Batch({"x": numbers("binary", seed=seed)["x"].double()}), Streams.of(seed, 24)
    chains = Streams.of(seed + 9, 10).integers("v", 2, (9,)).double()
    monkeypatch.setattr(model, "_negative", lambda *_: (chains, chains))
    model.losses(x, "machine", rng)["contrast"].mean().backward()
    w, a, b = (part.detach().clone().requires_grad_(True) for part in (model.w, model.a, model.b))
    p = Couplings(w, a, b)
    (free_energy(x["x"], p).mean() - free_energy(chains, p).mean()).backward()
    for ours, wanted in ((model.w, w), (model.a, a), (model.b, b)):
        assert torch.allclose(ours.grad, wanted.grad, atol=1e-9)


def test_without_centring_the_gradient_is_the_plain_one(seed):
    model = machine(method="cd", centre=False, precision="float32").double()
    x, rng = Batch({"x": numbers("binary", seed=seed)["x"].double()}), Streams.of(seed, 24)
    model.losses(x, "machine", rng)["contrast"].mean().backward()
    negative = Gibbs(model.couplings, base=model.base).run(x["x"], 2, Coins(rng.bulk("chains")))
    w = model.w.detach().clone().requires_grad_(True)
    p = Couplings(w, model.a.detach(), model.b.detach())
    (free_energy(x["x"], p) - free_energy(negative, p)).mean().backward()
    assert torch.allclose(model.w.grad, w.grad, atol=1e-9)


def flipped(p):
    """The machine of 1 - v: every visible unit with its states exchanged."""
    return Couplings(-p.w, -p.a, p.b + p.w.sum(0))


def test_centring_makes_the_step_blind_to_which_state_is_called_one(seed):
    x = numbers("binary", seed=seed)
    model, other = (
        machine(data=x, method="cd", k=1, precision="float32"),
        machine(data=Batch({"x": 1 - x["x"]}), method="cd"),
    )
    q = flipped(model.couplings)
    other.mu.copy_(1 - model.mu)
    other.lam.copy_(model.lam)
    with torch.no_grad():
        other.w.copy_(q.w), other.a.copy_(q.a), other.b.copy_(q.b)
    from zsteer.models.rbm.gradient import Rows, contrast_of

    v, chain = x["x"], torch.roll(x["x"], 1, 0)
    grads = []
    for m, states in ((model, torch.cat([v, chain])), (other, 1 - torch.cat([v, chain]))):
        rows = Rows(torch.cat([states, m.mu[None]]), len(v), Product(m.w), m.lam, paired=True)
        contrast_of(m.couplings, rows)[0].mean().backward()
        grads.append(m.w.grad)
    assert torch.allclose(grads[0], -grads[1], atol=1e-5)


def test_softmax_weights_stay_in_their_gauge():
    model = machine("levels", 4, centre=False)
    x = numbers("levels", 4)
    fit(model, Shuffled(x, 8), Plan(steps=30, optim=Optim(lr=0.1, kind="sgd"), ema=None), seed=0)
    assert float(model.w.detach().unflatten(0, (9, 4)).sum(1).abs().max()) < 1e-5
    assert float(model.a.detach().unflatten(0, (9, 4)).sum(1).abs().max()) < 1e-4


def test_first_biases_are_the_clamped_base_rates():
    x = numbers("binary", n=400)
    model = machine(data=x)
    assert torch.allclose(model.a.detach(), torch.logit(x["x"].mean(0).clamp(1e-3, 1 - 1e-3)))
    levels = numbers("levels", 4, n=400)
    soft = machine("levels", 4, data=levels)
    chance = torch.softmax(soft.a.detach().unflatten(0, (9, 4)), 1)
    counts = torch.nn.functional.one_hot(levels["x"].long(), 4).float().mean(0)
    assert torch.allclose(chance, counts, atol=0.01)  # one pseudo-count each among 400


@pytest.mark.slow
@pytest.mark.parametrize(("method", "k"), [("cd", 5), ("pcd", 1), ("pt", 1)])
def test_learning_reaches_the_likelihood_that_the_pairs_allow(seed, method, k):
    """Copied bits: an independent model has 8 ln 2 nats, the truth 4 ln 2; the machine comes within 0.35 of it."""
    half = Streams.of(seed, 2000).integers("x", 2, (4,)).float()
    x = Batch({"x": torch.cat([half, half], 1)})
    datum = SampleSpec(shape=(8,), values="binary")
    model = RBM(RbmSettings(datum=datum, units=8, method=method, k=k, chains=64, temperatures=4, seed=seed))
    model.begin(x, Streams.of(seed, 1))
    plan = Plan(steps=1500, optim=Optim(lr=0.3, kind="sgd", decay="linear", clip=100.0), ema=None)
    fit(model, Shuffled(x, 64), plan, seed=seed)
    model.measure(Streams.of(seed, 1))
    log_p = float(model.log_prob(x, Streams.of(seed, 2000)).mean())
    assert log_p > -4 * math.log(2) - 0.35


def test_samples_come_from_the_machine(seed):
    model = machine(method="cd")
    made = model.sample(3000, given={"sweeps": 30}, rng=Streams.of(seed, 3000))["x"]
    states = binary_states(9)
    p = model.couplings
    chance = torch.softmax(-free_energy(states, Couplings(p.w.double(), p.a.double(), p.b.double())), 0).detach()
    # Five standard errors of a mean of 3,000 draws.
    assert float((made.mean(0) - (chance @ states).float()).abs().max()) < 5 * 0.5 / math.sqrt(3000)


def test_per_sample_draws_need_a_stream_for_each():
    from zsteer.errors import SettingsError

    with pytest.raises(SettingsError, match="one stream for each of 3 chains"):
        PerSample(Streams.of(0, 2)).uniform((3, 4))
