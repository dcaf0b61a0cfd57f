"""Searches on landscapes with a known optimum, within their budgets."""

from dataclasses import replace

import pytest
import torch

from zsteer.core.batch import Batch
from zsteer.core.goal import Budget, Goal
from zsteer.core.protocols import Belief, Steer
from zsteer.core.rng import Streams
from zsteer.domains.sequences.metrics import edits
from zsteer.domains.sequences.space import SequenceSpace
from zsteer.errors import InputError, SettingsError
from zsteer.scoring.belief import PlainOracle
from zsteer.steer.search.genetic import Genetic
from zsteer.steer.search.greedy import Greedy
from zsteer.steer.search.mcts import TreeSearch
from zsteer.steer.search.random import CopyNearest, Original, RandomChange
from zsteer.steer.search.sequences import EditSearch

SPACE = SequenceSpace()
TARGET = "CASSRWHQKDEQYF"
STARTS = ("CASSLGGAYNEQYF", "CASSPTAAYGGYTF", "CASSLGQGNTEAFF")


def agreement(x):
    """Residues in common with the target, place by place: every step towards it is worth one."""
    target = SPACE.encode([TARGET])["tokens"][0]
    return ((x["tokens"] == target) & (x["tokens"] < 20)).sum(1).float()


def searches():
    oracle = PlainOracle(agreement)
    return {
        "random": EditSearch(oracle, RandomChange(tries=40)),
        "greedy": EditSearch(oracle, Greedy()),
        "core": EditSearch(oracle, Greedy(), ends=3),
        "genetic": EditSearch(oracle, Genetic(population=12, generations=6)),
        "tree": EditSearch(oracle, TreeSearch(steps=60)),
    }


def run(search, starts=STARTS, *, goal=None, budget=None, seed=0):
    x = SPACE.encode(starts)
    return search(x, goal or Goal(), budget or Budget(), Streams.of(seed, len(starts)))


@pytest.mark.parametrize("name", searches())
def test_budgets_and_ends_are_kept(name, seed):
    search = searches()[name]
    assert isinstance(search, Steer)
    goal, budget = Goal(keep={"ends": 3}), Budget(calls=50, edits=3, top=4)
    trail = run(search, goal=goal, budget=budget, seed=seed)
    assert trail.calls <= 50 * len(STARTS)
    designs = SPACE.decode(trail.batch)
    for design, origin in zip(designs, trail.origin.tolist(), strict=True):
        template = STARTS[origin]
        assert (design[:3], design[-3:], len(design)) == (template[:3], template[-3:], len(template))
        assert sum(a != b for a, b in zip(design, template, strict=True)) <= 3
    for origin in range(len(STARTS)):
        mine = trail.scores["oracle"][trail.origin == origin]
        assert 1 <= len(mine) <= 4
        assert (mine.diff() <= 0).all()
    assert torch.equal(trail.scores["oracle"], agreement(trail.batch))


@pytest.mark.parametrize("name", searches())
def test_the_count_is_of_distinct_sequences(name):
    asked = []

    def spy(x):
        asked.extend(SPACE.decode(x))
        return agreement(x)

    trail = run(replace(searches()[name], oracle=PlainOracle(spy)), budget=Budget(calls=40))
    assert len(asked) == len(set(asked)) == trail.calls


@pytest.mark.parametrize("name", searches())
def test_a_start_does_not_depend_on_its_neighbours(name, seed):
    whole = run(searches()[name], budget=Budget(calls=60, edits=4), seed=seed)
    x = SPACE.encode(STARTS[1:2])
    alone = searches()[name](x, Goal(), Budget(calls=60, edits=4), Streams.of(seed, 1, start=1))
    assert torch.equal(alone.batch["tokens"], whole.batch["tokens"][1:2])


def test_greedy_reaches_the_target_and_stops():
    trail = run(EditSearch(PlainOracle(agreement), Greedy()), budget=Budget(edits=14))
    assert SPACE.decode(trail.batch) == [TARGET] * 3
    assert [entry["best"] for entry in trail.history] == sorted(entry["best"] for entry in trail.history)


def test_greedy_takes_the_best_step_of_all():
    weights = torch.linspace(0.1, 2.0, 20)

    def value(x):
        return torch.where(x["tokens"] < 20, weights[x["tokens"].clamp(max=19)], 0.0).sum(1)

    (design,) = SPACE.decode(run(EditSearch(PlainOracle(value), Greedy()), ("CAYYF",), budget=Budget(edits=1)).batch)
    assert design == "CYYYF"  # A to Y is the largest gain of any single substitution


