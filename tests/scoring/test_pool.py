"""A pool of workers answers every task, whatever happens to its workers."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from zsteer.errors import ScoringError, SettingsError
from zsteer.scoring.pool import Pool

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="workers are killed by SIGKILL here")


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


def test_outcomes_come_in_the_order_of_the_values():
    with Pool("worker_tasks:double", workers=2) as pool:
        outcomes = pool.map(list(range(20)))
        again = pool.map([5])
    assert [outcome.value for outcome in outcomes] == [2 * value for value in range(20)]
    assert {outcome.status for outcome in outcomes} == {"ok"}
    assert again[0].value == 10


def test_a_task_whose_worker_is_killed_is_tried_again(tmp_path):
    with Pool("worker_tasks:once", workers=1) as pool:
        (outcome,) = pool.map([str(tmp_path / "marker")])
    assert (outcome.value, outcome.status, outcome.tries) == ("alive", "ok", 2)


def test_a_killed_worker_costs_no_result():
    with Pool("worker_tasks:slow_pid", workers=2) as pool:
        killer = threading.Timer(0.7, os.kill, (pool.pids[0], signal.SIGKILL))
        killer.start()
        outcomes = pool.map([0.3] * 10)
        killer.join()
    assert [outcome.status for outcome in outcomes] == ["ok"] * 10


def test_poison_is_given_up_and_the_rest_is_done():
    with Pool("worker_tasks:poison", workers=2, retries=2) as pool:
        outcomes = pool.map([1, 13, 2, 3])
    assert [outcome.value for outcome in outcomes] == [1, None, 2, 3]
    assert outcomes[1].tries == 3
    assert "died" in outcomes[1].status
    assert "given up" in outcomes[1].status


def test_a_task_that_hangs_is_ended():
    began = time.monotonic()
    with Pool("worker_tasks:hang", workers=2, seconds=15.0, retries=0) as pool:
        pool.map([0.0, 0.0])
        # The imports of the workers are done; from here only the task itself takes time.
        pool._seconds = 0.5
        outcomes = pool.map([60.0, 0.0])
    assert outcomes[0].value is None
    assert "no answer within 0.5 seconds" in outcomes[0].status
    assert outcomes[1].status == "ok"
    assert time.monotonic() - began < 45


def test_an_exception_is_an_outcome_and_not_repeated():
    with Pool("worker_tasks:refuse", workers=1) as pool:
        (outcome,) = pool.map(["way"])
    assert (outcome.status, outcome.tries) == ("ValueError: no way", 1)


def test_a_result_that_cannot_be_sent_is_an_outcome():
    with Pool("worker_tasks:unsendable", workers=1) as pool:
        outcomes = pool.map([1, 2])
    assert all(outcome.value is None and outcome.status != "ok" for outcome in outcomes)


def test_a_value_that_cannot_be_sent_is_named():
    with Pool("worker_tasks:double", workers=1) as pool, pytest.raises(ScoringError, match="value 0 cannot be sent"):
        pool.map([lambda: 1])


def test_a_task_that_does_not_exist_is_named_before_any_process_starts():
    for name in ("worker_tasks:nothing", "no_such_module:f", "worker_tasks", "os:sep"):
        with pytest.raises(SettingsError, match=name):
            Pool(name, workers=1)


def test_a_closed_pool_says_so():
    pool = Pool("worker_tasks:double", workers=1)
    pool.close()
    with pytest.raises(ScoringError, match="closed"):
        pool.map([1])
