"""Editing faces with the shipped model: by stored heads, by a few labels, by examples; strengths, windows, refusals."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import zsteer
from zsteer.cli.main import main
from zsteer.core.rng import Streams
from zsteer.domains.images.faces import FACTORS, draw_faces, draw_factors, with_factors
from zsteer.errors import CapabilityError, InputError, RefusedError, SettingsError

FACE = Path(__file__).parents[2] / "examples" / "face.png"


@pytest.fixture(scope="module")
def model():
    return zsteer.load("faces-diffae")


def pictures(factors):
    return (draw_faces(factors) * 255).round().byte().permute(0, 2, 3, 1).numpy()


def save(folder, factors):
    folder.mkdir(parents=True)
    for k, picture in enumerate(pictures(factors)):
        Image.fromarray(picture).save(folder / f"{k:02d}.png")
    return folder


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """Forty faces with a table of two attributes under names of the user's own."""
    factors = draw_factors(Streams.of(3, 40))
    folder = save(tmp_path_factory.mktemp("labelled") / "faces", factors)
    rows = [f"{k:02d}.png,{float(factors[k, 2]):.3f},{float(factors[k, 8]):.3f}" for k in range(40)]
    (folder / "labels.csv").write_text("\n".join(["file,curls,tan", *rows]) + "\n")
    return folder


def reads(found, name):
    return float(found.columns[name][0])


def test_the_command_of_the_readme(tmp_path, capsys):
    """Smile 0.25 and age 0.65 go to 0.9 and 0.2; what was not asked for moves by less than a tenth on average."""
    words = ["steer", "faces-diffae", "--input", str(FACE), "--toward", "smile=0.9", "age=0.2", "--keep", "rest"]
    assert main([*words, "--out", str(tmp_path / "edit.png")]) == 0
    shown = capsys.readouterr().out
    assert "others" in shown
    with Image.open(tmp_path / "edit.png") as written:
        assert written.size == (64, 64)  # small pictures are written enlarged


def test_several_attributes_move_and_the_rest_stays(model):
    found = model.steer(FACE, toward={"smile": 0.9, "age": 0.2}, keep={"rest": True})
    assert reads(found, "smile") == pytest.approx(0.9, abs=0.08)
    assert reads(found, "age") == pytest.approx(0.2, abs=0.08)
    moved = {line.split()[0]: abs(float(line.split()[1])) for line in found.facts["others"]}
    rest = [moved[name] for name in FACTORS if name not in {"smile", "age"}]
    assert sum(rest) / len(rest) < 0.06
    assert found.facts["kept"] == "rest"


def test_a_series_goes_from_none_to_the_whole(model):
    found = model.steer(FACE, toward={"wave": 0.9}, rounds=1, series=4)
    values = [float(one) for one in found.columns["wave"]]
    assert len(found) == 4
    assert found.columns["start"] == ["1"] * 4
    assert values[0] == pytest.approx(float(found.columns["start_wave"][0]), abs=0.03)
    assert values == sorted(values)
    assert values[-1] == pytest.approx(0.9, abs=0.08)


def test_a_window_shows_a_part_of_an_edit(model):
    """At one level an edit is less than at all, and more than none."""
    options = {"rounds": 0, "steps": 4}
    whole = reads(model.steer(FACE, toward={"skin": 0.9}, **options), "skin")
    part = reads(model.steer(FACE, toward={"skin": 0.9}, levels=(0,), window=(0.4, 1.0), **options), "skin")
    assert part < whole - 0.02


def test_labels_of_ones_own_make_a_head(model, labelled):
    """The user's own attribute is read by its head alone; the picture really gets the waves that it was labelled by."""
    found = model.steer(FACE, toward={"curls": 0.9}, keep={"tan": True}, examples=labelled / "labels.csv", rounds=1)
    assert reads(found, "curls") == pytest.approx(0.9, abs=0.1)
    assert any(line.startswith("curls: R^2") for line in found.facts["heads"])
    wave = next(line for line in found.facts["others"] if line.startswith("wave"))
    assert float(wave.split()[1]) > 0.25


def test_pictures_alone_say_what_is_wanted(model, tmp_path):
    factors = with_factors(draw_factors(Streams.of(4, 24)), glasses=0.95)
    found = model.steer(FACE, toward={"like": str(save(tmp_path / "like", factors))}, rounds=1)
    moved = {line.split()[0]: float(line.split()[1]) for line in found.facts["others"]}
    assert moved["glasses"] > 0.15
    assert moved["glasses"] == max(moved.values())


@pytest.mark.slow
def test_a_folder_a_class_is_an_attribute(model, tmp_path):
    factors = draw_factors(Streams.of(5, 24))
    save(tmp_path / "hair" / "long", with_factors(factors[:12], hair_length=0.95))
    save(tmp_path / "hair" / "short", with_factors(factors[12:], hair_length=0.05))
    found = model.steer(FACE, toward={"long": "up"}, examples=tmp_path / "hair", rounds=1, draws=20)
    length = next(line for line in found.facts["others"] if line.startswith("hair_length"))
    assert float(length.split()[1]) > 0.1


