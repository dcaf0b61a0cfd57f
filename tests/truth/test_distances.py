"""Distances against closed forms and against other people's implementations (POT, SciPy, scikit-learn)."""

import math

import numpy as np
import ot
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import pairwise

from zsteer.core.rng import Streams
from zsteer.errors import InputError, RefusedError
from zsteer.evaluate.compared import compare, distance_table, permutation_test, usual_distances
from zsteer.maths import divergences, gaussian, kernels
from zsteer.maths.distances import (
    distances,
    energy_distance,
    on_a_line,
    sliced_wasserstein,
    unit_directions,
    wasserstein,
)
from zsteer.maths.sinkhorn import sinkhorn_divergence
from zsteer.maths.transport import mmd


def normal(seed, n, d, purpose="a"):
    return Streams.of(seed, n).normal(purpose, (d,), dtype=torch.float64)


def gaussians(seed, d=3):
    a, b = normal(seed, d, d, "A"), normal(seed, d, d, "B")
    eye = torch.eye(d, dtype=torch.float64)
    return normal(seed, 1, d, "p")[0], a @ a.T + eye, normal(seed, 1, d, "q")[0], b @ b.T + 0.5 * eye


def kl_by_quadrature(p, q):
    x = np.linspace(-40, 40, 400_001)
    return float(np.trapezoid(p.pdf(x) * (p.logpdf(x) - q.logpdf(x)), x))


# ------------------------------------------------------------------------------------------------- closed forms


def test_kl_of_normals_on_a_line_is_the_integral():
    value = gaussian.kl_between(*(torch.tensor(v, dtype=torch.float64) for v in ([0.3], [[4.0]], [-1.0], [[1.5]])))
    assert float(value) == pytest.approx(kl_by_quadrature(stats.norm(0.3, 2), stats.norm(-1, 1.5**0.5)), abs=1e-9)


def test_kl_of_normals_is_a_sum_over_independent_parts_and_contains_the_standard_form():
    mu, log_var = torch.tensor([0.5, -2.0]).double(), torch.tensor([0.3, -0.6]).double()
    zero, eye = torch.zeros(2).double(), torch.eye(2).double()
    value = gaussian.kl_between(mu, log_var.exp().diag(), zero, eye)
    assert float(value) == pytest.approx(float(gaussian.kl_to_standard_normal(mu[None], log_var[None])), abs=1e-12)


def test_kl_of_normals_does_not_change_with_coordinates(seed):
    """x -> A x + c maps normals to normals and leaves the divergence alone."""
    mu_p, s_p, mu_q, s_q = gaussians(seed)
    a = normal(seed, 3, 3, "map") + 3 * torch.eye(3)
    moved = gaussian.kl_between(a @ mu_p + 1, a @ s_p @ a.T, a @ mu_q + 1, a @ s_q @ a.T)
    # A random map can be ill-conditioned; float64 leaves 1e-7 of the value in the worst of 21 seeds.
    assert float(moved) == pytest.approx(float(gaussian.kl_between(mu_p, s_p, mu_q, s_q)), rel=1e-7)


def test_w2_of_normals_agrees_with_pot_and_with_a_line(seed):
    moments = gaussians(seed)
    arrays = [m.numpy() for m in moments]
    expected = ot.gaussian.bures_wasserstein_distance(arrays[0], arrays[2], arrays[1], arrays[3]) ** 2
    assert float(gaussian.wasserstein2_squared(*moments)) == pytest.approx(float(expected), rel=1e-9)
    one = gaussian.wasserstein2_squared(*(torch.tensor(v) for v in ([1.0], [[4.0]], [3.0], [[9.0]])))
    assert float(one) == pytest.approx((1 - 3) ** 2 + (2 - 3) ** 2, abs=1e-5)


def test_w2_of_normals_takes_singular_covariances_and_is_zero_at_equality():
    flat = torch.diag(torch.tensor([1.0, 0.0])).double()
    mu = torch.zeros(2).double()
    assert float(gaussian.wasserstein2_squared(mu, flat, mu, flat)) == pytest.approx(0, abs=1e-12)
    assert float(gaussian.wasserstein2_squared(mu, flat, mu, 4 * flat)) == pytest.approx(1, abs=1e-12)


def js_by_quadrature(p, q):
    x = np.linspace(-40, 40, 400_001)
    middle = (p.pdf(x) + q.pdf(x)) / 2 + 1e-300
    parts = [np.where(d.pdf(x) > 0, d.pdf(x) * np.log(d.pdf(x) / middle + 1e-300), 0) for d in (p, q)]
    return float(np.trapezoid(sum(parts) / 2, x))


