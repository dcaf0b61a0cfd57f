"""Cells, headings and frames without end: each costs no more than its length, and is told in a line."""

import time

import numpy as np
import pytest

from zsteer.core.numerals import is_number, numbers_of
from zsteer.domains.molecules.files import Reading, read
from zsteer.domains.molecules.smiles import _unique, read_smiles
from zsteer.domains.tables.files import report
from zsteer.errors import InputError

SECONDS = 3
"""Of the processor; each took minutes."""


def quick(work):
    began = time.process_time()
    found = work()
    assert time.process_time() - began < SECONDS
    return found


def test_a_cell_of_digits_is_no_number_for_long():
    endless = "1" * 20_000 + "x"
    assert not quick(lambda: is_number(endless))
    assert quick(lambda: numbers_of([endless, "1.5", "2.5"])).wrong.tolist() == [True, False, False]
    assert is_number("1" * 300)


def test_a_heading_of_many_columns_is_named_in_time():
    assert quick(lambda: _unique(["a", "a", "", "b", "a"])) == ["a", "a.2", "column 3", "b", "a.3"]
    assert len(set(quick(lambda: _unique([""] * 100_000)))) == 100_000
    assert len(set(_unique(["x"] * 1000))) == 1000


def test_a_frame_whose_second_line_has_no_end_is_named(tmp_path):
    frame = "1\n{}\nC 0 0 0\n"
    (tmp_path / "m.xyz").write_text(frame.format("x=" + '"' * 200_000) + frame.format("y=1"))
    with pytest.raises(InputError, match="record 1"):
        quick(lambda: read(tmp_path / "m.xyz", Reading()))


@pytest.mark.parametrize("text", ['"""\n', '""\n""\n'])
def test_quotes_alone_are_no_list(tmp_path, text):
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(InputError) as caught:
        read_smiles(tmp_path / "m.csv")
    assert "\n" not in str(caught.value)


def test_numbers_whose_spread_is_not_finite_are_refused(tmp_path):
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{k}.5,{k % 3}\n" for k in range(20)) + "1e300,1\n")
    with np.errstate(all="ignore"), pytest.raises(InputError, match="'x'"):
        report(tmp_path / "t.csv")
