"""Training from the command line, end to end on synthetic data: what is left, what is kept, and what a kill costs."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parent.parent.parent
# Without ZSTEER_DATA: synthetic data need nothing but the package.
ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "ZSTEER_DATA"}
ENVIRONMENT |= {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
DWAE = ["train", "tcr-dwae", "--size", "xs", "--steps", "12", "--data", "synthetic", "--device", "cpu"]
LM = ["train", "tcr-lm", "--size", "xs", "--steps", "12", "--data", "synthetic", "--device", "cpu"]


def start(folder, *words):
    return subprocess.Popen(
        [sys.executable, "-m", "zsteer.cli.main", *words],
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def zsteer(folder, *words):
    process = start(folder, *words)
    out, err = process.communicate(timeout=280)
    return process.returncode, out, err


def weights(run):
    return (run / "artifact" / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small language model, trained once from a recipe file; the folder, and what was printed."""
    folder = tmp_path_factory.mktemp("train")
    (folder / "my.yaml").write_text("name: tcr-lm\nsize: xs\nsteps: 12\nbatch: 64\nseed: 3\n")
    code, out, err = zsteer(folder, "train", "my.yaml", "--data", "synthetic", "--device", "cpu", "--out", "run")
    assert code == 0, err
    return folder, out


def test_a_recipe_file_leaves_a_run_folder(trained):
    import yaml

    folder, out = trained
    run = folder / "run"
    assert "model: run/artifact" in out
    assert sorted(path.name for path in run.iterdir()) == [
        ".zsteer",
        "artifact",
        "checkpoints",
        "metrics.jsonl",
        "recipe.yaml",
    ]
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    expected = {"name": "tcr-lm", "size": "xs", "steps": 12, "batch": 64, "seed": 3, "data": "synthetic"}
    assert {key: recipe[key] for key in expected} == expected
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert records[-1]["step"] == 12
    assert all(isinstance(value, int | float) for value in records[-1].values())
    newest = max((run / "checkpoints").iterdir())
    assert newest.name == "step-000000012"
    assert {"model.safetensors", "state.json"} <= {path.name for path in newest.iterdir()}
    assert not list(folder.rglob(".partial-*"))


def test_the_card_is_filled_in(trained):
    card = (trained[0] / "run" / "artifact" / "README.md").read_text()
    assert "More Information Needed" not in card
    for part in ("# tcr-lm", "zsteer train tcr-lm", "--steps 12", "## Data", "synthetic", "## Metrics", "## Limits"):
        assert part in card


def test_the_trained_model_is_used_by_its_folder(trained):
    folder, _ = trained
    code, out, err = zsteer(folder, "sample", "run", "-n", "3", "--device", "cpu")
    assert code == 0, err
    assert len(out.split()) == 3


def test_a_run_is_not_replaced_unasked(trained):
    folder, _ = trained
    before = weights(folder / "run")
    code, _, err = zsteer(folder, *LM, "--out", "run")
    assert code == 2
    assert err.strip().splitlines() == ["zsteer: error: run exists; choose another name or pass --overwrite"]
    assert weights(folder / "run") == before


def test_overwrite_replaces_a_run_and_nothing_else(tmp_path, capsys, monkeypatch):
    from zsteer.cli.main import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("years of work")
    assert main([*LM, "--out", "precious", "--overwrite"]) == 2
    assert "thesis.txt" in capsys.readouterr().err
    assert (tmp_path / "precious" / "thesis.txt").read_text() == "years of work"
    (tmp_path / "file").write_text("x")
    assert main([*LM, "--out", "file", "--overwrite"]) == 2
    assert (tmp_path / "file").read_text() == "x"


def test_a_finished_run_resumed_stays_as_it_is(trained):
    folder, _ = trained
    before = weights(folder / "run")
    code, out, err = zsteer(folder, "train", "--resume", "run", "--device", "cpu")
    assert code == 0, err
    assert "model: run/artifact" in out
    assert weights(folder / "run") == before


