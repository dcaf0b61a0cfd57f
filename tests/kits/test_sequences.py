"""Steering sequences through the front door: which method is taken, what it holds, and what is refused and why."""

import math

import pytest

import zsteer
from zsteer.domains.sequences.measures import charge_of, hydropathy_of
from zsteer.domains.sequences.space import SequenceSpace
from zsteer.errors import CapabilityError, InputError, SettingsError
from zsteer.kits import front
from zsteer.kits.sequences.companions import Family

PEPTIDE, OTHER = "YLQPRTFLL", "GLCTLVAML"
STARTS = ["CASSLGQAYEQYF", "CASSPVTGGIYGYTF", "CASSIRSSYEQYF", "CASRPGLAGGRPEQYF", "CASSQDRGNTEAFF", "CAWSVGQGTEAFF"]


@pytest.fixture(scope="module")
def language():
    return zsteer.load("tcr-lm", device="cpu")


@pytest.fixture(scope="module")
def editor():
    return zsteer.load("tcr-editor", device="cpu")


@pytest.fixture(scope="module")
def autoencoder():
    return zsteer.load("tcr-dwae", device="cpu")


def lysines(sequences):
    return [text.count("K") for text in sequences]


class Recorder:
    """Counts lysines, and remembers everything that was measured."""

    def __init__(self):
        self.seen = []

    def __call__(self, sequences):
        self.seen.extend(sequences)
        return lysines(sequences)


def logits(sequences, peptide):
    return Family().oracle.binds(peptide)(SequenceSpace().encode(sequences)).mean.tolist()


# ------------------------------------------------------------------------------------------- what methods reach


@pytest.mark.parametrize("algorithm", ["greedy", "genetic"])
def test_a_change_of_the_charge_is_reached_by_most(language, algorithm):
    found = language.steer(STARTS, toward={"charge+": 1}, max_edits=2, max_calls=400, by="search", algorithm=algorithm)
    gained = (charge_of(found.items) - charge_of(STARTS)).tolist()
    assert sum(abs(gain - 1) <= 0.5 for gain in gained) > len(STARTS) / 2
    assert found.facts["method"] == "search"
    # The table says what came out, beside each start.
    assert [float(value) for value in found.columns["charge"]] == charge_of(found.items).tolist()
    assert [float(value) for value in found.columns["start_charge"]] == charge_of(STARTS).tolist()
    assert found.columns["wanted_charge"] == ["charge+=1"] * len(STARTS)
    lowered = language.steer(STARTS, toward={"charge-": 1}, max_edits=2, max_calls=400, by="search")
    assert float((charge_of(lowered.items) - charge_of(STARTS)).mean()) < -0.5


def test_ranges_and_directions_are_reached(language):
    def reached(wanted, **options):
        return charge_of(language.steer(STARTS, toward={"charge": wanted}, max_edits=2, **options).items).tolist()

    assert all(value >= 1 for value in reached("1.."))
    assert all(value <= -1 for value in reached("..-1"))
    before = charge_of(STARTS).tolist()
    # Two edits raise the charge by two or, where acids are replaced, by four.
    assert all(2 <= after - now <= 4 for after, now in zip(reached("up"), before, strict=True))
    assert all(2 <= now - after <= 4 for after, now in zip(reached("down"), before, strict=True))


def test_a_held_property_stays_under_search(language):
    goal = {"toward": {"hydropathy+": 0.5}, "max_edits": 3, "max_calls": 600}
    held = language.steer(STARTS, keep={"charge": True}, by="search", **goal)
    free = language.steer(STARTS, by="search", **goal)
    for found in (held, free):
        assert float((hydropathy_of(found.items) - hydropathy_of(STARTS)).mean()) > 0.3
    assert charge_of(held.items).tolist() == charge_of(STARTS).tolist()
    assert held.facts["kept"] == "charge"


def test_the_rest_stays_but_for_what_is_freed(language):
    goal = {"toward": {"charge": 2}, "keep": {"rest": True}, "free": ["length"], "max_edits": 3, "max_calls": 400}
    found = language.steer(STARTS, **goal)
    assert found.facts["kept"] == "hydropathy"
    assert float((hydropathy_of(found.items) - hydropathy_of(STARTS)).abs().mean()) < 0.2


