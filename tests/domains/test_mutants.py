"""Mutants of every format that is read: each is read or refused in a clean way, by the mutator of ``tools/fuzz``."""

import json
import struct
from random import Random

import pytest

from fuzz.files import valid_files
from fuzz.mutate import json_mutant, mutant, safetensors_mutant
from fuzz.readers import FORMATS, Outcome, failures, outcomes

FILES = valid_files()
SLOW = ("run",)
"""Formats of which a mutant costs a second."""


@pytest.mark.parametrize("name", [name for name in FILES if name != "recipe"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_file_that_mutants_are_made_of_is_read(tmp_path, name):
    file, content = FILES[name]
    for inner, raw in content.items() if isinstance(content, dict) else [("", content)]:
        path = tmp_path / file / inner if inner else tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
    FORMATS[name](tmp_path / file, Random(1))


@pytest.mark.slow
def test_twenty_mutants_of_each_format_are_read_or_refused(tmp_path):
    quick = [name for name in FORMATS if name not in SLOW]
    found = [*outcomes(quick, 20, keep=tmp_path), *outcomes(SLOW, 3, keep=tmp_path)]
    assert failures(found) == []
    assert {one.outcome for one in found} == {"read", "refused"}
    assert len(found) == 20 * len(quick) + 3 * len(SLOW)


def test_failures_are_told_by_their_kind():
    same = [Outcome("sdf", k, "_cut", "traceback", f"KeyError: {k} at sdf.py:7") for k in (3, 8)]
    other = Outcome("sdf", 9, "_flip", "hang", "more than 20 s")
    lines = failures([Outcome("sdf", 0, "_cut", "read"), *same, other])
    assert len(lines) == 2
    assert "#3" in lines[0] and "2 in all" in lines[0]
    assert "#9" in lines[1]


def test_mutants_follow_from_the_seed_and_differ_from_the_file():
    for file, content in FILES.values():
        made = [mutant(Random(f"1:{k}"), file, content) for k in range(6)]
        assert made == [mutant(Random(f"1:{k}"), file, content) for k in range(6)]
        assert sum(one[1] != content for one in made) >= 3
    raw = json.dumps({"a": {"b": [1, 2]}, "c": "x"}).encode()
    assert any(json_mutant(Random(k), raw) != raw for k in range(6))
    head = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    weights = struct.pack("<Q", len(head)) + head + b"\0" * 8
    assert len({safetensors_mutant(Random(k), weights) for k in range(20)}) > 8
