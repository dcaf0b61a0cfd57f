"""Distances and line-ups of sequences against the textbook recursion."""

import math
from functools import cache

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zsteer.domains.sequences import metrics
from zsteer.domains.sequences.draw import align
from zsteer.domains.sequences.space import SequenceSpace
from zsteer.errors import InputError

SPACE = SequenceSpace(min_length=1)
short = st.text("ACDF", min_size=1, max_size=30)


def recursion(a, b):
    """The definition of the Levenshtein distance."""

    @cache
    def distance(i, j):
        if i == 0 or j == 0:
            return i + j
        change = distance(i - 1, j - 1) + (a[i - 1] != b[j - 1])
        return min(distance(i - 1, j) + 1, distance(i, j - 1) + 1, change)

    return distance(len(a), len(b))


def tokens(*items):
    return SPACE.encode(items)["tokens"]


@given(st.lists(short, min_size=1, max_size=6), st.lists(short, min_size=1, max_size=6))
def test_distances_follow_the_recursion(left, right):
    found = metrics.distances(tokens(*left), tokens(*right)).tolist()
    assert found == [[recursion(a, b) for b in right] for a in left]


@given(st.lists(st.tuples(short, short), min_size=1, max_size=6))
def test_edits_are_the_distances_row_by_row(pairs):
    left, right = zip(*pairs, strict=True)
    assert metrics.edits(tokens(*left), tokens(*right)).tolist() == [recursion(a, b) for a, b in pairs]


@given(short, short, short)
def test_distance_is_a_metric(a, b, c):
    d = metrics.distances(tokens(a, b, c), tokens(a, b, c))
    assert torch.equal(d, d.T)
    assert (d.diagonal() == 0).all()
    assert d[0, 2] <= d[0, 1] + d[1, 2]
    assert (d[0, 1] == 0) == (a == b)


@given(short, short)
def test_a_line_up_spells_both_and_has_the_fewest_edits(before, after):
    found = align(before, after)
    assert found.before.replace("-", "") == before
    assert found.after.replace("-", "") == after
    assert len(found.before) == len(found.after)
    assert found.edits == recursion(before, after)


def test_a_line_up_marks_what_changed():
    assert align("CASSLGQAYEQYF", "CASSRGAYEQYF").text() == "CASSLGQAYEQYF\nCASSRG-AYEQYF\n    * -"
    assert align("CASSF", "CATSSF").marks == "  +   "
    assert "<b>L</b>" in align("CASSLF", "CASSRF").to_html()


def test_a_sequence_against_an_empty_one_is_all_edits():
    nothing = torch.full((1, 30), 22)
    assert metrics.edits(nothing, tokens("CASSF")).tolist() == [5]
    assert metrics.edits(tokens("CASSF"), nothing).tolist() == [5]


def test_measures_of_a_set():
    designs = SPACE.encode(["CASSF", "CASSF", "CATTF"])
    known = SPACE.encode(["CATTF", "CASTFF"])
    spread = metrics.spread(designs, known)
    assert spread.distinct == pytest.approx(2 / 3)
    assert spread.diversity == pytest.approx((0 + 2 + 2) / 3)
    assert spread.novelty == pytest.approx((2 + 2 + 0) / 3)
    assert spread.copied == pytest.approx(1 / 3)
    assert math.isnan(metrics.spread(designs).novelty)
    assert metrics.edits_share(tokens("CATTF"), tokens("CASSF")).item() == pytest.approx(0.4)
    assert metrics.nearest_distance(tokens("CASTF"), known["tokens"])[1].tolist() == [0]
    assert metrics.diversity(tokens("CASSF")) == 0.0


def test_what_cannot_be_measured_is_named():
    with pytest.raises(InputError, match="as many"):
        metrics.edits(tokens("CASSF"), tokens("CASSF", "CATTF"))
    with pytest.raises(InputError, match="at least one known"):
        metrics.nearest_distance(tokens("CASSF"), torch.zeros(0, 30, dtype=torch.int64))
