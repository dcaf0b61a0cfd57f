"""The diffusion models keep the public contracts, in every variant, and refuse what they cannot take."""

import pytest
import torch
from tests.vectors import datum, samples

import zsteer
from zsteer.core.artifact import settings_from
from zsteer.core.batch import Batch
from zsteer.core.protocols import Conditional, Denoiser, Noise
from zsteer.core.rng import Streams, initialised
from zsteer.errors import CapabilityError, InputError, SettingsError
from zsteer.models.diffusion.conditioned import class_indices
from zsteer.models.diffusion.ddpm import DDPM
from zsteer.models.diffusion.settings import DDPMSettings
from zsteer.nets.unet import UNet
from zsteer.predictors.noisy_classifier import NoisyClassifier, NoisyClassifierSettings

NAMES = ("a", "b", "c")
SMALL = {"width": 8, "hidden": (12,), "steps": 20, "blocks": 1}
VARIANTS = {
    "eps, linear": ("unit", {"target": "eps", "schedule": "linear"}),
    "v, learned variance, classes": ("unit", {"target": "v", "variance": "learned", "classes": NAMES}),
    "x0, sigmoid, forward variance": ("binary", {"target": "x0", "schedule": "sigmoid", "variance": "forward"}),
    "rows": ("real", {"net": "mlp", "classes": NAMES}),
    "levels, no patch": ("levels", {"patch": 1, "variance": "learned", "multiples": (1,)}),
}


def stirred(model, seed=0):
    """A model whose zeros at the start are gone, so that every weight has a gradient."""
    rng = Streams.of(seed, 1).child("stirred")
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.add_(0.05 * rng.normal(name, tuple(weight.shape))[0].to(weight.dtype))
    return model


def ddpm(values="unit", **variant):
    levels = 4 if values == "levels" else 0
    with initialised(0):
        return stirred(DDPM(DDPMSettings(datum=datum(values, levels=levels), **{**SMALL, **variant})))


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_every_ddpm_keeps_the_contracts(variant):
    values, extra = VARIANTS[variant]
    model = ddpm(values, **extra)
    x = samples(values, levels=4 if values == "levels" else 0)
    verdicts = {v.name: v.state for v in zsteer.check(model.eval(), x)}
    assert "failed" not in verdicts.values()
    assert {name for name, state in verdicts.items() if state == "ok"} >= {
        "every_weight_learns",
        "samples_do_not_depend_on_the_batch",
        "likelihood",
        "save_and_load",
    }
    assert isinstance(model, Conditional)
    assert isinstance(model.denoiser(None, 2), Denoiser)
    assert isinstance(model.noise, Noise)


@pytest.mark.parametrize("values", ["unit", "real"])
def test_the_noisy_classifier_keeps_the_contracts(values):
    with initialised(0):
        model = NoisyClassifier(NoisyClassifierSettings(datum=datum(values, (1, 8, 8) if values == "unit" else (6,)),
                                                        classes=NAMES, width=8, hidden=(9,)))  # fmt: skip
    x = samples(values, shape=model.settings.datum.shape)
    verdicts = {v.name: v.state for v in zsteer.check(stirred(model).eval(), x)}
    assert "failed" not in verdicts.values()


def test_the_noisy_classifier_gives_a_gradient_at_x_t():
    with initialised(0):
        model = NoisyClassifier(NoisyClassifierSettings(datum=datum("unit"), classes=NAMES, width=8))
    x = samples("unit")["x"].requires_grad_(True)
    stirred(model).log_prob(torch.arange(12) % 3)(x, torch.full((12,), 0.5)).sum().backward()
    assert bool((x.grad.flatten(1).abs().sum(1) > 0).all())


@pytest.mark.parametrize("values", ["binary", "unit", "levels", "real"])
def test_samples_are_of_the_kind_that_the_model_was_trained_on(values):
    extra = {"net": "mlp"} if values == "real" else {}
    model = ddpm(values, **extra)
    made = model.sample(5, rng=Streams.of(0, 5))
    model.settings.datum.check(model.settings.datum.flat(made))


def test_a_class_changes_the_sample_and_none_is_a_class_of_its_own():
    model = ddpm(classes=NAMES)
    made = [model.sample(2, given=given, rng=Streams.of(0, 2))["x"] for given in (None, {"class": "a"}, {"class": "b"})]
    assert all(not torch.equal(made[i], made[j]) for i in range(3) for j in range(i))


@pytest.mark.parametrize(
    ("wanted", "found"), [("Ankle boot", 9), ("ankle-boot", 9), ("boot", 9), ("9", 9), (3, 3), ("all", None)]
)
def test_classes_are_named_as_a_shell_can(wanted, found):
    names = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
    chosen = class_indices(names, wanted, 3)
    assert chosen.tolist() == ([0, 1, 2] if found is None else [found] * 3)


def test_a_class_that_does_not_exist_is_refused_with_the_nearest():
    with pytest.raises(InputError, match="Trouser"):
        class_indices(("T-shirt", "Trouser"), "trousr", 1)
    with pytest.raises(InputError, match="one class for each of 3 samples"):
        class_indices(NAMES, ["a", "b"], 3)
    with pytest.raises(CapabilityError, match="without classes"):
        ddpm().denoiser({"class": "a"}, 1)
    with pytest.raises(InputError, match="condition"):
        ddpm(classes=NAMES).denoiser({"clas": "a"}, 1)


def test_a_batch_without_classes_is_refused():
    with pytest.raises(InputError, match="no field y"):
        ddpm(classes=NAMES).losses(Batch({"x": samples("unit")["x"]}), "denoiser", Streams.of(0, 12))


@pytest.mark.parametrize(
    "values",
    [
        {"datum": datum("real", (5,))},
        {"datum": datum("unit"), "classes": ("a",)},
        {"datum": datum("unit"), "steps": 0},
        {"datum": datum("unit"), "schedule": "cosin"},
    ],
)
def test_settings_that_do_not_fit_are_refused(values):
    with pytest.raises(SettingsError):
        settings_from(DDPMSettings, values, where="ddpm")


@pytest.mark.parametrize(("height", "width"), [(28, 28), (7, 5), (16, 9), (1, 1)])
@pytest.mark.parametrize("patch", [1, 2])
def test_the_unet_takes_any_size(height, width, patch):
    with initialised(0):
        net = stirred(UNet(3, 3, width=8, multiples=(1, 2), blocks=1, patch=patch))
    x = Streams.of(0, 2).normal("x", (3, height, width))
    assert net(x, torch.tensor([0.1, 0.9])).shape == x.shape


def test_the_unet_refuses_sizes_that_are_not_positive():
    with pytest.raises(SettingsError, match="patch"):
        UNet(1, 1, patch=3)
