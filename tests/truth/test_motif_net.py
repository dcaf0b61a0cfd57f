"""The net of motifs where nothing is learned: products of matrices give what convolutions give, row for row."""

import pytest
import torch

from zsteer.core.rng import Streams, initialised
from zsteer.nets import conv
from zsteer.nets.conv import MotifNet


@pytest.mark.parametrize(("members", "hidden"), [(1, 0), (3, 0), (2, 5)])
def test_products_are_convolutions(members, hidden, seed, monkeypatch):
    monkeypatch.setattr(conv, "PIECE", 4)
    with initialised(seed):
        net = MotifNet(width=3, channels=4, members=members, hidden=hidden, embed=6).double()
    rng = Streams.of(seed, 11)
    lengths = torch.tensor([5, 1, 30, 12, 2, 3, 17, 9, 4, 30, 8])
    mask = torch.arange(30) < lengths[:, None]
    # What stands on padding is read by nobody.
    tokens = rng.integers("tokens", 20, (30,))
    with torch.enable_grad():
        expected = net(tokens, mask).detach()
    with torch.no_grad():
        found = net(tokens, mask)
        assert torch.allclose(found, expected, rtol=1e-12, atol=1e-12)
        assert torch.allclose(net(tokens[2:3], mask[2:3]), expected[2:3], rtol=1e-12, atol=1e-12)
