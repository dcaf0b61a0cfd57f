"""The lean U-Net: its norm in one pass is the formula, and no sample sees another."""

import pytest
import torch

from zsteer.core.rng import Streams, initialised
from zsteer.nets.unet import Norm, UNet


@pytest.mark.parametrize("channels", [8, 12])
def test_a_norm_that_adapts_is_a_norm_that_is_scaled_and_shifted(channels):
    streams = Streams.of(0, 3)
    x = streams.normal("x", (channels, 5, 4), dtype=torch.float64).requires_grad_()
    scale, shift = (streams.normal(name, (channels,), dtype=torch.float64).requires_grad_() for name in ("s", "b"))
    norm = Norm(channels).double()
    with torch.no_grad():
        norm.weight.add_(streams.normal("w", (channels,), dtype=torch.float64)[0])
        norm.bias.add_(streams.normal("c", (channels,), dtype=torch.float64)[0])
    wanted = (1 + scale[..., None, None]) * norm(x) + shift[..., None, None]
    found = norm.adapted(x, scale, shift)
    assert torch.allclose(found, wanted, atol=1e-12)  # the same sums, in float64
    weights = streams.normal("g", (channels, 5, 4), dtype=torch.float64)
    sought = (x, scale, shift, norm.weight, norm.bias)
    both = [torch.autograd.grad((weights * value).sum(), sought) for value in (wanted, found)]
    assert all(torch.allclose(a, b, atol=1e-10) for a, b in zip(*both, strict=True))


@pytest.mark.parametrize("last", [False, True])
def test_no_sample_sees_another(last):
    with initialised(0):
        net = UNet(1, 1, width=8, classes=3).double()
    streams = Streams.of(0, 4)
    with torch.no_grad():
        for value in net.parameters():
            value.add_(0.1 * streams.normal(str(value.shape), tuple(value.shape), dtype=torch.float64)[0])
    if last:
        net.to(memory_format=torch.channels_last)
    x, t, y = streams.normal("x", (1, 10, 6), dtype=torch.float64), streams.uniform("t").double(), torch.arange(4) - 1
    with torch.no_grad():
        whole = net(x, t, y)
        one = net(x[2:3], t[2:3], y[2:3])
    assert torch.allclose(whole[2:3], one, atol=1e-12)
