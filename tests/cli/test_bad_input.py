"""Bad input to the command line: one clear line that names file and row and says what to do; nothing half-written.

The reader itself is tested with its domain; here the whole way from the shell to the message is, with the shipped
editor as the model.
"""

import contextlib
import gzip
import hashlib
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
    "too short": ("a.tsv", table(GOOD, "CASSF"), ["a.tsv", "row 3", "8"]),
    "an empty cell": ("a.tsv", table(GOOD, ""), ["a.tsv", "row 3"]),
    "an empty file": ("a.tsv", b"", ["a.tsv", "empty"]),
    "a header alone": ("a.tsv", HEADER, ["a.tsv", "no row"]),
    "a missing column": ("a.tsv", b"id\tpeptide\n1\tGILGFVFTL\n", ["a.tsv", "junction_aa", "peptide", "--column"]),
    "bytes that are no text": ("a.tsv", table(GOOD) + b"r9\t\x81\xff\n", ["a.tsv", "row 3", "UTF-8"]),
    "letters of Latin-1": ("a.tsv", table(GOOD) + b"r9\tCASS\xe9F\n", ["a.tsv", "row 3"]),
    "other chains alone": ("a.csv", b"chain,cdr3\nTRA,CAVNFGGGKLIF\n", ["a.csv", "1 TRA"]),
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


@pytest.mark.filterwarnings("default")
def test_skip_invalid_counts_and_lists(zsteer, tmp_path):
    (tmp_path / "a.tsv").write_bytes(table(GOOD, "CASS-GQAYEQYF", GOOD, "xx"))
    status, printed, lines = zsteer(*steer("a.tsv", "--skip-invalid", "--json"))
    assert (status, len(lines)) == (0, 1)
    assert "2 rows" in lines[0] and "row 3" in lines[0]
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


