"""Edits of a column of a table by a VAE: correlated columns, some of them bent, from three hidden numbers."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from zsteer.bench.edit.images import COLUMNS, reach_row
from zsteer.bench.edit.reach import Bench, quantity
from zsteer.core.artifact import settings_from
from zsteer.core.batch import Batch
from zsteer.core.rng import Streams, initialised
from zsteer.core.sample_spec import SampleSpec
from zsteer.domains.tables.space import Columns, TableSpace
from zsteer.evaluate.report import Cell, Table
from zsteer.models.autoencoder.vae import VAE, VAESettings
from zsteer.train.loop import Optim, Plan, fit
from zsteer.train.source import Shuffled

__all__ = ["generated", "tables"]

ROWS, HELD = 5000, 500
NAMES = ("straight", "mixed", "bent", "growing", "noisy", "sum")


def generated(rng: Streams) -> dict[str, NDArray[np.float64]]:
    """Six columns from three standard normal numbers a row, each with noise of its own."""
    a, b, c = rng.normal("hidden", (3,), dtype=torch.float64).unbind(1)
    noise = 0.1 * rng.normal("noise", (len(NAMES),), dtype=torch.float64)
    found = [10 + 3 * a, 0.8 * a - 0.6 * b, torch.tanh(2 * b), torch.exp(0.7 * c), c + 5 * noise[:, 0], a + b + c]
    return {name: (x + noise[:, k]).numpy() for k, (name, x) in enumerate(zip(NAMES, found, strict=True))}


def tables(*, quick: bool, watch: Callable[[dict[str, Any]], None]) -> Sequence[Table]:
    """The share of rows whose column arrives.

    Args:
        quick: a training of 1,500 steps instead of 6,000.
        watch: called with progress.
    """
    watch({"doing": "training a VAE of a table"})
    whole = generated(Streams.of(4, ROWS + HELD))
    space = TableSpace.learn({name: x[:ROWS] for name, x in whole.items()}, where="bench edit")
    x = space.encode(whole)
    values = {
        "datum": SampleSpec(shape=space.shape, values="real"),
        "latent": 4,
        "hidden": (64, 64),
        "decoder": "gaussian",
    }
    with initialised(0):
        model = VAE(settings_from(VAESettings, values, where="bench edit"))
    steps = 1500 if quick else 6000
    plan = Plan(steps=steps, optim=Optim(lr=2e-3, clip=1e6, warmup=100, decay="cosine"), ema=1 - 20 / steps)
    train = x.take(slice(ROWS))
    trained = fit(model, Shuffled(train, 128), plan, seed=0)

    def columns(batch: Batch) -> Columns:
        return space.decode(batch)

    bench = Bench(trained.eval(), train.take(slice(3000)), x.take(slice(ROWS, None)), columns)
    rows: list[list[Cell]] = []
    for name in NAMES:
        watch({"doing": f"edits of the column {name}"})
        aim = quantity(name, _column(name), columns(bench.examples))
        rows.append(reach_row(bench, aim, name))
    notes = [f"VAE of a generated table of {ROWS} rows; {HELD} held-out rows, heads fitted on 3000 training rows"]
    return [Table("Rows brought to a value of a column: share that arrives", COLUMNS, rows, notes)]


def _column(name: str) -> Callable[[Columns], NDArray[np.float64]]:
    return lambda table: table[name]
