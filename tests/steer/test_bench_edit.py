"""The parts of ``zsteer bench edit`` that need no training: wanted values, rows in their order, drawn pictures."""

import numpy as np
import pytest
import torch

from zsteer.bench.edit.images import _blobs, _retrieved
from zsteer.bench.edit.reach import GROUPS, Bench, quantity
from zsteer.bench.edit.table import NAMES, generated
from zsteer.core.batch import Batch
from zsteer.core.rng import Streams
from zsteer.domains.images.measures import brightness
from zsteer.steer.latent import LatentEdit
from zsteer.steer.latent_options import LatentOptions


class Plain:
    """The data are the code."""

    parts = ("z",)

    def encode(self, x, rng):
        del rng
        return {"z": x["x"]}

    def decode(self, code, rng):
        del rng
        return Batch({"x": code["z"]})


def rows(n, seed=0):
    return Batch({"x": Streams.of(seed, n).normal("x", (4,))})


def total(x):
    return x.double().sum(1).numpy()


def test_every_row_is_brought_to_the_value_of_its_own_group():
    examples, held = rows(500), rows(50, 1)
    bench = Bench(Plain(), examples, held, lambda x: x["x"])
    aim = quantity("total", total, examples["x"])
    wanted = bench.wanted(aim)
    low, high = np.quantile(total(examples["x"]), [0.1, 0.9])
    assert len(wanted) == GROUPS
    assert low < float(wanted.min()) < float(wanted.max()) < high
    method = LatentEdit(LatentOptions(rounds=0, ridge=0, draws=20), examples=examples)
    edited = bench.edit(method, aim, calls=1)
    assert torch.allclose(edited.scores["total"], wanted.repeat(5), atol=1e-5)
    assert torch.allclose(edited.scores["start_total"], torch.from_numpy(total(held["x"])))
    assert np.allclose(total(edited.batch["x"]), edited.scores["total"])
    assert edited.reached(aim).value == 1
    assert edited.calls == 50
    assert method.fitted_heads(bench.model)["total"].quality > 0.99


def test_the_tolerance_is_a_twentieth_of_the_range():
    aim = quantity("x", lambda x: x, np.linspace(0, 100, 1001))
    assert aim.tolerance == pytest.approx(0.05 * 98)


def test_drawn_pictures_differ_in_brightness():
    x = _blobs(Streams.of(0, 200))["x"]
    assert x.shape == (200, 1, 28, 28)
    assert float(x.min()) >= 0
    assert float(x.max()) <= 1
    assert float(brightness(x).std()) > 0.05


def test_retrieval_finds_an_image_of_the_wanted_brightness():
    train, held = _blobs(Streams.of(0, 400)), _blobs(Streams.of(1, 20))
    bench = Bench(Plain(), train, held, lambda x: x["x"])
    aim = quantity("brightness", lambda x: brightness(x).double().numpy(), train["x"])
    wanted = bench.wanted(aim).repeat(2).numpy()
    found = _retrieved(bench, aim, wanted, train)
    assert float(np.abs(bench.values(aim, found) - wanted).max()) <= aim.tolerance


def test_the_generated_table_is_correlated_and_the_same_again():
    first, again = (generated(Streams.of(4, 500)) for _ in range(2))
    assert tuple(first) == NAMES
    assert all(np.array_equal(first[name], again[name]) for name in NAMES)
    assert np.corrcoef(first["straight"], first["sum"])[0, 1] > 0.4
