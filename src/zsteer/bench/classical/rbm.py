"""The machine measured: speed beside scikit-learn, annealing beside enumeration, and the likelihood of Fashion-MNIST.

One thread in the speed table; times are CPU-seconds, of peer and zsteer by turns in one call.
"""

import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from zsteer.bench.peers import run_peer
from zsteer.core.batch import Batch
from zsteer.core.rng import Streams
from zsteer.core.sample_spec import SampleSpec
from zsteer.evaluate.report import Cell, Table, Value
from zsteer.maths.boltzmann import Couplings, log_partition
from zsteer.models.rbm.rbm import RBM, RbmSettings
from zsteer.recipes.rbm import settings as recipes
from zsteer.recipes.rbm.build import machine
from zsteer.recipes.sets import Sets, load_set
from zsteer.sample.annealed import log_partition_estimate
from zsteer.sample.gibbs import Coins, Gibbs
from zsteer.train.loop import Fit, Optim, Plan
from zsteer.train.source import Shuffled

__all__ = ["tables"]

ROWS, UNITS = 5000, 500
Watch = Callable[[dict[str, Any]], None]


def tables(*, data: Path, quick: bool, watch: Watch) -> Sequence[Table]:
    """Speed, annealing beside enumeration, likelihood.

    Args:
        data: the data folder.
        quick: few epochs and a short training, whose likelihood means little.
        watch: called with progress.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        sets = load_set("fashion-mnist", data, binary=True)
        return [
            _speed(sets, quick=quick, watch=watch),
            _exact(quick=quick, watch=watch),
            _likelihood(data, quick=quick, watch=watch),
        ]
    finally:
        torch.set_num_threads(threads)


def _state(x: Batch, batch: int, precision: str) -> Fit:
    """A run of the training loop with the peer's algorithm: as many chains as rows in a batch, one sweep, plain SGD."""
    datum = SampleSpec(shape=x["x"].shape[1:], values="binary")
    values = {"datum": datum, "units": UNITS, "chains": batch, "k": 1, "precision": precision}
    model = RBM(RbmSettings.model_validate(values))
    model.begin(x, Streams.of(0, 1))
    plan = Plan(
        steps=10**9, optim=Optim(lr=0.05, kind="sgd", clip=math.inf), ema=None, guard_every=10**8, log_every=10**8
    )
    return Fit(model, Shuffled(x, batch), plan, seed=0)


