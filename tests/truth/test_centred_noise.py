"""Centred noise and noise of several parts, against what is known of them."""

import math

import pytest
import torch
from tests.composite import F, K, Molecule, product

from zsteer.core.protocols import Noise, Prediction
from zsteer.core.rng import Streams
from zsteer.errors import CapabilityError, InputError, SettingsError
from zsteer.maths.schedules import Schedule
from zsteer.noise.centred import Centred
from zsteer.noise.gaussian import Gaussian
from zsteer.noise.product import Part, Product
from zsteer.sample.solvers import walk

NOISE = Centred(Schedule("polynomial", rest=1e-6), 100)


def data(n, atoms, seed):
    return NOISE.project(Streams.of(seed, n).normal("x0", (atoms, 3), dtype=torch.float64))


def off(x):
    """Largest distance of a centre from zero."""
    return float(x.reshape(len(x), -1, 3).mean(1).abs().max())


def test_all_draws_stay_in_the_subspace(seed):
    """Data, noise, posterior, kernel, steps; also where the data, the prediction and the guide are off the centre."""
    rng = Streams.of(seed, 8)
    x0 = data(8, 5, seed) + 3.0
    t = torch.full((8,), 0.4, dtype=torch.float64)
    x_t = NOISE.corrupt(x0, t, rng)
    prediction = Prediction(x0 + 1.0, mean_shift_gradient=torch.ones_like(x0))
    mean, variance = NOISE.kernel(x_t, prediction, 0.4, 0.2)
    found = [
        NOISE.prior(x0, rng),
        x_t,
        NOISE.posterior(x0, x_t, 0.4, 0.2)[0],
        mean,
        *(NOISE.step(x_t, prediction, 0.4, s, rng=rng, eta=eta) for s, eta in ((0.2, 1.0), (0.2, 0.5), (0.0, 1.0))),
        NOISE.step(x_t, Prediction(x0 + 1.0), 0.4, 0.2, rng=rng, eta=0.0),
        NOISE.shift(x0 - 3.0, torch.ones_like(x0), t) - NOISE.shift(x0 - 3.0, torch.zeros_like(x0), t),
    ]
    assert all(off(one) < 1e-12 for one in found) and bool((variance > 0).all())
    assert all(isinstance(one, Noise) for one in (NOISE, product()))


def test_flat_rows_are_the_same_numbers(seed):
    x0, rng = data(3, 6, seed), Streams.of(seed, 3)
    t = torch.full((3,), 0.7, dtype=torch.float64)
    assert torch.equal(NOISE.corrupt(x0.flatten(1), t, rng), NOISE.corrupt(x0, t, rng).flatten(1))
    assert NOISE.free(x0) == NOISE.free(x0.flatten(1)) == 15


def test_prior_is_the_standard_normal_of_the_subspace(seed):
    """Covariance I - 1/n over atoms, so |x|^2 has (n - 1) 3 degrees of freedom."""
    n, atoms = 4000, 5
    x = NOISE.prior(torch.zeros(n, atoms, 3, dtype=torch.float64), Streams.of(seed, n))
    found = torch.einsum("bic,bjc->ij", x, x) / (3 * n)
    wanted = torch.eye(atoms, dtype=torch.float64) - 1 / atoms
    # Each entry is a mean of 12,000 products of variance at most 2: six standard errors.
    assert float((found - wanted).abs().max()) < 6 * math.sqrt(2 / (3 * n))


def test_single_atom_has_nothing_to_draw():
    found = NOISE.prior(torch.ones(2, 1, 3), Streams.of(0, 2))
    assert torch.equal(found, torch.zeros(2, 1, 3)) and NOISE.free(found) == 0


