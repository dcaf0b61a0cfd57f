"""Slide "Recap: RBM": energy, joint, hidden probability, and the learning rule as a gradient."""

import itertools
import math

import pytest
import torch

from zsteer.core.rng import Streams
from zsteer.maths.boltzmann import (
    Couplings,
    contrast,
    energy,
    free_energy,
    hidden_mean,
    hidden_probability,
    log_joint,
    log_partition,
    weight_update,
)


def machine(seed, n=5, m=4, scale=0.8):
    rng = Streams.of(seed, n + m).child("machine")
    both = scale * rng.normal("w", (m,), dtype=torch.float64)
    bias = rng.normal("bias", (), dtype=torch.float64)
    return Couplings(both[:n].clone(), bias[:n].clone(), bias[n:].clone())


def states(n):
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=n)), dtype=torch.float64)


@pytest.mark.lecture("rbm.energy")
def test_energy_is_the_printed_double_sum(seed, measured):
    p, worst = machine(seed), 0.0
    for v in states(5)[::5]:
        for h in states(4)[::3]:
            by_hand = -sum(float(p.a[i] * v[i]) for i in range(5)) - sum(float(p.b[j] * h[j]) for j in range(4))
            by_hand -= sum(float(v[i] * p.w[i, j] * h[j]) for i in range(5) for j in range(4))
            worst = max(worst, abs(float(energy(v, h, p)) - by_hand))
    measured(worst, "largest difference from the sums term by term")
    assert worst < 1e-12  # float64 sums of about 30 terms of order 1


@pytest.mark.lecture("rbm.joint")
def test_joint_probabilities_sum_to_one_over_all_states(seed, measured):
    p = machine(seed)
    v, h = states(5)[:, None, :].expand(32, 16, 5), states(4)[None].expand(32, 16, 4)
    log_p = log_joint(v, h, p, float(log_partition(p)))
    ratio = log_joint(v, h, p)[3, 7] - log_joint(v, h, p)[20, 2]
    expected = energy(v, h, p)[20, 2] - energy(v, h, p)[3, 7]
    error = max(abs(float(log_p.exp().sum()) - 1), abs(float(ratio - expected)))
    measured(error, "distance of the sum over 512 joint states from 1, with log Z enumerated")
    assert error < 1e-12


@pytest.mark.lecture("rbm.hidden")
def test_hidden_probability_is_the_conditional_of_the_joint(seed, measured):
    """p(h_j = 1 | v) as a ratio of sums over the joint distribution."""
    p = machine(seed)
    h, worst = states(4), 0.0
    for v in states(5)[::3]:
        weight = log_joint(v.expand(16, 5), h, p).exp()
        conditional = (weight[:, None] * h).sum(0) / weight.sum()
        worst = max(worst, float((hidden_probability(v, p) - conditional).abs().max()))
    measured(worst, "largest difference from the conditional of the enumerated joint")
    assert worst < 1e-12


@pytest.mark.lecture("rbm.update")
@pytest.mark.parametrize("hidden", ["bernoulli", "gaussian", "relu"])
def test_the_rule_is_minus_the_gradient_of_the_contrast(seed, measured, hidden):
    """d/dw of mean(F(v_i) - F(v_k)) = -(<v h>^0 - <v h>^k), whatever the number of chains."""
    p = machine(seed)
    w = p.w.clone().requires_grad_(True)
    q = Couplings(w, p.a, p.b, hidden=hidden)
    rng = Streams.of(seed, 12)
    v0, vk = (rng.uniform("v0", (5,)) < 0.5).double(), (rng.uniform("vk", (5,)) < 0.5).double()[:7]
    contrast(free_energy(v0, q), free_energy(vk, q).mean()).mean().backward()
    with torch.no_grad():
        h0, hk = (hidden_mean(v @ p.w + p.b, hidden) for v in (v0, vk))
        step = weight_update((v0, h0), (vk, hk), 0.3)
    assert w.grad is not None
    error = float((step + 0.3 * w.grad).abs().max())
    measured(error, f"largest difference between the rule and autograd, {hidden} hidden units")
    assert error < 1e-12


@pytest.mark.lecture("rbm.update")
def test_the_rule_ascends_the_likelihood_when_the_chain_is_in_equilibrium(seed, measured):
    """With <.>^infinity over all enumerated states the rule is the exact gradient of the mean log-likelihood."""
    p = machine(seed)
    w = p.w.clone().requires_grad_(True)
    q = Couplings(w, p.a, p.b)
    v0 = (Streams.of(seed, 9).uniform("v0", (5,)) < 0.5).double()
    all_v = states(5)
    f = free_energy(all_v, q)
    (-free_energy(v0, q).mean() - torch.logsumexp(-f, 0)).backward()
    with torch.no_grad():
        chance = torch.softmax(-f, 0)
        h0, h = hidden_probability(v0, p), hidden_probability(all_v, p)
        # Weighted mean over the states, written as a plain mean of rows scaled by their chance.
        model = (all_v * (chance * len(chance))[:, None], h)
        step = weight_update((v0, h0), model, 1.0)
    assert w.grad is not None
    error = float((step - w.grad).abs().max())
    measured(error, "largest difference from the gradient of the enumerated log-likelihood")
    assert error < 1e-11
    assert math.isfinite(error)
