"""Records that cannot be read count as molecules that are not valid, in every protocol of molecules."""

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem

from zsteer import api
from zsteer.core.rng import Streams
from zsteer.domains.molecules.files import Reading, read
from zsteer.evaluate.intervals import Draws

SMILES = ["CC=CC", "CCO", "CCN", "CCC", "c1ccccc1", "CC(=O)O", "CCCl", "CCF", "COC", "CCCC", "CC(C)C", "CCS"]


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """Twelve good records and one without numbers for coordinates."""
    blocks = []
    for k, smiles in enumerate(SMILES):
        mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
        AllChem.EmbedMolecule(mol, randomSeed=k + 1)
        blocks.append(Chem.MolToMolBlock(mol))
    lines = blocks[1].split("\n")
    lines[5] = "    x.xxxx" + lines[5][10:]
    path = tmp_path_factory.mktemp("broken") / "b.sdf"
    path.write_text("$$$$\n".join([*blocks, "\n".join(lines)]) + "$$$$\n")
    return path


@pytest.mark.parametrize(("protocol", "column"), [("geom-revisited", 4), ("edm-2022", 3)])
def test_a_record_that_cannot_be_read_is_not_valid(broken, tmp_path, protocol, column):
    good = tmp_path / "good.sdf"
    good.write_text("$$$$\n".join(broken.read_text().split("$$$$\n")[:12] * 2) + "$$$$\n")
    tables = api.evaluate(broken, protocol=protocol, reference=good).tables
    table = next(one for one in tables if "valid" in one.columns)
    row = table.rows[0]
    assert table.columns[column] == "valid" and row[-1] == 13
    assert row[column].value == pytest.approx(12 / 13)
    left = api.evaluate(broken, protocol=protocol, reference=good, skip_invalid=True).tables
    row = next(one for one in left if "valid" in one.columns).rows[0]
    assert row[-1] == 12 and row[column].value == 1


def test_absent_members_fail_in_shares_of_all_and_are_no_part_of_others():
    draws = Draws.of(3, Streams.of(0, 1), absent=1)
    good = np.array([True, True, False])
    assert draws.n == 4
    assert draws.ratio(good).value == 0.5
    assert draws.ratio(good, good).value == 1
    assert draws.mean(np.array([1.0, 3.0, np.nan])).value == 2
    assert draws.first(10).n == 3


def test_double_bonds_of_either_kind_are_counted(broken):
    found = read(broken, Reading(skip_invalid=True))
    assert any("1 double bonds of 1 records" in note and "record 1" in note for note in found.notes)
