"""What goals and options say: values, changes, ranges, directions, what is avoided; names are spelt right or named."""

import math

import pytest
import torch

from zsteer.core.batch import Batch
from zsteer.core.goal import Term, parse_terms
from zsteer.core.objective import Objective, Target
from zsteer.core.options import Option, Options
from zsteer.core.property import Property
from zsteer.errors import InputError, SettingsError
from zsteer.kits.common import found_property, numeric_target, own_property

LOGP = Property("logp", spread=0.5, tolerance=0.1)
SHARE = Property("share", low=0.0, high=1.0)


def target(word, value, quantity=LOGP):
    (term,) = parse_terms({word: value})
    return numeric_target(term, quantity)


def gaps(aim, values, start=None):
    def row(x):
        return torch.tensor(x, dtype=torch.float64)

    return aim.gap(row(values), None if start is None else row(start)).tolist()


@pytest.mark.parametrize(
    ("word", "value", "expected"),
    [
        ("logp", "-1", Term("logp", "is", "-1")),
        ("qed+", "0.1", Term("qed", "change", 0.1)),
        ("sas-", 0.5, Term("sas", "change", -0.5)),
        ("qed", "up", Term("qed", "is", "up")),
        ("binds!", "YLQPRTFLL", Term("binds", "avoid", "YLQPRTFLL")),
        ("a-b", "2..3", Term("a-b", "is", "2..3")),
    ],
)
def test_a_wish_is_read_by_the_sign_of_its_relation(word, value, expected):
    assert parse_terms({word: value}) == (expected,)


def test_an_order_of_wishes_is_kept_and_none_is_none():
    assert [term.name for term in parse_terms({"b": 1, "a+": 1, "c": "down"})] == ["b", "a", "c"]
    assert parse_terms({}) == ()


def test_two_targets_of_one_property_are_refused():
    for toward in ({"logp": "1", "logp+": "1"}, {"logp+": "1", "logp-": "1"}):
        with pytest.raises(InputError, match="logp"):
            parse_terms(toward)
    # One peptide may be wanted while another is avoided.
    assert len(parse_terms({"binds": "A", "binds!": "B"})) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2..", (2, math.inf)), ("..3", (-math.inf, 3)), ("-2..3.5", (-2, 3.5)), ("2..2", (2, 2)), ("2", None)],
)
def test_ranges(text, expected):
    assert Term("y", "is", text).interval() == expected


@pytest.mark.parametrize("text", ["..", "a..", "..b", "1..2..3"])
def test_a_range_without_numbers_is_named(text):
    with pytest.raises(InputError, match="y"):
        Term("y", "is", text).interval()


def test_targets_meet_what_was_written():
    assert gaps(target("logp", 2), [1.0, 2.0, 4.0]) == [1.0, 0.0, 2.0]
    assert gaps(target("logp", "2.."), [1.0, 2.0, 4.0]) == [1.0, 0.0, 0.0]
    assert gaps(target("logp", "..2"), [1.0, 2.0, 4.0]) == [0.0, 0.0, 2.0]
    assert gaps(target("logp", "1.5..2.5"), [1.0, 2.0, 4.0]) == [0.5, 0.0, 1.5]
    # A change counts from each start; its sign is that of what was written.
    assert gaps(target("logp+", "1"), [2.0, 2.0], [1.0, 2.0]) == [0.0, 1.0]
    assert gaps(target("logp-", "1"), [0.0, 2.0], [1.0, 2.0]) == [0.0, 1.0]
    # Up: more is nearer. Down: less is.
    assert gaps(target("logp", "up"), [1.0, 2.0]) == [-1.0, -2.0]
    assert gaps(target("logp", "down"), [1.0, 2.0]) == [1.0, 2.0]


@pytest.mark.parametrize(
    ("word", "value", "text"),
    [
        ("logp", "2", "logp=2"),
        ("logp+", "1", "logp+=1"),
        ("logp-", "1", "logp-=1"),
        ("logp", "up", "logp=up"),
        ("logp", "2..", "logp=2.."),
        ("logp", "..3", "logp=..3"),
        ("logp", "2..3", "logp=2..3"),
    ],
)
def test_a_target_is_written_as_it_was_read(word, value, text):
    assert target(word, value).text == text


def test_values_out_of_range_or_no_values_are_named():
    for word, value, quantity in (
        ("share", "1.5", SHARE),
        ("share", "0.5..1.5", SHARE),
        ("share", "nan", SHARE),
        ("logp", "high", LOGP),
        ("logp", "inf", LOGP),
        ("logp", "3..2", LOGP),
        ("logp+", "much", LOGP),
        ("logp!", "2", LOGP),
    ):
        with pytest.raises(InputError, match=quantity.name) as told:
            target(word, value, quantity)
        assert "\n" not in str(told.value)
    with pytest.raises(InputError, match="'logp'"):
        found_property(Term("lopg", "is", 1), {"logp": LOGP, "share": SHARE})


