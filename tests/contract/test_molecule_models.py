"""The models of molecules keep the public contracts in every variant, and refuse what they cannot take."""

import math

import pytest
import torch
from tests.chains import CONDITIONS, VARIANTS, chains, small

import zsteer
from zsteer.core.batch import Batch
from zsteer.core.protocols import Conditional, Denoiser, Noise, SamplingDefaults
from zsteer.core.rng import Streams, initialised
from zsteer.errors import InputError, SettingsError
from zsteer.models.edm.edm import property_named
from zsteer.models.edm.states import parts_of, states_of
from zsteer.predictors.noisy_property import NoisyProperty
from zsteer.steer.guide import ByClassifier
from zsteer.steer.options import SamplingOptions
from zsteer.steer.sampling import sample_guided, trajectory_of
from zsteer.train.sized import BySize


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_every_variant_keeps_the_contracts(variant):
    model = small(**{"steps": 6, **VARIANTS[variant]})  # a short chain: checks walk it some thirty times
    verdicts = {v.name: (v.state, v.detail) for v in zsteer.check(model, chains(aromatic=variant == "aromatic"))}
    assert not [(name, what) for name, what in verdicts.items() if what[0] == "failed"]
    assert {name for name, (state, _) in verdicts.items() if state == "ok"} >= {
        "every_weight_learns",
        "padding_is_ignored",
        "samples_do_not_depend_on_the_batch",
        "save_and_load",
        "float64",
    }
    sized = model.for_size(4)
    assert isinstance(sized, Conditional)
    assert isinstance(sized.denoiser(None, 2), Denoiser)
    assert isinstance(sized.noise, Noise)


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_a_state_is_the_molecule(variant):
    model, x = small(**VARIANTS[variant]), chains((5, 5, 5), aromatic=variant == "aromatic")
    noise = model.noise_of(5)
    state = states_of(model.settings, noise, x, 5, like=torch.zeros(1, dtype=torch.float64))
    back = model.for_size(5).finish(state)
    centred = x["xyz"] - x["xyz"].mean(1, keepdim=True)
    # One rounding to float32 at the end.
    assert float((back["xyz"] - centred).abs().max()) < 1e-5
    assert torch.equal(back["z"], x["z"])
    assert torch.equal(back["charge"], x["charge"])
    if "bonds" in VARIANTS[variant] and not VARIANTS[variant]["bonds"]:
        return
    assert torch.equal(back["aromatic"], x["aromatic"])
    assert torch.equal(back["bond"], torch.where(x["aromatic"], 1, x["bond"]))
    rows = parts_of(model.settings, noise, state)["kinds"]
    if model.settings.features == "gaussian":
        assert torch.allclose(rows.sum(-1), torch.ones(3, 5, dtype=torch.float64))


def test_the_denoiser_remembers_on_a_walk_and_only_there():
    model = small(**CONDITIONS)
    sized, rng = model.for_size(4), Streams.of(0, 3)
    x = sized.noise.prior(sized.like(3, rng), rng)
    late, early = torch.full((3,), 0.8), torch.full((3,), 0.4)
    with torch.no_grad():
        walker = sized.denoiser(None, 3)
        alone = walker.predict(x, early).x0
        walker.predict(x, late)
        reminded = walker.predict(x, early).x0
        assert not torch.equal(reminded, alone)
        assert torch.equal(walker.predict(x, early).x0, reminded), "asked twice at one time it says the same"
        assert torch.equal(walker.predict(x, late).x0, sized.denoiser(None, 3).predict(x, late).x0)


def test_autoguidance_leads_away_from_the_net_without_its_triangles():
    model = small(**VARIANTS["triangles"])
    sized, rng, t = model.for_size(4), Streams.of(0, 3), torch.full((3,), 0.5)
    x = sized.noise.prior(sized.like(3, rng), rng)

    def said(**options):
        """What the denoiser of a trajectory predicts before its first step; a guide sees it."""

        def guide(inner):
            found.append(inner.predict(x, t).x0)
            return inner

        found = []
        trajectory = trajectory_of(SamplingDefaults("ddim", 1), SamplingOptions(**options))
        sample_guided(sized, 3, {"mu": 1.0}, rng, trajectory=trajectory, guides=lambda _: [guide])
        return found[0]

    with torch.no_grad():
        plain, weak = said(), sized.degraded({"mu": 1.0}, 3).predict(x, t).x0
        assert not torch.allclose(plain, weak)
        assert torch.equal(said(autoguidance=1.0), plain)
        assert torch.allclose(said(autoguidance=1.5), plain + 0.5 * (plain - weak), atol=1e-6)
        # On top of classifier-free guidance.
        pulled = said(scale=2.0)
        assert torch.allclose(said(scale=2.0, autoguidance=1.5), pulled + 0.5 * (pulled - weak), atol=1e-6)
        for layer in model.net.layers:
            layer.of_triangle.weight.zero_()
            layer.of_triangle.bias.zero_()
        assert torch.equal(sized.denoiser({"mu": 1.0}, 3).predict(x, t).x0, weak), "weak is without triangles"


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_every_net_is_asked_in_single_precision_on_a_processor(monkeypatch, variant):
    model = small(**VARIANTS[variant])
    sized, rng, t = model.for_size(4), Streams.of(0, 2), torch.full((2,), 0.5)
    x = sized.noise.prior(sized.like(2, rng), rng)
    said = []
    for pays in (False, True):
        monkeypatch.setattr("zsteer.models.edm.edm.bfloat16_pays", lambda _, pays=pays: pays)
        with torch.no_grad():
            said.append(sized.denoiser(None, 2).predict(x, t).x0)
    assert torch.equal(*said)


