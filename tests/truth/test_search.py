"""Searches on landscapes with a known optimum, within their budgets."""

from dataclasses import replace

import pytest
import torch

from zsteer.core.alphabet import DNA
from zsteer.core.batch import Batch
from zsteer.core.goal import Budget, Goal
from zsteer.core.objective import Constraint, Objective, Target
from zsteer.core.property import Property
from zsteer.core.protocols import Belief, Method, Proposes, Steer
from zsteer.core.rng import Streams
from zsteer.domains.sequences.metrics import edits
from zsteer.domains.sequences.space import SequenceSpace
from zsteer.errors import CapabilityError, InputError, SettingsError
from zsteer.scoring.belief import PlainOracle
from zsteer.steer.rerank import Rerank
from zsteer.steer.search.genetic import Genetic
from zsteer.steer.search.greedy import Greedy
from zsteer.steer.search.ledger import ByOracle, Ledger
from zsteer.steer.search.mcts import TreeSearch
from zsteer.steer.search.method import Search
from zsteer.steer.search.moves import free_under
from zsteer.steer.search.options import RerankOptions, SearchOptions
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


# --- the methods: any model, any objective

GENES = SequenceSpace(4, 8, DNA)
PLANTED = "ACGTTGCA"


class Gaussian:
    """Rows of two standard normal numbers; a proposal keeps their distribution and a share of each row."""

    def sample(self, n, *, given=None, rng):
        assert (n, given) == (len(rng), None)
        return Batch({"x": rng.normal("x", (2,))})

    def propose(self, x, strength, rng):
        return Batch({"x": (1 - strength**2) ** 0.5 * x["x"] + strength * rng.normal("step", (2,))})


class Ends:
    """The first ``n`` letters stay."""

    text = "first"

    def __init__(self, n):
        self.n = n

    def holds(self, start, x):
        return (start["tokens"][:, : self.n] == x["tokens"][:, : self.n]).all(1)


class Recorder:
    """A property that remembers what it was asked for."""

    def __init__(self, value):
        self.value, self.seen = value, []

    def __call__(self, things):
        self.seen.extend(things)
        return [self.value(thing) for thing in things]


def matches(text):
    return float(sum(a == b for a, b in zip(text, PLANTED, strict=True)))


def genes(value=matches, **target):
    wanted = Recorder(value)
    return wanted, Objective((Target(Property("matches", wanted), **(target or {"sign": 1})),), GENES.decode)


def first_number(**target):
    return Objective((Target(Property("first", lambda x: x[:, 0]), **target),), lambda x: x["x"])


def test_a_planted_optimum_of_dna_is_found():
    _, objective = genes()
    start = GENES.encode(["TTTTTTTT", "ACGTACGT"])
    search = Search(alphabet=DNA)
    assert isinstance(search, Method)
    assert search.fits(object(), objective, Constraint()) == ""
    trail = search.run(object(), start, objective, Constraint(), Budget(), Streams.of(0, 2))
    assert GENES.decode(trail.batch) == [PLANTED] * 2
    assert trail.scores["score"].tolist() == trail.scores["matches"].tolist() == [8.0, 8.0]
    assert trail.origin.tolist() == [0, 1]


@pytest.mark.parametrize("algorithm", ["greedy", "genetic", "tree", "random"])
def test_budgets_are_counted_exactly_and_what_breaks_the_constraint_is_never_measured(algorithm):
    wanted, objective = genes()
    start, constraint = GENES.encode(["TTTTTTTT"]), Constraint(parts=(Ends(3),))
    assert free_under(constraint, start, DNA)[0].tolist() == [False] * 3 + [True] * 5
    search = Search(SearchOptions(algorithm=algorithm, rounds=10, proposals=8), DNA)
    budget = Budget(calls=12, edits=2, top=3)
    trail = search.run(object(), start, objective, constraint, budget, Streams.of(1, 1))
    assert len(wanted.seen) == len(set(wanted.seen)) == trail.calls == 12
    assert all(thing[:3] == "TTT" for thing in wanted.seen)
    found = GENES.decode(trail.batch)
    assert len(set(found)) == 3
    assert all(sum(a != b for a, b in zip(thing, "TTTTTTTT", strict=True)) <= 2 for thing in found)


def test_proposals_that_break_the_constraint_are_never_measured():
    asked = []

    def oracle(x):
        asked.extend(x["x"][:, 0].tolist())
        return Belief(x["x"][:, 0], torch.zeros(len(x)))

    x = Batch({"x": torch.tensor([[0.0], [1.0], [-1.0]])})
    ledger = Ledger(ByOracle(oracle), x, Budget(calls=1), admits=lambda x, _: x["x"][:, 0] >= 0)
    assert ledger.ask(x, torch.tensor([0, 1, 2])).tolist() == [0.0, 1.0, -torch.inf]
    assert asked == [0.0, 1.0]
    assert ledger.left().tolist() == [0, 0, 1]
    # What one start has paid for is not measured again for another, which pays for it too.
    assert ledger.ask(x.take(slice(0, 1)), torch.tensor([2])).tolist() == [0.0]
    assert (asked, ledger.calls, ledger.left().tolist()) == ([0.0, 1.0], 2, [0, 0, 0])