def test_a_held_property_stays_under_an_edit_of_the_code(autoencoder):
    goal = {"toward": {"hydropathy+": 0.5}, "by": "edit"}
    free, held = (
        charge_of(autoencoder.steer(STARTS, keep=keep, **goal).items) - charge_of(STARTS)
        for keep in ({}, {"charge": True})
    )
    # A code decodes to what it can: held means no further away on average, not to the letter.
    assert float(held.abs().mean()) <= float(free.abs().mean()) + 0.5


@pytest.mark.parametrize("algorithm", ["greedy", "genetic", "tree", "random"])
def test_ends_and_length_are_never_broken_by_a_search(language, algorithm):
    wanted = Recorder()
    found = language.steer(
        STARTS,
        toward={"lysines": 3},
        keep={"ends": 3, "length": "yes"},
        max_edits=3,
        max_calls=40,
        top=3,
        properties={"lysines": wanted},
        by="search",
        algorithm=algorithm,
        rounds=4,
    )
    allowed = {(start[:3], start[-3:], len(start)) for start in STARTS}
    # Not only what comes out: nothing that breaks the constraint is ever measured.
    assert {(text[:3], text[-3:], len(text)) for text in wanted.seen} <= allowed
    for template, text in zip(found.columns["template"], found.items, strict=True):
        assert (text[:3], text[-3:], len(text)) == (template[:3], template[-3:], len(template))
        assert sum(a != b for a, b in zip(text, template, strict=True)) <= 3
    assert found.facts["kept"] == "ends=3 length=yes"


def test_a_property_of_ones_own_is_steered_by_search(language):
    found = language.steer(STARTS, toward={"lysines": 3}, max_edits=4, properties={"lysines": lysines})
    assert lysines(found.items) == [3] * len(STARTS)
    assert [float(value) for value in found.columns["lysines"]] == [3.0] * len(STARTS)
    assert found.facts["method"] == "search"
    new = language.steer(toward={"lysines": "2.."}, number=4, by="rerank", properties={"lysines": lysines})
    assert len(new) == 4 and "template" not in new.columns
    # Of 16 draws for each wanted sample, the best are kept.
    plain = language.sample(4)
    assert sum(lysines(new.items)) >= sum(lysines(plain.items))


def test_binding_is_lowered_where_a_peptide_is_avoided(language, editor):
    goal = {"max_edits": 1, "max_calls": 100}
    found = language.steer(STARTS[:3], toward={"binds!": PEPTIDE}, by="search", **goal)
    assert all(a < b for a, b in zip(logits(found.items, PEPTIDE), logits(STARTS[:3], PEPTIDE), strict=True))
    # An editor goes towards a peptide only, so a search is taken where one is avoided.
    assert editor.steer(STARTS[:3], toward={"binds!": PEPTIDE}, **goal).items == found.items


def test_one_peptide_is_bound_while_another_is_avoided(language):
    toward = {"binds": PEPTIDE, "binds!": OTHER}
    found = language.steer(STARTS[:3], toward=toward, max_edits=2, max_calls=300, force=True)
    gain = [sum(logits(found.items, peptide)) - sum(logits(STARTS[:3], peptide)) for peptide in (PEPTIDE, OTHER)]
    # Each counts: what is wanted grows further than what is avoided, which a goal of one alone would not see.
    assert gain[0] - gain[1] > 0
    assert gain[0] > 0 or gain[1] < 0


def test_the_method_follows_from_the_model_and_the_goal(editor, autoencoder, language):
    assert editor.steer(STARTS[:2], toward={"binds": PEPTIDE}, max_edits=1).facts["method"] == "guide"
    assert autoencoder.steer(STARTS[:2], toward={"binds": PEPTIDE}, max_edits=1).facts["method"] == "edit"
    assert language.steer(STARTS[:2], toward={"charge": 1}, max_edits=1).facts["method"] == "search"
    reasons = front.reasons(language._subject(), {"charge": 1})
    assert reasons["search"] == reasons["rerank"] == ""
    assert reasons["guide"] and reasons["edit"]


def test_the_same_seed_gives_the_same_and_a_start_alone_what_it_gives_among_others(language):
    goal = {"toward": {"charge": 2}, "max_edits": 3, "by": "search", "algorithm": "genetic", "max_calls": 60}
    whole = language.steer(STARTS, seed=4, **goal)
    assert language.steer(STARTS, seed=4, **goal).items == whole.items
    assert language.steer(STARTS[:1], seed=4, **goal).items == whole.items[:1]


