"""The diffusion benchmark: every part exists, peers that are not there are named, what cannot be run is refused."""

import math
from importlib import import_module

import numpy as np
import pytest

from zsteer.bench import BENCHMARKS, IN_PARTS, diffusion, peers
from zsteer.bench.diffusion import against, speed
from zsteer.bench.diffusion.judging import Judge, Judged
from zsteer.core.rng import Streams
from zsteer.errors import InputError, SettingsError


@pytest.mark.parametrize("part", diffusion.PARTS)
def test_every_part_is_there(part):
    module, function = diffusion.PARTS[part].split(":")
    assert callable(getattr(import_module(module), function))


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


def test_images_of_a_peer_are_judged_under_the_classes_it_was_asked_for(fashion, monkeypatch):
    pixels = Streams.of(0, 20).integers("p", 256, (28, 28)).numpy().astype(np.uint8)

    def run(script, what, path, seconds, n, steps, rate, folder, timeout):
        assert (what, path.is_file(), n) == ("train", True, 20)
        np.savez(f"{folder}/images.npz", x=pixels, y=np.arange(20) % 10)
        told = {"file": "images.npz", "steps": 7, "train_seconds": 5.0, "sample_seconds": 4.0, "version": "1"}
        return peers.PeerRun(told | {"sampler": "DDIM"})

    class Fixed(Judge):
        def __init__(self):
            pass

        def of(self, x, y):
            assert x["x"].shape == (20, 1, 28, 28)
            assert y.tolist() == [i % 10 for i in range(20)]
            return Judged(1.5, 0.25, 0.9)

    monkeypatch.setattr(against, "run_peer", run)
    assert against._peer("other", "a.py", fashion, 5.0, 20, Fixed(), 3)[1:] == [7, 5.0, 1.5, 0.25, 0.9, 200.0]
    monkeypatch.setattr(against, "run_peer", lambda *_, **__: peers.PeerRun(missing="not there"))
    assert against._peer("other", "a.py", fashion, 5.0, 20, Fixed(), 3)[0] == "other: not there"
