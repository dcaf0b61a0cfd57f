"""Counting, storing and combining oracles: the same sample is asked for once, and answers stay what they were."""

import sqlite3

import pytest
import torch
from scipy import stats

from zsteer.core.batch import Batch
from zsteer.core.protocols import Belief, Oracle
from zsteer.errors import BudgetExhaustedError, InputError, OutputError, ScoringError, SettingsError
from zsteer.scoring import belief as beliefs
from zsteer.scoring.count import Counted, keys
from zsteer.scoring.ensemble import Ensemble
from zsteer.scoring.store import Store, Stored, oracle_key


def batch(*values):
    return Batch({"x": torch.tensor(values, dtype=torch.float32)[:, None]})


class Spy:
    """The value itself; a negative one cannot be scored. Remembers what it was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, x):
        values = x["x"][:, 0]
        self.asked.append(values.tolist())
        status = tuple("ok" if value >= 0 else "negative" for value in values.tolist())
        return Belief(values, torch.full_like(values, 0.5), status)


def test_keys_tell_samples_apart_and_see_the_mask():
    assert keys(batch(1.0, 2.0, 1.0))[0] == keys(batch(1.0))[0]
    assert len(set(keys(batch(1.0, 2.0)))) == 2
    masked = [Batch(batch(1.0).fields, torch.tensor([[flag]])) for flag in (True, False)]
    assert keys(masked[0]) != keys(masked[1])


def test_counted_asks_every_distinct_sample_once():
    spy = Spy()
    counted = Counted(spy)
    assert isinstance(counted, Oracle)
    assert counted(batch(1.0, 2.0, 1.0)).mean.tolist() == [1.0, 2.0, 1.0]
    assert counted(batch(2.0, 3.0)).std.tolist() == [0.5, 0.5]
    assert spy.asked == [[1.0, 2.0], [3.0]]
    assert counted.calls == 3


def test_counted_stops_at_its_budget_and_asks_nothing_then():
    spy = Spy()
    counted = Counted(spy, budget=2)
    counted(batch(1.0))
    with pytest.raises(BudgetExhaustedError, match="budget of 2"):
        counted(batch(1.0, 2.0, 3.0))
    assert spy.asked == [[1.0]]
    assert counted(batch(1.0, 2.0)).mean.tolist() == [1.0, 2.0]
    assert counted.remaining == 0


def test_store_answers_instead_of_the_oracle_and_across_openings(tmp_path):
    spy, key = Spy(), oracle_key("spy", {"version": 1})
    for _ in range(2):
        with Store(tmp_path / "results.sqlite") as store:
            found = Stored(spy, key, store)(batch(1.0, 2.0, 1.0))
            assert found.mean.tolist() == [1.0, 2.0, 1.0]
            assert found.std.tolist() == [0.5] * 3
    assert spy.asked == [[1.0, 2.0]]


def test_another_version_of_an_oracle_gets_no_old_answers(tmp_path):
    spy = Spy()
    with Store(tmp_path / "results.sqlite") as store:
        for version in (1, 2):
            Stored(spy, oracle_key("spy", {"version": version}), store)(batch(1.0))
        assert len(store) == 2
    assert len(spy.asked) == 2


def test_failures_are_told_and_not_stored(tmp_path):
    spy = Spy()
    with Store(tmp_path / "results.sqlite") as store:
        stored = Stored(spy, oracle_key("spy", {}), store)
        for _ in range(2):
            assert stored(batch(1.0, -1.0)).status == ("ok", "negative")
        assert len(store) == 1
    assert spy.asked == [[1.0, -1.0], [-1.0]]


def test_a_file_that_is_no_store_is_named(tmp_path):
    path = tmp_path / "other.sqlite"
    path.write_text("no database at all, but long enough to be taken for one " * 20)
    with pytest.raises(OutputError, match=r"other\.sqlite"):
        Store(path)
    base = sqlite3.connect(tmp_path / "later.sqlite")
    base.execute("pragma user_version=99")
    base.close()
    with pytest.raises(OutputError, match="format 99"):
        Store(tmp_path / "later.sqlite")


def test_oracle_key_wants_plain_values():
    assert oracle_key("a", {"x": 1, "y": 2}) == oracle_key("a", {"y": 2, "x": 1})
    with pytest.raises(ScoringError, match="plain JSON"):
        oracle_key("a", {"x": object()})


def test_probability_is_that_of_the_normal_distribution():
    mean, std = torch.linspace(-3, 3, 7, dtype=torch.float64), torch.linspace(0.1, 2, 7, dtype=torch.float64)
    belief = Belief(mean, std)
    exact = stats.norm.sf(1.0, loc=mean.numpy(), scale=std.numpy())
    # float64 against scipy's: both are accurate to a few units in the last place.
    assert torch.allclose(beliefs.prob_ge(belief, 1.0), torch.from_numpy(exact), rtol=1e-10)


def test_log_probability_keeps_far_tails_in_order():
    belief = Belief(torch.tensor([-40.0, -50.0]), torch.ones(2))
    log_p = beliefs.log_prob_ge(belief, 0.0)
    assert torch.isfinite(log_p).all()
    assert log_p[0] > log_p[1]


def test_a_certain_belief_is_a_step():
    assert beliefs.prob_ge(beliefs.certain(torch.tensor([0.9, 1.0, 1.1])), 1.0).tolist() == [0.0, 1.0, 1.0]


def test_join_and_take_are_inverse():
    spy = Spy()
    whole = spy(batch(1.0, -1.0, 2.0))
    parts = [beliefs.take(whole, torch.tensor([0, 1])), beliefs.take(whole, torch.tensor([2]))]
    joined = beliefs.join(parts)
    assert joined.mean.tolist() == whole.mean.tolist()
    assert joined.status == whole.status
    assert beliefs.ok(joined).tolist() == [True, False, True]
    with pytest.raises(InputError):
        beliefs.join([])


def test_ensemble_is_the_mixture_of_its_members():
    members = [beliefs.PlainOracle(lambda x, shift=shift: x["x"][:, 0] + shift) for shift in (-1.0, 1.0)]
    belief = Ensemble(members)(batch(3.0))
    assert belief.mean.item() == 3.0
    assert belief.std.item() == pytest.approx(1.0)  # certain members: the spread is their disagreement alone
    with pytest.raises(SettingsError):
        Ensemble([])
