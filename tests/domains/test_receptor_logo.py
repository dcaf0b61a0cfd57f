"""Receptors in line by IMGT numbers, and what a logo and a map of edits say of them."""

import math

import pytest

from zsteer.domains.sequences.draw import align
from zsteer.domains.sequences.logo import edit_map, logo, place_of
from zsteer.evaluate.curves import histogram


@pytest.mark.parametrize(
    ("length", "numbers"),
    [
        (15, "104 105 106 107 108 109 110 111 112 113 114 115 116 117 118"),
        (14, "104 105 106 107 108 109 110 112 113 114 115 116 117 118"),
        (11, "104 105 106 107 108 109 114 115 116 117 118"),
        (16, "104 105 106 107 108 109 110 111 112.1 112 113 114 115 116 117 118"),
        (18, "104 105 106 107 108 109 110 111 111.1 112.2 112.1 112 113 114 115 116 117 118"),
    ],
)
def test_residues_have_their_imgt_numbers(length, numbers):
    found = [place_of(k, length) for k in range(length)]
    assert " ".join(f"{a}.{b}" if b else f"{a}" for a, b in found) == numbers


def test_the_height_of_a_column_is_what_it_tells():
    drawn = logo(["CAGF", "CASF"] * 50)
    small = 19 / (2 * 100 * math.log(2))
    heights = dict(zip(drawn.names, drawn.heights, strict=True))
    assert heights["104"]["C"] == pytest.approx(math.log2(20) - small)
    assert heights["117"] == pytest.approx({"G": (math.log2(20) - 1 - small) / 2, "S": (math.log2(20) - 1 - small) / 2})
    # A place that half of them have counts half.
    gaps = logo(["CASGF", "CASF"] * 50)
    assert dict(zip(gaps.names, gaps.heights, strict=True))["106"]["S"] == pytest.approx(
        (math.log2(20) - 19 / (2 * 50 * math.log(2))) / 2
    )
    assert drawn.to_svg().count('class="s"') == 5


def test_edits_stand_where_the_template_has_the_residue():
    texts = [("CASSLF", "CASGLF"), ("CASSLF", "CASLF"), ("CASSLF", "CASSPLF"), ("CASSLF", "CASSLF")]
    lines = [align(a, b) for a, b in texts]
    found = edit_map([(line.before, line.after) for line in lines])
    assert list(found.names) == ["104", "105", "106", "116", "117", "118"]
    changed = dict(zip(found.names, found.changed, strict=True))
    assert sum(changed.values()) == pytest.approx(3 / 4)
    assert changed["104"] == changed["118"] == 0
    assert {title: sum(row) for title, row in found.shares.items()} == {"G": 0.25, "+": 0.25, "\N{MINUS SIGN}": 0.25}
    assert found.shares["G"][3] == 0.25
    assert "G at 116: 25.0% of the designs" in found.to_svg()


def test_a_histogram_holds_shares_of_each_group():
    drawn = histogram({"a": [0.0, 1.0, 1.0, float("nan")], "b": [0.5], "none": []}, across="score", marks={"m": 0.5})
    assert "a (n = 3)" in drawn
    assert "b (n = 1)" in drawn
    assert "none (n" not in drawn
    assert drawn.count("<polyline") == 3
