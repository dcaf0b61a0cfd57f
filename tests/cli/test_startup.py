"""The command line's first impression: fast help, no torch before it is needed, one line for a slip."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
HELP_SECONDS = 0.3
IMPORT_SECONDS = 0.1


def zsteer(*words, cwd=ROOT, **more):
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1", **more}
    return subprocess.run(
        [sys.executable, "-m", "zsteer.cli.main", *words],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def modules_after(code):
    script = f"import sys\n{code}\nprint(*sorted(m for m in sys.modules if '.' not in m))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


HEAVY = {"lightgbm", "numpy", "pydantic", "rich", "scipy", "torch", "tyro"}


def test_import_loads_nothing():
    assert modules_after("import zsteer") & HEAVY == set()


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["tran"], []])
def test_help_and_slips_load_nothing_heavy(words):
    code = f"from zsteer.cli.main import main\nmain({words!r})"
    assert modules_after(code) & HEAVY == set()


@pytest.mark.parametrize("words", [["recipes"], ["train", "tcr-dwea", "--out", "x"], ["train", "--help"]])
def test_recipes_and_their_slips_never_import_torch(words):
    code = f"from zsteer.cli.main import main\ntry:\n    main({words!r})\nexcept SystemExit:\n    pass"
    assert "torch" not in modules_after(code)


def best_of(times, code):
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


@pytest.mark.slow
def test_help_and_import_are_fast():
    # Measured over a bare interpreter, best of five, so that a busy machine does not fail it.
    bare = best_of(5, "pass")
    assert best_of(5, "import zsteer") - bare <= IMPORT_SECONDS
    assert best_of(5, "from zsteer.cli.main import main; main(['--help'])") <= HELP_SECONDS + bare


@pytest.mark.parametrize(
    "words, hint",
    [
        (["tran"], "did you mean 'train'?"),
        (["train", "tcr-dwea", "--out", "x"], "did you mean 'tcr-dwae'?"),
        (["train", "tcr-dwae", "--otu", "x"], "did you mean '--out'?"),
        (["train", "tcr-dwae", "--size", "xxl", "--out", "x"], "size"),
        (["train", "tcr-dwae", "--steps", "many", "--out", "x"], "steps"),
        (["train"], "--resume"),
        (["train", "--resume", "no-such-run"], "no-such-run"),
        (["steer", "no-such-model", "--input", "a.tsv", "--toward", "binds=X", "--out", "b.tsv"], "no-such-model"),
        (["sample", "no-such-model", "-n", "3", "--out", "b.tsv"], "no-such-model"),
        (["evaluate", "no-such-file.tsv", "--protocol", "tcr", "--toward", "binds=YLQPRTFLL"], "no-such-file.tsv"),
        (["evaluate", "x.tsv", "--protocol", "tcrr", "--toward", "binds=YLQPRTFLL"], "did you mean 'tcr'?"),
        (["bench", "tcrs"], "tcr"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_slip_is_one_line_with_the_way_out(words, hint, tmp_path):
    done = zsteer(*words, cwd=tmp_path)
    assert done.returncode == 2
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("zsteer: error: ")
    assert hint in lines[0]
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_the_traceback(tmp_path):
    done = zsteer("--debug", "train", "tcr-dwea", "--out", "x", cwd=tmp_path)
    assert done.returncode != 0
    assert "Traceback" in done.stderr


def test_a_closed_pipe_is_quiet():
    done = subprocess.run(  # noqa: S602 - a pipe is what is tested
        f"'{sys.executable}' -m zsteer.cli.main --help | head -n 1",
        shell=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.startswith("zsteer: ")
