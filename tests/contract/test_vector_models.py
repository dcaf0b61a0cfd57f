"""The models of plain numbers keep the public contracts, in every variant, and refuse what they cannot take."""

import pytest
import torch
from tests.vectors import datum, samples

import zsteer
from zsteer.core.artifact import settings_from
from zsteer.core.rng import Streams
from zsteer.errors import InputError, SettingsError
from zsteer.models.autoencoder.vae import VAE, VAESettings
from zsteer.models.autoencoder.wae import WAE, WAESettings
from zsteer.predictors.image_classifier import ImageClassifier, ImageClassifierSettings

SMALL = {"latent": 3, "hidden": (10,), "width": 4}
VAES = {
    "lecture": ("unit", {}),
    "gaussian, conv": ("unit", {"decoder": "gaussian", "net": "conv"}),
    "bernoulli, two samples": ("binary", {"decoder": "bernoulli", "samples": 2}),
    "iwae": ("binary", {"decoder": "bernoulli", "objective": "iwae", "samples": 4}),
    "dreg": ("real", {"decoder": "gaussian", "objective": "dreg", "samples": 4}),
}
WAES = {
    "mmd": ("unit", {}),
    "mmd, conv": ("unit", {"net": "conv"}),
    "gan": ("real", {"penalty": "gan", "opponent": (8,)}),
    "gan, plain logit": ("binary", {"penalty": "gan", "opponent": (8,), "prior_in_logit": False}),
}


def kept(model, x):
    verdicts = {v.name: v.state for v in zsteer.check(model.eval(), x)}
    assert "failed" not in verdicts.values()
    return {name for name, state in verdicts.items() if state == "ok"}


def vae(values, **variant):
    return VAE(VAESettings(datum=datum(values), estimate=8, **SMALL, **variant))


@pytest.mark.parametrize("variant", list(VAES))
def test_every_vae_keeps_the_contracts(variant):
    values, extra = VAES[variant]
    assert {"likelihood", "code", "samples_do_not_depend_on_the_batch"} <= kept(vae(values, **extra), samples(values))


@pytest.mark.parametrize("variant", list(WAES))
def test_every_wae_keeps_the_contracts(variant):
    values, extra = WAES[variant]
    model = WAE(WAESettings(datum=datum(values), **SMALL, **extra))
    assert {"code", "samples_do_not_depend_on_the_batch"} <= kept(model, samples(values))


def test_the_image_classifier_keeps_the_contracts():
    model = ImageClassifier(ImageClassifierSettings(datum=datum("unit"), classes=("a", "b", "c"), width=4, features=6))
    assert len(kept(model, samples("unit"))) >= 7
    assert model.features(samples("unit")).shape == (12, 6)


@pytest.mark.parametrize("values", ["binary", "unit", "real"])
def test_samples_are_of_the_kind_that_the_model_was_trained_on(values):
    model = vae(values, decoder="bernoulli" if values == "binary" else "gaussian")
    made = model.sample(20, rng=Streams.of(0, 20))
    datum(values).check(datum(values).flat(made))


@pytest.mark.parametrize(
    "build",
    [
        lambda: settings_from(VAESettings, {"datum": datum("unit"), "decoder": "bernoulli"}, where="vae"),
        lambda: settings_from(VAESettings, {"datum": datum("binary")}, where="vae"),
        lambda: settings_from(WAESettings, {"datum": datum("levels", levels=3)}, where="wae"),
        lambda: VAE(VAESettings(datum=datum("unit", (1, 9, 9)), net="conv")),
    ],
)
def test_settings_that_do_not_fit_are_refused(build):
    with pytest.raises(SettingsError):
        build()


@pytest.mark.parametrize(
    ("values", "broken", "hint"),
    [
        ("binary", 0.5, "0 or 1"),
        ("binary", float("nan"), "finite"),
        ("unit", 1.5, r"\[0, 1\]"),
        ("unit", float("nan"), "finite"),
        ("real", float("inf"), "finite"),
        ("levels", 7.0, r"\[0, 2\]"),
        ("levels", 0.5, "integer"),
    ],
)
def test_a_number_that_does_not_fit_is_named_with_its_place(values, broken, hint):
    levels = 3 if values == "levels" else 0
    x = samples(values, levels=levels)
    x["x"][4, 0, 1, 2] = broken
    with pytest.raises(InputError, match=f"{hint}.* sample 5, position 11"):
        datum(values, levels=levels).flat(x)


def test_conditions_that_do_not_exist_are_refused():
    with pytest.raises(InputError, match="noise"):
        vae("unit").sample(2, given={"nois": "yes"}, rng=Streams.of(0, 2))
    with pytest.raises(InputError, match="condition"):
        WAE(WAESettings(datum=datum("unit"), **SMALL)).sample(2, given={"class": 1}, rng=Streams.of(0, 2))
    with pytest.raises(InputError, match="stream"):
        vae("unit").log_prob(samples("unit"), Streams.of(0, 2))
    with pytest.raises(InputError, match="shape"):
        vae("unit").encode(samples("unit", shape=(1, 4, 4)), Streams.of(0, 12))


def test_noise_moves_a_sample_away_from_its_mean():
    model = vae("unit", decoder="gaussian")
    plain = model.sample(4, rng=Streams.of(0, 4))["x"]
    noisy = model.sample(4, given={"noise": "yes"}, rng=Streams.of(0, 4))["x"]
    assert not torch.equal(plain, noisy)
