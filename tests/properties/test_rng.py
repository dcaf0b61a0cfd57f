"""Streams: known answers, one stream per sample, moments."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zsteer.core.rng import Streams, _philox, initialised
from zsteer.errors import InputError


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        (0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        (0xFFFFFFFF, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    ],
)
def test_philox_gives_the_published_known_answers(word, expected):
    # kat_vectors of Random123, philox4x32-10: all counter and key words 0, then all 0xffffffff.
    w = torch.tensor(word)
    assert tuple(int(x) for x in _philox((w, w, w, w), (word, word))) == expected


@given(
    seed=st.integers(0, 2**63),
    start=st.integers(0, 2**40),
    n=st.integers(1, 20),
    shape=st.sampled_from([(), (3,), (2, 5)]),
)
def test_a_sample_does_not_depend_on_its_batch(seed, start, n, shape):
    whole = Streams.of(seed, n, start=start)
    row = n // 2
    alone = Streams.of(seed, 1, start=start + row)
    for draw in ("normal", "uniform", "gumbel"):
        assert torch.equal(getattr(whole, draw)("p", shape)[row], getattr(alone, draw)("p", shape)[0])
    assert torch.equal(whole.take(torch.tensor([row])).normal("p", shape), alone.normal("p", shape))


def test_purposes_steps_children_and_samples_differ():
    rng = Streams.of(5, 4)
    draws = [
        rng.normal("a", (8,)),
        rng.normal("b", (8,)),
        rng.at(1).normal("a", (8,)),
        rng.child("c").normal("a", (8,)),
    ]
    draws += [rng.spread(2).normal("a", (8,))[::2], Streams.of(6, 4).normal("a", (8,))]
    flat = torch.cat([x.flatten() for x in draws])
    assert len(flat.unique()) == len(flat)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_moments(seed, dtype):
    # n = 2e5: the standard error of the mean is 2.2e-3, of the variance 3.2e-3, of the 4th moment 2.2e-2; 5 sigma each.
    x = Streams.of(seed, 200).normal("x", (1000,), dtype=dtype)
    assert abs(float(x.mean())) < 0.011
    assert abs(float(x.var()) - 1) < 0.016
    assert abs(float((x**4).mean()) - 3) < 0.11
    u = Streams.of(seed, 200).uniform("u", (1000,), dtype=dtype)
    assert 0 < float(u.min()) and float(u.max()) < 1
    assert abs(float(u.mean()) - 0.5) < 5 * math.sqrt(1 / 12 / 2e5)
    k = Streams.of(seed, 200).integers("k", 7, (1000,))
    assert torch.bincount(k.flatten(), minlength=7).sub(2e5 / 7).abs().max() < 5 * math.sqrt(2e5 / 7)


def test_permutation_is_one():
    order = Streams.of(0, 3).permutation("p", 50)
    assert torch.equal(order.sort(1).values, torch.arange(50).expand(3, 50))
    assert not torch.equal(order[0], order[1])


def test_initialised_leaves_the_global_state_alone():
    before = torch.random.get_rng_state()
    with initialised(7):
        a = torch.nn.Linear(3, 3).weight
    with initialised(7):
        b = torch.nn.Linear(3, 3).weight
    assert torch.equal(a, b)
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_wrong_bound_is_named():
    with pytest.raises(InputError, match="expected an upper bound"):
        Streams.of(0, 1).integers("k", 0)
