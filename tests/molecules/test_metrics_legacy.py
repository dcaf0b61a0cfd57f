"""The lookup of ``edm-2022`` equals its definition, atom by atom, and is known for what it says of benzene."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.made_molecules import DRUGS, built, changed, data_set, without_bonds

from zsteer.core.rng import Streams
from zsteer.domains.molecules.container import SYMBOLS, Molecules
from zsteer.errors import InputError
from zsteer.kits.molecules.metrics.bonds import ALLOWED, MARGINS, lengths
from zsteer.kits.molecules.metrics.legacy import foreign, legacy_smiles, lookup, stability


def by_definition(molecules):
    """Stable atoms and molecules, two loops over the atoms of each molecule."""
    tables = [lengths(order) for order in (1, 2, 3)]
    atoms, whole = [], []
    for i in range(len(molecules)):
        span = slice(molecules.offsets[i], molecules.offsets[i + 1])
        names = [SYMBOLS[z] for z in molecules.z[span]]
        xyz = molecules.xyz[span]
        sums = [0] * len(names)
        for a in range(len(names)):
            for b in range(a + 1, len(names)):
                distance = 100 * np.sqrt(np.sum((xyz[a] - xyz[b]) ** 2))
                order = 0
                for k in range(3):
                    length = tables[k].get((names[a], names[b]))
                    if length is None or not distance < length + MARGINS[k]:
                        break
                    order = k + 1
                sums[a] += order
                sums[b] += order
        good = [total in ALLOWED[name] for name, total in zip(names, sums, strict=True)]
        atoms += good
        whole.append(all(good))
    return np.array(atoms), np.array(whole)


def cloud(seed, n=40):
    """Atoms at random places, dense enough that every order occurs."""
    rng = Streams.of(seed, n)
    sizes = (2 + rng.integers("size", 9)).numpy()
    kinds = np.array([1, 5, 6, 7, 8, 9, 14, 15, 16, 17, 35, 53], np.uint8)
    z = kinds[rng.integers("kind", len(kinds), (12,)).numpy()]
    xyz = 1.3 * rng.normal("xyz", (12, 3)).numpy()
    stay = np.arange(12)[None, :] < sizes[:, None]
    count = int(sizes.sum())
    return Molecules(
        z=z[stay],
        xyz=xyz[stay].astype(np.float32),
        offsets=np.concatenate([[0], np.cumsum(sizes)]),
        charge=np.zeros(count, np.int8),
        hydrogens=np.zeros(count, np.int8),
    )


@pytest.mark.parametrize("order", [1, 2, 3])
def test_lengths_are_symmetric_and_fall_with_the_order(order):
    table = lengths(order)
    assert all(table[b, a] == length for (a, b), length in table.items())
    if order > 1:
        longer = lengths(order - 1)
        # so that passing a threshold implies passing those of lower orders, and the order is their number
        assert all(length + MARGINS[order - 1] < longer[pair] + MARGINS[order - 2] for pair, length in table.items())


def test_equals_two_loops_on_random_clouds(seed):
    molecules = cloud(seed)
    atoms, whole = by_definition(molecules)
    found = stability(molecules)
    assert (found.atoms == atoms).all()
    assert (found.molecules == whole).all()
    assert 0 < atoms.sum() < len(atoms)


def test_equals_two_loops_on_drugs():
    molecules = built(*DRUGS)
    atoms, whole = by_definition(molecules)
    found = stability(molecules)
    assert (found.atoms == atoms).all()
    assert (found.molecules == whole).all()


def test_moved_and_turned_molecules_stay_as_they_are():
    molecules = built("aspirin", "caffeine", "ethanol")
    turn = torch.linalg.qr(Streams.of(0, 1).normal("turn", (3, 3))[0])[0].numpy()
    moved = replace(molecules, xyz=(molecules.xyz @ turn + 5).astype(np.float32))
    assert (stability(moved).atoms == stability(molecules).atoms).all()


def test_benzene_is_unstable():
    """Its C-C bonds of 139.6 pm (MMFF) lie above the 139 pm of a double bond, so six carbons have valence 3.

    This is the known fault of the protocol, kept on purpose: whoever optimises it is pushed away from benzene.
    """
    found = stability(built("benzene"))
    assert found.atoms.tolist() == [False] * 6 + [True] * 6
    assert not found.molecules[0]
    assert set(lookup(built("benzene")).order[:3].tolist()) == {1}


@pytest.mark.parametrize("name", ["ethanol", "furan", "caffeine", "glycine", "metformin"])
def test_kekulised_looking_molecules_are_stable(name):
    assert stability(built(name)).molecules.all()


@pytest.mark.parametrize("name", ["nitrobenzene", "sulfanilamide", "acetate"])
def test_charges_and_hypervalent_sulfur_are_not_known_to_it(name):
    assert not stability(built(name)).molecules.any()


def test_lookup_finds_the_bonds_of_ethanol():
    ethanol = built("ethanol")
    found = lookup(ethanol)
    assert sorted(map(tuple, found.bonds.tolist())) == sorted(map(tuple, ethanol.bonds.tolist()))
    assert (found.order == 1).all()
    assert found.bond_offsets.tolist() == [0, 8]


def test_lookup_keeps_the_order_of_molecules_of_mixed_sizes():
    molecules = built("caffeine", "ethanol", "caffeine", "furan", "ethanol")
    whole = lookup(molecules)
    for i in range(len(molecules)):
        one = lookup(molecules.take([i]))
        assert (whole.take([i]).bonds == one.bonds).all()
        assert (whole.take([i]).order == one.order).all()


def test_validity_names_the_largest_fragment():
    ethanol, water = built("ethanol"), built("O")
    far = replace(water, xyz=water.xyz + 20)
    both = replace(
        Molecules.cat([without_bonds(ethanol), without_bonds(far)]), offsets=np.array([0, 12], np.int64), smiles=None
    )
    assert legacy_smiles(both)[0] == legacy_smiles(ethanol)[0]
    assert "." in legacy_smiles(both, whole=True)[0]
    assert stability(both).molecules[0]  # two pieces count as one stable molecule: another known fault


def test_missing_hydrogens_pass_the_legacy_validity_but_not_stability():
    radical = without_bonds(built("ethanol")).take([0])
    bare = replace(
        radical,
        **{name: getattr(radical, name)[:-1] for name in ("z", "xyz", "charge", "hydrogens")},
        offsets=np.array([0, 8], np.int64),
    )
    assert legacy_smiles(bare)[0] != ""
    assert not stability(bare).molecules[0]


def test_single_bonds_only_accepts_what_the_orders_refuse():
    ethene = without_bonds(built("C=C"))
    carbon, others = ethene.xyz[0], ethene.xyz[1:]
    normal = np.cross(others[0] - carbon, others[1] - carbon)
    crowded = replace(
        ethene,
        z=np.append(ethene.z, np.uint8(1)),
        xyz=np.vstack([ethene.xyz, carbon + normal / np.linalg.norm(normal)]).astype(np.float32),
        charge=np.zeros(7, np.int8),
        hydrogens=np.zeros(7, np.int8),
        offsets=np.array([0, 7], np.int64),
    )
    assert legacy_smiles(crowded)[0] == ""  # a carbon of valence 5
    assert legacy_smiles(crowded, single=True)[0] != ""


def test_coordinates_that_are_not_finite_are_bound_to_nothing():
    ethanol = built("ethanol")
    broken = changed(changed(ethanol, "xyz", 0, np.nan), "xyz", 1, np.inf)
    found = stability(broken)
    assert not found.atoms[:2].any()
    assert not found.molecules[0]


def test_a_molecule_with_an_unknown_element_is_neither_stable_nor_valid():
    pair = Molecules.cat([built("ethanol"), changed(built("ethanol"), "z", 0, 34)])
    assert foreign(pair).tolist() == [False, True]
    assert stability(pair).molecules.tolist() == [True, False] and not stability(pair).atoms[9]
    assert [bool(name) for name in legacy_smiles(pair)] == [True, False]


def test_counted_hydrogens_are_refused():
    with pytest.raises(InputError, match="needs every hydrogen as an atom; molecule 1"):
        stability(built("ethanol").heavy())


def test_no_molecules_give_no_shares():
    none = built("ethanol").take(slice(0, 0))
    assert len(stability(none).molecules) == 0
    assert len(lookup(none).bonds) == 0


def test_qm7_is_almost_stable(data_folder):
    """Real quantum-chemical geometries: 94.1 % of the 7,101 molecules are stable.

    The figure follows from the data and the definition alone; the tolerance leaves room for the rounding of distances
    at a threshold.
    """
    found = stability(data_set(data_folder, "qm7_dft3d.npz", n=7101))
    assert found.molecules.mean() == pytest.approx(0.9413, abs=0.001)
    assert found.atoms.mean() == pytest.approx(0.9935, abs=0.001)
