"""Every block of README and docs runs: python blocks, and the zsteer lines of bash blocks.

A block that cannot run here is preceded by ``<!-- not run: the reason -->``, one that takes long by ``<!-- slow -->``.
Blocks of one page share a folder (and python blocks their names), so a page can be followed from top to bottom.
``make``, ``python bootstrap.py`` and ``pip`` lines are not run; that they name something real is checked.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"(?:<!-- (?P<note>not run: [^>]+|slow) -->\n)?^```(?P<language>bash|python)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
LINK = re.compile(r"\]\((?P<target>[^)#:]+)(?:#[^)]*)?\)")
COMMENT = re.compile(r"\s+#.*$")
COMMANDS = """
import json, sys
from zsteer.cli.main import main
for words in json.loads(sys.argv[1]):
    print("$ zsteer", *words, flush=True)
    if main(words):
        sys.exit(1)
"""
"""The lines of a page, one after the other in one process, which imports torch once."""


def name(page):
    return page.relative_to(ROOT).as_posix()


def blocks(page):
    return list(BLOCK.finditer(page.read_text(encoding="utf-8")))


def pages_to_run():
    for page in PAGES:
        found = [block for block in blocks(page) if not (block["note"] or "").startswith("not run")]
        if any(block["language"] == "python" or "zsteer " in block["code"] for block in found):
            slow = any(block["note"] == "slow" for block in found)
            yield pytest.param(page, id=name(page), marks=pytest.mark.slow if slow else ())


def run(arguments, folder):
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("page", list(pages_to_run()))
def test_page_runs_from_top_to_bottom(page, tmp_path):
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    script, lines = "", []
    for block in blocks(page):
        if (block["note"] or "").startswith("not run"):
            continue
        if block["language"] == "python":
            script += block["code"]
            continue
        own = (line for line in block["code"].splitlines() if line.startswith("zsteer "))
        lines.extend(shlex.split(COMMENT.sub("", line))[1:] for line in own)
    if lines:
        run(["-c", COMMANDS, json.dumps(lines)], tmp_path)
    if script:
        run(["-c", script], tmp_path)


def commands():
    for page in PAGES:
        for block in blocks(page):
            for line in block["code"].splitlines() if block["language"] == "bash" else ():
                yield page, COMMENT.sub("", line).strip()


def test_make_and_bootstrap_commands_exist():
    sys.path.insert(0, str(ROOT))
    import bootstrap

    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for page, line in commands():
        words = line.split()
        if line.startswith("make "):
            assert words[1] in targets, f"{name(page)}: {line}"
        elif line.startswith("python bootstrap.py"):
            assert words[2] in bootstrap.COMMANDS, f"{name(page)}: {line}"
        elif words and not line.startswith(("#", ".venv/bin/")):
            assert words[0] in {"zsteer", "pip"}, f"{name(page)}: a line that nothing checks: {line}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    for match in LINK.finditer(page.read_text(encoding="utf-8")):
        assert (page.parent / match["target"]).exists(), match["target"]


@pytest.mark.parametrize("page", [ROOT / "docs" / "errata.md"], ids=name)
def test_lecture_ids_on_a_page_exist(page):
    from lecture_index import collect

    known = {entry.id for entry in collect(ROOT).entries}
    rows = [line.split("|")[1] for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    named = [word for row in rows for word in re.findall(r"`([^`]+)`", row)]
    assert named
    assert [word for word in named if word not in known] == []
