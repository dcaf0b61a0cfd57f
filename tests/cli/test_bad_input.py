"""Bad input to the command line: one clear line that names file and row and says what to do; nothing half-written.

The reader itself is tested with its domain; here the whole way from the shell to the message is, with the shipped
editor as the model.
"""

import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parent.parent.parent
MODEL = "tcr-editor"
PEPTIDE = "YLQPRTFLL"
GOOD = "CASSLGQAYEQYF"
HEADER = b"sequence_id\tjunction_aa\n"


@pytest.fixture
def zsteer(capsys, monkeypatch, tmp_path):
    """Run the command line in this process, in an empty folder: (exit status, printed, error lines)."""
    from zsteer.cli.main import main

    monkeypatch.chdir(tmp_path)

    def run(*words):
        capsys.readouterr()
        status = main([str(word) for word in words])
        printed, errors = capsys.readouterr()
        return status, printed, errors.strip().splitlines()

    return run


def steer(path, *more, out="designs.tsv", model=MODEL, peptide=PEPTIDE):
    return ["steer", model, "--input", path, "--toward", f"binds={peptide}", "--max-edits", "2", "--out", out, *more]


def refused(result, *hints):
    status, _, lines = result
    assert status == 2
    assert len(lines) == 1, lines
    assert lines[0].startswith("zsteer: error: ")
    for hint in hints:
        assert hint in lines[0], lines[0]


def table(*rows):
    return HEADER + b"".join(b"r%d\t%s\n" % (i, row.encode()) for i, row in enumerate(rows))


BAD_FILES = {
    "a letter that is no amino acid": ("a.tsv", table(GOOD, "CASSLBQAYEQYF"), ["a.tsv", "row 3", "B"]),
    "lower case": ("a.tsv", table(GOOD, GOOD.lower()), ["a.tsv", "row 3"]),
    "a gap": ("a.tsv", table(GOOD, "CASS-GQAYEQYF"), ["a.tsv", "row 3", "-"]),
    "a stop": ("a.tsv", table(GOOD, "CASS*GQAYEQYF"), ["a.tsv", "row 3", "*"]),
    "too long": ("a.tsv", table(GOOD, "C" + "A" * 40 + "F"), ["a.tsv", "row 3", "30"]),
    "too short": ("a.tsv", table(GOOD, "CF"), ["a.tsv", "row 3", "5"]),
    "an empty cell": ("a.tsv", table(GOOD, ""), ["a.tsv", "row 3"]),
    "an empty file": ("a.tsv", b"", ["a.tsv", "empty"]),
    "a header alone": ("a.tsv", HEADER, ["a.tsv", "no row"]),
    "a missing column": ("a.tsv", b"id\tpeptide\n1\tGILGFVFTL\n", ["a.tsv", "junction_aa", "peptide"]),
    "the wrong delimiter": ("a.tsv", table(GOOD).replace(b"\t", b","), ["a.tsv", "commas", ".csv"]),
    "bytes that are not UTF-8": ("a.tsv", table(GOOD) + b"r9\t\xe9\xff\n", ["a.tsv", "row 3", "UTF-8"]),
    "a row with too few columns": ("a.tsv", table(GOOD) + b"alone\n", ["a.tsv", "row 3", "2 columns"]),
    "a truncated gzip file": ("a.tsv.gz", gzip.compress(table(GOOD))[:-9], ["a.tsv.gz", "gzip"]),
    "text called gzip": ("a.tsv.gz", table(GOOD), ["a.tsv.gz", "gzip"]),
    "gzip called text": ("a.tsv", gzip.compress(table(GOOD)), ["a.tsv", ".gz"]),
    "FASTA without a title": ("a.fasta", b"CASSLGQAYEQYF\n", ["a.fasta", "row 1", ">"]),
    "an unknown ending": ("a.xlsx", b"PK", ["a.xlsx", ".tsv"]),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_refused_by_name_and_row(zsteer, tmp_path, case):
    name, content, hints = BAD_FILES[case]
    (tmp_path / name).write_bytes(content)
    refused(zsteer(*steer(name)), *hints)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    "content", [b"\xef\xbb\xbf" + table(GOOD), table(GOOD).replace(b"\n", b"\r\n")], ids=["byte-order mark", "Windows"]
)
def test_harmless_oddities_are_read(zsteer, tmp_path, content):
    (tmp_path / "a.tsv").write_bytes(content)
    status, _, lines = zsteer(*steer("a.tsv"))
    assert (status, lines) == (0, [])
    assert (tmp_path / "designs.tsv").exists()


def test_skip_invalid_counts_and_lists(zsteer, tmp_path):
    (tmp_path / "a.tsv").write_bytes(table(GOOD, "CASS-GQAYEQYF", GOOD, "xx"))
    status, printed, _ = zsteer(*steer("a.tsv", "--skip-invalid", "--json"))
    assert status == 0
    skipped = json.loads(printed)["skipped"]
    assert len(skipped) == 2
    assert "row 3" in skipped[0]
    assert "row 5" in skipped[1]


