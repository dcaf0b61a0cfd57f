"""Restricted Boltzmann machines of every kind keep the public contracts, and resume bit for bit."""

from dataclasses import replace

import pytest
import torch

import zsteer
from zsteer.core.batch import Batch
from zsteer.core.rng import Streams
from zsteer.core.sample_spec import SampleSpec
from zsteer.errors import InputError, RefusedError, SettingsError
from zsteer.models.rbm.rbm import RBM, RbmSettings
from zsteer.models.rbm.settings import from_numbers, to_numbers
from zsteer.sample.annealed import LogZ
from zsteer.train.loop import Fit, Optim, Plan
from zsteer.train.source import Shuffled

KINDS = [("binary", 0), ("real", 0), ("levels", 4)]


def numbers(values, levels=0, n=24, d=9, seed=3):
    rng = Streams.of(seed, n)
    if values == "real":
        x = rng.normal("x", (d,))
        x[:, 1] += x[:, 0]
    else:
        x = rng.integers("x", max(levels, 2), (d,)).float()
        x[:, 1] = x[:, 0]
    return Batch({"x": x})


def machine(values="binary", levels=0, data=None, **changes):
    x = numbers(values, levels) if data is None else data
    datum = SampleSpec(shape=(x["x"].shape[1],), values=values, levels=levels)
    model = RBM(RbmSettings(datum=datum, units=6, spread=0.3, **{"chains": 5, "k": 2} | changes))
    model.begin(x, Streams.of(0, 1))
    return model


QUICK = {
    ("binary", "bernoulli", "pcd"),
    ("binary", "relu", "cd"),
    ("real", "bernoulli", "pt"),
    ("levels", "bernoulli", "pcd"),
}
EVERY = [
    pytest.param(*kind, hidden, method, marks=() if quick else pytest.mark.slow)
    for kind in KINDS
    for hidden in ("bernoulli", "gaussian", "relu")
    for method in ("cd", "pcd", "pt")
    if kind[0] != "real" or hidden == "bernoulli"
    for quick in [(kind[0], hidden, method) in QUICK]
]


@pytest.mark.parametrize(("values", "levels", "hidden", "method"), EVERY)
def test_every_machine_keeps_the_contracts(values, levels, hidden, method):
    model = machine(values, levels, hidden=hidden, method=method, temperatures=3)
    verdicts = {v.name: v.state for v in zsteer.check(model, numbers(values, levels))}
    declared = {"losses_are_per_sample", "likelihood", "code", "save_and_load", "float64", "order_does_not_matter"}
    assert {name for name, state in verdicts.items() if state == "ok"} >= declared


def test_real_units_on_both_sides_are_refused():
    with pytest.raises(ValueError, match="real visible units need hidden=bernoulli"):
        machine("real", hidden="relu")


@pytest.mark.parametrize("precision", ["float32", pytest.param("bfloat16", marks=pytest.mark.slow)])
def test_variants_keep_the_contracts(precision):
    model = machine(precision=precision, decay=0.01, centre=False)
    zsteer.check(model, numbers("binary"))
    assert set(model.losses(numbers("binary"), "machine", Streams.of(0, 24))) == {"contrast", "decay"}


def fitted(steps, method="pcd"):
    model = machine(method=method, temperatures=3)
    plan = Plan(steps=40, optim=Optim(lr=0.05, kind="sgd", decay="linear", momentum=0.5), ema=0.9, log_every=5)
    run = Fit(model, Shuffled(numbers("binary"), 8), plan, seed=1)
    for _ in range(steps):
        run.advance()
    return run


@pytest.mark.parametrize("method", ["cd", "pcd", "pt"])
def test_a_resumed_run_is_the_unbroken_one(method):
    whole, first, second = fitted(20, method), fitted(9, method), fitted(0, method)
    second.resume(first.checkpoint())
    for _ in range(11):
        second.advance()
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name]) or bool(value.isnan().any()), name


