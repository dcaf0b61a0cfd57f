"""The validity score: its formula, the mixture behind it, and that it tells receptors from noise."""

import math

import pytest
import torch
from scipy import stats
from sklearn.mixture import GaussianMixture
from tests.receptors import world

import zsteer
from zsteer.core.batch import Batch
from zsteer.core.rng import Streams, initialised
from zsteer.domains.sequences.data import unlabelled
from zsteer.domains.sequences.metrics import edits
from zsteer.domains.sequences.space import SequenceSpace
from zsteer.errors import InputError
from zsteer.predictors.sequence_validity import SequenceValidity, _from_grid, _to_grid, fit_mixture, log_mixture

SPACE = SequenceSpace()


def fresh(**settings):
    with initialised(0):
        return SequenceValidity(SequenceValidity.Settings(**{"hidden": 64, "components": 2, **settings})).eval()


def part(data, name):
    tokens = data.background_tokens[torch.from_numpy(data.background_rows(name))].long()
    return Batch({"tokens": tokens}, tokens < 20)


@pytest.fixture(scope="module")
def data():
    return world(background=3000)


@pytest.fixture(scope="module")
def trained(data):
    model = fresh().train()
    source = unlabelled(data, "train", size=128)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for update in range(300):
        rng = Streams.of(0, 128).at(update)
        optimiser.zero_grad()
        model.losses(source.batch(update, rng), "autoencoder", rng)["reconstruction"].mean().backward()
        optimiser.step()
    model.eval()
    model.fit_density(part(data, "train"), Streams.of(0, 1))
    model.calibrate(part(data, "valid"))
    return model


# The suite compares codes that carry gradients.
@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad=True:UserWarning")
def test_the_model_keeps_the_contract():
    x = SPACE.encode(["CASSLGQAYEQYF", "CASSF", "C" + "A" * 28 + "F", "CASSPTAAYGGYTF"])
    verdicts = zsteer.check(fresh(), x)
    assert [verdict for verdict in verdicts if verdict.state == "failed"] == []


def test_the_grid_holds_every_length():
    x = SPACE.encode(["C" + "ADEFG" * 5 + "W" * k + "F" for k in range(4)] + ["CASSF", "CASSFF"])
    grid = _to_grid(x["tokens"], x.mask)
    assert SPACE.decode(Batch({"tokens": _from_grid(grid)})) == SPACE.decode(x)
    # First and last residues keep their cells, whatever the length.
    assert (grid[:, 0] == x["tokens"][0, 0]).all()
    assert (grid[:, -1] == x["tokens"][4, 4]).all()


def test_the_score_is_its_formula(trained, data):
    x = part(data, "test").take(slice(0, 64))
    recovery, density = trained.terms(x)
    code = trained.encode(x, Streams.of(0, 1))
    again = trained.decode(code, Streams.of(0, 1))["tokens"]
    longest = torch.maximum((x["tokens"] < 20).sum(1), (again < 20).sum(1))
    assert torch.allclose(recovery, 1 - edits(x["tokens"], again) / longest)
    level = trained.log_density(code["z"])
    assert torch.allclose(density, torch.exp((torch.minimum(level, torch.tensor(-10.0)) + 10) / 10))
    assert torch.allclose(trained.score(x), recovery + density)
    assert ((0 <= recovery) & (recovery <= 1) & (0 <= density) & (density <= 1)).all()


def test_one_in_twenty_held_out_receptors_is_rejected(trained, data):
    accepted = trained.valid(part(data, "valid")).float().mean().item()
    assert accepted == pytest.approx(0.95, abs=2 / len(part(data, "valid")))
    other = trained.valid(part(data, "test")).float().mean().item()
    # Other receptors of the same kind: four standard errors of a share of 0.95 among some 700.
    assert other == pytest.approx(0.95, abs=0.04)


def test_noise_is_less_valid_than_receptors(trained, data):
    noise = SPACE.encode([p[::-1] for p in data.unlabelled("test")])
    assert trained.valid(noise).float().mean() < 0.2
    assert len(trained.score(noise.take(slice(0, 0)))) == 0


def test_a_model_without_a_threshold_says_so(data):
    with pytest.raises(InputError, match="no threshold"):
        fresh().valid(part(data, "test"))
    with pytest.raises(InputError, match="at least 200 receptors"):
        fresh().fit_density(part(data, "test").take(slice(0, 100)), Streams.of(0, 1))


def test_a_mixture_of_one_is_the_normal_distribution():
    z = Streams.of(0, 500).normal("z", (3,), dtype=torch.float64) @ torch.tensor(
        [[1.0, 0.5, 0.0], [0.0, 1.0, 0.3], [0.0, 0.0, 2.0]], dtype=torch.float64
    )
    weights, means, factors = fit_mixture(z, 1, Streams.of(0, 1), ridge=0.0, rounds=3)
    covariance = torch.cov(z.T, correction=0)
    assert torch.allclose(means[0], z.mean(0))
    assert torch.allclose(factors[0] @ factors[0].T, covariance)
    exact = stats.multivariate_normal(means[0].numpy(), covariance.numpy()).logpdf(z.numpy())
    assert torch.allclose(log_mixture(z, weights, means, factors)[:, 0], torch.from_numpy(exact))


def test_the_mixture_finds_the_likelihood_that_scikit_learn_finds(seed):
    rng = Streams.of(seed, 900)
    centres = torch.tensor([[-4.0, 0.0], [4.0, 0.0], [0.0, 6.0]], dtype=torch.float64)
    z = centres[torch.arange(900) % 3] + rng.normal("z", (2,), dtype=torch.float64)
    weights, means, factors = fit_mixture(z, 3, Streams.of(seed, 1), ridge=1e-6)
    mean = log_mixture(z, weights, means, factors).logsumexp(1).mean().item()
    peer = GaussianMixture(3, means_init=centres.numpy(), random_state=0).fit(z.numpy())
    # Well separated: both reach the same maximum; EM stops a little before it.
    assert mean == pytest.approx(peer.score(z.numpy()), abs=2e-3)
    assert math.isclose(weights.sum().item(), 1.0)