def _epoch(state: Fit, batch: int) -> float:
    started = time.process_time()
    for _ in range(ROWS // batch):
        state.advance()
    return time.process_time() - started


def _speed(sets: Sets, *, quick: bool, watch: Watch) -> Table:
    """CPU-seconds of an epoch of 5,000 rows, PCD-1."""
    repeats, batches = (1, (100,)) if quick else (9, (10, 100))
    x = Batch({"x": sets.train["x"][:ROWS].flatten(1)})
    rows: list[list[Cell]] = []
    notes = [f"{ROWS:,} rows of Fashion-MNIST above 127, 784 x {UNITS}, PCD-1, one thread; medians of {repeats} turns"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npy"
        np.save(path, x["x"].numpy())
        for batch in batches:
            ours = {name: _state(x, batch, name) for name in ("bfloat16", "float32")}
            times: dict[str, list[float]] = {"scikit-learn": [], **{name: [] for name in ours}}
            for state in ours.values():
                _epoch(state, batch)
            for turn in range(repeats):
                peer = run_peer("sklearn_rbm.py", path, UNITS, batch, 1)
                times["scikit-learn"] += peer.figures.get("seconds", [])
                for name, state in ours.items():
                    times[name].append(_epoch(state, batch))
                watch({"step": turn + 1, "steps": repeats, "part": f"speed, batch {batch}"})
                if peer.missing:
                    notes.append(f"scikit-learn: {peer.missing}")
            base = times["scikit-learn"]
            for name, series in times.items():
                if series:
                    label = "scikit-learn BernoulliRBM, float32" if name == "scikit-learn" else f"zsteer, {name}"
                    ratio = [b / s for b, s in zip(base, series, strict=True)] if base else [math.nan]
                    rows.append([label, batch, median(series), Value.of(series), median(ratio), len(series)])
    columns = ["method", "batch", "CPU s an epoch", "mean +- sd", "times faster", "turns"]
    return Table("Restricted Boltzmann machine: CPU-seconds an epoch", columns, rows, list(dict.fromkeys(notes)))


def _random(seed: int, n: int, m: int) -> Couplings:
    rng = Streams.of(seed, n + m).child("machine")
    both, bias = 0.15 * rng.normal("w", (m,)), rng.normal("bias", ())
    return Couplings(both[:n].clone(), bias[:n].clone(), bias[n:].clone())


def _exact(*, quick: bool, watch: Watch) -> Table:
    """Annealing of random machines with 784 visible and 16 hidden units against enumeration."""
    seeds, ladders = (1, (100,)) if quick else (5, (100, 1000))
    rows: list[list[Cell]] = []
    for steps in ladders:
        errors, uppers, spreads, sizes, seconds = [], [], [], [], []
        for seed in range(seeds):
            sampler = Gibbs(_random(seed, 784, 16), base=torch.zeros(784))
            draws = Coins(Streams.of(seed, 1).bulk("top"))
            top = sampler.run(sampler.start(100, draws), 300, draws)
            found = log_partition_estimate(
                sampler, Streams.of(seed, 1), chains=100, temperatures=steps, equilibrium=top
            )
            exact = float(log_partition(sampler.p))
            errors.append(found.value - exact)
            uppers.append(found.upper - exact)
            spreads.append(found.se)
            sizes.append(found.ess)
            seconds.append(found.seconds)
            watch({"step": seed + 1, "steps": seeds, "part": f"enumeration, {steps} temperatures"})
        worst = max(abs(error) for error in errors)
        cells = [Value.of(errors), Value.of(uppers), worst, *(Value.of(v) for v in (spreads, sizes, seconds))]
        rows.append([steps, *cells, seeds])
    columns = [
        "temperatures",
        "AIS - exact",
        "reverse - exact",
        "worst |AIS|",
        "stated se",
        "ESS",
        "seconds",
        "machines",
    ]
    notes = ["log Z in nats; 784 x 16 Bernoulli, weights N(0, 0.15^2), 100 chains; exact by 2^16 hidden states"]
    return Table("Annealing beside enumeration", columns, rows, notes)


def _likelihood(data: Path, *, quick: bool, watch: Watch) -> Table:
    """The rbm recipe on Fashion-MNIST, trained and measured as a user would."""
    recipe = recipes.RBMRecipe(size="xs", steps=100, temperatures=200, runs=50) if quick else recipes.RBMRecipe()
    experiment = machine(recipe, data, torch.device("cpu"))
    cpu, wall = time.process_time(), time.perf_counter()
    trained = experiment.train(seed=recipe.seed, watch=watch)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    started = time.process_time()
    metrics: Mapping[str, Any] = experiment.finish(trained).origin.metrics
    finish = time.process_time() - started
    keys = ("log_prob", "log_prob_se", "independent", "free_energy_gap", "log_z", "log_z_se", "log_z_upper")
    keys += ("sandwich_gap", "log_z_ess", "log_z_upper_ess", "nats_a_residue", "independent_nats_a_residue")
    rows: list[list[Cell]] = [[key, float(metrics[key])] for key in keys if key in metrics]
    rows.extend([["training, CPU seconds", cpu], ["training, seconds", wall], ["annealing, CPU seconds", finish]])
    notes = [
        f"seed {recipe.seed}, {metrics['test_samples']:,} test images above 127; nats; log_prob takes the larger log Z",
        "independent: each pixel by its own training frequency; the VAE's figure stands in its own table",
    ]
    if "refused" in metrics:
        notes.append(str(metrics["refused"]))
    return Table("Fashion-MNIST, likelihood of the machine", ["figure", "value"], rows, notes)
