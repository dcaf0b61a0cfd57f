"""Benchmarks in parts: what a part takes, peers judged by what they give, and what cannot be run is refused."""

import math
import os
import sys
from inspect import Parameter, signature

import numpy as np
import pytest
import torch

from zsteer.bench import BENCHMARKS, IN_PARTS, classical, diffusion, molecules, peers
from zsteer.bench.diffusion import against, speed
from zsteer.bench.diffusion.judging import Judge
from zsteer.core.catalog import load_name
from zsteer.core.rng import Streams
from zsteer.errors import InputError, SettingsError
from zsteer.predictors.image_classifier import ImageClassifier
from zsteer.recipes.sets import load_set

PARTS = [(name, target) for bench in (classical, diffusion, molecules) for name, target in bench.PARTS.items()]
GIVEN = {"quick", "watch", "data", "models", "peer"}
"""What ``Parts.run`` can hand to the function of a part."""


@pytest.mark.parametrize(("part", "target"), PARTS)
def test_the_function_of_a_part_takes_what_it_is_given_and_needs_nothing_else(part, target):
    words = signature(load_name(target)).parameters
    assert {"quick", "watch"} <= set(words) <= GIVEN
    assert all(word.kind is Parameter.KEYWORD_ONLY for word in words.values())
    assert all(word.default is not Parameter.empty for name, word in words.items() if name in {"models", "peer"})


def test_what_cannot_be_run_is_refused(tmp_path):
    assert set(IN_PARTS) <= set(BENCHMARKS)
    with pytest.raises(SettingsError, match="did you mean 'speed'"):
        diffusion.bench(data=tmp_path, part="sped")
    with pytest.raises(InputError, match="bench diffusion needs the data folder"):
        diffusion.bench()


@pytest.fixture
def fashion(tmp_path):
    """A folder that reads as Fashion-MNIST, with noise for images."""
    place = tmp_path / "images"
    place.mkdir()
    parts = {}
    for part, n in (("train", 240), ("test", 100)):
        parts[f"x_{part}"] = Streams.of(0, n).integers(part, 256, (28, 28)).numpy().astype(np.uint8)
        parts[f"y_{part}"] = np.arange(n) % 10
    np.savez(place / "fashion_mnist.npz", **parts)
    return tmp_path


@pytest.fixture
def lonely(monkeypatch, tmp_path):
    """A checkout without peers, and no cache of what was timed."""
    monkeypatch.setattr(peers, "ROOT", tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.slow
def test_costs_are_told_without_the_peers(fashion, lonely, monkeypatch):
    monkeypatch.setattr(speed, "BATCH", 4)
    (table,) = speed.tables(data=fashion, quick=True, watch=lambda _: None)
    own, *others = table.rows
    assert own[3] == own[5] == own[7] == 1
    assert own[2] > own[4] > 0  # a step costs more than a call
    assert [row[0].split(":")[0] for row in others] == [name for name, _, _ in speed.PEERS]
    assert all("make peers" in row[0] and math.isnan(row[2]) for row in others)


def test_peers_are_put_beside_ours_by_their_costs():
    own = speed.Cost(0.2, 0.1, 2.0, 10)
    figures = {"train_seconds": 1.0, "call_seconds": 0.4, "parameters": 20, "version": "1"}
    table = speed._table(own, "", [("other", "Unet", peers.PeerRun(figures))], 3)
    assert table.rows[1][2:] == pytest.approx([1000, 5, 400, 4, 400, 200])


class Bright(ImageClassifier):
    """A classifier that knows: the class of an image of the folder ``grey`` is its brightness."""

    def __init__(self):
        torch.nn.Module.__init__(self)

    def logits(self, x):
        return -(x["x"].flatten(1).mean(1)[:, None] * 255 - 25 * torch.arange(10)).abs()

    def features(self, x):
        return torch.nn.functional.adaptive_avg_pool2d(x["x"], 2).flatten(1)


@pytest.fixture
def grey(fashion):
    """The same folder with brightness 25 k + noise for class k."""
    path = fashion / "images" / "fashion_mnist.npz"
    arrays = dict(np.load(path))
    for part in ("train", "test"):
        noise = arrays[f"x_{part}"] // 26
        arrays[f"x_{part}"] = (25 * arrays[f"y_{part}"][:, None, None] + noise - 4).clip(0, 255).astype(np.uint8)
    np.savez(path, **arrays)
    return fashion


PEER = """
import json, sys
import numpy as np
what, path, seconds, n, steps, rate, folder = sys.argv[1:]
arrays = np.load(path)
x, y = arrays["x_test"][:int(n)], arrays["y_test"][:int(n)]
np.savez(folder + "/images.npz", x=x, y=(y + {turn}) % 10)
facts = {{"file": "images.npz", "steps": int(steps), "train_seconds": float(seconds), "sample_seconds": 4.0}}
print(json.dumps(facts | {{"version": "1", "sampler": what}}))
"""


@pytest.fixture
def checkout(monkeypatch, tmp_path):
    """A checkout whose peers run with this Python; gives the folder of their scripts."""
    if os.name == "nt":
        pytest.skip("a peer's Python is a shell script here")
    monkeypatch.setattr(peers, "ROOT", tmp_path)
    (tmp_path / "benchmarks" / "peers").mkdir(parents=True)
    python = tmp_path / ".venv-peers" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return tmp_path / "benchmarks" / "peers"


def test_images_of_a_peer_are_judged_under_the_classes_it_was_asked_for(grey, checkout):
    """A peer that gives the test images back is perfect; under the classes of others it agrees with none."""
    judge = Judge(Bright(), Bright(), load_set("fashion-mnist", grey))
    assert judge.accuracy == 1
    for turn, agreement in ((0, 1.0), (1, 0.0)):
        (checkout / "a.py").write_text(PEER.format(turn=turn))
        title, steps, seconds, distance, agreed, variety, cost = against._peer(
            "other", "a.py", grey, 5.0, 100, judge, 7
        )
        assert (title, steps, seconds, cost) == ("other 1, train", 7, 5.0, 40.0)
        # Rounding of the square root of a covariance of rank four.
        assert abs(distance) < 1e-6 and variety == pytest.approx(1)
        assert agreed == agreement


def test_a_peer_that_is_not_there_or_fails_is_a_row_with_its_reason(grey, checkout):
    judge = Judge(Bright(), Bright(), load_set("fashion-mnist", grey))
    (checkout / "a.py").write_text("raise SystemExit('no wheels here')")
    for script, reason in (("a.py", "no wheels here"), ("b.py", "make peers")):
        title, *cells = against._peer("other", script, grey, 5.0, 20, judge, 3)
        assert title.startswith("other: ") and reason in title
        assert len(cells) == 6 and all(math.isnan(cell) for cell in cells)
