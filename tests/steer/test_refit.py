"""``refit``: what it refuses, what it returns, and that a net learns what its draws are weighed by."""

import math

import pytest
import torch

from zsteer.core.alphabet import DNA
from zsteer.core.goal import Budget
from zsteer.core.objective import Constraint, Objective, Target
from zsteer.core.property import Property
from zsteer.core.rng import Streams
from zsteer.errors import CapabilityError, InputError, OutputError
from zsteer.models.autoencoder.vae import VAE, VAESettings
from zsteer.models.autoregressive import Autoregressive, AutoregressiveSettings
from zsteer.models.markov import Markov, MarkovSettings
from zsteer.steer.refit.method import Refit, astray
from zsteer.steer.refit.options import RefitOptions
from zsteer.steer.refit.pool import CODE, Pool

CHAIN = Markov(MarkovSettings(letters="ACGT", length=6))
FEW = RefitOptions(generations=4, draws=24, effective=6)


def goal(function=lambda x: (x["tokens"] == 1).double().mean(1).numpy(), **target):
    return Objective((Target(Property("c", function, spread=0.2), **(target or {"low": 0.6})),), lambda x: x)


def run(objective, options=FEW, n=10, calls=None, start=None, model=CHAIN):
    return Refit(options).run(model, start, objective, Constraint(), Budget(calls=calls), Streams.of(0, n))


def test_designs_are_distinct_reach_the_goal_and_are_reproducible():
    found, again = run(goal()), run(goal())
    words = DNA.batch(found.batch["tokens"])["tokens"]
    assert len(words) == 10 and len(words.unique(dim=0)) == 10
    assert bool((found.scores["c"] >= 0.6).all())
    torch.testing.assert_close(found.batch["tokens"], again.batch["tokens"])
    assert found.calls == found.history[-1]["calls"] <= 96


def test_more_reach_the_goal_than_among_draws_of_the_prior():
    found = Refit(RefitOptions(generations=6, draws=24, effective=6)).search(CHAIN, goal(), Streams.of(1, 1))
    n = 2000
    before = (CHAIN.sample(n, rng=Streams.of(0, n))["tokens"] == 1).double().mean(1) >= 0.6
    after = (found.model.sample(n, rng=Streams.of(0, n))["tokens"] == 1).double().mean(1) >= 0.6
    assert float(after.double().mean()) > 4 * float(before.double().mean())


def test_the_budget_is_one_of_distinct_calls():
    asked = []

    def counted(x):
        asked.append(len(x))
        return (x["tokens"] == 1).double().mean(1).numpy()

    found = run(goal(counted), calls=5)
    assert found.calls == sum(asked) <= 50


def test_what_has_no_value_is_not_learned_from_and_nothing_but_that_is_refused():
    def half(x):
        share = (x["tokens"] == 1).double().mean(1)
        return share.where(x["tokens"][:, 0] == 0, torch.nan).numpy()

    found = Refit(FEW).search(CHAIN, goal(half), Streams.of(0, 1))
    learned = found.pool.everything()["tokens"][found.log_weights > -torch.inf]
    assert len(learned) and bool((learned[:, 0] == 0).all())
    with pytest.raises(InputError, match="no value"):
        run(goal(lambda x: [float("nan")] * len(x)))


@pytest.mark.parametrize(
    ("objective", "words"),
    [
        (goal(low=0.1, high=0.1, relative=True), "change"),
        (Objective((goal().targets[0], Target(Property("d", len), sign=1)), lambda x: x), "direction"),
        (Objective((Target(Property("d"), low=1.0),), lambda x: x), "d"),
    ],
)
def test_what_does_not_fit_is_said(objective, words):
    assert words in Refit().fits(CHAIN, objective, Constraint())


def test_a_model_without_paths_a_start_and_a_kept_part_are_refused(tmp_path):
    assert "path" in Refit().fits(object(), goal(), Constraint())
    with pytest.raises(CapabilityError, match="refit"):
        run(goal(), start=CHAIN.sample(2, rng=Streams.of(0, 2)))
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError):
        run(goal(), FEW.model_copy(update={"model_out": tmp_path / "there"}))
    assert (tmp_path / "there" / "mine.txt").read_text() == "mine"


def test_the_refitted_model_is_kept_and_loads(tmp_path):
    from zsteer.core.artifact import read_artifact

    run(goal(), FEW.model_copy(update={"model_out": tmp_path / "made"}))
    stored = read_artifact(tmp_path / "made")
    assert stored.origin.metrics["calls"] <= 96
    assert "refitted to c=0.6.." in stored.origin.limits  # and no figure of the model that it comes from
    made = Markov.from_artifact(stored)
    assert float(made.log_prob(DNA.batch(torch.ones(1, 6, dtype=torch.long)))) > float(
        CHAIN.log_prob(DNA.batch(torch.ones(1, 6, dtype=torch.long)))
    )


def test_a_rising_score_out_of_distribution_is_flagged():
    fine = [{"round": 0.0, "mean": 0.0, "in_distribution": 0.95}, {"round": 1.0, "mean": 1.0, "in_distribution": 0.8}]
    assert astray(fine) == ""
    assert "round 2" in astray([fine[0], {**fine[1], "in_distribution": 0.1}])
    assert astray([fine[0], {**fine[1], "mean": -1.0, "in_distribution": 0.1}]) == ""


def test_a_net_learns_what_its_draws_are_weighed_by():
    model = Autoregressive(AutoregressiveSettings(hidden=16, embed=8, condition=4, length=12)).eval()
    path = model.path(64, Streams.of(0, 64))
    torch.testing.assert_close(model.log_prob_of_path(path), model.log_prob(path, Streams.of(0, 64)))
    chosen = (path["tokens"][:, 1] % 2 == 0).double()
    made = model.refit(path, chosen, Streams.of(0, 64))
    gain = made.log_prob_of_path(path) - model.log_prob_of_path(path)
    assert float(gain[chosen > 0].mean()) > float(gain[chosen == 0].mean()) + 0.1
    torch.testing.assert_close(model.log_prob_of_path(path), model.log_prob(path, Streams.of(0, 64)))


def test_paths_of_a_vae_carry_their_code_and_are_weighed_by_the_mixture():
    from zsteer.core.sample_spec import SampleSpec

    spec = SampleSpec(shape=(3,), values="real")
    model = VAE(VAESettings(datum=spec, latent=2, hidden=(8,), decoder="gaussian")).eval()
    path = model.path(50, Streams.of(0, 50))
    assert path[CODE].shape == (50, 2)
    with torch.no_grad():
        mean, log_var = model.mean(path[CODE]), model.log_var
    prior = -0.5 * (path[CODE].square() + math.log(2 * math.pi)).sum(1)
    fit = -0.5 * ((path["x"] - mean).square() / log_var.exp() + log_var + math.log(2 * math.pi)).sum(1)
    torch.testing.assert_close(model.log_prob_of_path(path), (prior + fit).detach())
    pool = Pool(model, Objective((Target(Property("first", lambda x: x["x"][:, 0].numpy()), low=0.5),), lambda x: x))
    pool.add(path, model)
    other = model.refit(path, torch.ones(50), Streams.of(0, 50))
    pool.add(other.path(30, Streams.of(1, 30)), other)
    both = torch.stack([model.log_prob_of_path(pool.everything()), other.log_prob_of_path(pool.everything())])
    expected = torch.logsumexp(both.double() + torch.tensor([50 / 80, 30 / 80]).double().log()[:, None], 0)
    torch.testing.assert_close(pool.log_proposal(), expected, atol=1e-4, rtol=1e-5)