@pytest.mark.parametrize("shift", [0.0, 0.1, 1.0, 3.0, 12.0])
@pytest.mark.parametrize("scale", [1.0, 0.3, 4.0])
def test_js_of_normals_lies_between_its_bounds(shift, scale):
    moments = [torch.tensor(v, dtype=torch.float64) for v in ([0.0], [[1.0]], [shift], [[scale**2]])]
    low, high = (float(v) for v in gaussian.jensen_shannon_bounds(*moments))
    value = js_by_quadrature(stats.norm(0, 1), stats.norm(shift, scale))
    assert low - 1e-9 <= value <= high + 1e-9
    assert high <= math.log(2) + 1e-12
    assert high - low < 0.31  # (1 - log 2): the two affinity bounds are never further apart


def test_affinity_is_the_integral():
    moments = [torch.tensor(v, dtype=torch.float64) for v in ([0.0], [[1.0]], [1.5], [[0.25]])]
    x = np.linspace(-20, 20, 200_001)
    expected = np.trapezoid(np.sqrt(stats.norm(0, 1).pdf(x) * stats.norm(1.5, 0.5).pdf(x)), x)
    assert float(gaussian.affinity(*moments)) == pytest.approx(expected, abs=1e-9)


def test_a_singular_covariance_has_no_density():
    flat = torch.diag(torch.tensor([1.0, 0.0]))
    with pytest.raises(InputError, match="constant or copied columns"):
        gaussian.kl_between(torch.zeros(2), flat, torch.zeros(2), flat)


def test_categorical_divergences_agree_with_scipy():
    p = torch.tensor([[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]], dtype=torch.float64)
    q = torch.tensor([[0.25, 0.25, 0.5], [0.2, 0.3, 0.5]], dtype=torch.float64)
    expected = stats.entropy(p.numpy(), q.numpy(), axis=1)
    assert torch.allclose(divergences.kl_divergence(p, q), torch.from_numpy(expected))
    assert float(divergences.kl_divergence(q[0], p[0])) == math.inf
    middle = (p + q).numpy() / 2
    js = (stats.entropy(p.numpy(), middle, axis=1) + stats.entropy(q.numpy(), middle, axis=1)) / 2
    assert torch.allclose(divergences.jensen_shannon(p, q), torch.from_numpy(js))
    assert divergences.total_variation(p, q).tolist() == [0.5, 0.0]


# ------------------------------------------------------------------------------------------------------ samples


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 10**6), st.sampled_from([1.0, 1.5, 2.0, 3.0]))
def test_a_line_agrees_with_pot_for_any_sizes(n, m, seed, p):
    a, b = normal(seed, n, 1)[:, 0], normal(seed, m, 1, "b")[:, 0]
    expected = ot.wasserstein_1d(a.numpy(), b.numpy(), p=p) ** (1 / p)
    assert float(on_a_line(a, b, p)) == pytest.approx(expected, abs=1e-12)


def test_a_line_agrees_with_scipy():
    a, b = normal(0, 300, 1)[:, 0], 2 * normal(0, 170, 1, "b")[:, 0]
    assert float(on_a_line(a, b)) == pytest.approx(stats.wasserstein_distance(a, b), abs=1e-12)


@pytest.mark.parametrize("d", [1, 2, 20])
@pytest.mark.parametrize("p", [1.0, 2.0])
def test_exact_assignment_agrees_with_pot(d, p):
    a, b = normal(1, 80, d), normal(1, 80, d, "b") + 0.5
    cost = ot.dist(a.numpy(), b.numpy(), metric="euclidean") ** p
    # Beyond 16 dimensions pairs come from a matrix product: 1e-9 in float64.
    assert float(wasserstein(a, b, p)) == pytest.approx(ot.emd2([], [], cost) ** (1 / p), abs=1e-9)


def test_the_distance_of_a_shift_is_its_length():
    a = normal(2, 100, 3)
    shift = torch.tensor([0.3, -0.4, 1.2], dtype=torch.float64)
    for p in (1.0, 2.0):
        assert float(wasserstein(a, a + shift, p)) == pytest.approx(1.3, abs=1e-12)
    assert float(wasserstein(a, a.flip(0))) == 0


def test_slices_agree_with_pot():
    a, b = normal(3, 60, 5), normal(3, 90, 5, "b") + 0.2
    directions = unit_directions(normal(3, 40, 5, "direction"))
    expected = ot.sliced_wasserstein_distance(a.numpy(), b.numpy(), projections=directions.numpy().T, p=2)
    assert float(sliced_wasserstein(a, b, directions)) == pytest.approx(float(expected), abs=1e-10)


