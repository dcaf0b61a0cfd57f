"""A likelihood stands beside independent numbers, says its unit, and a small machine learns a few flags in seconds."""

import math

import numpy as np
import pytest
import torch

import zsteer
from zsteer.core.rng import Streams
from zsteer.core.sample_spec import SampleSpec
from zsteer.domains.tables.files import write
from zsteer.domains.tables.space import TableSpace
from zsteer.kits.images.likelihood import floor_facts, independent, log_volume


def flags(n=1200, columns=8):
    """Flags that follow two hidden numbers."""
    rng = Streams.of(7, n)
    z = rng.normal("z", (2,), dtype=torch.float64).numpy()
    u = rng.uniform("u", (columns,), dtype=torch.float64).numpy()
    angle = np.arange(columns) * 0.8
    p = 1 / (1 + np.exp(-3 * (z[:, :1] * np.cos(angle) + z[:, 1:] * np.sin(angle))))
    return {f"f{k}": (u[:, k] < p[:, k]).astype(float) for k in range(columns)}


def test_a_small_machine_beats_independence_on_a_few_flags(tmp_path):
    write(tmp_path / "flags.csv", flags(), overwrite=False)
    made = zsteer.fit("rbm", data=tmp_path / "flags.csv", out=tmp_path / "run", size="xs", temperatures=100, runs=10)
    metrics = made.model.origin.metrics
    assert metrics["log_prob"] > metrics["independent"] + 0.1
    assert metrics["verdict"].startswith("above independent")
    assert made.model.settings.units == 64


def test_a_model_below_the_floor_says_so_first():
    datum = SampleSpec(shape=(1,), values="binary")
    train, test = torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [0.0]])
    floor = float(independent(datum, train, test).mean())
    assert floor == pytest.approx(math.log(0.5))
    assert floor_facts(datum, floor - 1e-6, train, test)["verdict"].startswith("NO BETTER")
    assert floor_facts(datum, floor + 1e-3, train, test)["verdict"].startswith("above")


def test_a_density_of_standardised_columns_is_brought_to_the_data_s_units():
    x = 70 * Streams.of(0, 4000).normal("x", (), dtype=torch.float64).numpy() + 1000
    space = TableSpace.learn({"x": x, "flag": (x > 1000).astype(float)}, where="t")
    datum = SampleSpec(shape=space.shape, values=space.values, space=space.settings())
    assert log_volume(datum) == pytest.approx(math.log(x.std()))
    rows = space.encode({"x": x, "flag": (x > 1000).astype(float)})["x"]
    one = SampleSpec(shape=(1,), values="real", space={"name": "tables", "columns": datum.space["columns"][:1]})
    standard = float(independent(one, rows[:, :1], rows[:, :1]).mean())
    exact = -0.5 * math.log(2 * math.pi * math.e * x.var())
    facts = floor_facts(one, standard, rows[:, :1], rows[:, :1])
    assert facts["log_prob_in_data_units"] == pytest.approx(exact, abs=2e-3)
    assert "standardised" in facts["verdict"]
