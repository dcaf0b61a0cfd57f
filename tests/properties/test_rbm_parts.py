"""Parts around the machine: bulk numbers, plain descent, residues as levels, the recipes and their kit."""

import math

import pytest
import torch
from torch import nn

from zsteer.core.batch import Batch
from zsteer.core.rng import Streams
from zsteer.core.sample_spec import SampleSpec
from zsteer.domains.sequences.residues import LEVELS, residues, tokens
from zsteer.domains.sequences.space import PAD, SequenceSpace
from zsteer.errors import InputError
from zsteer.kits import front
from zsteer.kits.base import Subject
from zsteer.models.rbm.rbm import RBM, RbmSettings
from zsteer.recipes.rbm.build import machine, metrics_of
from zsteer.recipes.rbm.settings import RBMRecipe
from zsteer.recipes.sets import Sets
from zsteer.train.loop import Optim, Plan, fit
from zsteer.train.sgd import Sgd
from zsteer.train.source import Shuffled

CPU = torch.device("cpu")


def test_bulk_numbers_are_keyed_and_touch_no_global_state():
    def drawn(rng, purpose="p"):
        return torch.empty(8).uniform_(generator=rng.bulk(purpose))

    before = torch.random.get_rng_state()
    rng = Streams.of(5, 4)
    same = [drawn(rng), drawn(rng), drawn(rng.take(torch.tensor([3, 1, 0, 2])))]
    assert all(torch.equal(same[0], other) for other in same)
    others = [rng.at(1), rng.child("c"), Streams.of(6, 4), Streams.of(5, 4, start=4)]
    draws = [drawn(rng), drawn(rng, "q"), *(drawn(other) for other in others)]
    assert len(torch.cat(draws).unique()) == 48
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_plain_descent_is_that_of_torch_and_can_be_resumed(seed, momentum):
    start = Streams.of(seed, 3).normal("w", (4,))
    target = Streams.of(seed, 3).normal("t", (4,))
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    own = Optim(lr=0.1, kind="sgd", momentum=momentum).build([ours])
    other = torch.optim.SGD([theirs], lr=0.1, momentum=momentum)
    for step in range(6):
        for parameter, optimiser in ((ours, own), (theirs, other)):
            optimiser.zero_grad()
            (parameter - target).square().sum().backward()
            optimiser.step()
        if step == 2:
            again = Sgd([ours], 0.1)
            again.load_state_dict(own.state_dict())
            own = again
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_the_linear_rate_falls_to_nothing():
    optim = Optim(lr=0.2, kind="sgd", decay="linear")
    assert optim.rate(0, 10) == 0.2
    assert optim.rate(9, 10) == pytest.approx(0.02)


def test_residues_and_back():
    space = SequenceSpace()
    items = ["CASSF", "CASSLGQAYEQYF", "CASSPGTGGNQPQHFACDEF"]
    x = residues(space.encode(items))
    assert x["x"].shape == (3, 20)
    rows = tokens(x, 30, PAD)
    assert space.decode(Batch({"tokens": rows}, mask=rows != PAD)) == items
    # Both ends are aligned: C first and F last in every row, the gaps between them.
    assert len(x["x"][:, 0].unique()) == len(x["x"][:, -1].unique()) == 1
    assert residues(space.encode(["CASSPGTGGNQPQHFACDEFF", "CASSF"]))["x"].shape == (1, 20)


