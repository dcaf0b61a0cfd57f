"""The parts kernel and cost of ``zsteer bench molecules``: counting, and what they refuse."""

import pytest
import torch

from zsteer.bench.molecules import bench, cost, kernel
from zsteer.core.rng import Streams, initialised
from zsteer.errors import InputError, SettingsError
from zsteer.models.edm.edm import EDM


def test_operations_of_a_step_are_those_of_the_products():
    """Pairs: one product of width x width a sublayer, forward once and backward twice; all else is of points."""
    with initialised(0):
        model = EDM(kernel.edm_model().settings.model_copy(update={"width": 64, "layers": 2}))
    n, width, layers = 16, 64, 2
    found = cost.step_operations(model, cost.molecules(4, n)) / 4
    pairs = 3 * 2 * (2 * layers) * n * (n - 1) * width**2
    # Points: both ends of the pairs of messages and of moves (2 + 2), and the layer of features (2 + 1).
    points = 3 * 2 * layers * n * 7 * width**2
    assert pairs + points < found < 1.15 * (pairs + points)


def test_ours_is_compared_on_the_same_molecules():
    """Without a peer the gap is unknown, and both precisions are near each other."""
    made = kernel.Kernels(None, kernel.edm_size(), kernel.edm_size(shared=True))
    calls = made.calls((1, 4, 4))
    assert set(calls) == {"fp32", "bf16", "shared", "shared bf16"} and made.gap(calls) != made.gap(calls)
    one, other = (calls[name]()[0].detach() for name in ("fp32", "bf16"))
    # Nine layers of products with 8 bits.
    assert 0 < float((one - other).abs().max()) < 0.1 * float(one.abs().max())


class Rows(torch.nn.Module):
    """A stand-in for the peer: sums over the listed pairs that the mask leaves."""

    def forward(self, h, x, edges, real, mask):
        row, col = edges
        return h * real, x + torch.zeros_like(x).index_add_(0, row, (x[row] - x[col]) * mask)


def test_padding_for_the_peer_leaves_the_real_atoms_as_they_are(seed):
    rng = Streams.of(seed, 3)
    h, x = rng.normal("h", (4, 7)), rng.normal("x", (4, 3))
    for out, move in (kernel.Padded(Rows(), h, x, 4)(), kernel.Padded(Rows(), h, x, 6)()):
        assert torch.equal(out, h)
        # Sum over j of x_i - x_j = n (x_i - centre); a few roundings of float32.
        assert torch.allclose(move, 4 * (x - x.mean(1, keepdim=True)), rtol=0, atol=1e-5)


def test_what_a_part_does_not_take_is_refused(tmp_path):
    with pytest.raises(InputError, match="e3_diffusion_for_molecules"):
        bench(part="kernel", quick=True, peer=tmp_path)
    with pytest.raises(SettingsError, match="cost of bench molecules takes no --peer"):
        bench(part="cost", quick=True, peer=tmp_path)
    with pytest.raises(SettingsError, match="did you mean 'kernel'"):
        bench(part="kernels", quick=True)
    with pytest.raises(InputError, match="--data FOLDER"):
        bench(part="quality", quick=True)
