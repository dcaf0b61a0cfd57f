"""MMD and HSIC against what is known: equal samples, independence, blindness of the marginal estimator."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.feature_selection import mutual_info_classif

from zsteer.core.rng import Streams
from zsteer.errors import InputError
from zsteer.maths.adversarial import reverse_gradient
from zsteer.maths.divergences import dependence, hsic
from zsteer.maths.gaussian import kl_to_standard_normal, log_density, reparameterise
from zsteer.maths.transport import inverse_multiquadric, marginal_mmd, mmd, mmd_shares

SEEDS = range(20)


def normal(seed, n, d, purpose="a"):
    return Streams.of(seed, n).normal(purpose, (d,))


def test_the_estimate_is_unbiased_under_the_prior():
    """Mean over seeds within 4 standard errors of zero: the U-statistic leaves the diagonal out."""
    values = torch.stack([mmd(normal(s, 64, 5), normal(s, 64, 5, "b")) for s in range(60)])
    assert abs(float(values.mean())) < 4 * float(values.std()) / math.sqrt(len(values))


@pytest.mark.parametrize("seed", SEEDS)
def test_joint_mmd_sees_dependence_that_the_marginal_one_cannot(seed):
    prior, code = normal(seed, 400, 2), normal(seed, 400, 1, "b")
    twins = torch.cat([code, code], 1)  # standard normal in each dimension, but one copies the other
    free = normal(seed, 400, 2, "c")
    assert float(mmd(prior, twins)) > 4 * abs(float(mmd(prior, free))) + 2e-3
    assert abs(float(marginal_mmd(prior, twins).mean())) < 2e-2


def test_shares_average_to_the_estimate():
    prior, code = normal(0, 30, 4), 2 * normal(0, 30, 4, "b")
    assert torch.allclose(mmd_shares(prior, code).mean(), mmd(prior, code))


def test_the_kernel_is_positive_definite_and_one_at_zero():
    x = normal(1, 40, 3).double()
    gram = inverse_multiquadric(x, x)
    assert torch.allclose(gram.diagonal(), torch.ones(40, dtype=torch.float64))
    assert float(torch.linalg.eigvalsh(gram).min()) > -1e-12


def test_a_single_sample_is_refused():
    with pytest.raises(InputError, match="at least 2 samples"):
        mmd(torch.zeros(1, 2), torch.zeros(1, 2))


def test_hsic_agrees_with_its_definition():
    a, b = normal(2, 25, 2).double(), normal(2, 25, 2, "b").double()
    k, l = inverse_multiquadric(a, a), inverse_multiquadric(b, b)
    h = torch.eye(25, dtype=torch.float64) - 1 / 25
    assert torch.allclose(hsic(k, l), torch.trace(k @ h @ l @ h) / 25**2, atol=1e-14)


@pytest.mark.parametrize("seed", SEEDS)
def test_dependence_falls_when_the_label_is_shuffled(seed):
    label = Streams.of(seed, 200).integers("label", 4)
    z = normal(seed, 200, 3)
    z[:, 0] += label.float()
    shuffled = label[Streams.of(seed, 1).permutation("p", 200)[0]]
    assert float(dependence(z, label).mean()) > 3 * float(dependence(z, shuffled).mean())
    assert mutual_info_classif(z.numpy(), label.numpy(), random_state=0).max() > 0.1


def test_a_collapsed_code_has_a_finite_gradient():
    z = torch.zeros(10, 3, requires_grad=True)
    dependence(z, torch.arange(10) % 2).mean().backward()
    assert z.grad is not None
    assert bool(torch.isfinite(z.grad).all())


def test_reversal_is_the_identity_forwards_and_negates_backwards():
    x = torch.arange(3.0, requires_grad=True)
    (reverse_gradient(x, 2.0) * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert torch.equal(reverse_gradient(x), x)
    assert torch.equal(x.grad, torch.tensor([-2.0, -4.0, -6.0]))


def test_gaussian_formulas_against_scipy():
    mu, log_var = torch.tensor([[0.3, -1.0]]), torch.tensor([[0.2, -0.7]])
    x = torch.tensor([[0.0, 0.5]])
    sd = np.exp(0.5 * log_var.numpy())
    assert float(log_density(x, mu, log_var)) == pytest.approx(stats.norm(mu.numpy(), sd).logpdf(x.numpy()).sum(), 1e-6)
    # Monte-Carlo KL = E log q - log p, 4 standard errors of 200,000 draws.
    z = reparameterise(mu, log_var, normal(0, 200_000, 2))
    gap = log_density(z, mu, log_var) - log_density(z, torch.zeros(1, 2), torch.zeros(1, 2))
    assert abs(float(gap.mean() - kl_to_standard_normal(mu, log_var))) < 4 * float(gap.std()) / math.sqrt(200_000)
