"""The loop: exact resume after SIGKILL, going back from NaN, turns, weights, several processes."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import torch
from tests.toy import Duel, Line, LineSettings, table

from zsteer.core.rng import Streams
from zsteer.errors import DivergenceError, InputError, OutputError, SettingsError
from zsteer.train.loop import Fit, Optim, Plan, fit
from zsteer.train.run import Run
from zsteer.train.source import Shuffled

PLAN = Plan(steps=40, optim=Optim(lr=1e-2, warmup=5, decay="cosine"), checkpoint_every=7, log_every=5, ema=0.9)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("kind", [Line, Duel])
@pytest.mark.parametrize("killed_at", [3, 7, 20, 39])
def test_a_run_cut_anywhere_and_resumed_gives_the_same_weights(tmp_path, kind, killed_at):
    source = Shuffled(table(), 8)
    unbroken = kind(LineSettings())
    result = fit(unbroken, source, PLAN, seed=5)

    run = Run.new(tmp_path / "run", {"name": "toy"})
    first = Fit(kind(LineSettings()), source, PLAN, seed=5)
    for _ in range(killed_at):
        first.advance()
        if first.step % PLAN.checkpoint_every == 0:
            run.save(first.checkpoint(), keep=2)
    resumed = kind(LineSettings())
    again = fit(resumed, source, PLAN, seed=5, run=run)
    assert torch.equal(weights(unbroken), weights(resumed))
    assert torch.equal(weights(result), weights(again))


ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(["src", ".", *sys.path])}

PROGRAM = textwrap.dedent("""
    import sys, time
    from pathlib import Path
    import torch
    from tests.toy import Duel, LineSettings, table
    from zsteer.train.loop import Optim, Plan, fit
    from zsteer.train.run import Run
    from zsteer.train.source import Shuffled
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    run = Run(folder) if (folder / "recipe.yaml").exists() else Run.new(folder, {"name": "toy"})
    plan = Plan(steps=120, optim=Optim(lr=1e-2), checkpoint_every=3, log_every=5)
    model = Duel(LineSettings())
    fit(model, Shuffled(table(), 8), plan, seed=5, run=run, watch=lambda record: time.sleep(float(sys.argv[2])))
    print("weights", torch.cat([p.detach().flatten() for p in model.parameters()]).numpy().tobytes().hex())
