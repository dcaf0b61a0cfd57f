"""A large file of receptors in blocks: the same designs as at once, parts that go on, nothing left behind."""

import gzip
import json

import pytest

import zsteer
from zsteer.errors import OutputError
from zsteer.kits.sequences import stream
from zsteer.kits.sequences.results import unique

GOAL = {"toward": {"binds": "YLQPRTFLL"}, "max_edits": 2, "rerank": "none"}
OPTIONS = {**GOAL, "skip_invalid": True, "width": 2}


@pytest.fixture(scope="module")
def editor():
    return zsteer.load("tcr-editor", device="cpu")


@pytest.fixture
def repertoire(tmp_path, editor):
    """Thirty receptors with ids that repeat and a row that cannot be used."""
    made = zsteer.sample("tcr-lm", 30, seed=2).items
    rows = [f"clone{k % 20},{text},{k}" for k, text in enumerate(made)]
    path = tmp_path / "in.csv"
    path.write_text("\n".join(["sequence_id,cdr3b,note", *rows[:11], "x,CASS*F,0", *rows[11:]]) + "\n")
    return path


@pytest.fixture
def blocks(monkeypatch):
    """Blocks of eight."""
    monkeypatch.setattr(stream, "BLOCK", 8)


@pytest.mark.parametrize("name", ["out.csv", "out.tsv.gz", "out.fasta"])
@pytest.mark.filterwarnings("default")
def test_blocks_give_what_the_whole_gives(editor, repertoire, tmp_path, blocks, name):
    whole = editor.steer(editor.read(repertoire, skip_invalid=True), **OPTIONS)
    editor.write(tmp_path / f"whole-{name}", whole)
    seen = []
    found = editor.steer_file(repertoire, tmp_path / name, watch=seen.append, **OPTIONS)
    texts = [(tmp_path / each).read_bytes() for each in (name, f"whole-{name}")]
    assert len({gzip.decompress(text) if name.endswith("gz") else text for text in texts}) == 1
    assert [record["step"] for record in seen] == [8, 16, 24, 30]
    for key in ("templates", "distinct", "templates_that_pass", "method", "designs_below_template"):
        assert found.facts[key] == whole.facts[key], key
    for key in ("mean_edits", "design_pass", "judge_pass", "plausible"):
        assert found.facts[key] == pytest.approx(whole.facts[key], abs=1.1e-2), key
    assert len(found) == 30 and "row 13" in found.skipped[0]
    assert not list(tmp_path.glob(".*"))


@pytest.mark.filterwarnings("default")
def test_a_run_that_stopped_goes_on_and_another_is_refused(editor, repertoire, tmp_path, blocks):
    out = tmp_path / "out.csv"

    def stop(record):
        if record["step"] == 16:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        editor.steer_file(repertoire, out, watch=stop, **OPTIONS)
    parts = tmp_path / ".out.csv.parts"
    assert not out.exists() and (parts / "000001.json").is_file()
    with pytest.raises(OutputError, match="another run"):
        editor.steer_file(repertoire, out, **{**OPTIONS, "max_edits": 3})
    seen = []
    editor.steer_file(repertoire, out, watch=seen.append, **OPTIONS)
    assert len(seen) <= 2  # what was done is not done again
    whole = editor.steer(editor.read(repertoire, skip_invalid=True), **OPTIONS)
    editor.write(tmp_path / "whole.csv", whole)
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert not parts.exists()


@pytest.mark.filterwarnings("default")
def test_the_command_line_takes_blocks_for_large_files(repertoire, tmp_path, blocks, monkeypatch, capsys):
    from zsteer.cli.main import main
    from zsteer.kits.sequences import kit

    monkeypatch.setattr(kit, "BLOCK", 8)
    words = ["steer", "tcr-editor", "--input", str(repertoire), "--toward", "binds=YLQPRTFLL", "--rerank", "none"]
    assert main([*words, "--out", str(tmp_path / "o.csv"), "--skip-invalid", "--json", "--width", "2"]) == 0
    printed, errors = capsys.readouterr()
    assert json.loads(printed)["results"] == 30
    assert "1 rows are left out" in errors


def test_names_lead_to_one_thing_each():
    assert unique(["a", "a", "a.2", "", "NA", "b"], 6) == ["a", "a.3", "a.2", "t4", "t5", "b"]
    assert unique(None, 2) == ["t1", "t2"]
    assert len(set(unique(["t2", "", "t2", "x"], 4))) == 4


def test_a_made_repertoire_has_receptors_that_can_be_read(tmp_path, monkeypatch):
    from zsteer.bench.sequences import scale
    from zsteer.domains.sequences import files

    monkeypatch.setattr(scale, "DRAWN", 40)
    made = scale.repertoire(100)
    files.write(tmp_path / "a.tsv.gz", made)
    assert files.read(tmp_path / "a.tsv.gz").sequences == made
    assert sum(a != b for a, b in zip(made[40:80], made[:40], strict=True)) > 30
    assert gzip.decompress((tmp_path / "a.tsv.gz").read_bytes()).count(b"\n") == 101