def test_energy_is_what_scipy_squares_and_mmd_of_its_kernel():
    a, b = normal(4, 50, 1), 1.5 * normal(4, 70, 1, "b")
    expected = stats.energy_distance(a[:, 0].numpy(), b[:, 0].numpy()) ** 2
    assert float(energy_distance(a, b)) == pytest.approx(expected, abs=1e-12)
    pooled = torch.cat([a, b])
    first = torch.arange(120)[None] < 50
    gram = kernels.distance_kernel(pooled, pooled)
    biased = kernels.mmd_of_gram(gram, first, unbiased=False)[0]
    assert float(biased) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("d", [3, 40])
def test_pairs_have_a_finite_gradient_where_they_coincide(d):
    a = normal(5, 20, d).float().requires_grad_()
    distances(a, a).sum().backward()
    assert bool(torch.isfinite(a.grad).all())
    expected = pairwise.euclidean_distances(a.detach().double())
    # A matrix product in float32 leaves sqrt(d 2^-23) of each coinciding pair.
    assert torch.allclose(distances(a, a).detach().double(), torch.from_numpy(expected), atol=5e-3)


# ----------------------------------------------------------------------------------------------------- Sinkhorn


@pytest.mark.parametrize("epsilon", [5.0, 0.5])
def test_sinkhorn_divergence_agrees_with_pot(epsilon):
    a, b = normal(6, 40, 2), normal(6, 30, 2, "b") + 0.5

    def cost(x, y):
        matrix = ot.dist(x.numpy(), y.numpy())
        plan = ot.sinkhorn([], [], matrix, epsilon, stopThr=1e-13, numItermax=100_000)
        product = np.full(matrix.shape, 1 / matrix.size)
        return (plan * matrix).sum() + epsilon * stats.entropy(plan.ravel(), product.ravel())

    expected = cost(a, b) - cost(a, a) / 2 - cost(b, b) / 2
    # Marginals are right to 1e-5, and potentials are of the order of the cost.
    assert float(sinkhorn_divergence(a, b, epsilon)) == pytest.approx(expected, abs=1e-5)


def test_sinkhorn_divergence_goes_to_the_exact_cost():
    a, b = normal(7, 60, 2), normal(7, 60, 2, "b") + 0.7
    exact = float(wasserstein(a, b, 2.0)) ** 2
    gaps = [abs(float(sinkhorn_divergence(a, b, epsilon)) - exact) for epsilon in (1.0, 0.1, 0.01)]
    assert gaps[2] < 0.01 * exact
    assert gaps[2] < gaps[1] < gaps[0]


def test_sinkhorn_divergence_is_zero_at_equality_and_positive_elsewhere(seed):
    a, b = normal(seed, 50, 3), normal(seed, 50, 3, "b")
    order = Streams.of(seed, 1).permutation("order", 50)[0]
    # The two ways to the same value (averaged and alternating steps): marginals to 1e-5, potentials of order 1.
    assert abs(float(sinkhorn_divergence(a, a[order], 0.5))) < 1e-5
    assert float(sinkhorn_divergence(a, b, 0.5)) > 1e-3


def test_sinkhorn_divergence_has_the_gradient_of_finite_differences():
    a, b = normal(8, 12, 2), normal(8, 9, 2, "b")
    a.requires_grad_()
    (gradient,) = torch.autograd.grad(sinkhorn_divergence(a, b, 1.0), a)
    step = torch.zeros_like(a)
    step[3, 1] = 1e-3
    with torch.no_grad():
        slope = (sinkhorn_divergence(a + step, b, 1.0) - sinkhorn_divergence(a - step, b, 1.0)) / 2e-3
    # Values are right to about 1e-8, so their difference over 2e-3 is right to 1e-5.
    assert float(gradient[3, 1]) == pytest.approx(float(slope), abs=1e-4)


def test_what_has_no_distance_is_said_in_one_line():
    a = torch.zeros(3, 2)
    with pytest.raises(InputError, match="one size"):
        wasserstein(a, torch.zeros(4, 2))
    with pytest.raises(InputError, match="p >= 1"):
        on_a_line(a[:, 0], a[:, 0], 0.5)
    with pytest.raises(InputError, match="at least one sample"):
        on_a_line(a[:0, 0], a[:, 0])
    with pytest.raises(InputError, match="one width"):
        sliced_wasserstein(a, torch.zeros(3, 3), torch.eye(2))
    with pytest.raises(InputError, match="epsilon > 0"):
        sinkhorn_divergence(a, a, 0.0)
    with pytest.raises(InputError, match="coincide"):
        kernels.median_square(a)


