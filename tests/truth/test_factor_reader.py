"""The reader of factors: what its loss counts, what it refuses, and that it learns to read drawn faces."""

import pytest
import torch
from tests.vectors import datum, samples

import zsteer
from zsteer.core.batch import Batch
from zsteer.core.rng import Streams, initialised
from zsteer.errors import InputError
from zsteer.predictors.factor_reader import FactorReader, FactorReaderSettings
from zsteer.recipes.faces.build import DrawnFaces, drawn
from zsteer.train.loop import Optim, Plan, fit

SHAPE = (3, 16, 16)


def small():
    with initialised(0):
        return FactorReader(FactorReaderSettings(datum=datum("unit", SHAPE), factors=("a", "b"), width=8)).eval()


def batch(values):
    x = samples("unit", n=len(values), shape=SHAPE)
    return Batch({"x": x["x"], "factors": values})


def test_it_keeps_the_contracts():
    states = {v.name: v.state for v in zsteer.check(small(), batch(Streams.of(0, 6).uniform("f", (2,))))}
    assert "failed" not in states.values()
    assert states["losses_are_per_sample"] == states["save_and_load"] == "ok"


def test_a_factor_that_is_not_known_counts_as_read():
    """The loss of (nan, 0.3) is that of the second factor alone, and its gradient is finite."""
    model, values = small(), torch.tensor([[float("nan"), 0.3], [0.5, 0.3]])
    loss = model.losses(batch(values), "reader", Streams.of(0, 2))["squared_error"]
    read, found = model.measure(batch(values)["x"]).detach(), loss.detach()
    assert float(found[0]) == pytest.approx(float((read[0, 1] - 0.3) ** 2), rel=1e-5)
    assert float(found[1]) == pytest.approx(float((read[1] - values[1]).square().sum()), rel=1e-5)
    loss.sum().backward()
    assert all(bool(torch.isfinite(p.grad).all()) for p in model.parameters() if p.grad is not None)


def test_what_it_does_not_read_is_refused():
    model = small()
    assert model.column("b") == 1
    with pytest.raises(InputError):
        model.column("c")
    with pytest.raises(InputError):
        model.read(torch.zeros(1, 3, 8, 8))
    with pytest.raises(InputError):
        model.losses(samples("unit", shape=SHAPE), "reader", Streams.of(0, 12))


def test_no_two_updates_share_a_face_and_the_same_update_is_the_same():
    source, rng = DrawnFaces(4), Streams.of(0, 1)
    first, second = source.batch(0, rng), source.batch(1, rng)
    assert torch.equal(first["x"], source.batch(0, rng)["x"])
    assert not bool((first["factors"][:, None] == second["factors"]).all(2).any())


@pytest.mark.slow
def test_it_learns_to_read_faces():
    """200 updates: the mean error is below half of what the middle of the range has (0.25)."""
    x = drawn(64, 3)
    settings = FactorReaderSettings(datum=datum("unit", (3, 32, 32)), factors=tuple("abcdefghijkl"), width=8)
    with initialised(0):
        model = FactorReader(settings)
    model = fit(
        model, DrawnFaces(32), Plan(steps=200, optim=Optim(lr=3e-3, warmup=20, decay="cosine"), ema=0.95), seed=0
    )
    assert float((model.read(x["x"]) - x["factors"]).abs().mean()) < 0.12


@pytest.mark.slow
def test_the_shipped_reader_reads_faces_that_it_has_not_seen():
    x = drawn(200, 12)
    reader = zsteer.load("faces-reader").model
    gap = (reader.read(x["x"]) - x["factors"]).abs().mean(0)
    assert float(gap.max()) < 0.03
    errors = reader.origin.metrics["errors"]
    assert float(gap.mean()) == pytest.approx(sum(errors.values()) / 12, rel=0.3)