@pytest.mark.slow
def test_a_finished_run_whose_recipe_was_edited_to_more_steps_goes_on(trained, tmp_path):
    shutil.copytree(trained[0] / "run", tmp_path / "run")
    recipe = tmp_path / "run" / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("steps: 12", "steps: 14"))
    code, _, err = zsteer(tmp_path, "train", "--resume", "run", "--device", "cpu")
    assert code == 0, err
    assert max((tmp_path / "run" / "checkpoints").iterdir()).name == "step-000000014"
    assert "--steps 14" in (tmp_path / "run" / "artifact" / "README.md").read_text()
    assert weights(tmp_path / "run") != weights(trained[0] / "run")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["train", "--resume", "nowhere"], "nowhere is not a run"),
        ([*LM[:-4], "--data", "no/such/folder", "--out", "a"], "no/such/folder"),
        ([*LM[:-4], "--out", "a"], "ZSTEER_DATA"),
        ([*LM, "--out", "a", "--device", "gpu9"], "unknown device 'gpu9'"),
        ([*LM, "--out", "a", "--steps", "0"], "steps"),
        ([*LM, "--out", "a", "--lr", "-1"], "lr"),
        ([*LM, "--resume", "a"], "leave the recipe away"),
    ],
)
def test_what_cannot_be_trained_is_one_line(tmp_path, monkeypatch, capsys, words, hint):
    from zsteer.cli.main import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ZSTEER_DATA", raising=False)
    assert main(words) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert hint in lines[0]
    assert list(tmp_path.iterdir()) == []


def test_a_run_cut_before_its_first_checkpoint_says_so(tmp_path, capsys, monkeypatch):
    from zsteer.cli.main import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.yaml").write_text("name: tcr-lm\nstesp: 3\n")
    assert main(["train", "--resume", "run"]) == 2
    assert "did you mean 'steps'?" in capsys.readouterr().err
    assert main(["sample", "run"]) == 2
    assert "go on with: zsteer train --resume run" in capsys.readouterr().err


@pytest.mark.slow
def test_the_disentangled_model_killed_and_resumed_is_the_unbroken_one(tmp_path):
    code, _, err = zsteer(tmp_path, *DWAE, "--out", "whole")
    assert code == 0, err
    process = start(tmp_path, *DWAE, "--out", "cut")
    deadline = time.monotonic() + 120
    while not list((tmp_path / "cut").glob("checkpoints/step-*/state.json")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "cut" / "artifact").exists()
    assert list((tmp_path / "cut").glob("checkpoints/step-*"))

    code, _, err = zsteer(tmp_path, "train", "--resume", "cut", "--device", "cpu")
    assert code == 0, err
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
    records = {
        name: [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("cut", "whole")
    }
    for run in records.values():
        assert all(record.pop("steps_per_second") > 0 for record in run)
    assert records["cut"] == records["whole"]
    configs = [json.loads((tmp_path / name / "artifact" / "config.json").read_text()) for name in ("cut", "whole")]
    assert configs[0] == configs[1]


@pytest.mark.slow
def test_two_processes_train_what_one_does(tmp_path):
    for processes in ("1", "2"):
        code, _, err = zsteer(tmp_path, *LM, "--devices", processes, "--out", f"run{processes}")
        assert code == 0, err
    one, two = (load_file(tmp_path / f"run{n}" / "artifact" / "model.safetensors") for n in (1, 2))
    assert one.keys() == two.keys()
    for name, value in one.items():
        # Float32 sums in another order; the floor is a quantile of log-probabilities of order 50, so it is relative.
        scale = max(1.0, float(value.abs().max()))
        assert float((value - two[name]).abs().max()) <= 1e-5 * scale, name
    code, _, err = zsteer(tmp_path, *LM, "--devices", "2", "--out", "run1")
    assert code == 2
    assert err.strip().splitlines() == ["zsteer: error: run1 exists; choose another name or pass --overwrite"]