def sets(values="binary", d=8):
    half = Streams.of(1, 400).integers("x", 2, (d // 2,)).float()
    x = Batch({"x": torch.cat([half, half], 1)})
    parts = (x.take(slice(0, 300)), x.take(slice(300, 350)), x.take(slice(350, 400)))
    return Sets(*parts, SampleSpec(shape=(d,), values=values), {"name": "copies"})


def test_what_the_finish_tells(monkeypatch):
    monkeypatch.setattr("zsteer.recipes.rbm.build.load_set", lambda *_, **__: sets())
    recipe = RBMRecipe(size="xs", steps=700, units=16, temperatures=200, runs=50, lr=0.5)
    experiment = machine(recipe, None, CPU)
    trained = fit(experiment.model, experiment.source, experiment.plan, seed=0)
    told = experiment.finish(trained).origin.metrics
    # The truth has 4 ln 2 = 2.77 nats, independent numbers 8 ln 2 = 5.55.
    assert told["independent"] == pytest.approx(-8 * math.log(2), abs=0.1)
    assert -4.6 < told["log_prob"] < -2.6
    assert trained.bound == "exact"
    trained.measure(Streams.of(0, 1), chains=50, temperatures=400, exact=False)
    told = metrics_of(trained, sets())
    assert abs(told["sandwich_gap"]) < 0.5
    assert told["log_z_ess"] > 20
    trained.known[2] = 1.2
    told = metrics_of(trained, sets())
    assert "log_prob" not in told
    assert "effective 1.2 chains" in told["refused"]


@pytest.mark.slow
def test_reals_learn_with_a_noise_of_their_own(seed):
    """Two peaks at -1 and 1 with deviation 0.3: one normal has log-density -1.42, the truth about -0.9."""
    rng = Streams.of(seed, 2000)
    x = torch.where(rng.uniform("side", (1,)) < 0.5, -1.0, 1.0) + 0.3 * rng.normal("x", (1,))
    datum = SampleSpec(shape=(1,), values="real")
    model = RBM(RbmSettings(datum=datum, units=4, noise=0.3, chains=200, k=2, seed=seed))
    model.begin(Batch({"x": x}), Streams.of(seed, 1))
    plan = Plan(steps=600, optim=Optim(lr=0.03, kind="sgd", decay="linear", clip=math.inf), ema=None)
    fit(model, Shuffled(Batch({"x": x}), 100), plan, seed=seed)
    model.measure(Streams.of(seed, 1))
    assert model.bound == "exact"
    line = torch.linspace(-6, 6, 4001)[:, None]
    density = model.log_prob(Batch({"x": line}), Streams.of(0, 4001)).exp()
    assert float(density.sum() * 0.003) == pytest.approx(1.0, abs=1e-3)  # it is a density of x itself
    assert float(model.log_prob(Batch({"x": x}), Streams.of(0, 2000)).mean()) > -1.2


def test_numbers_between_0_and_1_are_refused(monkeypatch):
    monkeypatch.setattr("zsteer.recipes.rbm.build.load_set", lambda *_, **__: sets("unit"))
    with pytest.raises(InputError, match="make them 0 and 1"):
        machine(RBMRecipe(size="xs"), None, CPU)


def test_the_kit_follows_from_the_data(tmp_path):
    datum = SampleSpec(shape=(20,), values="levels", levels=LEVELS, space={"name": "residues"})
    model = RBM(RbmSettings(datum=datum, units=5, chains=4))
    space = SequenceSpace()
    model.begin(residues(space.encode(["CASSLGQAYEQYF"] * 10 + ["CASSPGTGGNQPQHF"] * 10)), Streams.of(0, 1))
    subject = Subject(model, None, CPU)
    own = front.kit_of(front.about_subject(subject).domain)
    found = front.sample(subject, 6, given={}, options={"sweeps": 5}, seed=0)
    assert len(found) == len(found.lines) == len(found.items) == 6
    assert found.noun == "sequences"
    own.check_ending(tmp_path / "made.csv")
    own.write(tmp_path / "made.csv", found, overwrite=False)
    assert (tmp_path / "made.csv").read_text(encoding="utf-8").count("\n") == 7
    (tmp_path / "long.csv").write_text("junction_aa\nCASSLGQAYEQYF\nCASSLGQAYEQYFCASSLGQAYEQYF\n")
    with pytest.raises(InputError, match=r"long.csv: row 3.*at most 20 residues, got 26"):
        own.read(tmp_path / "long.csv", subject)
    with pytest.warns(UserWarning, match="row 3"):
        kept = own.read(tmp_path / "long.csv", subject, skip_invalid=True)
    assert len(kept) == len(own.encode(kept, subject)) == len(kept.skipped) == 1
    columns = [{"name": name, "kind": "binary"} for name in ("a", "b")]
    table = SampleSpec(shape=(2,), values="binary", space={"name": "tables", "columns": columns})
    assert front.about_subject(Subject(RBM(RbmSettings(datum=table, units=2)), None, CPU)).domain == "tables"
