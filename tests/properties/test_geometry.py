"""Geometry: symmetries on random points, closed forms, and RDKit's descriptors of real molecules."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zsteer.core.rng import Streams
from zsteer.maths import diffusion, gaussian, geometry


def points(seed, n, b=4, purpose="x"):
    return Streams.of(seed, b).normal(purpose, (n, 3), dtype=torch.float64)


def turns(seed, b=4, *, improper=False):
    return geometry.rotation(Streams.of(seed, b).normal("turn", (4,), dtype=torch.float64), improper=improper)


def masses(seed, n, b=4):
    return 1 + 15 * Streams.of(seed, b).uniform("mass", (n,), dtype=torch.float64)


seeds, sizes, flags = st.integers(0, 10_000), st.integers(1, 12), st.booleans()
SHAPES = {
    "asphericity": geometry.asphericity,
    "radius": geometry.radius_of_gyration,
    "ratios": geometry.moment_ratios,
}


@given(seeds, flags)
def test_rotations_are_orthogonal_with_the_right_sign(seed, improper):
    found = turns(seed, improper=improper)
    eye = torch.eye(3, dtype=torch.float64)
    assert float((found @ found.transpose(1, 2) - eye).abs().max()) < 1e-12
    assert torch.allclose(torch.linalg.det(found), torch.tensor(-1.0 if improper else 1.0, dtype=torch.float64))


def test_rotations_are_uniform(seed):
    """Of a uniform rotation every entry has mean 0 and variance 1/3: 20,000 draws, five standard errors."""
    found = turns(seed, 20_000)
    assert float(found.mean(0).abs().max()) < 5 * math.sqrt(1 / 3 / 20_000)
    assert float((found.square().mean(0) - 1 / 3).abs().max()) < 5 * math.sqrt(0.09 / 20_000)


@given(seeds, sizes, flags, flags)
def test_shapes_do_not_change_with_the_frame(seed, n, heavy, improper):
    """Rotated, reflected, shifted and with the points in another order."""
    x, turn = points(seed, n), turns(seed, improper=improper)
    m = masses(seed, n) if heavy else None
    shift = points(seed, 1, purpose="shift")
    order = torch.argsort(Streams.of(seed, 1).uniform("order", (n,))[0])
    for f in SHAPES.values():
        # Rounding of 1e-16, over the square of a shift of a few units.
        assert float(geometry.invariance_error(lambda at, f=f: f(at, m), x, turn, shift).max()) < 1e-11
        assert torch.allclose(f(x[:, order], None if m is None else m[:, order]), f(x, m), rtol=0, atol=1e-12)
    gap = geometry.distances(x @ turn.transpose(1, 2) + shift) - geometry.distances(x)
    assert float(gap.abs().max()) < 1e-6  # the root of a rounding error of 1e-14 where two points meet themselves


@given(seeds, st.integers(2, 12))
def test_asphericity_is_the_formula_of_eigenvalues(seed, n):
    x, m = points(seed, n), masses(seed, n)
    a, b, c = torch.linalg.eigvalsh(geometry.gyration_tensor(x, m)).unbind(-1)
    wanted = ((c - b) ** 2 + (c - a) ** 2 + (b - a) ** 2) / (2 * (a + b + c) ** 2)
    assert torch.allclose(geometry.asphericity(x, m), wanted, rtol=0, atol=1e-12)
    radius = ((masses(seed, n) / m.sum(1, keepdim=True))[..., None] * x).sum(1, keepdim=True)
    square = (m * (x - radius).square().sum(-1)).sum(1) / m.sum(1)
    assert torch.allclose(geometry.radius_of_gyration(x, m), square.sqrt(), rtol=0, atol=1e-12)


CUBE = [[float(i), float(j), float(k)] for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)]
ROD = [[0.0, 0.0, float(k)] for k in range(4)]
DISC = [[math.cos(k * math.pi / 3), math.sin(k * math.pi / 3), 0.0] for k in range(6)]


@pytest.mark.parametrize(
    ("at", "aspherical", "ratios"),
    [(CUBE, 0.0, (1.0, 1.0)), (ROD, 1.0, (0.0, 1.0)), (DISC, 0.25, (0.5, 0.5)), ([[1.0, 2.0, 3.0]], 0.0, (0.0, 0.0))],
)
def test_known_shapes_and_finite_gradients(at, aspherical, ratios):
    """Balls, rods, discs and a single point, all of which have eigenvalues that meet."""
    x = torch.tensor([at], dtype=torch.float64, requires_grad=True)
    assert float(geometry.asphericity(x.detach())) == pytest.approx(aspherical, abs=1e-12)
    assert geometry.moment_ratios(x.detach())[0].tolist() == pytest.approx(ratios, abs=1e-12)
    for value in (
        *(f(x).sum() for f in SHAPES.values()),
        geometry.distances(x).sum(),
        geometry.rmsd(x, x.detach()).sum(),
    ):
        (slope,) = torch.autograd.grad(value, x, allow_unused=True)
        assert slope is None or bool(torch.isfinite(slope).all())


@given(seeds, st.integers(1, 12), flags)
def test_alignment_finds_the_rotation(seed, n, improper):
    """A copy that is turned and moved has an RMSD of 0; a mirror image only where reflections are allowed."""
    x, turn = points(seed, n), turns(seed, improper=improper)
    y = x @ turn.transpose(1, 2) + points(seed, 1, purpose="shift")
    found = geometry.rmsd(x, y, reflect=improper)
    assert float(found.max()) < 1e-7  # root of rounding
    if n > 4:
        best = geometry.optimal_rotation(x, y, reflect=improper)
        assert torch.allclose(best, turn, rtol=0, atol=1e-9)
        # No other rotation is nearer.
        z = points(seed, n, purpose="other")
        least = geometry.rmsd(x, z, reflect=improper)
        other = geometry.rmsd(geometry.centre(x) @ turn.transpose(1, 2), geometry.centre(z), align=False)
        assert bool((least <= other + 1e-12).all())
    assert float(torch.linalg.det(geometry.optimal_rotation(x, y)).min()) > 0.99


def test_gradient_of_the_aligned_distance_is_right():
    """The rotation moves with x, and at the optimum that does not matter: finite differences agree."""
    x, y = points(3, 6, 2).requires_grad_(True), points(4, 6, 2)
    assert torch.autograd.gradcheck(lambda at: geometry.rmsd(at, y), (x,))
    m = masses(3, 6, 2)
    for f in SHAPES.values():
        assert torch.autograd.gradcheck(lambda at, f=f: f(at, m), (x,))


def test_weights_of_the_alignment():
    """A point without weight does not count."""
    x, turn = points(0, 6), turns(0)
    y = x @ turn.transpose(1, 2)
    y[:, 5] += 10
    w = torch.ones(4, 6, dtype=torch.float64)
    w[:, 5] = 0
    assert torch.allclose(geometry.optimal_rotation(x, y, w), turn, rtol=0, atol=1e-9)


def test_masked_centre_is_the_centre_of_what_is_there():
    x = points(0, 5)
    mask = torch.tensor([True, True, True, False, False]).expand(4, 5)
    found = geometry.centre(x, mask)
    assert torch.allclose(found[:, :3], geometry.centre(x[:, :3]), rtol=0, atol=1e-15)
    assert not found[:, 3:].any() and not geometry.centre(x, torch.zeros_like(mask)).any()


def test_density_of_the_subspace_is_that_of_its_coordinates(seed):
    """In an orthonormal basis of the subspace the density and the KL are those of ordinary normals."""
    n = 5
    x, mean, other = (geometry.centre(points(seed, n, purpose=name)) for name in ("x", "mean", "other"))
    eye = torch.eye(n, dtype=torch.float64)
    basis = torch.linalg.qr(eye[:, 1:] - eye[:, :1]).Q
    log_var, log_other = torch.tensor([0.4], dtype=torch.float64), torch.tensor([-0.3], dtype=torch.float64)
    flat = [torch.einsum("bnd,nk->bkd", one, basis).flatten(1) for one in (x, mean, other)]
    wanted = gaussian.log_density(flat[0], flat[1], log_var.expand_as(flat[0]))
    assert torch.allclose(geometry.centred_log_density(x, mean, log_var), wanted, rtol=0, atol=1e-12)
    wanted = diffusion.kl_of_normals(flat[1], log_var[:, None], flat[2], log_other[:, None])
    assert torch.allclose(geometry.centred_kl(mean, log_var, other, log_other), wanted, rtol=0, atol=1e-12)


@pytest.mark.lecture("symmetry.equivariant", "symmetry.invariant")
def test_definitions_tell_what_is_equivariant_and_what_is_not(measured):
    """Truth: moves towards the neighbours turn with the frame, distances do not change; a move along z does neither."""
    x, turn, shift = points(1, 7), turns(1, improper=True), points(1, 1, purpose="shift")

    def pull(at):
        gap = at[:, :, None] - at[:, None]
        return (gap * (-gap.square().sum(-1, keepdim=True)).exp()).sum(2)

    good = float(geometry.equivariance_error(pull, x, turn, shift).max())
    measured(good, "largest |T_g f(x) - f(T_g x)| of a pull between points", of="symmetry.equivariant")
    same = float(geometry.invariance_error(lambda at: geometry.distances(at).sum((1, 2)), x, turn, shift).max())
    measured(same, "largest |f(h) - f(S_g h)| of the sum of distances", of="symmetry.invariant")
    assert good < 1e-12 and same < 1e-12
    places = geometry.equivariance_error(lambda at: at + pull(at), x, turn, shift, places=True)
    assert float(places.max()) < 1e-12
    up = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    assert float(geometry.equivariance_error(lambda at: pull(at) + up, x, turn).min()) > 1e-3
    assert float(geometry.invariance_error(lambda at: at[:, 0, 0], x, turn).min()) > 1e-6


MOLECULES = (
    *("CC(=O)Oc1ccccc1C(=O)O", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "C#CC#C", "C", "O", "CC(C)Cc1ccc(cc1)C(C)C(=O)O"),
    *("Clc1ccccc1", "OC(=O)c1ccccc1S", "CN1CCC[C@H]1c1cccnc1"),
)


@pytest.mark.parametrize("smiles", MOLECULES)
def test_shapes_of_molecules_are_those_of_rdkit(smiles):
    """Mass-weighted descriptors of an embedded molecule with its hydrogens, to 1e-4."""
    from rdkit import Chem
    from rdkit.Chem import AllChem, Descriptors3D

    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert AllChem.EmbedMolecule(molecule, randomSeed=7) == 0
    x = torch.tensor(molecule.GetConformer().GetPositions(), dtype=torch.float64)[None]
    m = torch.tensor([[atom.GetMass() for atom in molecule.GetAtoms()]], dtype=torch.float64)
    ratios = geometry.moment_ratios(x, m)[0]
    found = [float(geometry.asphericity(x, m)), float(geometry.radius_of_gyration(x, m)), *ratios.tolist()]
    names = ("Asphericity", "RadiusOfGyration", "NPR1", "NPR2")
    assert found == pytest.approx([getattr(Descriptors3D, name)(molecule) for name in names], abs=1e-4)