# ------------------------------------------------------------------------------------------------- what is refused


def test_a_keep_that_the_domain_lacks_is_answered_with_the_nearest(language):
    for keep, near in (({"end": 3}, "'ends'"), ({"scaffold": "murcko"}, "scaffold"), ({"chrge": True}, "'charge'")):
        with pytest.raises(SettingsError, match=near):
            language.steer(STARTS, toward={"hydropathy": 0}, keep=keep)
    with pytest.raises(InputError, match="charge"):
        language.steer(STARTS, toward={"charge": 1}, keep={"charge": True})
    with pytest.raises(InputError, match="charge"):
        language.steer(STARTS, toward={"hydropathy": 1}, keep={"charge": 3})
    with pytest.raises(SettingsError, match="rest"):
        language.steer(STARTS, toward={"hydropathy": 0}, free=["charge"])


def test_options_that_contradict_are_named_with_their_owner(language, editor, autoencoder):
    with pytest.raises(SettingsError, match=r"--pool.*search"):
        editor.steer(STARTS, toward={"binds": PEPTIDE}, by="search", pool=10)
    with pytest.raises(SettingsError, match=r"--rounds.*guide"):
        editor.steer(STARTS, toward={"binds": PEPTIDE}, rounds=3)
    with pytest.raises(SettingsError, match=r"--z-from.*edit.*guide"):
        editor.steer(STARTS, toward={"binds": PEPTIDE}, z_from="mean")


def test_an_option_that_does_not_exist_is_answered_with_the_nearest(editor, language):
    with pytest.raises(SettingsError, match="'pool'"):
        editor.steer(STARTS, toward={"binds": PEPTIDE}, pol=10)
    with pytest.raises(SettingsError, match="'search'"):
        language.steer(STARTS, toward={"charge": 1}, by="serch")
    with pytest.raises(SettingsError, match="'max_retries'"):
        language.sample(2, max_retry=3)
    with pytest.raises(SettingsError, match="algorithm"):
        language.steer(STARTS, toward={"charge": 1}, algorithm="fast")
    with pytest.raises(InputError, match="'hydropathy'"):
        language.steer(STARTS, toward={"hydropaty": 1})


def test_a_method_that_does_not_fit_is_named_with_its_reason(editor, language, autoencoder):
    with pytest.raises(CapabilityError, match=r"guide.*binds=PEPTIDE"):
        editor.steer(STARTS, toward={"charge": 1}, by="guide")
    with pytest.raises(CapabilityError, match=r"edit.*code"):
        language.steer(STARTS, toward={"charge": 1}, by="edit")
    with pytest.raises(CapabilityError, match=r"edit.*ends=3"):
        autoencoder.steer(STARTS, toward={"charge": 1}, keep={"ends": 3}, by="edit")
    # Without a method every one says why not.
    with pytest.raises(CapabilityError, match=r"(?s)guide.*edit.*search.*rerank"):
        language.steer(STARTS, toward={"charge": 1}, keep={"rest": True})


def test_a_change_needs_a_start(language):
    with pytest.raises((CapabilityError, InputError), match="start"):
        language.steer(toward={"charge+": 1}, by="rerank")
    # A search draws its own.
    found = language.steer(toward={"charge+": 1}, number=2, max_calls=200, by="search")
    assert len(found) == 2


@pytest.mark.parametrize("by", ["search", "rerank"])
@pytest.mark.parametrize(
    "function",
    [
        lambda _: 1 / 0,
        lambda sequences: ["many"] * len(sequences),
        lambda _: "many",
        lambda sequences: [math.nan] * len(sequences),
        lambda _: [1.0],
        lambda _: None,
    ],
    ids=["raises", "texts", "text", "nan", "wrong length", "nothing"],
)
def test_a_property_of_ones_own_that_fails_is_named(language, function, by):
    with pytest.raises(InputError, match="lysines") as told:
        language.steer(STARTS, toward={"lysines": 3}, by=by, properties={"lysines": function})
    assert "\n" not in str(told.value)


def test_a_property_of_ones_own_that_is_no_function_is_named(language):
    with pytest.raises(SettingsError, match="nowhere"):
        language.steer(STARTS, toward={"lysines": 3}, properties={"lysines": "nowhere:lysines"})