def test_product_is_its_parts_with_streams_of_their_own(seed):
    noise = product()
    toy = Molecule(noise)
    rng = Streams.of(seed, 4)
    x0, t = toy.like(4), torch.full((4,), 0.5, dtype=torch.float64)
    x_t = noise.corrupt(x0, t, rng)
    prediction = toy.predict(x_t, t)
    for whole, each in (
        (x_t, lambda part, at, _: part.noise.corrupt(at, t, rng.child(part.name))),
        (noise.prior(x0, rng), lambda part, at, _: part.noise.prior(at, rng.child(part.name))),
    ):
        for name, found in noise.split(whole).items():
            assert torch.equal(found, each(noise.part(name), noise.split(x0)[name], None))
    there, pieces = noise.step(x_t, prediction, 0.5, 0.3, rng=rng, eta=1.0), noise.split_prediction(prediction)
    for name, found in noise.split(there).items():
        at = noise.split(x_t)[name]
        alone = noise.part(name).noise.step(at, pieces[name], 0.5, 0.3, rng=rng.child(name), eta=1.0)
        assert torch.equal(found, alone)
    assert torch.equal(noise.join(noise.split(x_t)), x_t) and noise.size == x_t.shape[1] == 4 * (3 + F + K)


@pytest.mark.parametrize("solver", ["ancestral", "multistep2"])
def test_exact_denoiser_walks_to_its_data(solver, seed):
    """Variances of both Gaussian parts and the share of the first kind, from 3,000 molecules and 60 steps.

    For steps of that length the posterior's variance of ancestral sampling is too small by nature: 10 % are allowed.
    """
    toy = Molecule(product(steps=1000))
    n = 3000
    rng = Streams.of(seed, n)
    x = toy.noise.split(walk(toy, toy.noise.prior(toy.like(n), rng), rng, solver=solver, steps=60))
    found = [
        float(x["positions"].square().sum((1, 2)).mean() / 9),
        float(x["charge"].mean()),
        float(x["charge"].var()),
        float(x["kinds"][..., 0].mean()),
    ]
    wanted = [toy.variance, toy.mean, toy.variance / 2, toy.share]
    # Five standard errors (27,000 or 24,000 or 12,000 numbers), and what the length of the steps leaves.
    rest = 0.1 if solver == "ancestral" else 0.02
    errors = [0.6 * math.sqrt(2 / 27e3), math.sqrt(0.3 / 24e3), 0.3 * math.sqrt(2 / 24e3), 0.5 / math.sqrt(12e3)]
    for one, other, error in zip(found, wanted, errors, strict=True):
        assert abs(one - other) < 5 * error + rest * other


def test_parts_without_numbers_are_passed_over():
    """The bonds of a single atom."""
    noise = Product(
        (
            Part("positions", (1, 3), NOISE),
            Part("bonds", (0, 5), Gaussian(Schedule("cosine"), 100)),
        )
    )
    x = noise.prior(torch.zeros(2, 3), Streams.of(0, 2))
    t = torch.full((2,), 0.5)
    x = noise.step(noise.corrupt(x, t, Streams.of(0, 2)), Prediction(x), 0.5, 0.2, rng=Streams.of(0, 2), eta=1.0)
    assert x.shape == noise.shift(x, x, t).shape == (2, 3)


def test_errors_name_what_is_wrong():
    two = Part("a", (2,), Gaussian(Schedule(), 10)), Part("b", (2,), Gaussian(Schedule(), 20))
    for parts in (two, (two[0], two[0]), ()):
        with pytest.raises(SettingsError, match="expected"):
            Product(parts)
    noise = Product(two[:1])
    with pytest.raises(SettingsError, match="did you mean 'a'"):
        noise.part("A")
    with pytest.raises(InputError, match=r"a \(2,\)"):
        noise.split(torch.zeros(3, 5))
    with pytest.raises(InputError, match="the parts"):
        noise.join({"b": torch.zeros(3, 2)})
    with pytest.raises(InputError, match=r"expected a"):
        noise.join({"a": torch.zeros(3, 3)})
    with pytest.raises(InputError, match=r"\(2, 5, 2\)"):
        NOISE.project(torch.zeros(2, 5, 2))
    with pytest.raises(SettingsError, match="dims"):
        Centred(Schedule(), 10, dims=0)
    x = torch.zeros(2, 3, 3)
    with pytest.raises(CapabilityError, match="learnt variance"):
        NOISE.step(x, Prediction(x, variance_fraction=x), 0.5, 0.2, rng=Streams.of(0, 2), eta=1.0)
