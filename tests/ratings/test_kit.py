"""From a file to predictions: train, fill in, recommend, evaluate, by the command line and in Python."""

import csv
from pathlib import Path

import pytest
import torch
from tests.ratings.test_baselines import drawn

import zsteer
from zsteer.cli.main import main
from zsteer.domains.ratings import files
from zsteer.domains.ratings.data import split
from zsteer.errors import CapabilityError, InputError, SettingsError

LIKES = Path(__file__).resolve().parent.parent.parent / "examples" / "likes.csv"


def rows(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write(path, ratings):
    columns = {
        "user": [ratings.users[k] for k in ratings.user.tolist()],
        "item": [ratings.items[k] for k in ratings.item.tolist()],
        "rating": [ratings.scale.names[k] for k in ratings.level.tolist()],
    }
    files.write(path, columns, overwrite=True)


@pytest.fixture(scope="module")
def likes(tmp_path_factory):
    out = tmp_path_factory.mktemp("likes") / "run"
    assert main(["train", "rbm-ratings", "--data", str(LIKES), "--test", "0", "--decay", "2", "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ratings")
    parts = split(drawn(0, 60, 30, 1200), 0, valid=0.0)
    write(folder / "train.csv", parts.train)
    write(folder / "test.csv", parts.test)
    zsteer.fit("rbm-ratings", data=folder / "train.csv", out=folder / "run", test=0.0, decay=5.0, factors=2, steps=30)
    return folder


def test_the_lectures_blank_is_filled_in(likes, tmp_path):
    out = tmp_path / "fill.csv"
    assert main(["sample", str(likes), "-n", "40", "--given", "user=User 5", "--out", str(out)]) == 0
    found = rows(out)
    assert len(found) == 40
    assert {row["item"] for row in found} == {"Game"}
    p = float(found[0]["p(Like)"])
    assert p + float(found[0]["p(Dislike)"]) == pytest.approx(1.0, abs=1e-3)
    share = sum(row["rating"] == "Like" for row in found) / 40
    # Draws of the same distribution: 4 standard errors of 40 draws.
    assert share == pytest.approx(p, abs=4 * (p * (1 - p) / 40) ** 0.5)
    # Music and Game are rated alike by everyone who rated both, and User 5 dislikes Music; users 1 and 3 say less.
    assert p < 0.5


def test_blanks_by_name_and_what_is_no_blank(likes):
    loaded = zsteer.load(likes)
    found = loaded.sample(2, given={"user": "User 2", "items": "Book"})
    assert found.lines[0].startswith("fill,user,item,rating,expected")
    with pytest.raises(InputError, match="'Music' is no blank"):
        loaded.sample(1, given={"user": "User 2", "items": "Music"})
    with pytest.raises(InputError, match="did you mean 'User 2'"):
        loaded.sample(1, given={"user": "User2"})
    with pytest.raises(InputError, match="did you mean 'user'"):
        loaded.sample(1, given={"users": "x"})
    assert len(loaded.sample(3)) == 12


def test_recommendations_are_unseen_and_best_first(trained, tmp_path):
    loaded = zsteer.load(trained / "run")
    known = loaded.model.users[3]
    found = loaded.steer(known, toward={"rating": "high"}, top=5, support=2)
    expected = [float(x) for x in found.columns["expected"]]
    assert expected == sorted(expected, reverse=True)
    seen = {loaded.model.items[k] for k in loaded.model.known(known)["items"][0].tolist()}
    assert not seen & set(found.columns["item"])
    (tmp_path / "me.csv").write_text("user,item,rating\nme,i1,5\nme,i2,1\nme,i3,4\n")
    words = [
        "steer",
        str(trained / "run"),
        "--input",
        str(tmp_path / "me.csv"),
        "--toward",
        "rating=high",
        "--top",
        "4",
    ]
    assert main([*words, "--out", str(tmp_path / "best.csv")]) == 0
    best = rows(tmp_path / "best.csv")
    assert [row["rank"] for row in best] == ["1", "2", "3", "4"]
    level = loaded.steer(known, toward={"rating": "5"}, top=2)
    assert list(level.columns["wanted p(5)"]) == [f"{float(x):.3f}" for x in level.columns["p(5)"]]
    with pytest.raises(SettingsError, match="--toward rating"):
        loaded.steer(known, toward={"rating": "hihg"})
    with pytest.raises(SettingsError, match="rating=high, rating=low or rating=LEVEL"):
        loaded.steer(known, toward={"binds": "high"})
    with pytest.raises(InputError, match="there is no user"):
        loaded.steer(None, toward={"rating": "high"})
    with pytest.raises(InputError, match="nothing to recommend"):
        loaded.steer(known, toward={"rating": "high"}, support=999)


def test_evaluation_compares_with_the_baselines(trained, capsys):
    command = ["evaluate", str(trained / "test.csv"), "--protocol", "ratings", "--models", str(trained / "run")]
    assert main(command) == 0
    said = capsys.readouterr().out
    for word in ("RBM", "user + item bias", "matrix factorisation (ALS)", "blend", "Calibration", "120 ratings"):
        assert word in said


def test_evaluation_names_what_it_cannot_judge(trained, likes, tmp_path):
    def ask(text, **options):
        (tmp_path / "t.csv").write_text("user,item,rating\n" + text)
        return zsteer.evaluate(tmp_path / "t.csv", protocol="ratings", models=trained / "run", **options)

    first = rows(trained / "train.csv")[0]
    with pytest.raises(InputError, match="row 2: the user 'nobody' is unknown"):
        ask("nobody,i1,3\n")
    with pytest.raises(InputError, match="row 2: the item 'i999' is unknown"):
        ask("u1,i999,3\n")
    with pytest.raises(InputError, match="row 2: the rating '7' is none of the levels"):
        ask("u1,i1,7\n")
    with pytest.raises(InputError, match="row 2: the model was trained on"):
        ask(f"{first['user']},{first['item']},3\n")
    with pytest.raises(InputError, match="no rating is left"):
        ask("nobody,i1,3\n", skip_invalid=True)
    held = rows(trained / "test.csv")[0]
    with pytest.warns(UserWarning, match="1 rows are left out: row 2"):
        report = ask(f"nobody,i1,3\n{held['user']},{held['item']},{held['rating']}\n", skip_invalid=True)
    assert "1 rows were left out; row 2" in report.text()
    with pytest.raises(InputError, match="needs --models"):
        zsteer.evaluate(tmp_path / "t.csv", protocol="ratings")
    out = tmp_path / "none"
    zsteer.fit("rbm-ratings", data=trained / "train.csv", out=out, keep=False, steps=2)
    with pytest.raises(CapabilityError, match="keeps no ratings"):
        zsteer.evaluate(tmp_path / "t.csv", protocol="ratings", models=out)


def test_the_card_has_figures_of_the_machine_and_the_baselines(trained, tmp_path):
    done = zsteer.fit("rbm-ratings", data=trained / "train.csv", out=tmp_path / "run", steps=30, decay=5.0, factors=2)
    metrics = done.model.origin.metrics
    # The truth has biases and a factor: what knows both must beat the mean by far.
    assert metrics["rbm_rmse"] < 0.9 * metrics["global_mean_rmse"]
    assert metrics["test_ratings"] == 108
    assert done.model.origin.data["ratings"] == 1080


@pytest.mark.parametrize(
    "variant",
    [
        {"hidden": "bernoulli", "tie": "free", "conditional": True},
        {"hidden": "bernoulli", "tie": "factored"},
        {"negative": "chain"},
    ],
    ids=str,
)
def test_every_variant_trains(trained, tmp_path, variant):
    done = zsteer.fit("rbm-ratings", data=trained / "train.csv", out=tmp_path / "run", steps=20, size="xs", **variant)
    assert done.model.origin.metrics["rbm_rmse"] < done.model.origin.metrics["global_mean_rmse"]


def test_a_run_stopped_and_resumed_is_the_same(trained, tmp_path):
    from zsteer.recipes.base import recipe_class
    from zsteer.train.loop import Fit

    recipe = recipe_class("rbm-ratings")(steps=8, batch=16, factors=2, hidden="bernoulli")
    states = []
    for stop in (False, True):
        made = recipe.build(trained / "train.csv", torch.device("cpu"))
        fit = Fit(made.model, made.source, made.plan, seed=0)
        for _ in range(4):
            fit.advance()
        if stop:
            kept = fit.checkpoint()
            made = recipe.build(trained / "train.csv", torch.device("cpu"))
            fit = Fit(made.model, made.source, made.plan, seed=0)
            fit.resume(kept)
        while fit.step < 8:
            fit.advance()
        states.append(fit.result.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
