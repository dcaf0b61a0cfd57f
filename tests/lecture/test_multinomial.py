"""The slide on multinomial diffusion, against the chain itself: every path is enumerated, and Bayes' rule is a sum.

The path x_0, x_1 ... x_T of one position over K states has the probability p(x_0) q(x_1 | x_0) ... q(x_T | x_{T-1}),
with transition matrices written here from the slide's words alone.
"""

import pytest
import torch

from zsteer.core.rng import Streams
from zsteer.maths import categorical
from zsteer.maths.schedules import abar

K, T = 3, 4
BETAS = torch.tensor([0.1, 0.35, 0.2, 0.6], dtype=torch.float64)
SHARES = torch.cat([torch.ones(1, dtype=torch.float64), abar(1 - BETAS)])
ONE = torch.eye(K, dtype=torch.float64)
EXACT = 1e-12
"""Float64: sums of at most 3^5 products of numbers below 1."""


def rest_of(kernel):
    return categorical.resting(K, mask=kernel == "absorbing")


def transition(kernel, beta):
    """Row i: where state i goes. With probability beta it is replaced: by any state, or by the last."""
    to = torch.full((K, K), 1 / K, dtype=torch.float64)
    if kernel == "absorbing":
        to = torch.zeros(K, K, dtype=torch.float64)
        to[:, -1] = 1
    return (1 - beta) * torch.eye(K, dtype=torch.float64) + beta * to


def data(kernel):
    p = torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64)
    return torch.tensor([0.7, 0.3, 0.0], dtype=torch.float64) if kernel == "absorbing" else p


def paths(kernel, start):
    """Probability of every path, one axis a time 0 ... T."""
    joint = start
    for beta in BETAS:
        joint = joint[..., None] * transition(kernel, beta)
    return joint


def pair(joint, *times):
    """The joint probability at some times, in their order."""
    summed = joint.sum([axis for axis in range(joint.ndim) if axis not in times])
    order = sorted(times)
    return summed.permute([order.index(time) for time in times])


def gap(found, wanted):
    return float((found.exp() - wanted).abs().max())


@pytest.mark.lecture("multinomial.forward")
@pytest.mark.parametrize("kernel", ["uniform", "absorbing"])
def test_a_forward_step_is_the_transition_of_the_chain(kernel, measured):
    """On the slide's terms for the uniform kernel: C((1 - beta) x + beta / K), entry by entry."""
    error = max(
        gap(categorical.forward_step(ONE, float(beta), rest_of(kernel)), transition(kernel, beta)) for beta in BETAS
    )
    if kernel == "uniform":
        measured(error, "largest difference from the transition matrix, all states and steps")
    assert error < EXACT


@pytest.mark.lecture("multinomial.marginal")
@pytest.mark.parametrize("kernel", ["uniform", "absorbing"])
def test_the_marginal_sums_over_all_paths(kernel, measured):
    joint = paths(kernel, torch.full((K,), 1 / K, dtype=torch.float64))
    errors = []
    for t in range(1, T + 1):
        both = pair(joint, 0, t)
        found = categorical.marginal(ONE, float(SHARES[t]), rest_of(kernel))
        errors.append(gap(found, both / both.sum(1, keepdim=True)))
    if kernel == "uniform":
        measured(max(errors), "largest difference from the sum over all 3^5 paths")
    assert max(errors) < EXACT


@pytest.mark.lecture("multinomial.posterior", "multinomial.theta")
@pytest.mark.parametrize("kernel", ["uniform", "absorbing"])
def test_the_posterior_is_bayes_by_enumeration(kernel, measured):
    """For every x_0, x_s and x_t that can follow each other, also where s is more than one step before t."""
    joint = paths(kernel, torch.full((K,), 1 / K, dtype=torch.float64))
    posterior_error = theta_error = 0.0
    for t in range(1, T + 1):
        for s in range(t):
            given = pair(joint, 0, t)
            both = pair(joint, 0, t, s) if s else torch.diag_embed(given.T).permute(1, 0, 2)
            possible = given > 0
            x_0, x_t = ONE[:, None].expand(K, K, K)[possible], ONE[None].expand(K, K, K)[possible]
            at = (float(SHARES[t]), float(SHARES[s]), rest_of(kernel))
            wanted = both[possible] / given[possible][:, None]
            posterior_error = max(posterior_error, gap(categorical.posterior(x_t, x_0, *at), wanted))
            # Unnormalised, theta-tilde is q(x_t | x_s) q(x_s | x_0), the joint of both given x_0.
            joint_given = both[possible] / joint.sum(list(range(1, T + 1)))[0]
            if s:
                theta_error = max(theta_error, gap(categorical.theta(x_t, x_0, *at), joint_given))
    if kernel == "uniform":
        measured(posterior_error, "largest difference from Bayes' rule over all paths", of="multinomial.posterior")
        measured(
            theta_error, "largest difference from q(x_t | x_s) q(x_s | x_0) over all paths", of="multinomial.theta"
        )
    assert max(posterior_error, theta_error) < EXACT


