"""Recipes of multinomial diffusion train from a user's pictures and from synthetic receptors, and tell their bits."""

from pathlib import Path

import numpy as np
import pytest
import torch

from zsteer.bench.multinomial.pixels import context_bits, independent_bits
from zsteer.core.rng import Streams
from zsteer.errors import InputError
from zsteer.recipes.base import recipe_class
from zsteer.train.loop import fit

CPU = torch.device("cpu")


def run(name, data, **keys):
    experiment = recipe_class(name)(**{"size": "xs", "steps": 3, "batch": 8, "chain": 5, **keys}).build(data, CPU)
    trained = fit(experiment.model, experiment.source, experiment.plan, seed=0)
    return experiment.finish(trained)


def pictures(n=60, size=12):
    """Discs of random places and greys on black, 0 ... 255."""
    rng = Streams.of(0, n)
    place = torch.arange(size)
    x, y = ((rng.uniform(name)[:, None] * size - place).square() for name in ("x", "y"))
    disc = (x[:, None] + y[:, :, None]) < 9
    return (disc * (100 + 150 * rng.uniform("grey"))[:, None, None]).to(torch.uint8).numpy()


def test_segments_are_learned_from_a_file_of_pictures(tmp_path):
    np.savez(tmp_path / "discs.npz", x=pictures())
    made = run("segments-diffusion", tmp_path / "discs.npz", dataset="own", levels=3, width=8)
    assert made.settings.datum.shape == (1, 12, 12) and made.settings.datum.levels == 3
    assert made.settings.classes == ()
    assert 0 < made.origin.metrics["bits_a_pixel"] < 4 and made.origin.data["levels"].count(" ") == 2
    half = run("segments-diffusion", tmp_path / "discs.npz", dataset="own", shrink=2, width=8, kernel="uniform")
    assert half.settings.datum.shape == (1, 6, 6)
    with pytest.raises(InputError, match="no pictures"):
        run("segments-diffusion", None, dataset="ring-8")


def test_counted_baselines_know_what_they_count():
    """Truth: pixels that are independent coins cost a bit each, stripes cost nothing but their first pixel."""
    from zsteer.core.batch import Batch

    coins = [Batch({"x": (Streams.of(k, 2000).uniform("x", (1, 4, 4)) > 0.5).float()}) for k in range(3)]
    assert independent_bits(coins[0], coins[2], 2).bits == pytest.approx(1, abs=0.01)
    # 2,000 pictures for 16 contexts at each of 16 places: smoothing brings the cost of what is only chance down.
    assert context_bits(*coins, 2).bits == pytest.approx(1, abs=0.01)
    stripes = [Batch({"x": x["x"][..., :1].expand(-1, -1, -1, 4)}) for x in coins]
    assert context_bits(*stripes, 2).bits == pytest.approx(1 / 4, abs=0.02)
    assert independent_bits(stripes[0], stripes[2], 2).bits == pytest.approx(1, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("conditional", [False, True])
def test_receptors_are_learned_from_synthetic_tables(conditional):
    made = run("tcr-diffusion", Path("synthetic"), conditional=conditional)
    told = made.origin.metrics
    assert 2 < told["bits_a_residue"] < 8 and told["calls"] == 5
    assert ("nats_gained_by_the_class" in told) == conditional
    assert float(made.lengths.sum()) == pytest.approx(1)
    assert float(made.lengths[:4].sum()) == 0 and float(made.lengths[11:17].sum()) > 0.8
    given = {"class": made.settings.classes[0]} if conditional else None
    assert len(made.sample(3, given=given, rng=Streams.of(0, 3))) == 3