def test_the_score_adds_gaps_in_units_of_the_spread_and_a_direction_beside_them():
    low, high = Property("low", lambda x: x["low"], spread=0.5), Property("high", lambda x: x["high"], spread=2.0)
    both = Objective((Target(low, 1.0, 1.0), Target(high, 4.0, 4.0)), lambda x: x)
    values = {"low": torch.tensor([1.0, 2.5]), "high": torch.tensor([4.0, 12.0])}
    assert both.score(values).tolist() == pytest.approx([0.0, -math.hypot(3, 4)])
    along = Objective((Target(low, 1.0, 1.0), Target(high, sign=1)), lambda x: x)
    assert along.score(values).tolist() == pytest.approx([2.0, 6.0 - 3.0])


def test_names_with_arguments_are_told_apart():
    """What is wanted of one peptide does not hide what is avoided of another."""
    wanted = Property("binds", lambda x: x["a"], argument="A")
    avoided = Property("binds", lambda x: x["b"], argument="B")
    objective = Objective((Target(wanted, sign=1), Target(avoided, sign=-1)), lambda x: x)

    values = objective.values(Batch({"a": torch.tensor([3.0, 1.0]), "b": torch.tensor([1.0, 5.0])}))
    assert objective.score(values).tolist() == [2.0, -4.0]


# ---------------------------------------------------------------------------------------------------------- options

OPTIONS = Options(
    "things",
    ".txt",
    (
        Option("temperature", "given", "number", "how warm", "K", 0.0, 400.0),
        Option("density", "given", "number", "how dense", low=1.0, high=2.0, soft=True),
        Option("atoms", "given", "whole", "how many", low=1.0, high=9.0),
        Option("colour", "given", "choice", "which", choices=("red", "green")),
        Option("max_ring", "given", "whole", "largest ring"),
        Option("ends", "keep", "whole", "at each end", low=0.0),
        Option("length", "keep", "flag", "whether"),
    ),
)


def test_options_are_parsed_into_their_types():
    words = {"temperature": "300", "atoms": "7", "colour": "red", "max-ring": "6"}
    assert OPTIONS.parse("given", words) == {"temperature": 300.0, "atoms": 7, "colour": "red", "max_ring": 6}
    for word, value in (("yes", True), ("True", True), (True, True), ("no", False)):
        assert OPTIONS.parse("keep", {"length": word}) == {"length": value}
    # One value for each sample goes to the model as it is.
    assert OPTIONS.parse("given", {"temperature": [1.0, 2.0]}) == {"temperature": [1.0, 2.0]}


def test_a_name_that_is_misspelt_is_answered_with_the_nearest():
    with pytest.raises(InputError, match="'temperature'"):
        OPTIONS.parse("given", {"temprature": 1})
    with pytest.raises(InputError, match="'red'"):
        OPTIONS.parse("given", {"colour": "rd"})
    with pytest.raises(InputError, match="'ends'"):
        OPTIONS.parse("keep", {"end": 3})
    # Names belong to their place.
    with pytest.raises(InputError, match="ends"):
        OPTIONS.parse("given", {"ends": 3})
    with pytest.raises(InputError, match="length"):
        Options("things", ".txt").parse("keep", {"length": "yes"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 401),
        ("temperature", "-1"),
        ("temperature", "warm"),
        ("temperature", "nan"),
        ("atoms", "0"),
        ("atoms", 10),
        ("atoms", "7.5"),
        ("density", "dense"),
    ],
)
def test_values_that_do_not_fit_are_named(name, value):
    with pytest.raises(InputError, match=name):
        OPTIONS.parse("given", {name: value})


def test_a_soft_range_is_told_and_not_held():
    assert OPTIONS.parse("given", {"density": "7"}) == {"density": 7.0}
    assert "1..2" in OPTIONS.at("given")["density"].line


def test_an_option_is_declared_once_and_replaced_by_a_later_one():
    with pytest.raises(SettingsError, match="x"):
        Options("things", ".txt", (Option("x", "given"), Option("x", "given")))
    assert Options("things", ".txt", (Option("x", "given"), Option("x", "keep"))).at("keep")
    wider = OPTIONS.add([Option("atoms", "given", "whole", low=1.0, high=99.0)])
    assert wider.parse("given", {"atoms": 50}) == {"atoms": 50}


# ------------------------------------------------------------------------------------------------ your own properties


@pytest.mark.parametrize(
    "function",
    [lambda _: 1 / 0, lambda some: ["many"] * len(some), lambda _: [1.0], lambda some: [math.inf] * len(some)],
    ids=["raises", "text", "wrong length", "infinite"],
)
def test_a_property_of_ones_own_that_fails_is_named(function):
    quantity = own_property("lysines", function, list)
    with pytest.raises(InputError, match="lysines") as told:
        quantity.values(["CASSF", "CASKF"], 2)
    assert "\n" not in str(told.value)


def test_a_property_of_ones_own_is_not_asked_for_things_that_are_none():
    asked = []

    def length(some):
        asked.extend(some)
        return [len(one) for one in some]

    quantity = own_property("size", length, lambda things: [None if one == "bad" else one for one in things])
    found = quantity.values(["abc", "bad", "a"], 3)
    assert found[[0, 2]].tolist() == [3.0, 1.0] and math.isnan(found[1])
    assert asked == ["abc", "a"]
    with pytest.raises(SettingsError, match="size"):
        own_property("size", "math:pi", list)
    with pytest.raises(SettingsError, match="nowhere"):
        own_property("size", "nowhere:length", list)