def test_greedy_stops_at_the_score_asked_for():
    trail = run(EditSearch(PlainOracle(agreement), Greedy(stop=9.0)), ("CASSLGGAYNEQYF",))
    free = run(EditSearch(PlainOracle(agreement), Greedy()), ("CASSLGGAYNEQYF",))
    assert trail.scores["oracle"].item() == 9.0
    assert trail.calls < free.calls


def test_plausible_greedy_never_asks_what_is_implausible():
    proline = SPACE.encode(["PPPPP"])["tokens"][0, 0]

    def prolines(x):
        return (x["tokens"] == proline).sum(1).float()

    free = run(EditSearch(PlainOracle(prolines), Greedy()), budget=Budget(edits=3))
    held = run(
        EditSearch(PlainOracle(prolines), Greedy(plausible=lambda x: -prolines(x), floor=-2.0)), budget=Budget(edits=3)
    )
    assert free.scores["oracle"].tolist() == [3.0, 4.0, 3.0]
    # The second start has one proline already; two are as many as the floor allows.
    assert held.scores["oracle"].tolist() == [2.0, 2.0, 2.0]


def test_tree_search_knows_when_it_has_seen_everything():
    trail = run(EditSearch(PlainOracle(agreement), TreeSearch(steps=500)), ("CASSF",), goal=Goal(keep={"ends": 2}))
    assert trail.calls == 20  # one free place: the start and 19 substitutions
    two = run(EditSearch(PlainOracle(agreement), TreeSearch(steps=3000)), ("CASSSF",), goal=Goal(keep={"ends": 2}))
    assert two.calls == 400


def test_searches_that_learn_beat_the_one_that_does_not():
    """On a smooth landscape with equal budgets; each needs more than luck gives the random search."""
    budget = Budget(calls=400, edits=6)
    reached = {
        name: run(search, budget=budget).scores["oracle"].mean()
        for name, search in {
            "random": EditSearch(PlainOracle(agreement), RandomChange(tries=400)),
            "greedy": EditSearch(PlainOracle(agreement), Greedy()),
            "genetic": EditSearch(PlainOracle(agreement), Genetic(population=20, generations=40)),
            "tree": EditSearch(PlainOracle(agreement), TreeSearch(steps=400)),
        }.items()
    }
    assert min(reached["greedy"], reached["genetic"], reached["tree"]) > reached["random"]


def test_naive_mutation_makes_as_many_changes_as_asked():
    trail = run(EditSearch(PlainOracle(agreement), RandomChange(), changes=5))
    assert trail.calls == len(STARTS)
    changed = trail.batch["tokens"] != SPACE.encode(STARTS)["tokens"]
    assert changed.sum(1).tolist() == [5, 5, 5]


def test_original_and_copies():
    binders = SPACE.encode(["CASSLGGAYEQYF", TARGET])
    assert SPACE.decode(run(Original()).batch) == list(STARTS)
    trail = run(CopyNearest(binders))
    near = edits(trail.batch["tokens"], SPACE.encode(STARTS)["tokens"])
    far = edits(SPACE.encode([TARGET] * 3)["tokens"], SPACE.encode(STARTS)["tokens"])
    assert set(SPACE.decode(trail.batch)) <= {"CASSLGGAYEQYF", TARGET}
    assert (near <= far).all()
    assert trail.calls == 0


def test_what_cannot_be_scored_is_never_the_answer():
    def oracle(x):
        values = agreement(x)
        status = tuple("ok" if value < 7 else "too good to be true" for value in values.tolist())
        return Belief(values + 100 * (values >= 7), torch.zeros_like(values), status)

    trail = run(EditSearch(oracle, Greedy()), budget=Budget(edits=8))
    assert (trail.scores["oracle"] <= 6).all() or (agreement(SPACE.encode(STARTS)) >= 7).any()


def test_wrong_settings_and_goals_are_named():
    oracle = PlainOracle(agreement)
    for wrong in (
        lambda: Greedy(floor=1.0),
        lambda: Greedy(rounds=0),
        lambda: Genetic(population=2),
        lambda: TreeSearch(steps=0),
        lambda: RandomChange(tries=0),
    ):
        with pytest.raises(SettingsError):
            wrong()
    with pytest.raises(InputError, match="ends=N"):
        run(EditSearch(oracle, Greedy()), goal=Goal(keep={"middle": 3}))
    with pytest.raises(InputError, match="ends=N"):
        run(EditSearch(oracle, Greedy()), goal=Goal(keep={"ends": -1}))
    with pytest.raises(InputError, match="templates"):
        EditSearch(oracle, Greedy())(None, Goal(), Budget(), Streams.of(0, 1))
    with pytest.raises(InputError, match="at least one known binder"):
        CopyNearest(Batch({"tokens": torch.zeros(0, 30, dtype=torch.int64)}))