RUN = ("run/.zsteer", "run/recipe.yaml")
FULL_DISK = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
from zsteer.cli.main import main
sys.exit(main(sys.argv[2:]))
"""
TRAIN = ["train", "tcr-lm", "--size", "xs", "--steps", "4", "--batch", "16", "--data", "synthetic", "--out", "run"]
EVALUATE = ["evaluate", "a.tsv", "--protocol", "tcr", "--toward", f"binds={PEPTIDE}"]


@pytest.mark.parametrize(
    ("room", "words", "hint", "left"),
    [
        (300, steer("a.tsv"), "cannot write designs.tsv", set()),
        (300, ["sample", "tcr-lm", "-n", "50", "--out", "new.fasta.gz"], "cannot write new.fasta.gz", set()),
        (300, [*EVALUATE, "--report", "page.html"], "cannot write page.html", set()),
        (60, TRAIN, "cannot write run", set()),
        (
            50_000,
            TRAIN,
            "cannot write run/checkpoints/step-000000001",
            {"run", "run/checkpoints", "run/.zsteer", "run/recipe.yaml"},
        ),
    ],
    ids=["steer", "sample", "evaluate", "train's recipe", "train's checkpoint"],
)
def test_a_disk_that_refuses_leaves_nothing(tmp_path, room, words, hint, left):
    # A limit on file sizes stands for a full disk: the system refuses the write after some bytes in both cases.
    (tmp_path / "a.tsv").write_bytes(table(*[GOOD] * 20))
    environment = {key: value for key, value in os.environ.items() if key != "ZSTEER_DATA"}
    environment |= {"PYTHONPATH": str(ROOT / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(room), *words],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    # A slow machine shows progress on lines of its own.
    lines = [line for line in done.stderr.strip().splitlines() if not line.startswith(("evaluating", "steering"))]
    refused((done.returncode, done.stdout, lines), hint)
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert found == {"a.tsv"} | left


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def change(folder, edit):
    config = json.loads((folder / "config.json").read_text())
    edit(config)
    (folder / "config.json").write_text(json.dumps(config))


def swap(folder, other):
    """Weights of another model with their right SHA-256: only names and shapes can tell."""
    from zsteer.core import catalog

    shutil.copy(catalog.shipped()[other] / "model.safetensors", folder / "model.safetensors")
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    change(folder, lambda config: config["files"].update({"model.safetensors": digest}))


def shorten(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGES = {
    "weights cut short": lambda folder: shorten(folder / "model.safetensors"),
    "weights missing": lambda folder: (folder / "model.safetensors").unlink(),
    "weights of zero bytes": lambda folder: (folder / "model.safetensors").write_bytes(b""),
    "one bit of the weights flipped": lambda folder: flip(folder / "model.safetensors"),
    "weights of another model": lambda folder: swap(folder, "tcr-lm"),
    "settings cut short": lambda folder: shorten(folder / "config.json"),
    "settings of another thing": lambda folder: (folder / "config.json").write_text('{"a": 1}'),
    "settings not an object": lambda folder: (folder / "config.json").write_text("[1, 2]"),
    "settings not UTF-8": lambda folder: (folder / "config.json").write_bytes(b"\xff{}"),
    "settings missing": lambda folder: (folder / "config.json").unlink(),
    "a setting that does not exist": lambda folder: change(folder, lambda config: config["settings"].update(wdth=3)),
    "a setting of the wrong type": lambda folder: change(folder, lambda config: config["settings"].update(hidden="x")),
    "a kind that does not exist": lambda folder: change(folder, lambda config: config.update(kind="autoregresive")),
    "a format of the future": lambda folder: change(folder, lambda config: config.update(format=99)),
    "a file outside the folder": lambda folder: change(folder, lambda c: c["files"].update({"../x": "0"})),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_artifact_is_refused_by_name(zsteer, tmp_path, damage):
    from zsteer.core import catalog

    shutil.copytree(catalog.resolve(MODEL), tmp_path / "model")
    (tmp_path / "a.tsv").write_bytes(table(GOOD))
    DAMAGES[damage](tmp_path / "model")
    refused(zsteer(*steer("a.tsv", model="./model")), "model")
    assert not (tmp_path / "designs.tsv").exists()


@pytest.mark.filterwarnings("default")
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
    errors = [line for line in lines if not line.startswith("zsteer: note: ")]
    assert len(errors) == (1 if status == 2 else 0), lines
    assert not list(tmp_path.glob(".partial*"))


@pytest.mark.filterwarnings("default")
@hypothesis.settings(max_examples=40, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(
    content=st.one_of(
        st.binary(max_size=200),
        st.binary(max_size=60).map(lambda tail: HEADER + tail),
        st.lists(st.text("ACDEFGHIKLMNPQRSTVWYX-c", max_size=32).map(lambda text: f"C{text}F"), max_size=4).map(
            lambda rows: table(*rows)
        ),
        st.text(alphabet="ACDEFGHIKLMNPQRSTVWYX>\t\r\n", max_size=80).map(str.encode),
    ),
    ending=st.sampled_from([".tsv", ".csv", ".fasta", ".tsv.gz", ".fa.gz"]),
    skip=st.booleans(),
)
def test_any_bytes_are_evaluated_or_refused_in_one_line(zsteer, tmp_path, content, ending, skip):
    path = tmp_path / f"any{ending}"
    path.write_bytes(gzip.compress(content) if ending.endswith("gz") else content)
    words = ["evaluate", path.name, *EVALUATE[2:], "--json", *(["--skip-invalid"] if skip else [])]
    status, printed, lines = zsteer(*words)
    if status == 0:
        json.loads(printed)
        assert all(line.startswith("zsteer: note: ") for line in lines)
    else:
        refused((status, printed, lines), path.name)


@hypothesis.settings(max_examples=40, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(place=st.integers(0, 10**6), byte=st.integers(0, 255))
def test_any_changed_byte_of_the_settings_is_harmless_or_refused(tmp_path, place, byte):
    from zsteer.core import catalog
    from zsteer.core.artifact import read_artifact
    from zsteer.errors import ArtifactError, SettingsError
    from zsteer.models.autoregressive import Autoregressive

    shutil.copytree(catalog.resolve("tcr-lm"), tmp_path / "model", dirs_exist_ok=True)
    path = tmp_path / "model" / "config.json"
    content = bytearray(path.read_bytes())
    content[place % len(content)] = byte
    path.write_bytes(bytes(content))
    with contextlib.suppress(ArtifactError, SettingsError):
        Autoregressive.from_artifact(read_artifact(tmp_path / "model"))


@pytest.mark.parametrize(("name", "content", "hints"), list(BAD_FILES.values()), ids=list(BAD_FILES))
def test_a_bad_file_of_examples_is_refused_alike(zsteer, tmp_path, name, content, hints):
    (tmp_path / "templates.tsv").write_bytes(table(GOOD))
    (tmp_path / name).write_bytes(content)
    refused(
        zsteer("steer", "tcr-dwae", "--input", "templates.tsv", "--toward", f"like={name}", "--out", "b.tsv"), *hints
    )
    assert not (tmp_path / "b.tsv").exists()


def test_conditions_that_do_not_exist(zsteer, tmp_path):
    refused(zsteer("sample", MODEL, "--given", "peptid=YLQPRTFLL"), "peptid")
    refused(zsteer("sample", MODEL, "--given", "peptide=YLQPRTFLI"), "did you mean 'YLQPRTFLL'")
    refused(zsteer("sample", MODEL, "-n", "0"), "at least 1")
    refused(zsteer("sample", MODEL, "-n", "many"), "many")
    refused(zsteer("sample", MODEL, "--given", "temperature=hot"), "--temperature")
    refused(zsteer("sample", "tcr-lm", "--given", f"peptide={PEPTIDE}"), "peptide")
    refused(zsteer("sample", "tcr-oracle"), "neither samples nor steers")
    refused(zsteer("sample", "tcr-lm", "--temperature", "hot"), "hot")
    refused(zsteer("steer", "fashion-guide", "--toward", "brightness=1"), "noisy-classifier")
    refused(zsteer("steer", "tcr-judge", "--toward", f"binds={PEPTIDE}"), "sequence-judge")
    (tmp_path / "new.fasta").write_text("mine")
    refused(zsteer("sample", MODEL, "--out", "new.fasta"), "new.fasta exists", "--overwrite")
    assert (tmp_path / "new.fasta").read_text() == "mine"


def test_a_report_that_exists_is_kept(zsteer, tmp_path):
    (tmp_path / "a.tsv").write_bytes(table(GOOD))
    (tmp_path / "page.html").write_text("mine")
    refused(zsteer(*EVALUATE, "--report", "page.html"), "page.html exists", "--overwrite")
    assert (tmp_path / "page.html").read_text() == "mine"
    assert zsteer(*EVALUATE, "--report", "page.html", "--overwrite")[0] == 0
    assert "<!doctype html>" in (tmp_path / "page.html").read_text()
