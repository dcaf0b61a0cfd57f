"""The adversarial recipes end to end on a toy, the critic as a measure of W1, the two-sample protocol, the figure."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from zsteer import api
from zsteer.bench.classical.gan import by_critic
from zsteer.bench.classical.lines import LINES, demo, figure, samples_at
from zsteer.core.rng import Streams
from zsteer.errors import InputError, SettingsError
from zsteer.kits.images.two_sample import TwoSampleProtocol
from zsteer.kits.protocols import EvaluationRequest
from zsteer.models.gan.dual import Dual
from zsteer.models.gan.gan import COLLAPSE
from zsteer.recipes.base import recipe_class
from zsteer.recipes.gan.build import adversarial, metrics_of, modes_of
from zsteer.recipes.gan.settings import GanRecipe, WassersteinGanRecipe
from zsteer.recipes.sets import load_set
from zsteer.train.loop import Fit

ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _smaller_toys(monkeypatch):
    """The generated sets have 120,000 rows, of which these tests look at few."""
    monkeypatch.setattr("zsteer.recipes.sets.TOY_SIZES", (6000, 100, 600))


def ready(recipe):
    experiment = adversarial(recipe, None, CPU)
    Fit(experiment.model, experiment.source, experiment.plan, seed=0).advance()
    return experiment


@pytest.mark.parametrize(
    "lipschitz",
    ["penalty", pytest.param("clip", marks=pytest.mark.slow), pytest.param("spectral", marks=pytest.mark.slow)],
)
def test_the_wgan_recipe_trains_and_measures(lipschitz):
    experiment = ready(WassersteinGanRecipe(dataset="ring-8", size="xs", steps=2, batch=16, lipschitz=lipschitz))
    kind = experiment.plan.of("critic").kind
    assert kind == ("rmsprop" if lipschitz == "clip" else "adamw")
    model = experiment.finish(experiment.model)
    metrics = model.origin.metrics
    assert {"coverage", "modes", "w1_by_critic", "w1_exact", "w1_real_vs_real", "faults"} <= set(metrics)
    assert COLLAPSE in metrics["faults"]  # two steps cover next to nothing, and that is named


def test_the_plain_recipe_has_one_step_of_the_critic_and_no_w1():
    experiment = ready(GanRecipe(dataset="grid-25", size="xs", steps=2, batch=16))
    assert [turn.times for turn in experiment.model.turns] == [1, 1]
    assert "w1_by_critic" not in experiment.finish(experiment.model).origin.metrics


def test_a_generator_that_makes_the_data_covers_all_modes():
    """The figures of a model whose samples are the data themselves: what a perfect one would show."""
    sets = load_set("grid-25", None)
    model = adversarial(GanRecipe(dataset="grid-25", size="xs"), None, CPU).model
    held = sets.train["x"]

    def perfect(n, *, given=None, rng):
        return sets.datum.batch(held[rng.ids[:n] % len(held)])

    model.sample = perfect
    spread = modes_of(model, "grid-25", Streams.of(0, 5000))
    assert spread.captured == 25
    # Within 3 standard deviations in the plane: 1 - exp(-9/2) = 0.989.
    assert spread.high_quality.value == pytest.approx(1 - math.exp(-4.5), abs=6e-3)
    assert spread.reverse_kl < 0.01
    found = metrics_of(model, sets, "grid-25")
    assert found["coverage"] == pytest.approx(found["coverage_real_vs_real"], abs=0.05)
    assert found["faults"] == "none"


def test_a_gap_is_read_at_the_slope_that_its_penalty_allows():
    """Truth: for f = L f*, the best L of L W - w (L - 1)^2 by search, and its gap L W."""
    w, distance = 30.0, 1.25
    slopes = torch.linspace(0.9, 1.2, 300_001, dtype=torch.float64)
    best = float(slopes[(slopes * distance - w * (slopes - 1).square()).argmax()])
    assert Dual(2, penalty=w).wasserstein(best * distance) == pytest.approx(distance, abs=1e-5)


@pytest.mark.slow
def test_a_critic_measures_a_known_distance():
    """W1 of N(0, I) and N(0, 4 I) in the plane is E|x| = sqrt(pi / 2): points move out along their radius."""
    a, b = (Streams.of(0, 10_000).normal(name, (2,)) for name in ("a", "b"))
    found = by_critic(a, 2 * b, steps=1000)
    assert found.value == pytest.approx(math.sqrt(math.pi / 2), rel=0.05)


def test_both_recipes_are_registered():
    assert recipe_class("gan") is GanRecipe
    assert recipe_class("wgan") is WassersteinGanRecipe
    with pytest.raises(SettingsError, match="wgan"):
        recipe_class("wgans")


# --------------------------------------------------------------------------------------- two-sample protocol


def pictures(seed, n=120):
    rng = Streams.of(seed, n)
    return (rng.uniform("pixels", (8, 8)).numpy() * 255).astype(np.uint8)


@pytest.mark.slow
def test_images_are_compared_with_their_classes(tmp_path):
    np.savez(tmp_path / "made.npz", x=pictures(0, 60))
    np.savez(tmp_path / "real.npz", x=pictures(1), y=np.arange(120) % 3)
    kit = TwoSampleProtocol(None)
    report = kit.evaluate(
        kit.read(tmp_path / "made.npz", skip_invalid=False), EvaluationRequest(reference=tmp_path / "real.npz")
    )
    assert [table.title for table in report.tables][-1] == "Classes covered"
    assert report.facts["numbers in a row"] == 64


@pytest.mark.slow
def test_tables_are_compared_by_the_command(tmp_path):
    for name, n in (("made", 80), ("real", 200)):
        values = Streams.of(n, n).normal("x", (2,)).numpy()
        text = "a,b\n" + "\n".join(f"{x:.6f},{y:.6f}" for x, y in values)
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
    report = api.evaluate(tmp_path / "made.csv", protocol="two-sample", reference=tmp_path / "real.csv")
    assert "real vs real" in report.text() and "independent numbers" in report.text()


def test_what_cannot_be_compared_is_said_in_one_line(tmp_path):
    np.savez(tmp_path / "made.npz", x=pictures(0))
    (tmp_path / "real.csv").write_text("a,b\n1,2\n3,4\n5,7\n", encoding="utf-8")
    kit = TwoSampleProtocol(None)
    made = kit.read(tmp_path / "made.npz", skip_invalid=False)
    with pytest.raises(InputError, match="needs --reference"):
        kit.evaluate(made, EvaluationRequest())
    with pytest.raises(InputError, match="compare like with like"):
        kit.evaluate(made, EvaluationRequest(reference=tmp_path / "real.csv"))
    with pytest.raises(InputError, match="there is no file"):
        kit.evaluate(made, EvaluationRequest(reference=tmp_path / "nowhere.npz"))
    with pytest.raises(InputError, match="expected a file"):
        kit.evaluate([1, 2], EvaluationRequest(reference=tmp_path / "made.npz"))


# ------------------------------------------------------------------------------------------------- the figure


def test_the_figure_of_the_page_is_what_the_code_draws():
    kept = (ROOT / "docs" / "segments.svg").read_text(encoding="utf-8")

    def numbers(text):
        return [float(x) for x in re.findall(r"-?\d+\.?\d*", text)]

    assert re.sub(r"-?\d+\.?\d*", "#", figure()) == re.sub(r"-?\d+\.?\d*", "#", kept)
    # Drawn to a tenth of a point; another build of torch may round the last one differently.
    assert max(abs(a - b) for a, b in zip(numbers(figure()), numbers(kept), strict=True)) < 0.21


def test_the_figure_asks_nothing_from_elsewhere():
    svg = figure()
    assert "prefers-color-scheme:dark" in svg
    assert re.findall(r"(?:href|src|url)\W", svg) == []
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")


def test_samples_give_the_slopes_of_the_closed_forms():
    by_name = {line.name: line for line in LINES}
    for name, slope in (("W", 1.0), ("energy", 1.65), ("MMD\u00b2", 1.34)):
        assert samples_at(by_name[name], 0.5)[1] == pytest.approx(slope, abs=0.05)
    assert samples_at(by_name["JS"], 0.5) is None  # samples on two lines never meet: there is nothing to estimate


def test_the_demo_shows_the_slide():
    rows = {row[0]: row for row in demo().tables[0].rows}
    assert rows["0"][1:4] == ["0.000", "0.000", "0.000"]
    assert rows["0.5"][1:4] == ["inf", "0.693", "0.500"]