""")


def start(folder, wait):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder), str(wait)], stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
    )


@pytest.mark.slow
def test_sigkill_then_resume_is_bit_for_bit_the_unbroken_run(tmp_path):
    expected = start(tmp_path / "whole", 0).communicate()[0]
    process = start(tmp_path / "cut", 0.05)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "cut" / "checkpoints").glob("step-*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert start(tmp_path / "cut", 0).communicate()[0] == expected
    steps = [json.loads(line)["step"] for line in (tmp_path / "cut" / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(5, 121, 5))
    assert not list(tmp_path.rglob(".partial-*/state.json"))


def test_nan_goes_back_once_and_then_names_player_term_and_step():
    model = Line(LineSettings(poison_from=25))
    state = Fit(model, Shuffled(table(), 8), Plan(steps=100, guard_every=10), seed=0)
    with pytest.raises(
        DivergenceError, match=r"loss 'error' of player 'all' is not finite at step 20, again after .* step 20"
    ):
        while state.step < 100:
            state.advance()
    assert torch.isfinite(weights(model)).all()


def test_a_single_nan_is_survived():
    class Once(Line):
        def losses(self, x, player, rng):
            terms = super().losses(x, player, rng)
            return {"error": terms["error"] * (float("nan") if self.calls == 25 else 1.0)}

    model = Once(LineSettings())
    fit(model, Shuffled(table(), 8), Plan(steps=60, guard_every=10), seed=0)
    assert torch.isfinite(weights(model)).all()
    assert model.calls > 60


def test_the_average_is_the_closed_form():
    model = Line(LineSettings())
    state = Fit(model, Shuffled(table(), 8), Plan(steps=3, ema=0.5), seed=0)
    seen = []
    for _ in range(3):
        state.advance()
        seen.append(weights(model).clone())
    # torch's AveragedModel starts from the first weights that it sees.
    expected = 0.25 * seen[0] + 0.25 * seen[1] + 0.5 * seen[2]
    torch.testing.assert_close(weights(state.result), expected)


def test_weights_of_samples_are_a_weighted_mean():
    data = table(8)
    model = Line(LineSettings(noise=0.0))
    weight = data.weight
    assert weight is not None
    terms = model.losses(data, "all", Streams.of(0, 8))["error"].detach()
    state = Fit(model, Shuffled(data, 8), Plan(steps=1, log_every=1), seed=0)
    record = state.advance()
    assert record is not None
    assert record["all/error"] == pytest.approx(float((terms * weight).sum() / weight.sum()), rel=1e-5)


def test_every_epoch_holds_every_row_once():
    source = Shuffled(table(50), 8)
    rows = torch.cat([source.batch(k, Streams.of(0, 1, start=k))["y"] for k in range(25)])
    for epoch in range(4):
        assert torch.equal(rows[50 * epoch : 50 * epoch + 50].sort().values, table(50)["y"].sort().values)


def test_no_global_rng_is_touched():
    before = torch.random.get_rng_state()
    fit(Duel(LineSettings()), Shuffled(table(), 8), Plan(steps=5), seed=0)
    assert torch.equal(before, torch.random.get_rng_state())


WORKER = textwrap.dedent("""
    import os, sys, torch
    from tests.toy import Duel, LineSettings, table
    from zsteer.train.distributed import World
    from zsteer.train.loop import Optim, Plan, fit
    from zsteer.train.source import Shuffled
    torch.set_num_threads(1)
    world = World.join(int(sys.argv[1]))
    model = Duel(LineSettings())
    fit(model, Shuffled(table(), 8), Plan(steps=20, optim=Optim(lr=1e-2)), seed=5, world=world)
    if world.rank == 0:
        torch.set_printoptions(precision=8)
        print("weights", [float(v) for p in model.parameters() for v in p.detach().flatten()])
    world.leave()
    # As the command line does: a thread of gloo may outlive the group and abort the interpreter's own end.
    sys.stdout.flush()
    os._exit(0)
""")


@pytest.mark.slow
def test_one_and_two_processes_agree(tmp_path):
    script = tmp_path / "worker.py"
    script.write_text(WORKER)

    def run(n, expected):
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n}", str(script)]
        return subprocess.run([*command, str(expected)], capture_output=True, text=True, env=ENVIRONMENT, check=False)

    one, two = run(1, 1), run(2, 2)
    assert one.returncode == 0 and two.returncode == 0, two.stderr
    a, b = (torch.tensor(json.loads(done.stdout.split("weights ")[1])) for done in (one, two))
    # float32 sums in another order: 20 steps leave about 1e-7; the contract is 1e-5.
    torch.testing.assert_close(a, b, atol=1e-5, rtol=0)
    assert "expected 3 processes, 2 came up" in run(2, 3).stderr


def test_bad_settings_are_named(tmp_path):
    with pytest.raises(SettingsError, match="lacks turns"):
        Fit(torch.nn.Linear(2, 2), Shuffled(table(), 8), PLAN, seed=0)
    with pytest.raises(SettingsError, match="steps >= 1"):
        Plan(steps=0)
    with pytest.raises(InputError, match="not a run"):
        Run.existing(tmp_path)
    Run.new(tmp_path / "a", {})
    with pytest.raises(OutputError, match="exists"):
        Run.new(tmp_path / "a", {})
    run = Run.new(tmp_path / "b", {"name": "toy"})
    fit(Line(LineSettings()), Shuffled(table(), 8), Plan(steps=2), seed=0, run=run)
    with pytest.raises(SettingsError, match="seed 0, not 1"):
        fit(Line(LineSettings()), Shuffled(table(), 8), Plan(steps=2), seed=1, run=run)