def test_a_missing_file_and_a_folder(zsteer, tmp_path):
    refused(zsteer(*steer("nowhere.tsv")), "nowhere.tsv", "no such file")
    (tmp_path / "folder.tsv").mkdir()
    refused(zsteer(*steer("folder.tsv")), "folder.tsv", "folder")


def test_an_unknown_peptide_is_answered_with_the_nearest(zsteer, tmp_path):
    (tmp_path / "a.tsv").write_bytes(table(GOOD))
    refused(zsteer(*steer("a.tsv", peptide="YLQPRTFLI")), "YLQPRTFLI", "YLQPRTFLL")
    refused(zsteer(*steer("a.tsv", peptide="ylqprtfll")), "YLQPRTFLL")


def test_an_output_that_exists_is_kept(zsteer, tmp_path):
    (tmp_path / "a.tsv").write_bytes(table(GOOD))
    (tmp_path / "designs.tsv").write_text("mine")
    refused(zsteer(*steer("a.tsv")), "designs.tsv exists", "--overwrite")
    assert (tmp_path / "designs.tsv").read_text() == "mine"
    assert zsteer(*steer("a.tsv", "--overwrite"))[0] == 0
    assert (tmp_path / "designs.tsv").read_text() != "mine"


@pytest.mark.parametrize("out", ["designs.pdf", "a.tsv/designs.tsv"])
def test_an_output_that_cannot_be(zsteer, tmp_path, out):
    (tmp_path / "a.tsv").write_bytes(table(GOOD))
    refused(zsteer(*steer("a.tsv", out=out)), out)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tsv"]


@pytest.mark.parametrize("more", [["--max-edits", "-1"], ["--top", "0"], ["--toward", "binds"], ["--keep", "nose=3"]])
def test_values_out_of_range(zsteer, tmp_path, more):
    (tmp_path / "a.tsv").write_bytes(table(GOOD))
    refused(zsteer("steer", MODEL, "--input", "a.tsv", "--toward", f"binds={PEPTIDE}", "--out", "b.tsv", *more))
    assert not (tmp_path / "b.tsv").exists()


def test_a_disk_that_refuses_leaves_nothing(tmp_path):
    # A limit on file sizes stands for a full disk: the system refuses the write after some bytes in both cases.
    (tmp_path / "a.tsv").write_bytes(table(*[GOOD] * 20))
    script = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300)); "
        f"from zsteer.cli.main import main; sys.exit(main({steer('a.tsv')!r}))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    refused((done.returncode, done.stdout, done.stderr.strip().splitlines()), "cannot write designs.tsv")
    assert [path.name for path in tmp_path.iterdir()] == ["a.tsv"]


def shorten(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGES = {
    "weights cut short": lambda folder: shorten(folder / "model.safetensors"),
    "weights missing": lambda folder: (folder / "model.safetensors").unlink(),
    "weights of zero bytes": lambda folder: (folder / "model.safetensors").write_bytes(b""),
    "settings cut short": lambda folder: shorten(folder / "config.json"),
    "settings of another thing": lambda folder: (folder / "config.json").write_text('{"a": 1}'),
    "settings not an object": lambda folder: (folder / "config.json").write_text("[1, 2]"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_artifact_is_refused_by_name(zsteer, tmp_path, damage):
    from zsteer.core import catalog

    shutil.copytree(catalog.resolve(MODEL), tmp_path / "model")
    (tmp_path / "a.tsv").write_bytes(table(GOOD))
    DAMAGES[damage](tmp_path / "model")
    refused(zsteer(*steer("a.tsv", model="./model")), "model")
    assert not (tmp_path / "designs.tsv").exists()


@pytest.mark.parametrize(
    "text, hint",
    [
        ("name: tcr-dwae\nstepz: 3\n", "did you mean 'steps'?"),
        ("name: tcr-dwea\n", "did you mean 'tcr-dwae'?"),
        ("name: [\n", "recipe.yaml"),
        ("- 1\n", "recipe.yaml"),
        ("name: tcr-dwae\nsteps: many\n", "steps"),
        ("name: tcr-dwae\nsteps: -3\n", "steps"),
    ],
)
def test_a_wrong_recipe_file(zsteer, tmp_path, text, hint):
    (tmp_path / "recipe.yaml").write_text(text)
    refused(zsteer("train", "recipe.yaml", "--out", "run"), hint)
    assert not (tmp_path / "run").exists()


@hypothesis.settings(max_examples=25, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(
    content=st.one_of(
        st.binary(max_size=200),
        st.binary(max_size=60).map(lambda tail: HEADER + tail),
        st.text(alphabet="ACDEFGHIKLMNPQRSTVWYX\t\n", max_size=80).map(lambda text: HEADER + text.encode()),
    ),
    ending=st.sampled_from([".tsv", ".csv", ".fasta", ".tsv.gz"]),
)
def test_any_bytes_are_read_or_refused_in_one_line(zsteer, tmp_path, content, ending):
    path = tmp_path / f"any{ending}"
    path.write_bytes(content)
    status, _, lines = zsteer(*steer(path.name, "--overwrite"))
    assert status in {0, 2}
    assert len(lines) == (1 if status == 2 else 0), lines
    assert not list(tmp_path.glob(".partial*"))
