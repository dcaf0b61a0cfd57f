"""Muon: the iteration against singular vectors, the steps against torch's own, AdamW for the rest, and its state."""

import pytest
import torch
from torch import nn

from zsteer.core.rng import Streams
from zsteer.maths.orthogonal import orthogonalised
from zsteer.train.loop import Optim
from zsteer.train.muon import LEAST, SHARE


@pytest.mark.parametrize("shape", [(40, 40), (24, 96), (96, 24)])
def test_singular_values_come_near_1_and_their_vectors_stay(seed, shape):
    matrix = Streams.of(seed, 1).normal("m", shape, dtype=torch.float64)[0]
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    made = orthogonalised(matrix)
    inside = u.T @ made @ v.T
    assert torch.allclose(inside, torch.diag(inside.diagonal()), atol=1e-8)
    seen = inside.diagonal()[s > s.square().sum().sqrt() / 200]
    assert float(seen.min()) > 0.6
    assert float(seen.max()) < 1.25
    assert torch.allclose(orthogonalised(1e6 * matrix), made, atol=1e-6)


def test_a_matrix_of_zeros_stays_one():
    assert torch.equal(orthogonalised(torch.zeros(20, 30)), torch.zeros(20, 30))


def quadratic(seed, *shapes):
    starts = [Streams.of(seed, 1).normal(f"start {k}", shape)[0] for k, shape in enumerate(shapes)]
    targets = [Streams.of(seed, 1).normal(f"target {k}", shape)[0] for k, shape in enumerate(shapes)]

    def descend(parameters, optimiser):
        optimiser.zero_grad()
        sum(((p - t).square() * (1 + t.abs())).sum() for p, t in zip(parameters, targets, strict=True)).backward()
        optimiser.step()

    return lambda: [nn.Parameter(s.clone()) for s in starts], descend


def test_matrices_move_as_with_the_optimiser_of_torch(seed):
    new, descend = quadratic(seed, (48, 32))
    ours, theirs = new(), new()
    own = Optim(lr=0.02, kind="muon").build(ours)
    other = torch.optim.Muon(theirs, lr=0.02, momentum=0.95, nesterov=True, weight_decay=0.0)
    for _ in range(8):
        descend(ours, own)
        descend(theirs, other)
    start = new()[0]
    moved, expected = (ours[0] - start).detach(), (theirs[0] - start).detach()
    # torch's works in bfloat16.
    assert float((moved - expected).norm() / expected.norm()) < 0.03


def test_all_but_matrices_move_as_with_adamw(seed):
    new, descend = quadratic(seed, (7,), (LEAST - 1, 40), (3, 3, 3))
    ours, theirs = new(), new()
    own = Optim(lr=0.05, kind="muon", betas=(0.9, 0.98)).build(ours)
    other = torch.optim.AdamW(theirs, lr=SHARE * 0.05, betas=(0.9, 0.98), weight_decay=0.0)
    for _ in range(8):
        descend(ours, own)
        descend(theirs, other)
    for a, b in zip(ours, theirs, strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_its_state_can_be_taken_up_again(seed):
    new, descend = quadratic(seed, (32, 20), (7,))
    whole, cut = new(), new()
    optim = Optim(lr=0.02, kind="muon")
    one, first = optim.build(whole), optim.build(cut)
    for _ in range(3):
        descend(whole, one)
        descend(cut, first)
    entries = {k: {n: v.clone() for n, v in entry.items()} for k, entry in first.state_dict()["state"].items()}
    assert sorted(entries) == [0, 1]
    again = optim.build(cut)
    again.load_state_dict({"state": entries, "param_groups": again.state_dict()["param_groups"]})
    for _ in range(3):
        descend(whole, one)
        descend(cut, again)
    for a, b in zip(whole, cut, strict=True):
        assert torch.equal(a, b)


def test_only_matrices(seed):
    new, descend = quadratic(seed, (20, 20))
    parameters = new()
    optimiser = Optim(lr=0.02, kind="muon").build(parameters)
    descend(parameters, optimiser)
    assert not torch.equal(parameters[0], new()[0])
