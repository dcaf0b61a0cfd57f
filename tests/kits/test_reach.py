"""Values far from what can be reached, results that cannot fit, and files that are read as in a model's training."""

import warnings

import numpy as np
import pytest
import torch
from PIL import Image

import zsteer
from zsteer import api
from zsteer.core import memory
from zsteer.core.batch import Batch
from zsteer.core.goal import Term
from zsteer.core.options import Option
from zsteer.core.property import Property
from zsteer.errors import InputError, RefusedError
from zsteer.kits.common import numeric_target
from zsteer.steer.guided import _unfit


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    x = np.linspace(0, 6, 60)
    lines = [f"{a:.3f},{b:.3f}" for a, b in zip(x, np.cos(x), strict=True)]
    (folder / "t.csv").write_text("\n".join(["x,y", *lines]))
    return api.fit("vae", data=folder / "t.csv", size="xs", steps=4, out=folder / "run")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_far_value_of_a_column_is_refused_with_the_range_and_may_be_forced(rows):
    for value in (500, "500..", "..-500"):
        with pytest.raises(RefusedError, match=r"x=.*0 \.\.\. 6.*--force"):
            rows.steer(toward={"x": value}, number=2)
        assert len(rows.steer(toward={"x": value}, number=2, force=True)) == 2
    assert len(rows.steer(toward={"x": "..500"}, number=2)) == 2
    with pytest.warns(UserWarning, match="outside"):
        rows.steer(toward={"x": 7}, number=2)


def test_a_far_value_of_a_molecule_is_refused():
    with pytest.raises(RefusedError, match="logp=50"):
        zsteer.load("qm9-edm").steer(toward={"logp": 50}, number=1, steps=1)
    with pytest.raises(InputError, match="brightness"):
        zsteer.load("fashion-ddpm").steer(toward={"brightness": 50}, number=1, steps=1)


def test_samples_that_cannot_fit_are_refused(rows, monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda: 1e6)
    memory.check_fits(1000, 10, what="--number 1000")
    for ask in (
        lambda: rows.sample(1_000_000),
        lambda: rows.steer(toward={"x": 2}, number=1_000_000),
        lambda: rows.steer({"x": np.ones(3), "y": np.ones(3)}, toward={"x": 2}, top=100_000),
    ):
        with pytest.raises(InputError, match="GiB are free"):
            ask()
    assert len(rows.sample(3)) == 3


def test_a_whole_condition_of_another_value_is_no_way_to_guide():
    class Model:
        options = (Option("length", "given", "whole", low=8, high=30),)

    length = Property("length", low=1)
    assert "15.95" in _unfit(Model(), numeric_target(Term("length", "is", 15.95), length))
    assert _unfit(Model(), numeric_target(Term("length", "is", 40), length))
    assert not _unfit(Model(), numeric_target(Term("length", "is", 15), length))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for name, light in (("dark", 40), ("light", 200)):
        (folder / "pics" / name).mkdir(parents=True)
        for k in range(12):
            array = np.full((20, 26), light, np.uint8) + np.arange(26, dtype=np.uint8) + k
            Image.fromarray(array.astype(np.uint8)).save(folder / "pics" / name / f"{k}.png")
    made = api.fit("ddpm", data=folder / "pics", size="xs", steps=2, resize=12, crop=8, out=folder / "run")
    return made, folder / "pics"


def test_originals_are_made_as_in_the_training_and_samples_stay(pictures, tmp_path):
    model, folder = pictures
    assert model.model.space["shaping"] == {"resize": 12, "crop": 8}
    with pytest.warns(UserWarning, match="--resize 12 --crop 8"):
        found = model.read(folder)
    assert found.items.shape == (24, 8, 8)
    own = np.arange(64, dtype=np.uint8).reshape(1, 8, 8)
    np.savez(tmp_path / "own.npz", x=own)
    with pytest.warns(UserWarning, match="another size"):
        assert np.array_equal(model.read(tmp_path / "own.npz").items, own)


def test_a_likelihood_uses_the_classes_of_a_folder_or_says_why_not(pictures, tmp_path):
    from zsteer.kits.images.likelihood import likelihood

    model, folder = pictures
    protocol = likelihood(model.folder)
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        x = protocol.read(folder, skip_invalid=False)
    assert x["y"].tolist() == [0] * 12 + [1] * 12
    assert any("under its class" in str(one.message) for one in notes)
    (tmp_path / "pics").mkdir()
    (folder / "dark").rename(tmp_path / "pics" / "dim")
    (folder / "light").rename(tmp_path / "pics" / "light")
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        assert "y" not in protocol.read(tmp_path / "pics", skip_invalid=False)
    assert any("'dim'" in str(one.message) for one in notes)


def test_check_says_what_it_takes(rows):
    x = Batch({"x": torch.zeros(4, 2)})
    with pytest.raises(InputError, match=r"\.model"):
        zsteer.check(rows, x)
    with pytest.raises(InputError, match="example batch"):
        zsteer.check(rows.model, ["a"])
    with pytest.raises(InputError, match="at least 4"):
        zsteer.check(rows.model, x.take(slice(2)))
    with pytest.raises(InputError, match="cannot use the example batch"):
        zsteer.check(rows.model, Batch({"z": torch.zeros(4, 2)}))