def test_an_epsilon_that_does_not_converge_is_refused(monkeypatch):
    monkeypatch.setattr("zsteer.maths.sinkhorn.ROUNDS", 50)
    with pytest.raises(RefusedError, match="larger epsilon"):
        sinkhorn_divergence(normal(9, 60, 2), normal(9, 60, 2, "b"), 1e-4)


# ------------------------------------------------------------------------------------------------------ kernels


def test_the_median_leaves_the_zero_diagonal_out():
    x = torch.tensor([[0.0], [1.0], [3.0]])
    assert float(kernels.median_square(x)) == 4  # of 1, 4 and 9, not of these with three zeros


def test_kernels_agree_with_scikit_learn():
    a, b = normal(10, 20, 4), normal(10, 15, 4, "b")
    assert torch.allclose(kernels.gaussian_kernel(a, b, 3.0), torch.from_numpy(pairwise.rbf_kernel(a, b, gamma=1 / 3)))
    expected = pairwise.polynomial_kernel(a, b, degree=3, gamma=1 / 4, coef0=1)
    assert torch.allclose(kernels.polynomial_kernel(a, b), torch.from_numpy(expected))


def test_mmd_of_a_gram_matrix_is_that_of_the_autoencoders():
    a, b = normal(11, 30, 3), normal(11, 30, 3, "b")
    pooled = torch.cat([a, b])
    gram = kernels.multiquadric_kernel(pooled, pooled, 6.0)  # 2 d, the scale of a standard normal prior
    value = kernels.mmd_of_gram(gram, torch.arange(60)[None] < 30)[0]
    assert float(value) == pytest.approx(float(mmd(a, b)), abs=1e-12)


def test_mmd_of_unequal_sizes_is_the_sum_over_pairs():
    a, b = normal(12, 7, 2), normal(12, 5, 2, "b")
    pooled = torch.cat([a, b])
    k = kernels.gaussian_kernel(pooled, pooled, 2.0)
    own = (k[:7, :7].sum() - 7) / 42 + (k[7:, 7:].sum() - 5) / 20 - 2 * k[:7, 7:].mean()
    assert float(kernels.mmd_of_gram(k, torch.arange(12)[None] < 7)[0]) == pytest.approx(float(own), abs=1e-12)


# -------------------------------------------------------------------------------------------- nulls and p-values


def test_p_values_are_uniform_under_the_null_and_small_under_a_shift():
    """40 draws: under the null the mean p is 0.5 within 4 standard errors of a uniform number."""
    values = []
    for seed in range(40):
        a, b = normal(seed, 60, 2).float(), normal(seed, 60, 2, "b").float()
        values.append(permutation_test(kernels.distance_kernel, a, b, Streams.of(seed, 1), permutations=99)[1])
    assert abs(np.mean(values) - 0.5) < 4 * math.sqrt(1 / 12 / 40)
    assert stats.kstest(values, "uniform").pvalue > 1e-3
    shifted = permutation_test(kernels.distance_kernel, a, b + 1, Streams.of(0, 1), permutations=99)[1]
    assert shifted == 0.01  # the smallest that 99 permutations can give


def test_equal_distributions_lie_at_their_null_and_shifted_ones_beyond(seed):
    reference, same = normal(seed, 400, 2).float(), normal(seed, 200, 2, "same").float()
    found = compare("energy", energy_distance, same, reference, Streams.of(seed, 1))
    # Parts of one reference are not independent, so the null's spread is a little too small: 6 instead of 4.
    assert abs(found.z) < 6
    moved = compare("energy", energy_distance, same + 0.7, reference, Streams.of(seed, 1))
    assert moved.z > 8
    assert moved.n == found.n == 200


def test_every_usual_distance_sees_a_shift():
    reference, samples = normal(13, 300, 3).float(), normal(13, 150, 3, "s").float() + 1
    found = usual_distances(samples, reference, Streams.of(0, 1), repeats=4, most=100)
    assert all(row.z > 5 for row in found)
    assert [row.p for row in found if row.p is not None] == [pytest.approx(1 / 501)] * 3
    assert "real vs real" in distance_table("Distances", found).text()


def test_too_few_rows_and_other_widths_are_refused():
    x = torch.zeros(10, 2)
    with pytest.raises(InputError, match="two halves"):
        compare("energy", energy_distance, x, x[:3], Streams.of(0, 1))
    with pytest.raises(InputError, match="one form"):
        compare("energy", energy_distance, x, torch.zeros(10, 3), Streams.of(0, 1))
    with pytest.raises(InputError, match="finite rows"):
        compare("energy", energy_distance, x + math.nan, x, Streams.of(0, 1))