REFUSED = {
    "an unknown attribute": ({"toward": {"smyle": 0.5}}, InputError),
    "outside the range": ({"toward": {"smile": 1.5}}, InputError),
    "steered and held": ({"toward": {"smile": 0.5}, "keep": {"smile": True}}, InputError),
    "no such level": ({"toward": {"smile": 0.5}, "levels": (7,)}, SettingsError),
    "no window": ({"toward": {"smile": 0.5}, "window": (0.9, 0.1)}, SettingsError),
    "another sign of like": ({"toward": {"like!": "x"}}, InputError),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_asked_is_refused(model, case):
    words, error = REFUSED[case]
    with pytest.raises(error):
        model.steer(FACE, **words)


@pytest.mark.parametrize(
    ("shape", "way"),
    [((48, 48, 3), "resize it to 32 x 32"), ((32, 32), "save it in colour"), ((32, 24, 3), "cut it to the shape")],
)
def test_a_picture_of_another_kind_is_named_with_what_to_do(model, tmp_path, shape, way):
    Image.fromarray(np.full(shape, 128, np.uint8)).save(tmp_path / "one.png")
    with pytest.raises(InputError) as caught:
        model.steer(tmp_path / "one.png", toward={"smile": 0.9})
    assert "one.png" in str(caught.value)
    assert way in str(caught.value)


def test_a_bad_table_stops_the_command_with_one_line(labelled, tmp_path, capsys):
    (labelled / "bad.csv").write_text("file,curls\n00.png,0.1\nxx.png,0.9\n")
    words = ["steer", "faces-diffae", "--input", str(FACE), "--toward", "curls=0.9"]
    assert main([*words, "--examples", str(labelled / "bad.csv"), "--out", str(tmp_path / "x.png")]) == 2
    shown = capsys.readouterr().err.strip()
    assert "bad.csv, line 3" in shown
    assert len(shown.splitlines()) == 1
    assert not (tmp_path / "x.png").exists()


def test_labels_that_no_code_tells_are_refused(model, tmp_path):
    """Values drawn apart from the faces: the interval of the head holds chance."""
    folder = save(tmp_path / "noise", draw_factors(Streams.of(8, 20)))
    values = Streams.of(9, 20).uniform("noise").tolist()
    rows = [f"{k:02d}.png,{value:.3f}" for k, value in enumerate(values)]
    (folder / "labels.csv").write_text("\n".join(["file,luck", *rows]) + "\n")
    with pytest.raises(RefusedError):
        model.steer(FACE, toward={"luck": 0.9}, examples=folder / "labels.csv")


def test_the_windows_belong_to_a_model_that_has_them():
    from tests.steer.test_latent import SUM, Rotated, goal, samples

    from zsteer.core.goal import Budget
    from zsteer.core.objective import Constraint, Target
    from zsteer.steer.latent import LatentEdit
    from zsteer.steer.latent_options import LatentOptions

    method = LatentEdit(LatentOptions(levels=(0,)), examples=samples(40))
    with pytest.raises(CapabilityError):
        method.run(Rotated(), samples(3), goal(Target(SUM, 1.0, 1.0)), Constraint(), Budget(), Streams.of(0, 3))


@pytest.mark.slow
def test_the_three_panels(tmp_path):
    """Edits come nearer to what is wanted than free faces, and hold the rest; guidance comes nearer too."""
    from zsteer.demo.faces import panels

    made = panels({"smile": 0.9, "age": 0.2})
    made.write(tmp_path / "panels.png", overwrite=False)
    with Image.open(tmp_path / "panels.png") as written:
        assert written.size[0] > 3 * 3 * 32
    for name, value in (("smile", 0.9), ("age", 0.2)):
        free, drawn, edits = (abs(made.table[panel][name] - value) for panel in made.table)
        assert edits < 0.1
        assert drawn < free
    assert torch.isfinite(torch.tensor(list(made.table["edited"].values()))).all()


@pytest.mark.slow
def test_pictures_of_ones_own_are_learnt_and_edited_by_their_table(tmp_path):
    """A model of a folder has no heads; a table beside the pictures gives them, at any step of the training."""
    folder = tmp_path / "own"
    folder.mkdir()
    levels = Streams.of(6, 30).uniform("level").tolist()
    for k, level in enumerate(levels):
        Image.fromarray(np.full((16, 16, 3), int(40 + 170 * level), np.uint8)).save(folder / f"{k:02d}.png")
    model = zsteer.fit("faces-diffae", out=tmp_path / "run", data=folder, size="xs", steps=4, batch=4)
    assert model.model.heads.names == ()
    assert model.model.settings.reader == ""
    assert 0 < model.model.origin.metrics["ssim"] <= 1
    rows = [f"{k:02d}.png,{level:.3f}" for k, level in enumerate(levels)]
    (tmp_path / "own" / "labels.csv").write_text("\n".join(["file,light", *rows]) + "\n")
    found = model.steer(
        folder / "00.png", toward={"light": 0.8}, examples=folder / "labels.csv", rounds=0, draws=20, force=True
    )
    assert found.columns["wanted_light"] == ["light=0.8"]
    with pytest.raises(CapabilityError):
        model.steer(folder / "00.png", toward={"light": 0.8}, examples=folder / "labels.csv", by="guide")
