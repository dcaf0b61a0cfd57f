"""Bond lengths, angles and torsions as RDKit measures them; distances between sets in closed form; contacts."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from rdkit.Chem import rdMolTransforms
from scipy.stats import wasserstein_distance
from tests.made_molecules import DRUGS, built, changed, data_set, without_bonds

from zsteer.core.rng import Streams
from zsteer.domains.molecules.container import Molecules
from zsteer.domains.molecules.metrics.graph import verdicts
from zsteer.errors import InputError
from zsteer.kits.molecules.metrics.geometry import (
    FEWEST,
    Measured,
    angles,
    bond_lengths,
    clashing,
    compact,
    drift,
    name_of_bond,
    redraw,
    torsions,
)


def by_rdkit(mol, what):
    """All bonds, angles or absolute torsions of a molecule, sorted."""
    conformer = mol.GetConformer()
    near = {atom.GetIdx(): [other.GetIdx() for other in atom.GetNeighbors()] for atom in mol.GetAtoms()}
    bonds = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in mol.GetBonds()]
    if what is bond_lengths:
        return sorted(rdMolTransforms.GetBondLength(conformer, i, j) for i, j in bonds)
    if what is angles:
        found = [(a, c, b) for c, others in near.items() for a in others for b in others if a < b]
        return sorted(rdMolTransforms.GetAngleDeg(conformer, *three) for three in found)
    found = [(a, j, k, d) for j, k in bonds for a in near[j] for d in near[k] if a != k and d not in {j, a}]
    return sorted(abs(rdMolTransforms.GetDihedralDeg(conformer, *four)) for four in found)


@pytest.mark.parametrize("what", [bond_lengths, angles, torsions])
def test_equals_rdkit_for_every_molecule(what):
    molecules = built(*DRUGS)
    found = what(molecules)
    for i, mol in enumerate(verdicts(molecules).mols):
        own = np.sort(found.values[found.molecule == i])
        # coordinates are float32 on our side: 1e-7 relative, and angles near 180 degrees lose half of the digits
        assert own == pytest.approx(by_rdkit(mol, what), abs=2e-2 if what is not bond_lengths else 1e-5)


@pytest.mark.parametrize("what", [bond_lengths, angles, torsions])
def test_turned_mirrored_and_moved_molecules_measure_alike(what):
    molecules = built("nicotine", "metformin")
    turn = torch.linalg.qr(Streams.of(1, 1).normal("turn", (3, 3))[0])[0].numpy()
    mirrored = replace(molecules, xyz=(-molecules.xyz @ turn + 3).astype(np.float32))
    assert what(mirrored).values == pytest.approx(what(molecules).values, abs=2e-2)  # float32 near 180 degrees


def test_kinds_have_names():
    kinds = {name_of_bond(int(kind)) for kind in np.unique(bond_lengths(built("paracetamol")).kind)}
    assert kinds == {"H-C", "H-N", "H-O", "C-C", "C:C", "C-N", "C-O", "C=O"}


def measured(values, kind, molecule=None):
    own = np.arange(len(values)) if molecule is None else molecule
    return Measured(np.asarray(values, float), np.asarray(kind), own, int(own.max()) + 1)


def test_drift_is_the_wasserstein_distance_of_each_kind(seed):
    rng = Streams.of(seed, 1)
    a, b = rng.normal("a", (300,))[0].double().numpy(), rng.normal("b", (500,))[0].double().numpy() * 1.5 + 1
    kind_a, kind_b = (a > 0.3).astype(int) * 7, (b > 0.8).astype(int) * 7
    found = drift(measured(a, kind_a), measured(b, kind_b))
    expected = [wasserstein_distance(a[kind_a == kind], b[kind_b == kind]) for kind in (0, 7)]
    assert found.values == pytest.approx(expected, rel=1e-9)
    share = [(kind_b == kind).mean() for kind in (0, 7)]
    assert found.mean == pytest.approx(np.dot(share, expected), rel=1e-9)
    assert found.covered == pytest.approx(1.0)


def test_a_shift_is_its_own_distance():
    values = np.linspace(1, 2, 50)
    kind = np.zeros(50, int)
    assert drift(measured(values + 0.25, kind), measured(values, kind)).mean == pytest.approx(0.25, rel=1e-9)
    assert drift(measured(values, kind), measured(values, kind)).mean == pytest.approx(0.0, abs=1e-12)


def test_rare_kinds_do_not_count_and_missing_ones_are_told():
    reference = measured(np.arange(60.0), [1] * 30 + [2] * (FEWEST + 1) + [3] * (FEWEST - 11))
    found = drift(measured(np.arange(5.0), [1] * 5), reference)
    assert found.kinds.tolist() == [1, 2]
    assert np.isnan(found.values[1])
    assert found.covered == pytest.approx(30 / 51)


def test_drawing_a_molecule_twice_is_having_it_twice():
    a, b = bond_lengths(built("aspirin", "caffeine")), bond_lengths(built(*DRUGS))
    twice = bond_lengths(built("aspirin", "caffeine", "caffeine"))
    assert redraw(a, b, [np.array([1.0, 2.0])])[0] == pytest.approx(drift(twice, b).mean, rel=1e-9)


def test_no_values_have_no_drift():
    none = bond_lengths(built("ethanol").take(slice(0, 0)))
    found = drift(none, bond_lengths(built(*DRUGS)))
    assert np.isnan(found.mean)
    assert found.covered == 0


def test_real_molecules_do_not_clash():
    assert not clashing(built(*DRUGS)).any()
    assert not clashing(built(*DRUGS).heavy()).any()


def test_an_atom_moved_onto_another_clashes():
    ibuprofen = built("ibuprofen").heavy()
    ends = np.array([0, 12])
    assert ibuprofen.z[ends].tolist() == [6, 8]  # a methyl and an oxygen of the acid, far apart
    broken = changed(ibuprofen, "xyz", 0, ibuprofen.xyz[12] + np.float32(1.0))
    assert clashing(Molecules.cat([ibuprofen, broken])).tolist() == [False, True]


def test_what_is_not_finite_clashes_and_is_not_measured():
    broken = changed(built("ethanol"), "xyz", 0, np.nan)
    assert clashing(broken)[0]
    assert np.isfinite(bond_lengths(broken).values).all()
    assert len(bond_lengths(broken).values) == 4


def test_compact_is_a_rule_for_four_elements():
    molecules = built("ethanol", "aspirin", "sulfanilamide")
    assert compact(molecules).tolist()[:2] == [1, 1]
    assert np.isnan(compact(molecules)[2])
    far = changed(built("ethanol"), "xyz", 0, np.float32(9.0))
    assert compact(far).tolist() == [0]


@pytest.mark.parametrize("what", [bond_lengths, angles, torsions, clashing, compact])
def test_bonds_are_needed(what):
    with pytest.raises(InputError, match="have none"):
        what(without_bonds(built("ethanol")))


def test_data_against_data_is_near_and_noise_is_far(data_folder, seed):
    """Two parts of one set differ by sampling alone; noise of .1 angstrom moves bonds by a multiple of that."""
    whole = data_set(data_folder, "geomlike_etkdg_mmff.npz", n=300)
    even, odd = whole.take(slice(0, None, 2)), whole.take(slice(1, None, 2))
    noise = 0.1 * Streams.of(seed, 1).normal("noise", (len(odd.z), 3))[0].numpy()
    noisy = replace(odd, xyz=odd.xyz + noise)
    near, far = (drift(bond_lengths(one), bond_lengths(even)).mean for one in (odd, noisy))
    assert near < 0.01  # measured .004
    assert far > 5 * near
