"""What test_basics leaves: the price of an import, closed pipes, and slips in evaluate."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from zsteer.cli.main import main

ROOT = Path(__file__).resolve().parent.parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
IMPORT_SECONDS = 0.1


def best_of_five(code):
    seconds = []
    for _ in range(5):
        start = os.times()
        subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, check=True)
        end = os.times()
        seconds.append(end.children_user + end.children_system - start.children_user - start.children_system)
    return min(seconds)


def test_import_costs_little_over_nothing():
    # CPU time, the best of five on both sides, so that a busy machine does not fail it.
    assert best_of_five("import zsteer") - best_of_five("pass") <= IMPORT_SECONDS


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["evaluate", "nowhere.tsv", "--protocol", "tcr", "--toward", "binds=YLQPRTFLL"], "nowhere.tsv"),
        (["evaluate", "x.tsv", "--protocol", "tcrr", "--toward", "binds=YLQPRTFLL"], "did you mean 'tcr'?"),
        (["evaluate", "x.tsv", "--protocol", "tcr", "--toward", "binds"], "name=value"),
        (["sample", "no-such-model", "-n", "3"], "no-such-model"),
    ],
)
def test_a_slip_is_one_line_with_the_way_out(words, hint, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("zsteer: error: ")
    assert hint in lines[0]
    assert list(tmp_path.iterdir()) == []


def test_a_closed_pipe_is_quiet():
    done = subprocess.run(  # noqa: S602 - a pipe is what is tested
        f"'{sys.executable}' -m zsteer.cli.main --help | head -n 1",
        shell=True,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.startswith("zsteer: ")
