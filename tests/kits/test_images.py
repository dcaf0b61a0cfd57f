"""Sampling and steering models of images: options, classes, guidance towards what is wanted, and what is refused."""

import json
import re

import numpy as np
import pytest
import torch
from tests.contract.test_diffusion_models import NAMES, ddpm, stirred

import zsteer
from zsteer.cli.main import main
from zsteer.core.batch import Batch
from zsteer.core.rng import Streams, initialised
from zsteer.core.sample_spec import SampleSpec
from zsteer.domains.images import measures
from zsteer.domains.images.space import ImageSpace
from zsteer.errors import CapabilityError, InputError, SettingsError
from zsteer.kits.images.kit import shipped_features
from zsteer.models.diffusion.ddpm import DDPM
from zsteer.models.diffusion.settings import DDPMSettings
from zsteer.predictors.noisy_classifier import NoisyClassifier, NoisyClassifierSettings
from zsteer.steer.sampling import sample_by

SPACE = ImageSpace(1, 8, 8)
PICTURES = SampleSpec(shape=(1, 8, 8), values="unit", space=SPACE.settings())
SMALL = {"datum": PICTURES, "width": 8, "blocks": 1, "steps": 20}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A conditional model, one without classes, and two classifiers: one that fits and one of another noise."""
    base = tmp_path_factory.mktemp("models")
    with initialised(0):
        made = {
            "model": DDPM(DDPMSettings(classes=NAMES, target="v", **SMALL)),
            "plain": DDPM(DDPMSettings(target="v", **SMALL)),
            "certain": DDPM(DDPMSettings(classes=NAMES, drop=0.0, **SMALL)),
            "guide": NoisyClassifier(NoisyClassifierSettings(datum=PICTURES, classes=NAMES, width=8)),
            "other": NoisyClassifier(
                NoisyClassifierSettings(datum=PICTURES, classes=NAMES, schedule="linear", width=8)
            ),
        }
    for name, model in made.items():
        stirred(model).save_pretrained(base / name)
    return base


def pixels(samples):
    return samples.batch["x"]


def test_a_sample_of_a_seed_does_not_depend_on_how_many_are_made(folders):
    model = zsteer.load(folders / "model")
    few, many = (model.sample(n, given={"class": "all"}, steps=3, seed=5) for n in (3, 7))
    assert torch.allclose(pixels(few), pixels(many)[:3], atol=1e-5)
    assert many.facts == {"solver": "multistep2", "steps": 3}
    assert len(many) == len(many.items) == len(many.objects) == 7


def test_classes_in_turn_go_on_over_the_pieces_of_a_trajectory(monkeypatch):
    model = ddpm(classes=NAMES)
    whole, _ = sample_by(model, 7, {"class": "all", "steps": 2}, Streams.of(0, 7))
    monkeypatch.setattr("zsteer.steer.sampling.AT_ONCE", 2)
    pieces, _ = sample_by(model, 7, {"class": "all", "steps": 2}, Streams.of(0, 7))
    # The pieces are other shapes of the same sums in float32.
    assert torch.allclose(whole["x"], pieces["x"], atol=1e-5)


@pytest.mark.parametrize("solver", ["ancestral", "ddim", "multistep2", "multistep3", "heun"])
@pytest.mark.parametrize("options", [{}, {"scale": 2}, {"scale": 2, "interval": "0.2,0.8"}])
def test_every_solver_takes_every_option(folders, solver, options):
    made = zsteer.load(folders / "model").sample(2, given={"class": "b"}, steps=3, solver=solver, **options)
    assert bool(torch.isfinite(pixels(made)).all())


@pytest.mark.parametrize(("solver", "mode"), [("ancestral", "mean"), ("multistep2", "score"), ("heun", None)])
def test_a_classifier_guides_with_and_without_a_conditional_model(folders, solver, mode):
    walk = {"steps": 4, "solver": solver}
    guiding = {"guide": str(folders / "guide"), "strength": 50, **({"mode": mode} if mode else {})}
    for name in ("model", "plain"):
        model, given = zsteer.load(folders / name), {"class": "b"} if name == "model" else {}
        guided = model.steer(toward={"class": "b"}, given=given, number=4, seed=1, **walk, **guiding)
        assert guided.facts["pulled_by"] == "class: predictor"
        assert not torch.equal(pixels(guided), pixels(model.sample(4, given=given, seed=1, **walk)))


def test_steps_auto_says_what_it_found(folders):
    facts = zsteer.load(folders / "model").sample(4, steps="auto").facts
    assert facts["steps"] >= 4
    assert "spread" in facts["error"]


@pytest.mark.parametrize(
    ("given", "options", "named"),
    [
        ({}, {"steps": 0}, "steps"),
        ({}, {"steps": "many"}, "steps"),
        ({}, {"solver": "dim"}, "ddim"),
        ({}, {"scale": 2}, "--given"),
        ({}, {"eta": 0.5}, "--solver ddim"),
        ({}, {"autoguidance": 0.5}, "autoguidance"),
        ({}, {"autoguidance": 1.5}, "autoguidance"),
        ({"class": "a"}, {"spacing": "even"}, "spacing"),
        ({"class": "a"}, {"stpes": 3}, "steps"),
        ({"class": "d"}, {}, "class"),
        ({"colour": "red"}, {}, "colour"),
        ({}, {"steps": "auto"}, "--steps auto"),
        ({"steps": 4}, {}, "--steps 4"),
        ({"candidates": 4}, {}, "--best-of 4"),
        ({"guide": "x"}, {}, "zsteer steer"),
        ({"guide_scale": 2}, {}, "zsteer steer"),
    ],
)
def test_options_that_mean_nothing_are_refused_in_one_line(folders, given, options, named):
    with pytest.raises((SettingsError, InputError)) as refused:
        zsteer.load(folders / "model").sample(1, given=given, **options)
    assert named in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("model", "given", "options", "named"),
    [
        ("certain", {}, {}, "null class"),
        ("certain", {"class": "a"}, {"scale": 2}, "null class"),
        ("plain", {"class": "a"}, {}, "class"),
    ],
)
def test_conditions_that_the_models_do_not_have_are_refused(folders, model, given, options, named):
    with pytest.raises((CapabilityError, InputError), match=named):
        zsteer.load(folders / model).sample(2, given=given, steps=2, **options)


@pytest.mark.parametrize(
    ("model", "options", "named"),
    [
        ("model", {"guide": "fashion-features"}, "fashion-features"),
        ("model", {"guide": "OTHER"}, "linear"),
        ("model", {"guide": "GUIDE", "mode": "mean"}, "mode"),
        ("plain", {}, "--guide"),
    ],
)
def test_guidance_that_the_models_cannot_give_is_refused(folders, model, options, named):
    files = {"GUIDE": str(folders / "guide"), "OTHER": str(folders / "other")}
    options = {name: files.get(value, value) for name, value in options.items()}
    with pytest.raises((CapabilityError, InputError), match=named):
        zsteer.load(folders / model).steer(toward={"class": "a"}, number=2, steps=2, **options)


def test_a_class_of_ones_own_is_pulled_at_by_the_models_condition(folders):
    """No net of clothes pulls at classes of other names."""
    model = zsteer.load(folders / "model")
    found = model.steer(toward={"class": "b"}, number=2, steps=3, seed=4)
    assert found.facts["pulled_by"] == "class: condition"
    asked = model.sample(2, given={"class": "b"}, steps=3, scale=2, seed=4)
    assert torch.allclose(pixels(found), pixels(asked), atol=1e-5)


def log_odds(samples, name):
    """How much a feature net, which pulls at nothing, takes images for a class."""
    net = shipped_features()
    index = list(net.settings.classes).index(name)
    with torch.no_grad():
        return net.logits(Batch({"x": pixels(samples).float()})).log_softmax(1)[:, index]


@pytest.mark.parametrize(("solver", "mode"), [("multistep2", "score"), ("ancestral", "mean")])
def test_a_classifier_leads_to_its_class_and_away_from_one_that_is_avoided(solver, mode):
    """The sign of guidance: towards a class its probability rises, away from it (!=) it falls, against no guidance."""
    model, options = zsteer.load("fashion-ddpm"), {"steps": 12, "solver": solver}
    guiding = {**options, "number": 8, "strength": 3, "mode": mode}
    name = "Trouser"
    free = log_odds(model.sample(8, **options), name)
    towards = log_odds(model.steer(toward={"class": name}, **guiding), name)
    away = log_odds(model.steer(toward={"class!": name}, given={"class": name}, **guiding), name)
    held = log_odds(model.sample(8, given={"class": name}, **options), name)
    assert float(towards.mean()) > float(free.mean()) + 1
    assert float(away.mean()) < float(held.mean()) - 1


@pytest.mark.parametrize("name", measures.__all__)
def test_a_property_moves_towards_what_is_wanted(name):
    measure = getattr(measures, name)
    model, n = zsteer.load("fashion-ddpm"), 6
    before = measure(pixels(model.sample(n, given={"class": "all"}, steps=10, seed=0)))
    wanted = float(before.mean()) - 0.05
    made = model.steer(toward={name: wanted}, given={"class": "all"}, number=n, steps=10)
    after = measure(pixels(made))
    # The gap to the wanted value closes by half at least; on 128 samples it closes further (zsteer bench diffusion).
    assert float((after - wanted).abs().mean()) < 0.5 * float((before - wanted).abs().mean())
    assert made.facts["pulled_by"] == f"{name}: measure"
    assert [float(value) for value in made.columns[name]] == pytest.approx(after.tolist(), rel=1e-3)


@pytest.mark.parametrize("goal", [{"brightness": "up"}, {"brightness": "down"}, {"brightness": "0.6.."}])
def test_a_direction_and_a_range_lead_the_way_they_say(goal):
    model, options = zsteer.load("fashion-ddpm"), {"steps": 10, "seed": 2}
    given = {"class": "Trouser"}
    before = measures.brightness(pixels(model.sample(6, given=given, **options)))
    after = measures.brightness(pixels(model.steer(toward=goal, given=given, number=6, strength=3, **options)))
    change = float((after - before).mean())
    assert (change < -0.02) if goal["brightness"] == "down" else (change > 0.02)


def test_strength_0_is_the_plain_model(folders):
    model = zsteer.load(folders / "model")
    found = model.steer(toward={"brightness": 0.9}, given={"class": "a"}, number=3, steps=3, strength=0, seed=1)
    assert torch.equal(pixels(found), pixels(model.sample(3, given={"class": "a"}, steps=3, seed=1)))


def test_an_input_is_changed_as_far_as_depth_says(folders):
    model = zsteer.load(folders / "model")
    start = SPACE.encode((np.arange(64).reshape(1, 8, 8) * 4).astype(np.uint8).repeat(3, 0))
    moved = [
        float(
            (pixels(model.steer(start, toward={"brightness": 0.5}, depth=depth, strength=0)) - start["x"]).abs().mean()
        )
        for depth in (0.02, 0.9)
    ]
    assert moved[0] < moved[1]
    found = model.steer(start, toward={"brightness": 0.5}, top=2)
    assert len(found.batch) == 6
    assert list(found.columns["start"]) == ["1", "1", "2", "2", "3", "3"]


@pytest.mark.parametrize(
    ("toward", "named"), [({"brigtness": "0.2"}, "brightness"), ({"brightness": "light"}, "brightness")]
)
def test_goals_that_do_not_exist_are_refused(folders, toward, named):
    with pytest.raises(InputError, match=named):
        zsteer.load(folders / "model").steer(toward=toward)


def test_an_image_keeps_nothing_in_place():
    with pytest.raises(SettingsError, match="ends"):
        zsteer.load("fashion-ddpm").steer(toward={"brightness": 0.4}, keep={"ends": 3})


def test_the_command_line_samples_and_steers(folders, tmp_path, capsys):
    model, out = str(folders / "model"), tmp_path / "made.npz"
    assert main(["sample", model, "-n", "3", "--given", "class=a", "--steps", "2", "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["solver"] == "multistep2"
    assert np.load(out)["x"].shape == (3, 8, 8)
    words = ["steer", model, "--toward", "brightness=0.4", "--given", "class=a", "--number", "2", "--steps", "2"]
    assert main(words) == 0
    assert re.search(r"brightness.*0\.4", capsys.readouterr().out)
    assert (
        main(["steer", model, "--toward", "brightness=0.4", "--input", str(out), "--out", str(tmp_path / "x.png")]) == 0
    )
    assert main(["sample", model, "--given", "class=d"]) == 2
    assert main(["steer", "tcr-editor", "--toward", "binds=YLQPRTFLL", "--given", "class=a", "--input", "x.tsv"]) == 2


def test_the_shipped_model_makes_boots_without_any_data(tmp_path, monkeypatch):
    monkeypatch.delenv("ZSTEER_DATA", raising=False)
    out = tmp_path / "boots.png"
    words = ["sample", "fashion-ddpm", "-n", "4", "--given", "class=boot", "--steps", "4", "--seed", "5"]
    assert main([*words, "--out", str(out)]) == 0
    assert out.stat().st_size > 500
