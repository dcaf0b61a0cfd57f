"""The set-up script: starts under old Pythons, sets up once, and says in one line what is wrong."""

import ast
import io
import sys
from pathlib import Path

import bootstrap
import pytest


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A checkout of nothing, with an installation that only takes note of itself."""
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text("# empty")
    python = tmp_path / ".venv" / "bin" / "python"
    monkeypatch.setattr(bootstrap, "ROOT", str(tmp_path))
    monkeypatch.setattr(bootstrap, "VENV", str(tmp_path / ".venv"))
    monkeypatch.setattr(bootstrap, "PYTHON", str(python))
    calls = []

    def make_venv():
        python.parent.mkdir(parents=True, exist_ok=True)
        python.touch()

    monkeypatch.setattr(bootstrap, "make_venv", make_venv)
    monkeypatch.setattr(bootstrap, "warn_of_cuda_download", lambda: None)
    monkeypatch.setattr(bootstrap, "call", lambda arguments, *_: calls.append(arguments) or [])
    return tmp_path, calls


def test_it_starts_under_old_pythons():
    tree = ast.parse(Path(bootstrap.__file__).read_text(encoding="utf-8"), feature_version=(3, 6))
    imported = {
        alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    assert imported <= sys.stdlib_module_names


def test_set_up_happens_once_for_each_state_of_the_pins(folder):
    path, calls = folder
    bootstrap.install("core")
    bootstrap.install("core")
    assert len(calls) == 1
    assert calls[0][-1] == "."
    (path / "constraints.txt").write_text("torch==2.13.0")
    bootstrap.install("core")
    assert len(calls) == 2


def test_development_tools_are_added_and_then_serve_both(folder):
    _, calls = folder
    bootstrap.install("core")
    bootstrap.install("dev")
    bootstrap.install("core")
    assert [call[-1] for call in calls] == [".", ".[dev]"]


def test_a_broken_installation_leaves_no_stamp(folder, monkeypatch):
    def fail(*_):
        raise bootstrap.Failure("no network")

    monkeypatch.setattr(bootstrap, "call", fail)
    with pytest.raises(bootstrap.Failure):
        bootstrap.install("core")
    assert not bootstrap.ready("core")


def test_a_failure_is_one_line(folder, monkeypatch, capsys):
    def fail(*_):
        raise bootstrap.Failure("no network")

    monkeypatch.setattr(bootstrap, "call", fail)
    assert bootstrap.main(["demo"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "bootstrap: no network"


def test_no_python_that_is_new_enough(monkeypatch, capsys):
    monkeypatch.setattr(sys, "version_info", (3, 8, 10, "final", 0))
    monkeypatch.setattr(bootstrap, "newer_python", lambda: None)
    assert bootstrap.main(["test"]) == 1
    assert "needs Python 3.11 or newer" in capsys.readouterr().out


def test_the_download_of_cuda_is_announced(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(bootstrap.shutil, "which", lambda _: None)
    monkeypatch.setattr(bootstrap.os.path, "exists", lambda _: False)
    monkeypatch.setattr(bootstrap, "pip_settings", lambda: [str(tmp_path)])
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    bootstrap.warn_of_cuda_download()
    said = capsys.readouterr().out
    assert "about 3 GB" in said
    assert "PIP_EXTRA_INDEX_URL" in said
    (tmp_path / "torch-2.13.0+cpu-cp311-none-any.whl").touch()
    bootstrap.warn_of_cuda_download()
    assert capsys.readouterr().out == ""


def test_peers_that_ask_for_much_come_without_it(monkeypatch):
    commands = []
    monkeypatch.setattr(bootstrap, "call", lambda *_: [])
    monkeypatch.setattr(bootstrap.subprocess, "call", lambda command, **_: commands.append(command) or 0)
    bootstrap.install_peers()
    assert commands[0][-1] == str(Path("benchmarks", "peers", "requirements.txt"))
    assert commands[1][-1] == "--no-deps"
    pinned = Path(bootstrap.ROOT, "benchmarks", "peers", "requirements-bare.txt").read_text(encoding="utf-8")
    assert all("==" in line for line in pinned.splitlines() if not line.startswith("#"))
    monkeypatch.setattr(bootstrap.subprocess, "call", lambda *_, **__: 1)
    with pytest.raises(bootstrap.Failure, match="run without them"):
        bootstrap.install_peers()


def test_an_unknown_command_lists_the_known_ones(capsys):
    assert bootstrap.main(["tset"]) == 2
    said = capsys.readouterr().out
    assert all(name in said for name in bootstrap.COMMANDS)
