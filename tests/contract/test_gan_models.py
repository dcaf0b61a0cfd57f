"""The adversarial models keep the public contracts in every variant, hold their slope, and name their faults."""

import pytest
import torch
from torch import nn

import zsteer
from zsteer.core.batch import Batch
from zsteer.core.rng import Streams, initialised
from zsteer.core.sample_spec import SampleSpec
from zsteer.errors import CapabilityError, InputError, SettingsError
from zsteer.models.gan.critic import Critic
from zsteer.models.gan.gan import COLLAPSE, WRONG_SIGN, Gan, GanSettings
from zsteer.nets.convolutional import ConvCritic, ConvGenerator
from zsteer.nets.spectral import SpectralConv, SpectralLinear, iterate
from zsteer.train.loop import Fit, Optim, Plan
from zsteer.train.source import Shuffled

TABLE = SampleSpec(shape=(3,), values="real")
IMAGE = SampleSpec(shape=(1, 8, 8), values="unit")
DECLARED = {
    "losses_are_per_sample",
    "every_weight_learns",
    "order_does_not_matter",
    "float64",
    "no_global_rng",
    "samples_do_not_depend_on_the_batch",
    "save_and_load",
}
VARIANTS = {
    "wgan, clip": {"lipschitz": "clip"},
    "wgan, penalty": {"lipschitz": "penalty"},
    "wgan, spectral": {"lipschitz": "spectral"},
    "gan": {"loss": "non-saturating", "lipschitz": "none"},
    "minimax": {"loss": "minimax", "lipschitz": "spectral"},
    "waves and classes": {"frequencies": 3, "categories": 4},
}


def gan(datum=TABLE, **settings):
    return Gan(GanSettings(datum=datum, latent=2, width=8, depth=2, **settings))


def data(datum=TABLE, n=12):
    x = Streams.of(0, n).normal("data", datum.shape)
    return Batch({"x": x if datum.values == "real" else torch.sigmoid(x)})


@pytest.mark.parametrize("variant", list(VARIANTS))
@pytest.mark.parametrize("datum", [TABLE, IMAGE], ids=["table", "image"])
def test_every_variant_keeps_the_contracts(variant, datum):
    if datum is IMAGE and "frequencies" in VARIANTS[variant]:
        pytest.skip("waves are for tables")
    model = gan(datum, **VARIANTS[variant]).eval()
    verdicts = {v.name: v.state for v in zsteer.check(model, data(datum))}
    assert "failed" not in verdicts.values()
    assert {name for name, state in verdicts.items() if state == "ok"} >= DECLARED


def test_binary_samples_are_zero_or_one():
    datum = SampleSpec(shape=(6,), values="binary")
    x = gan(datum).sample(5, rng=Streams.of(0, 5))["x"]
    assert set(x.unique().tolist()) <= {0.0, 1.0}
    datum.check(x)


def fitted(model, x, steps=3):
    fit = Fit(model, Shuffled(x, 6), Plan(steps=steps, optim=Optim(lr=1e-2), ema=None, log_every=1), seed=0)
    return [fit.advance() for _ in range(steps)]


def test_clipping_holds_every_weight():
    model = gan(lipschitz="clip")
    fitted(model, data())
    assert max(float(p.detach().abs().max()) for p in model.critic.parameters()) <= 0.01


def test_spectral_layers_follow_the_largest_singular_value():
    with initialised(0):
        linear, conv = SpectralLinear(7, 5), SpectralConv(3, 4, 4, 2)
    with torch.no_grad():
        linear.weight.mul_(3)
        conv.weight.add_(0.1)
    for _ in range(200):
        iterate(nn.Sequential(linear, conv))
    for layer in (linear, conv):
        largest = float(torch.linalg.matrix_norm(layer.normal().detach().flatten(1), 2))
        assert largest == pytest.approx(1, abs=1e-3)  # 200 rounds part singular values that differ by a few per cent


