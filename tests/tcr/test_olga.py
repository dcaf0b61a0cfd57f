"""OLGA is a separate program: here a stand-in with the same interface answers, so that the way there is tested."""

import math
import os
import sys
import textwrap

import pytest

import zsteer
from zsteer.cli.main import main
from zsteer.domains.sequences import files
from zsteer.errors import MissingExtraError, ScoringError
from zsteer.scoring.olga import PROGRAM, log10_generation

SEQUENCES = ["CASSLGQAYEQYF", "CASSIRSSYEQYF", "CASSLGQAYEQYF", "CAWWWWWWWWQYF", "CASSPDIEQYF"]
STAND_IN = """
import sys
words = sys.argv[1:]
assert words[0] == "--humanTRB" and words[1] == "-i" and words[3] == "-o", words
with open(words[2]) as given, open(words[4], "x") as made:
    for line in given:
        sequence = line.strip()
        made.write(sequence + "\\t" + str(0 if "WWW" in sequence else 10.0 ** -len(sequence)) + "\\n")
print("a display that nobody reads")
"""


@pytest.fixture
def olga(tmp_path, monkeypatch):
    """Put a program of the name on the PATH, and give a function that changes what it does."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def install(code):
        path = folder / PROGRAM
        path.write_text(f"#!{sys.executable}\n" + textwrap.dedent(code))
        path.chmod(0o755)

    install(STAND_IN)
    monkeypatch.setenv("PATH", str(folder) + os.pathsep + os.environ["PATH"])
    return install


def test_each_sequence_gets_its_probability_in_order(olga):
    found = log10_generation(SEQUENCES).tolist()
    assert found == [pytest.approx(-13), pytest.approx(-13), pytest.approx(-13), -math.inf, pytest.approx(-11)]


def test_without_the_program_the_way_to_it_is_told(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingExtraError, match=r"run: pip install olga$"):
        log10_generation(SEQUENCES)
    files.write(tmp_path / "a.tsv", SEQUENCES)
    words = ["evaluate", str(tmp_path / "a.tsv"), "--protocol", "tcr", "--toward", "binds=YLQPRTFLL", "--pgen"]
    assert main(words) == 2
    assert capsys.readouterr().err.strip().count("\n") == 0


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import sys; sys.exit('no model here')", "failed with status 1: no model here"),
        ("pass", "failed with status 0"),
        ("import sys; open(sys.argv[5], 'w').write('CASSPDIEQYF\\t1e-9\\n')", "no probability for 3 of 4"),
    ],
)
def test_a_program_that_fails_is_told_in_one_line(olga, code, message):
    olga(code)
    with pytest.raises(ScoringError, match=message) as caught:
        log10_generation(SEQUENCES)
    assert "\n" not in str(caught.value)


def test_the_report_has_a_row_with_its_threshold(olga, tmp_path, capsys):
    files.write(tmp_path / "a.tsv", SEQUENCES)
    words = ["evaluate", str(tmp_path / "a.tsv"), "--protocol", "tcr", "--toward", "binds=YLQPRTFLL"]
    assert main([*words, "--pgen"]) == 0
    shown = capsys.readouterr().out
    row = next(line for line in shown.splitlines() if line.startswith("generation probability above 10^-13.5"))
    assert row.split()[-4] == "0.80"
    assert main(words) == 0
    assert "generation probability" not in capsys.readouterr().out


def test_olga_is_never_imported():
    assert "olga" not in sys.modules
    assert callable(zsteer.evaluate)
