"""Writing loses nothing: what others put there stays, a half-written thing never appears, one process holds a run."""

import json
import os
import socket
import stat
import subprocess
import sys

import pytest
import torch
from tests.vectors import datum

from zsteer.core.artifact import Artifact, read_artifact, write_artifact
from zsteer.core.files import MARK, machine, new_file, new_folder
from zsteer.errors import ArtifactError, InputError, OutputError
from zsteer.models.autoencoder.vae import VAE, VAESettings
from zsteer.train.run import Checkpoint, Run


def fill(path, *, overwrite=False, names=("00000.png",)):
    with new_folder(path, overwrite=overwrite) as partial:
        for name in names:
            (partial / name).parent.mkdir(exist_ok=True)
            (partial / name).write_text("made")


def dead_process():
    """Number of a process that has ended."""
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def test_a_folder_with_somebody_elses_files_is_not_replaced(tmp_path):
    own = tmp_path / "pictures"
    fill(own, names=("00000.png", "more/00001.png"))
    fill(own, overwrite=True)  # its own files alone: replaced
    assert sorted(path.name for path in own.iterdir()) == [MARK, "00000.png"]
    for name in ("thesis.txt", "00001.png", ".hidden"):
        (own / name).write_text("mine")
        with pytest.raises(OutputError, match=name):
            fill(own, overwrite=True)
        assert (own / name).read_text() == "mine" and (own / "00000.png").exists()
        (own / name).unlink()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "00000.png").write_text("mine")  # a name that zsteer would give, and no list
    with pytest.raises(OutputError, match=r"00000\.png"):
        fill(tmp_path / "mine", overwrite=True)


def test_a_run_is_replaced_and_a_file_put_into_it_is_not(tmp_path):
    folder = tmp_path / "run"
    run = Run.new(folder, {"name": "vae"})
    run.log({"step": 1})
    run.save(Checkpoint({"model": {"w": torch.ones(2)}}, numbers(3)), keep=2)
    write_artifact(run.artifact, Artifact("vae", {}, {"w": torch.ones(2)}))
    Run.new(folder, {"name": "rbm"}, overwrite=True)
    assert Run(folder).recipe() == {"name": "rbm"} and not (folder / "checkpoints").exists()
    (folder / "notes.md").write_text("mine")
    with pytest.raises(OutputError, match=r"notes\.md"):
        Run.new(folder, {"name": "vae"}, overwrite=True)
    assert (folder / "notes.md").read_text() == "mine"


def special(path, kind):
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(path))
    else:
        try:
            os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
        except PermissionError:
            pytest.skip("no permission to make a device node")


@pytest.mark.skipif(os.name != "posix", reason="special files are those of POSIX")
@pytest.mark.parametrize("kind", ["pipe", "socket", "device"])
@pytest.mark.parametrize("write", [new_file, new_folder])
def test_a_special_file_stays_what_it_is(tmp_path, monkeypatch, kind, write):
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    path = tmp_path / "out"
    special("out", kind)
    before = path.stat().st_mode
    with pytest.raises(OutputError, match=kind), write(path, overwrite=True):
        pass
    assert path.stat().st_mode == before and [one.name for one in tmp_path.iterdir()] == ["out"]


def test_a_link_is_followed(tmp_path):
    target, link = tmp_path / "target.csv", tmp_path / "link.csv"
    target.write_text("old")
    link.symlink_to(target)
    with new_file(link, overwrite=True) as partial:
        partial.write_text("new")
    assert link.is_symlink() and target.read_text() == "new"
    fill(tmp_path / "pictures")
    (tmp_path / "same").symlink_to(tmp_path / "pictures")
    fill(tmp_path / "same", overwrite=True, names=("1.png",))
    assert (tmp_path / "same").is_symlink() and (tmp_path / "pictures" / "1.png").exists()
    for write, goal in ((new_file, tmp_path / "pictures"), (new_folder, target)):
        with pytest.raises(OutputError), write(goal, overwrite=True):
            pass