def test_losses_alone_change_nothing_and_a_step_commits_the_chains():
    model = machine()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.losses(numbers("binary"), "machine", Streams.of(0, 24))
    assert all(torch.equal(value, before[name]) or name == "known" for name, value in model.state_dict().items())
    model.after_step("machine")
    assert not torch.equal(model.chains, before["chains"])


def test_the_record_has_the_free_energy_gap():
    model = machine()
    x = numbers("binary", n=100)
    model.watch(x.take(slice(0, 50)), x.take(slice(0, 50)))
    assert model.figures({}) == {"free_energy_gap": 0.0}


def test_a_likelihood_is_unnormalised_exact_or_refused():
    model, x = machine(), numbers("binary")
    rng = Streams.of(0, len(x))
    assert model.bound == "unnormalised"
    assert "not known" in model.likelihood_notes()[0]
    unnormalised = model.log_prob(x, rng)
    found = model.measure(Streams.of(0, 1))
    assert model.bound == "exact" and found.exact
    assert torch.allclose(model.log_prob(x, rng), unnormalised - found.value, atol=1e-5)
    model.known.copy_(to_numbers(LogZ(1.0, 0.9, 1.3, 2.0, 1.1, chains=100, temperatures=50)))
    with pytest.raises(RefusedError, match=r"effective 1\.3 of 100 chains"):
        model.log_prob(x, rng)
    assert model.bound == "unnormalised"
    assert torch.allclose(model.log_prob(x, rng, force=True), unnormalised - 2.0, atol=1e-5)


def test_an_update_forgets_log_z():
    model, x = machine(), numbers("binary")
    model.measure(Streams.of(0, 1))
    model.losses(x, "machine", Streams.of(0, len(x)))
    model.after_step("machine")
    assert model.log_z is None


def test_bad_input_is_named():
    x = numbers("real")
    broken = x.with_fields(x=x["x"].index_fill(1, torch.tensor([4]), 0.5))
    with pytest.raises(InputError, match="column 5 is constant"):
        machine("real", data=broken)
    model = machine()
    with pytest.raises(InputError, match="0 or 1 at sample 2, position 3"):
        model.log_prob(
            Batch({"x": torch.zeros(3, 9).index_put((torch.tensor(1), torch.tensor(2)), torch.tensor(0.5))}),
            Streams.of(0, 3),
        )
    with pytest.raises(InputError, match="finite"):
        model.log_prob(Batch({"x": torch.full((2, 9), float("nan"))}), Streams.of(0, 2))
    with pytest.raises(InputError, match="did you mean 'sweeps'"):
        model.sample(2, given={"sweep": 3}, rng=Streams.of(0, 2))
    with pytest.raises(SettingsError, match="number of sweeps"):
        model.sample(2, given={"sweeps": "many"}, rng=Streams.of(0, 2))
    with pytest.raises(InputError, match="not cd"):
        machine(method="cd").sample(2, given={"start": "chains"}, rng=Streams.of(0, 2))
    with pytest.raises(ValueError, match="binary=true"):
        RbmSettings(datum=SampleSpec(shape=(3,), values="unit"))


def test_constant_binary_columns_are_allowed():
    x = numbers("binary")
    still = x.with_fields(x=x["x"].index_fill(1, torch.tensor([4]), 1.0))
    model = machine(data=still)
    assert float(model.a[4].detach()) == pytest.approx(6.9, abs=0.1)  # logit of 1 - 1e-3


def test_what_is_stored_of_log_z_holds_no_time_of_day():
    """Measured twice, the machine is the same file: no seconds of the annealing among its numbers."""
    model = machine(method="cd")
    first, again = (to_numbers(replace(LogZ(1.0, 0.1, 5.0, 1.2, 4.0, 10, 100), seconds=s)) for s in (0.3, 9.9))
    assert bool((first == again).all()) and from_numbers(first) == LogZ(1.0, 0.1, 5.0, 1.2, 4.0, 10, 100)
    assert model.known.shape == first.shape
