"""The demo leaves what it promises: designs that others can read, and a page that needs no network."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parent.parent.parent
# Whatever makes a browser fetch something from elsewhere; a link that a reader may click is no fetch.
FETCHES = re.compile(
    r"""(src|srcset|data|poster|action)\s*=\s*["']?(https?:)?//|<link\b|@import|url\(\s*["']?(https?:)?//|<iframe\b
        |\bfetch\(|XMLHttpRequest|<script[^>]+\bsrc\b""",
    re.IGNORECASE | re.VERBOSE,
)
AIRR = {"sequence_id", "sequence", "rev_comp", "productive", "v_call", "j_call", "junction", "junction_aa", "cdr3_aa"}


def zsteer(*words, cwd):
    # Without ZSTEER_DATA: the demo needs nothing but the package.
    environment = {key: value for key, value in os.environ.items() if key != "ZSTEER_DATA"}
    environment |= {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "zsteer.cli.main", *words],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    done = zsteer("demo", "--out", "runs/demo", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, done


def test_it_says_where_things_are_and_what_to_run_next(demo):
    _, done = demo
    for word in ("designs.tsv", "report.html", "zsteer "):
        assert word in done.stdout
    assert "synthetic" in done.stdout + (demo[0] / "runs/demo/report.html").read_text(encoding="utf-8")


def test_designs_are_an_airr_table_that_zsteer_reads_too(demo):
    from zsteer.domains.sequences import files

    path = demo[0] / "runs/demo/designs.tsv"
    header, *rows = path.read_text(encoding="utf-8").splitlines()
    assert set(header.split("\t")) >= AIRR
    table = files.read(path)
    assert len(table) == len(rows) >= 200


def test_the_report_is_self_contained(demo):
    page = (demo[0] / "runs/demo/report.html").read_text(encoding="utf-8")
    assert "</html>" in page.lower()
    assert FETCHES.findall(page) == []


def test_it_does_not_replace_a_result_unasked(demo):
    folder, _ = demo
    before = (folder / "runs/demo/designs.tsv").read_bytes()
    done = zsteer("demo", "--out", "runs/demo", cwd=folder)
    assert done.returncode == 2
    assert "--overwrite" in done.stderr
    assert (folder / "runs/demo/designs.tsv").read_bytes() == before
