"""The autotune takes the fastest way it finds, keeps the answer, and needs no cache."""

import json

import torch

from zsteer.core.rng import initialised
from zsteer.nets import autotune as tuning
from zsteer.nets.autotune import Tuned, autotune, cache_file
from zsteer.nets.unet import UNet


def small():
    with initialised(0):
        return UNet(1, 1, width=8, multiples=(1, 2), blocks=1)


def call(net):
    return net(torch.ones(2, 1, 8, 8), torch.full((2,), 0.5)).square().sum()


def test_the_fastest_is_taken_and_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    seconds = {(False, False): 3.0, (False, True): 1.0, (True, False): 2.0, (True, True): 4.0}
    monkeypatch.setattr(tuning, "_time", lambda _net, _call, half, last: seconds[half, last])
    assert autotune(small(), call) == Tuned(half=False, channels_last=True)
    assert list(json.loads(cache_file().read_text()).values()) == [{"half": False, "channels_last": True}]
    # The second answer comes from the cache, not from the clock.
    monkeypatch.setattr(tuning, "_time", lambda _net, _call, half, last: 1.0 / (1 + half + last))
    assert autotune(small(), call) == Tuned(half=False, channels_last=True)


def test_the_net_is_left_as_it_was(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    net = small()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    autotune(net, call)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(weight.grad is None for weight in net.parameters())
    assert all(weight.is_contiguous() for weight in net.parameters())


def test_a_cache_that_is_broken_or_cannot_be_written_costs_time_only(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache_file().parent.mkdir(parents=True)
    cache_file().write_text("{ not json")
    monkeypatch.setattr(tuning, "_time", lambda _net, _call, half, last: 1.0 + half + last)
    assert autotune(small(), call) == Tuned()
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache_file()))  # a file where a folder should be
    assert autotune(small(), call) == Tuned()


def test_channels_last_computes_the_same():
    net, last = small(), small()
    Tuned(channels_last=True).format(last)
    for weight in (*net.parameters(), *last.parameters()):
        torch.nn.init.constant_(weight, 0.01)
    assert torch.allclose(call(net), call(last), rtol=1e-5)