def test_the_size_follows_the_property():
    model = small(**CONDITIONS)
    sizes = torch.tensor([3] * 200 + [6] * 200)
    value = (
        torch.where(sizes == 3, -1.0, 1.0)[:, None] * torch.tensor([1.0, 0.0]) + torch.linspace(-0.3, 0.3, 400)[:, None]
    )
    model.sizes.learn(sizes, value)
    rng = Streams.of(0, 64)
    free = model.sizes.draw({}, rng)
    assert set(free.tolist()) == {3, 6}
    # At one standard deviation either way the other size is exp(-17) as probable.
    assert set(model.sizes.draw({0: torch.full((64,), 1.0)}, rng).tolist()) == {6}
    assert set(model.sizes.draw({0: torch.full((64,), -1.0)}, rng).tolist()) == {3}
    assert float((model.sizes.log_p({}, 1).exp()[0, 2] - 0.5).abs()) < 1e-9


def test_conditions_are_named_and_checked():
    model = small(**CONDITIONS)
    assert set(model.wanted({"mu": 3.0}, 2)) == {0}
    assert model.wanted({"mu": [2.0, 4.0]}, 2)[0].tolist() == [0.0, 2.0]
    for given, words in (
        ({"weight": 1}, "property"),
        ({"mu": "much"}, "number"),
        ({"mu": [1.0]}, "one for each of 2"),
        ({"mu": float("nan")}, "finite"),
    ):
        with pytest.raises(InputError, match=words):
            model.wanted(given, 2)
    with pytest.raises(InputError, match="without properties"):
        small().wanted({"mu": 1}, 2)
    with pytest.raises(InputError, match="size"):
        model.for_size(7)
    assert property_named("rg", ["rg_A", "logp"]) == "rg_A"


def test_a_molecule_that_the_model_does_not_know_is_refused():
    model, x = small(), chains((4, 4))
    with pytest.raises(InputError, match=r"molecule 2 .* atomic number 17"):
        z = x["z"].clone()
        z[1, 2] = 17
        model.losses(x.with_fields(z=z), "denoiser", Streams.of(0, 2))
    with pytest.raises(InputError, match="mask"):
        model.losses(Batch(dict(x.fields)), "denoiser", Streams.of(0, 2))


def regressor():
    with initialised(0):
        model = NoisyProperty(small(self_conditioning=False, **CONDITIONS).settings)
    for weight in model.parameters():
        weight.data.add_(0.05 * Streams.of(0, 1).normal("stir", tuple(weight.shape))[0])
    return model.eval()


def test_properties_of_noisy_molecules_keep_the_contracts():
    verdicts = {v.name: v.state for v in zsteer.check(regressor(), chains())}
    assert "failed" not in verdicts.values()
    with pytest.raises(SettingsError, match="property"):
        NoisyProperty(small(self_conditioning=False).settings)


def test_a_noisy_property_guides_and_measures(seed):
    judge, model, rng = regressor(), small(**CONDITIONS), Streams.of(seed, 3)
    judge.check(model)
    with pytest.raises(InputError, match="scale"):
        judge.check(small(scale=0.5))
    sized = model.for_size(4)
    x, t = sized.noise.prior(sized.like(3, rng), rng), torch.full((3,), 0.3)
    measure = judge.measure(4, "mu")
    mean, log_var = judge.believed(x, t, 4)
    there = judge.log_prob(4, "mu", 2.0 + mean[:, 0])(x, t)
    # At the mean only the variance is left of the log-density.
    assert torch.allclose(there, -0.5 * log_var[:, 0], atol=1e-4)
    guided = ByClassifier(sized.denoiser(None, 3), judge.log_prob(4, "mu", 4.0), mode="score")
    plain, moved = (one.predict(x, t).x0.detach() for one in (sized.denoiser(None, 3), guided))
    step = moved - plain
    with torch.enable_grad():
        at = x.clone().requires_grad_(True)
        judge.log_prob(4, "mu", 4.0)(at, t).sum().backward()
    # Guidance moves the prediction uphill.
    assert float((step * at.grad).sum()) > 0
    assert measure(plain).shape == (3,)


def test_an_epoch_shows_every_molecule_once():
    groups = [chains((4,) * 7), chains((5,) * 3)]
    named = [group.with_fields(row=torch.arange(len(group)) + 100 * k) for k, group in enumerate(groups)]
    source, rng = BySize(named, 3), Streams.of(3, 1)
    assert source.batches == 4
    seen = [source.batch(update, rng)["row"].tolist() for update in range(8)]
    for epoch in (seen[:4], seen[4:]):
        assert sorted(row for rows in epoch for row in rows) == [0, 1, 2, 3, 4, 5, 6, 100, 101, 102]
        assert all(len({row // 100 for row in rows}) == 1 for rows in epoch)
    assert seen[:4] != seen[4:]
    assert source.batch(5, rng)["row"].tolist() == seen[5]


def test_a_guide_pulls_as_if_it_were_no_surer_than_a_tenth_of_the_data(monkeypatch):
    model = NoisyProperty(small(self_conditioning=False, **CONDITIONS).settings)
    x, t = torch.zeros(2, 1), torch.full((2,), 0.1)
    for log_var, counted in ((-9.0, math.log(0.01)), (0.0, 0.0)):
        monkeypatch.setattr(model, "believed", lambda *_, v=log_var: (torch.zeros(2, 2), torch.full((2, 2), v)))
        # Asked for one standard deviation more than is believed.
        found = model.log_prob(5, "mu", 3.0)(x, t)
        assert found.tolist() == pytest.approx([-0.5 * (counted + math.exp(-counted))] * 2, rel=0.01)


def test_the_lectures_net_has_no_triangles():
    with pytest.raises(ValueError, match="no triangles"):
        small(**VARIANTS["the lecture's"], triangles=4)