def test_a_spectral_critic_has_no_slope_above_one(seed):
    with initialised(seed):
        critic = Critic((4,), 16, 2, "spectral")
    for _ in range(100):
        critic.after_step()
    a, b = Streams.of(seed, 50).normal("a", (4,)), Streams.of(seed, 50).normal("b", (4,))
    assert float(critic.slopes(a, b, Streams.of(seed, 50)).detach().max()) <= 1.01


def test_batch_norm_in_a_critic_is_a_named_fault():
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    with pytest.raises(SettingsError, match="batch norm in a critic: 1 is a BatchNorm1d"):
        Gan(GanSettings(datum=TABLE), critic=net)
    allowed = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 1))
    assert Gan(GanSettings(datum=TABLE), critic=allowed).sample(2, rng=Streams.of(0, 2))["x"].shape == (2, 3)


def test_a_critic_of_the_wrong_sign_is_a_named_fault():
    """A critic that learns backwards: its gap is below zero, the records say so, and the diagnosis has its name."""
    model, x = gan(), data(n=60)
    with torch.no_grad():
        model.generator.layers[-1].bias.add_(5)  # far from the data, so that the critic sees them apart at once
    records = fitted(model, x, steps=40)
    assert model.diagnoses() == []
    assert records[-1]["critic/gap"] > 0
    assert records[-1]["critic/wrong_sign"] < 0.5
    with torch.no_grad():
        layer = model.critic.net.layers[-1]
        layer.weight.neg_()
    for _ in range(300):
        model.losses(x.take(slice(6)), "critic", Streams.of(0, 6))
        model.after_step("critic")
    assert model.diagnoses()[0].startswith(WRONG_SIGN)
    assert COLLAPSE != WRONG_SIGN


def test_the_figures_go_with_the_weights(tmp_path):
    model = gan()
    fitted(model, data())
    model.save_pretrained(tmp_path / "gan")
    again = Gan.from_pretrained(tmp_path / "gan")
    assert float(again.watched[1]) == 15  # five updates in each of three steps
    assert torch.equal(again.watched, model.watched)


def test_training_resumes_bit_for_bit():
    def run(parts):
        model, x = gan(lipschitz="spectral"), data()
        checkpoint = None
        for steps in parts:
            fit = Fit(model, Shuffled(x, 6), Plan(steps=4, optim=Optim(lr=1e-2), ema=0.9), seed=1)
            if checkpoint is not None:
                fit.resume(checkpoint)
            for _ in range(steps):
                fit.advance()
            checkpoint = fit.checkpoint()
        return checkpoint.tensors["model"]

    whole, pieces = run([4]), run([2, 2])
    assert all(torch.equal(value, pieces[name]) for name, value in whole.items())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"lipschitz": "none"}, "grows without end"),
        ({"datum": SampleSpec(shape=(3,), values="levels", levels=3)}, "gradients flow"),
        ({"frequencies": 2, "datum": IMAGE}, "for tables"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        GanSettings(**{"datum": TABLE, **settings})


def test_what_a_gan_cannot_do_is_said_in_one_line():
    model = gan()
    with pytest.raises(CapabilityError, match="no condition"):
        model.sample(2, given={"class": 1}, rng=Streams.of(0, 2))
    with pytest.raises(InputError, match="one stream"):
        model.sample(3, rng=Streams.of(0, 2))
    with pytest.raises(SettingsError, match="estimates no W1"):
        gan(loss="minimax").gap(data(), Streams.of(0, 12))
    with pytest.raises(SettingsError, match="multiples of 4"):
        ConvGenerator(2, (1, 9, 8), 4)
    with pytest.raises(SettingsError, match="multiples of 4"):
        ConvCritic((1, 9, 8), 4, spectral=False)
    with pytest.raises(SettingsError, match=r"\(n,\) or \(c, h, w\)"):
        Critic((2, 3), 4, 1, "none")