def test_what_a_killed_process_left_is_swept(tmp_path):
    left = [tmp_path / f".partial-{machine()}-{dead_process()}-ab{end}" for end in ("-x.csv", "")]
    left[0].write_text("half")
    left[1].mkdir()
    old = tmp_path / f".partial-elsewhere.000000000000-{dead_process()}-ef-x.csv"  # weeks old, whoever began it
    old.write_text("half")
    os.utime(old, (1e9, 1e9))
    # A process of the same number in another container, whose host may have the same name, is not known to be dead.
    other = f"{machine().partition('.')[0]}.{machine().partition('.')[2][:6]}ffffff"
    kept = [tmp_path / f".partial-{machine()}-{os.getpid()}-cd-y.csv"]
    kept += [tmp_path / f".partial-{other}-{dead_process()}-cd-y.csv"]
    for path in kept:
        path.write_text("half")
    with new_file(tmp_path / "x.csv") as partial:
        partial.write_text("whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*(path.name for path in kept), "x.csv"])


def test_written_files_have_the_permissions_of_new_ones(tmp_path):
    (tmp_path / "plain").write_text("")
    write_artifact(tmp_path / "artifact", Artifact("vae", {}, {"w": torch.ones(2)}))
    wanted = (tmp_path / "plain").stat().st_mode
    assert {path.stat().st_mode for path in (tmp_path / "artifact").iterdir()} == {wanted}


def test_one_process_holds_a_run(tmp_path):
    run = Run.new(tmp_path / "run", {"name": "vae"})
    lock = tmp_path / "run" / ".lock"
    lock.write_text(f"{machine()} {os.getppid()}\n")
    for attempt in (run.check_idle, lambda: Run.new(run.folder, {"name": "rbm"}, overwrite=True), run.hold().__enter__):
        with pytest.raises(OutputError, match=str(os.getppid())):
            attempt()
    assert run.recipe() == {"name": "vae"}
    lock.write_text(f"{machine()} {dead_process()}\n")  # it was killed: the run is free
    before = f"{machine().partition('.')[0]}.ffffff{machine().partition('.')[2][6:]}"
    lock.write_text(f"{before} {os.getppid()}\n")  # of this host before it was started again
    with pytest.raises(OutputError):
        run.check_idle()
    os.utime(lock, (1e9, 1e9))
    with run.hold():
        assert lock.read_text().split()[1] == str(os.getpid())
    assert not lock.exists()


def numbers(step):
    return {"step": step, "retries": 0, "bad_step": -1, "seed": 0}


BREAKS = {
    "flipped": lambda folder: flip(folder / "model.safetensors"),
    "cut": lambda folder: (folder / "model.safetensors").write_bytes(b"\x08"),
    "absent": lambda folder: (folder / "model.safetensors").unlink(),
    "no state": lambda folder: (folder / "state.json").write_text("{}"),
    "a list": lambda folder: (folder / "state.json").write_text("[1]"),
    "negative": lambda folder: edit(folder / "state.json", step=-5),
    "a text": lambda folder: edit(folder / "state.json", step="three"),
    "no text": lambda folder: (folder / "state.json").write_bytes(b"\xff\xfe"),
}


def flip(path):
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(bytes(raw))


def edit(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize("name", BREAKS)
def test_a_damaged_checkpoint_is_passed_over_and_said(tmp_path, name):
    run = Run.new(tmp_path / "run", {"name": "vae"})
    for step in (3, 6):
        run.save(Checkpoint({"model": {"w": torch.full((2,), float(step))}}, numbers(step)), keep=2)
    BREAKS[name](run.folder / "checkpoints" / "step-000000006")
    with pytest.warns(UserWarning, match="step-000000006.*going on from step 3"):
        found = run.newest()
    assert found.state == numbers(3) and found.tensors["model"]["w"].tolist() == [3, 3]
    BREAKS[name](run.folder / "checkpoints" / "step-000000003")
    with pytest.raises(ArtifactError, match="damaged"):
        run.newest()


@pytest.mark.parametrize(
    "text", ["name: vae\nname: rbm\n", "1: 2\n", "[" * 20_000, "a: !!python/object:os.system x\n", "- 1\n", "\x00"]
)
def test_a_recipe_file_is_plain_keys_and_values(tmp_path, text):
    run = Run.new(tmp_path / "run", {"name": "vae"})
    (run.folder / "recipe.yaml").write_text(text)
    with pytest.raises(InputError, match=r"recipe\.yaml"):
        run.recipe()


def test_lines_of_the_log_that_are_damaged_are_dropped(tmp_path):
    run = Run.new(tmp_path / "run", {"name": "vae"})
    (run.folder / "metrics.jsonl").write_bytes(b'{"step": 1}\n\xff\xfe\n[1]\n{"step": "x"}\n{"step": 9}\n{"st')
    run.forget_after(5)
    assert (run.folder / "metrics.jsonl").read_text() == '{"step": 1}\n'


CONFIGS = {
    "no sum of the weights": lambda config: config.update(files={}),
    "a negative format": lambda config: config.update(format=-5),
    "true as format": lambda config: config.update(format=True),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_without_its_sums_is_refused(tmp_path, name):
    write_artifact(tmp_path / "a", Artifact("vae", {}, {"w": torch.ones(2)}))
    path = tmp_path / "a" / "config.json"
    config = json.loads(path.read_text())
    CONFIGS[name](config)
    path.write_text(json.dumps(config))
    with pytest.raises(ArtifactError):
        read_artifact(tmp_path / "a")


def small():
    return VAE(VAESettings(datum=datum("real"), latent=2, hidden=(4,)))


def test_settings_that_the_weights_do_not_have_are_refused_before_memory_is_taken():
    artifact = small().artifact()
    for width in (10**6, 30_000):
        wrong = Artifact(artifact.kind, {**artifact.settings, "hidden": [width, width]}, artifact.tensors)
        with pytest.raises(ArtifactError, match="settings"):
            type(small()).from_artifact(wrong)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(value):
    artifact = small().artifact()
    name = next(name for name, weight in artifact.tensors.items() if weight.is_floating_point())
    artifact.tensors[name].view(-1)[0] = value
    with pytest.raises(ArtifactError, match="not finite"):
        type(small()).from_artifact(artifact)


def test_a_judge_is_no_net_and_is_checked_too():
    from zsteer.core.catalog import shipped
    from zsteer.predictors.binding_judge import SequenceJudge

    artifact = read_artifact(shipped()["tcr-judge"])
    artifact.tensors["logistic-YLQPRTFLL"][3] = float("nan")
    with pytest.raises(ArtifactError, match="logistic-YLQPRTFLL are not finite"):
        SequenceJudge.from_artifact(artifact)
