"""What depends on the machine: threads, precision, oneDNN's layout, and peers in an environment of their own."""

import os
import sys

import pytest
import torch
import yaml

import zsteer
from zsteer.bench import classical, peers
from zsteer.core.rng import Streams, initialised
from zsteer.errors import InputError, SettingsError
from zsteer.nets.codec import ConvEncoder
from zsteer.nets.mlp import MLP, packed
from zsteer.nets.precision import bfloat16_pays
from zsteer.train.threads import free_threads, threads_of


@pytest.mark.parametrize(("load", "expected"), [(0.1, 4), (2.6, 1), (9.0, 1), (1.9, 2)])
def test_threads_are_the_cores_that_nobody_uses(monkeypatch, load, expected):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0, 0), raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert free_threads() == expected


def test_the_users_own_number_of_threads_comes_first(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert free_threads() == torch.get_num_threads()


def test_the_number_of_threads_is_put_back():
    before = torch.get_num_threads()
    with threads_of(2):
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == before


def test_a_run_keeps_its_number_of_threads(tmp_path):
    zsteer.fit("vae", dataset="ring-8", size="xs", steps=2, out=tmp_path / "run")
    recipe = yaml.safe_load((tmp_path / "run" / "recipe.yaml").read_text())
    assert recipe["threads"] == torch.get_num_threads()
    assert zsteer.load(tmp_path / "run").model.kind == "vae"


def test_whether_bfloat16_pays_is_measured_once():
    device = torch.device("cpu")
    assert bfloat16_pays(device) is bfloat16_pays(device)
    assert bfloat16_pays(torch.device("cuda"))


@pytest.mark.parametrize("slope", [0.0, 0.2])
def test_a_packed_network_is_the_same_network(slope):
    with initialised(0):
        net = MLP([20, 40, 30, 7], slope=slope)
    x = Streams.of(0, 50).normal("x", (20,))
    with torch.no_grad():
        assert torch.allclose(packed(net)(x), net(x), atol=1e-5)  # float32 sums of 40 in another order
    double, conv = net.double(), ConvEncoder((1, 8, 8), 2, 3)
    assert packed(double) is double
    assert packed(conv) is conv


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout whose peers are this very Python."""
    monkeypatch.setattr(peers, "ROOT", tmp_path)
    folder = tmp_path / "benchmarks" / "peers"
    folder.mkdir(parents=True)
    return folder


def with_python(checkout):
    place = checkout.parent.parent / ".venv-peers" / "bin"
    place.mkdir(parents=True)
    (place / "python").symlink_to(sys.executable)


def test_a_peer_that_is_not_there_is_named(checkout):
    assert "make peers" in peers.run_peer("a.py").missing


@pytest.mark.skipif(os.name == "nt", reason="links to programs")
def test_a_peer_answers_with_one_line_or_a_reason(checkout):
    with_python(checkout)
    (checkout / "a.py").write_text("import sys\nprint('noise')\nprint('{\"n\": ' + sys.argv[1] + '}')\n")
    assert peers.run_peer("a.py", 3).figures == {"n": 3}
    (checkout / "b.py").write_text("raise ValueError('no such method')\n")
    assert "no such method" in peers.run_peer("b.py").missing
    (checkout / "c.py").write_text("import time\ntime.sleep(30)\n")
    assert "stopped" in peers.run_peer("c.py", timeout=0.5).missing
    (checkout / "d.py").write_text("import os\nos.kill(os.getpid(), 15)\n")
    assert peers.run_peer("d.py").missing == "stopped from outside (signal 15)"


def test_parts_of_the_benchmark_that_do_not_exist_are_refused(tmp_path):
    with pytest.raises(SettingsError, match="did you mean 'ratings'"):
        classical.bench(data=tmp_path, part="rating")
    with pytest.raises(InputError, match="ZSTEER_DATA"):
        classical.bench()