@pytest.mark.parametrize("algorithm", ["greedy", "genetic"])
def test_proposals_of_a_model_climb(algorithm):
    model = Gaussian()
    assert isinstance(model, Proposes)
    start = model.sample(3, rng=Streams.of(0, 3))
    search = Search(SearchOptions(algorithm=algorithm))
    objective = first_number(low=2.0, high=2.5)
    trail = search.run(model, start, objective, Constraint(), Budget(calls=200), Streams.of(0, 3))
    assert ((trail.batch["x"][:, 0] >= 2.0) & (trail.batch["x"][:, 0] <= 2.5)).all()
    assert trail.calls <= 600
    alone = search.run(
        model, start.take(slice(1, 2)), objective, Constraint(), Budget(calls=200), Streams.of(0, 1, start=1)
    )
    assert torch.equal(alone.batch["x"], trail.batch["x"][1:2])


def test_changes_count_from_each_start_and_held_properties_stay():
    model, start = Gaussian(), Batch({"x": torch.tensor([[0.0, 0.0], [1.0, -1.0]])})
    second = Property("second", lambda x: x[:, 1], spread=0.1)
    search = Search(SearchOptions(rounds=40, proposals=32))
    objective = first_number(low=1.0, high=1.0, relative=True)
    free = search.run(model, start, objective, Constraint(), Budget(), Streams.of(0, 2))
    held = search.run(model, start, objective, Constraint(properties=(second,)), Budget(), Streams.of(0, 2))
    for trail in (free, held):
        assert (trail.batch["x"][:, 0] - start["x"][:, 0] - 1).abs().max() < 0.1
    assert set(held.scores) == {"first", "second", "score"}
    assert (held.batch["x"][:, 1] - start["x"][:, 1]).abs().max() < 0.1
    assert (free.batch["x"][:, 1] - start["x"][:, 1]).abs().max() > 0.2


def test_starts_are_drawn_where_none_are_given():
    trail = Search().run(Gaussian(), None, first_number(sign=1), Constraint(), Budget(calls=20), Streams.of(0, 4))
    assert trail.origin.tolist() == [0, 1, 2, 3]


def test_the_best_of_n_is_the_largest():
    model, n, each = Gaussian(), 3, 8
    rerank, rng = Rerank(RerankOptions(candidates=each)), Streams.of(4, n)
    assert isinstance(rerank, Method)
    drawn = model.sample(n * each, rng=rng.child("rerank").spread(each))["x"][:, 0]
    trail = rerank.run(model, None, first_number(sign=1), Constraint(), Budget(), rng)
    assert torch.equal(trail.batch["x"][:, 0], drawn.sort(descending=True).values[:n])
    assert (trail.calls, trail.origin.tolist()) == (n * each, [-1] * n)
    start = model.sample(n, rng=Streams.of(9, n))
    around = model.propose(start.repeat(each), 0.5, rng.child("rerank").spread(each))["x"][:, 0].reshape(n, each)
    rerank = Rerank(RerankOptions(candidates=each, proposal_strength=0.5))
    trail = rerank.run(model, start, first_number(sign=1), Constraint(), Budget(), rng)
    assert torch.equal(trail.batch["x"][:, 0], around.amax(1))
    few = rerank.run(model, start, first_number(sign=1), Constraint(), Budget(calls=2), rng)
    assert torch.equal(few.batch["x"][:, 0], around[:, :2].amax(1))
    injected = Rerank(draw=lambda n, _: Batch({"x": torch.arange(2.0 * n).reshape(n, 2)}))
    assert injected.run(model, None, first_number(sign=1), Constraint(), Budget(), rng).batch["x"][0, 0] == 94.0


def test_methods_say_why_they_do_not_fit():
    objective, relative = first_number(sign=1), first_number(low=1.0, high=1.0, relative=True)
    told = Objective((Target(Property("told"), sign=1),), lambda x: x)

    class Sampler:
        sample = Gaussian.sample

    for method in (Search(), Rerank()):
        assert "told" in method.fits(Gaussian(), told, Constraint())
        assert "object" in method.fits(object(), objective, Constraint())
        assert method.fits(Gaussian(), relative, Constraint()) == ""
    assert "Sampler" in Search().fits(Sampler(), objective, Constraint())
    assert Rerank().fits(Sampler(), objective, Constraint()) == ""
    assert "Sampler" in Rerank().fits(Sampler(), relative, Constraint())
    # What nobody names cannot be measured, and is not silently let go.
    assert all("--keep" in method.fits(Gaussian(), objective, Constraint(rest=True)) for method in (Search(), Rerank()))
    tree = Search(SearchOptions(algorithm="tree"))
    assert "tree" in tree.fits(Gaussian(), objective, Constraint())
    with pytest.raises(CapabilityError, match="tree"):
        tree.run(Gaussian(), None, objective, Constraint(), Budget(), Streams.of(0, 1))
    with pytest.raises(InputError, match="edits"):
        Search().run(Gaussian(), None, objective, Constraint(), Budget(edits=2), Streams.of(0, 1))
