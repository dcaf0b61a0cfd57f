"""docs/extending.md, really done: its blocks are applied to a copy of the source, its commands run, its counts hold."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "extending.md"
FILE = re.compile(r"^`(?P<path>src/[^`]+)`\n\n```(?P<language>py|diff)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
RUN = re.compile(r"^```(?P<language>bash|python)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


def sections():
    """Heading -> text, in the order of the page."""
    _, *parts = re.split(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def apply(tree, section):
    """Write and change the files that a section names; the names."""
    touched = []
    for block in FILE.finditer(section):
        path = tree / block["path"]
        if block["language"] == "py":
            assert not path.exists(), f"{path} is new on the page and exists"
            path.write_text(block["code"], encoding="utf-8")
        else:
            lines = block["code"].splitlines(keepends=True)
            old = "".join(line[1:] for line in lines if line[0] in " -")
            new = "".join(line[1:] for line in lines if line[0] in " +")
            text = path.read_text(encoding="utf-8")
            assert text.count(old) == 1, f"{block['path']} has these lines {text.count(old)} times:\n{old}"
            path.write_text(text.replace(old, new), encoding="utf-8")
        touched.append(block["path"])
    return touched


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the source with every section applied, and the files that each touched."""
    folder = tmp_path_factory.mktemp("extended")
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "examples", folder / "examples")
    return folder, {name: apply(folder, section) for name, section in sections().items()}


def run(tree, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(tree[0] / "src"), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=tree[0], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout


def run_section(tree, name):
    """What each line of a section prints, by line."""
    found = {}
    for block in RUN.finditer(sections()[name]):
        if block["language"] == "python":
            run(tree, "-c", block["code"])
            continue
        for line in block["code"].splitlines():
            found[line] = run(tree, "-m", "zsteer.cli.main", *shlex.split(line)[1:])
    return found


def test_the_page_counts_the_files_right(tree):
    promised = [
        int(row.split("|")[2]) for row in PAGE.read_text(encoding="utf-8").splitlines() if row.startswith("| a ")
    ]
    touched = [len(set(files)) for files in tree[1].values()]
    assert touched == promised
    assert touched[:3] == [3, 1, 2] and touched[4] <= 6


def test_the_rows_declare_what_the_classes_offer(tree):
    """The repository's own tests of the registry, on the extended source."""
    pytest_on(tree, "tests/contract/test_registry.py", "-k", "row_declares or recipe_stands")


def pytest_on(tree, *arguments):
    places = f"pythonpath={ROOT} {tree[0] / 'src'} {ROOT / 'tools'}"
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml"), "-o", places]
    path, *rest = arguments
    out = run(tree, *command, "--rootdir", str(ROOT), str(ROOT / path), *rest)
    assert re.search(r"\d+ passed", out), out


def test_a_model_trains_keeps_the_contracts_and_is_steered(tree):
    out = run_section(tree, "A model")
    moved = next(text for line, text in out.items() if "--by edit" in line)
    assert "wanted x=0.5" in moved and "method" in moved
    assert json.loads((tree[0] / "runs/beta/artifact/config.json").read_text())["kind"] == "beta-vae"
    method(tree)


def method(tree):
    out = run_section(tree, "A method")
    done, page = out.values()
    assert re.search(r"method +anneal", done), done
    assert "anneal: change samples less and less" in page


def reached(text, name):
    return float(re.search(rf"^ +{name} +(-?[\d.]+)", text, re.MULTILINE)[1])


def test_a_property_of_molecules_is_steered_by_name(tree):
    anew, judged, changed = run_section(tree, "A property of molecules").values()
    assert "fsp3" in judged
    assert 0 <= reached(anew, "fsp3") <= 1 and "wanted fsp3=1" in anew
    assert "fsp3-=0.2" in changed and re.search(r"method +search", changed)
    assert "share of carbons that are sp3" in run(tree, "-m", "zsteer.cli.main", "steer", "qm9-edm", "--help")


def test_the_order_of_a_solver_is_measured_and_it_samples(tree):
    pytest_on(tree, "tests/truth/test_diffusion_solvers.py", "-k", "order_of_convergence and midpoint")
    run_section(tree, "A solver")
    assert (tree[0] / "few.png").is_file()
    assert "midpoint" in run(tree, "-m", "zsteer.cli.main", "sample", "fashion-ddpm", "--help")


def test_a_domain_trains_is_sampled_steered_and_searched_in_its_own_letters(tree):
    trained, sampled, guided, searched, page = run_section(tree, "A domain").values()
    del trained, sampled
    made = [line for line in (tree[0] / "rna.fasta").read_text().splitlines() if not line.startswith(">")]
    assert len(made) == 4 and set("".join(made)) <= set("ACGU")
    assert abs(reached(guided, "gc") - 0.8) < 0.1, guided
    assert re.search(r"method +guide", guided) and re.search(r"method +search", searched)
    assert abs(reached(searched, "gc") - 0.5) < 0.06, searched
    assert "share of G and C" in page
    assert not re.search("peptide|receptor|residue|binds", page)
