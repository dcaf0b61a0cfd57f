"""Molecules as padded batches and back: nothing is lost, and what does not belong is named."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from zsteer.core.protocols import Space
from zsteer.domains.molecules.chemistry import gather, parse_smiles, record_of, with_hydrogens
from zsteer.domains.molecules.space import FIELDS, MoleculeSpace
from zsteer.errors import InputError, SettingsError

SMILES = ["CC(=O)Oc1ccccc1C(=O)O", "C", "[NH3+]CC(=O)[O-]", "C#N", "CC"]


@pytest.fixture
def molecules():
    records = [record_of(with_hydrogens(parse_smiles(text)), name=text, properties={"k": 0.5}) for text in SMILES]
    return gather([replace(one, xyz=np.sin(np.arange(3.0 * len(one.z))).reshape(-1, 3)) for one in records])


@pytest.mark.parametrize("form", ["explicit", "implicit"])
def test_a_batch_holds_everything(molecules, form):
    given = molecules.heavy() if form == "implicit" else molecules
    space = MoleculeSpace.spanning(given)
    assert isinstance(space, Space) and space.name == "molecules" and space.hydrogens == form
    batch = space.encode(given)
    assert set(batch.fields) == {*FIELDS, "k"}
    assert batch["xyz"].dtype == torch.float32 and batch["bond"].dtype == batch["z"].dtype == torch.int64
    assert batch.mask.sum(1).tolist() == given.sizes.tolist()
    # Centred by atoms, and zero on padding; float32.
    assert batch["xyz"].sum(1).abs().max() < 1e-5
    assert not batch["xyz"][~batch.mask].any() and not batch["z"][~batch.mask].any()
    assert torch.equal(batch["bond"], batch["bond"].mT)
    found = space.decode(batch)
    for name in ("z", "offsets", "charge", "hydrogens", "bond_offsets"):
        assert np.array_equal(getattr(found, name), getattr(given, name)), name
    assert bonds_of(found) == bonds_of(given)
    assert list(found.properties["k"]) == [0.5] * len(SMILES)


def bonds_of(molecules):
    """Bonds as a set: a dense table does not keep their order."""
    owner = np.repeat(np.arange(len(molecules)), np.diff(molecules.bond_offsets))
    rows = zip(owner, molecules.bonds.tolist(), molecules.order, molecules.aromatic, strict=True)
    return {(int(m), *pair, int(order), bool(ring)) for m, pair, order, ring in rows}


def test_settings_survive_json():
    space = MoleculeSpace(("C", "N"), "implicit", 12)
    assert MoleculeSpace.of(json.loads(json.dumps(space.settings()))) == space
    for wrong in (("Xx",), (), ("H", "C")):
        with pytest.raises(SettingsError):
            MoleculeSpace(wrong, "implicit")


def test_what_does_not_belong_is_named(molecules):
    cases = {
        r"molecule 1 .*: 21 atoms; expected at most 9": MoleculeSpace(("H", "C", "N", "O"), max_atoms=9),
        r"molecule 1 .*: unknown element O; expected H C N": MoleculeSpace(("H", "C", "N")),
        r"molecule 1 .*: hydrogen atoms; expected them counted": MoleculeSpace(("C", "N", "O"), "implicit"),
    }
    for match, space in cases.items():
        with pytest.raises(InputError, match=match):
            space.encode(molecules)
    with pytest.raises(InputError, match=r"missing hydrogens: 8 are counted"):
        MoleculeSpace(("C", "N", "O")).encode(molecules.heavy())
    xyz = molecules.xyz.copy()
    xyz[22] = np.nan
    with pytest.raises(InputError, match=r"molecule 2 .C.: coordinates are not numbers"):
        MoleculeSpace.spanning(molecules).encode(replace(molecules, xyz=xyz))
    space = MoleculeSpace(("H", "C", "N"))
    assert space.holds(molecules).tolist() == [space.problem(molecules, i) is None for i in range(len(SMILES))]
