"""Multinomial diffusion keeps the public contracts in every variant, and resumes bit for bit."""

import pytest
import torch
from tests.contract.test_receptor_models import receptors
from tests.vectors import datum, samples

import zsteer
from zsteer.core.artifact import settings_from
from zsteer.core.batch import Batch
from zsteer.core.protocols import Conditional, Denoiser
from zsteer.core.rng import Streams, initialised
from zsteer.core.sample_spec import SampleSpec
from zsteer.errors import CapabilityError, InputError, SettingsError
from zsteer.models.multinomial.multinomial import MultinomialDiffusion, MultinomialSettings
from zsteer.train.loop import Fit, Optim, Plan
from zsteer.train.source import Shuffled

SEQUENCES = {
    "datum": SampleSpec(shape=(30,), values="levels", levels=20),
    "variable": True,
    "shortest": 5,
    "width": 8,
    "layers": 1,
}
PICTURES = {
    "datum": datum("levels", levels=3),
    "net": "unet",
    "width": 4,
    "layers": 1,
    "multiples": (1, 2),
    "classes": ("a", "b", "c"),
}
VARIANTS = {
    "sequences, uniform": (SEQUENCES, {}),
    "sequences, absorbing": (SEQUENCES, {"kernel": "absorbing", "times": "even"}),
    "sequences, classes": (SEQUENCES, {"classes": ("a", "b", "c")}),
    "pictures, uniform": (PICTURES, {"patch": 1}),
    "pictures, absorbing": (PICTURES, {"kernel": "absorbing", "classes": ()}),
}


def model(variant, **extra):
    base, own = VARIANTS[variant]
    with initialised(0):
        made = MultinomialDiffusion(
            settings_from(MultinomialSettings, {"steps": 6, "heads": 2, **base, **own, **extra}, where="multinomial")
        )
        if base is PICTURES:
            # The U-Net's last layers begin at zero; a step of training would move them.
            for parameter in made.parameters():
                if not bool(parameter.any()):
                    torch.nn.init.normal_(parameter, std=0.1)
    made.begin(batch(variant))
    return made


def batch(variant):
    if variant.startswith("pictures"):
        return samples("levels", levels=3)
    x = receptors()
    return Batch({"tokens": x["tokens"], "y": torch.arange(len(x)) % 3}, mask=x.mask)


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_every_variant_keeps_the_contracts(variant):
    made = model(variant)
    verdicts = {v.name: v.state for v in zsteer.check(made.eval(), batch(variant))}
    assert "failed" not in verdicts.values()
    declared = {"losses_are_per_sample", "likelihood", "save_and_load", "float64", "order_does_not_matter"}
    declared |= {"samples_do_not_depend_on_the_batch"}
    declared |= {"padding_is_ignored"} if variant.startswith("sequences") else set()
    assert {name for name, state in verdicts.items() if state == "ok"} >= declared
    assert isinstance(made, Conditional)
    assert isinstance(made.denoiser(None, 2), Denoiser)


def test_importance_of_t_is_a_function_of_the_update_and_a_run_resumes_bit_for_bit():
    def begun():
        return Fit(
            model("sequences, uniform"), Shuffled(batch("sequences, uniform"), 12), Plan(30, Optim(lr=1e-2)), seed=2
        )

    whole, cut = begun(), begun()
    for _ in range(16):
        whole.advance()
        cut.advance()
    assert bool((cut.model.seen >= 10).all())  # importance is on
    again = begun()
    again.resume(cut.checkpoint())
    for _ in range(6):
        whole.advance()
        again.advance()
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name])
    odds = whole.model.odds()
    assert float(odds.sum()) == pytest.approx(1)
    assert float(odds.max() / odds.min()) > 1.5
    assert torch.equal(whole.result.odds(), odds)  # the averaged model has them too


def test_losses_leave_the_buffers_alone_until_the_step():
    made, x = model("sequences, uniform"), batch("sequences, uniform")
    before = {name: value.clone() for name, value in made.state_dict().items()}
    made.losses(x, "denoiser", Streams.of(0, len(x)))
    assert all(torch.equal(value, before[name]) for name, value in made.state_dict().items())
    made.after_step("denoiser")
    assert float(made.seen.sum()) == len(x)


def test_samples_have_the_lengths_of_the_data_and_no_mask_is_left():
    made = model("sequences, absorbing")
    made.begin(Batch({"tokens": torch.zeros(500, 30, dtype=torch.long)}, mask=(torch.arange(30) < 11).expand(500, 30)))
    found = made.sample(40, rng=Streams.of(0, 40))
    assert bool((found["tokens"][found.mask] < 20).all()) and bool((found["tokens"][~found.mask] == 22).all())
    assert float((found.mask.sum(1) == 11).double().mean()) > 0.8  # 500.5 of 513 samples


def test_bad_input_is_named():
    made, x = model("sequences, classes"), batch("sequences, classes")
    foreign = x.with_fields(tokens=x["tokens"].index_put((torch.tensor(2), torch.tensor(1)), torch.tensor(21)))
    with pytest.raises(InputError, match=r"categories 0 \.\.\. 19 under the mask.*in sample 3"):
        made.states(foreign)
    with pytest.raises(InputError, match="no mask"):
        made.states(Batch({"tokens": x["tokens"]}))
    with pytest.raises(InputError, match="no field y"):
        made.losses(Batch({"tokens": x["tokens"]}, mask=x.mask), "denoiser", Streams.of(0, len(x)))
    with pytest.raises(InputError, match="class"):
        made.sample(2, given={"class": "boot"}, rng=Streams.of(0, 2))
    with pytest.raises(InputError, match="condition"):
        made.sample(2, given={"clas": "a"}, rng=Streams.of(0, 2))
    with pytest.raises(CapabilityError, match="without classes"):
        model("sequences, uniform").denoiser({"class": "a"}, 2)
    with pytest.raises(InputError, match="lengths in 5"):
        made.of_length(torch.tensor([31]))
    with pytest.raises(SettingsError, match="strata"):
        made.bound_of(x, Streams.of(0, len(x)), calls=0)
    with pytest.raises(InputError, match="stream"):
        made.log_prob(x, Streams.of(0, 2))


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"datum": datum("unit")},
        {"net": "unet"},
        {"classes": ("one",)},
        {"kernel": "flip"},
        {"width": 9},
    ],
)
def test_settings_that_do_not_fit_are_refused(wrong):
    with pytest.raises(SettingsError):
        model("sequences, uniform", **wrong)
