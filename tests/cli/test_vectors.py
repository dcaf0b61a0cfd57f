"""The whole way of a user with images or a table: train, sample, ask for a likelihood; and what is refused."""

import contextlib
import json

import numpy as np
import pytest
import torch

from zsteer.core.rng import Streams
from zsteer.core.sample_spec import SampleSpec
from zsteer.domains.images import files
from zsteer.kits.images.likelihood import independent


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A VAE and a WAE of a generated table, and their samples."""
    from zsteer.cli.main import main

    place = tmp_path_factory.mktemp("vectors")
    with contextlib.chdir(place):
        quick = ["--dataset", "ring-8", "--size", "xs", "--steps", "30"]
        assert main(["train", "vae", *quick, "--out", "vae"]) == 0
        assert main(["train", "wae-gan", *quick, "--out", "wae"]) == 0
        assert main(["sample", "vae", "-n", "60", "--out", "rows.csv"]) == 0
    return place


@pytest.fixture
def zsteer(capsys, monkeypatch, folder):
    from zsteer.cli.main import main

    monkeypatch.chdir(folder)
    monkeypatch.delenv("ZSTEER_DATA", raising=False)

    def run(*words):
        capsys.readouterr()
        status = main([str(word) for word in words])
        printed, errors = capsys.readouterr()
        return status, printed, errors.strip().splitlines()

    return run


def refused(result, *hints):
    status, _, lines = result
    assert status == 2
    assert len(lines) == 1, lines
    assert lines[0].startswith("zsteer: error: ")
    for hint in hints:
        assert hint in lines[0], lines[0]


def test_rows_are_printed_under_their_heading(zsteer):
    status, printed, _ = zsteer("sample", "vae", "-n", 3)
    assert status == 0
    assert printed.splitlines()[0] == "x,y"
    assert len(printed.splitlines()) == 4
    _, printed, _ = zsteer("sample", "vae", "-n", 2, "--json")
    assert len(json.loads(printed)["rows"]) == 3


def test_a_likelihood_comes_with_its_error_and_a_floor(zsteer):
    status, printed, _ = zsteer("evaluate", "rows.csv", "--protocol", "likelihood", "--models", "vae", "--json")
    assert status == 0
    table = json.loads(printed)["tables"][0]
    assert [row["model"] for row in table["rows"]] == ["this model", "independent numbers"]
    assert all(row["+-"] > 0 for row in table["rows"])
    assert "k = 500" in " ".join(table["notes"])
    floor = zsteer(
        "evaluate", "rows.csv", "--protocol", "likelihood", "--models", "vae", "--reference", "rows.csv", "--json"
    )
    assert "reference" in " ".join(json.loads(floor[1])["tables"][0]["notes"])


def test_a_model_without_a_likelihood_says_so(zsteer):
    refused(
        zsteer("evaluate", "rows.csv", "--protocol", "likelihood", "--models", "wae"), "no likelihood", "two-sample"
    )
    refused(zsteer("evaluate", "rows.csv", "--protocol", "likelihood"), "--models MODEL")
    refused(zsteer("steer", "wae", "--toward", "x=1", "--by", "edit"), "--input")


def test_a_table_of_ones_own_is_trained_on(zsteer):
    assert zsteer("train", "wae-mmd", "--data", "rows.csv", "--size", "xs", "--steps", 5, "--out", "own")[0] == 0
    assert zsteer("sample", "own", "-n", 4, "--out", "own.npz")[0] == 0
    with np.load("own.npz") as file:
        assert file["x"].shape == (4, 2)


def test_images_of_ones_own_are_trained_on_and_written_as_one_picture(zsteer, folder):
    images = (np.arange(40 * 64).reshape(40, 8, 8) * 37 % 256).astype(np.uint8)
    np.savez(folder / "images.npz", x=images)
    assert zsteer("train", "vae", "--data", "images.npz", "--size", "xs", "--steps", 3, "--out", "pictures")[0] == 0
    assert zsteer("sample", "pictures", "-n", 5, "--out", "grid.png")[0] == 0
    assert (folder / "grid.png").read_bytes().startswith(b"\x89PNG")
    assert "pass --out" in zsteer("sample", "pictures", "-n", 5)[1]
    refused(zsteer("sample", "pictures", "-n", 5, "--out", "a.csv"), "expected .npz, .npy, .png")
    refused(zsteer("evaluate", "rows.csv", "--protocol", "likelihood", "--models", "pictures"), "rows.csv")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("a,b\n" + "1,2\n" * 30, "constant"),
        ("a,b\n" + "1,2\n2,3\n" * 15 + "1,nan\n", "line 32"),
        ("a,b\n1,2\n", "at least 20"),
        ("a,b\n" + "".join(f"{i},word{i}\n" for i in range(60)), "different texts"),
    ],
)
def test_a_table_that_cannot_be_learnt_from_is_one_line(zsteer, folder, text, hint):
    (folder / "bad.csv").write_text(text)
    refused(zsteer("train", "vae", "--data", "bad.csv", "--size", "xs", "--out", "bad"), "bad.csv", hint)
    assert not (folder / "bad").exists()


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["train", "vae", "--out", "new"], "ZSTEER_DATA"),
        (["train", "vae", "--dataset", "fashion", "--out", "new"], "did you mean 'fashion-mnist'"),
        (["train", "vae", "--dataset", "ring-8", "--net", "conv", "--out", "new"], "net=mlp"),
        (
            ["train", "wae-gan", "--dataset", "ring-8", "--weight", "1", "--preset", "official-mnist", "--out", "new"],
            "one",
        ),
        (["train", "image-features", "--dataset", "ring-8", "--out", "new"], "images with classes"),
        (["sample", "vae", "--noise", "maybe"], "noise"),
        (["bench", "classical", "--part", "autoencoders"], "data folder"),
        (["bench", "loop", "--part", "x"], "no parts"),
    ],
)
def test_what_does_not_fit_is_one_line(zsteer, words, hint):
    refused(zsteer(*words), hint)


def test_independent_numbers_are_counted_by_hand():
    train = torch.tensor([[1.0, 0], [1, 1], [1, 0]])
    found = independent(SampleSpec(shape=(2,), values="binary"), train, torch.tensor([[1.0, 1]]))
    assert float(found.exp()) == pytest.approx(4 / 5 * 2 / 5)
    levels = SampleSpec(shape=(1,), values="levels", levels=3)
    found = independent(levels, torch.tensor([[0.0], [2], [2]]), torch.tensor([[2.0]]))
    assert float(found.exp()) == pytest.approx(3 / 6)
    real = independent(SampleSpec(shape=(1,), values="real"), torch.tensor([[-1.0], [1]]), torch.tensor([[0.0]]))
    assert float(real.exp()) == pytest.approx((2 * torch.pi) ** -0.5)


def test_a_folder_with_a_broken_picture_is_trained_on_only_when_asked(zsteer, folder):
    images = Streams.of(0, 24).integers("pixel", 256, (8, 8)).to(torch.uint8).numpy()
    files.write(folder / "photos", images, overwrite=True)
    (folder / "photos" / "00003.png").write_bytes(b"no picture")
    words = ("train", "vae", "--data", "photos", "--steps", 2, "--net", "mlp", "--out", "of-pictures")
    refused(zsteer(*words), "00003.png cannot be read", "--skip-invalid")
    assert not (folder / "of-pictures").exists()
    status, printed, _ = zsteer(*words, "--skip-invalid")
    assert status == 0
    assert "1 pictures: 00003.png cannot be read" in printed
    assert zsteer("sample", "of-pictures", "-n", 3, "--out", "made.gif")[0] == 0
    assert len(files.read(folder / "made.gif").pixels) == 3