@pytest.mark.parametrize("kernel", ["uniform", "absorbing"])
def test_the_reverse_kernel_of_a_distribution_is_bayes_by_enumeration(kernel):
    """p(x_s | x_t) of the whole chain, from p(x_0 | x_t) alone; theta_post of that distribution is something else."""
    joint = paths(kernel, data(kernel))
    for t in range(1, T + 1):
        for s in range(t):
            back = pair(joint, t, 0)
            both = pair(joint, t, s)
            at = (float(SHARES[t]), float(SHARES[s]), rest_of(kernel))
            log_x0 = categorical.log_of(back / back.sum(1, keepdim=True))
            wanted = both / both.sum(1, keepdim=True)
            assert gap(categorical.reverse(ONE, log_x0, *at), wanted) < EXACT
            # What the rest of a sample says of x_0, without x_t's own position, makes the two the same.
            prior = data(kernel).expand(K, K)
            assert gap(categorical.posterior(ONE, prior, *at), wanted) < EXACT
    plain = categorical.posterior(ONE, back / back.sum(1, keepdim=True), *at)
    assert kernel == "absorbing" or gap(plain, wanted) > 1e-3


@pytest.mark.parametrize("kernel", ["uniform", "absorbing"])
def test_the_least_random_step_keeps_the_marginals_and_stays_most(kernel):
    joint = paths(kernel, data(kernel))
    t, s = 3, 1
    now, before = float(SHARES[t]), float(SHARES[s])
    back = pair(joint, t, 0)
    log_x0 = categorical.log_of(back / back.sum(1, keepdim=True))
    lazy = categorical.least_random(ONE, log_x0, now, before).exp()
    at_t, at_s = pair(joint, t), pair(joint, s)
    assert torch.allclose(at_t @ lazy, at_s, atol=EXACT)
    exact = categorical.reverse(ONE, log_x0, now, before, rest_of(kernel)).exp()
    assert bool((lazy.diagonal() >= exact.diagonal() - EXACT).all())
    if kernel == "absorbing":
        assert torch.allclose(lazy, exact, atol=EXACT)  # nothing is drawn twice there


def test_kl_of_rows_is_the_sum_and_nothing_costs_nothing():
    p = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]], dtype=torch.float64)
    q = torch.tensor([[0.25, 0.25, 0.5], [0.2, 0.3, 0.5]], dtype=torch.float64)
    found = categorical.kl(categorical.log_of(p), categorical.log_of(q))
    assert torch.allclose(found, torch.tensor([2.0, 5.0], dtype=torch.float64).log(), atol=EXACT)
    assert bool((categorical.kl(categorical.log_of(p), categorical.log_of(p)) == 0).all())
    assert float(categorical.kl(categorical.log_of(q[:1]), categorical.log_of(p[:1]))) > 1e20


def test_draws_have_the_probabilities(seed):
    p = torch.tensor([0.6, 0.0, 0.3, 0.1])
    n = 20_000
    u = Streams.of(seed, n).uniform("u", dtype=torch.float64)
    drawn = categorical.draw(categorical.log_of(p).expand(n, 4), u)
    assert bool((drawn.sum(1) == 1).all())
    # Standard error at most sqrt(0.25 / 20,000) = 0.0035; five of them.
    assert float((drawn.mean(0) - p).abs().max()) < 0.018
    assert float(drawn[:, 1].sum()) == 0
