"""The tables of quality: what molecules are held against, and that broken ones are counted and not stumbled over."""

import numpy as np
import pytest
from tests.chains import small

from zsteer.bench.molecules import drugs
from zsteer.bench.molecules.quality import Walk, ring_drift, steps_table
from zsteer.domains.molecules.chemistry import parse_smiles
from zsteer.domains.molecules.metrics.chemist import folded, smiles_of
from zsteer.domains.molecules.metrics.graph import rings, verdicts
from zsteer.domains.molecules.smiles import split_of
from zsteer.errors import InputError

ALCOHOLS = [f"{'C' * a}C(O){'C' * b}" for a in range(1, 9) for b in range(1, a + 1)]


def quiet(_):
    """Watch nothing."""


def test_ring_drift_is_the_largest_relative_gap_of_common_sizes():
    data = np.array([[1, 0, 0, 0], [0, 1, 0, 1], [1, 1, 0, 0], [0, 0, 0, 1]])
    made = np.array([[1, 0, 4, 0], [1, 1, 0, 1]])
    # Rings of 3: 1 a molecule against 1/2; of 4: 1/2 and 1/2; of 5: none in the data, so left out; of 6: 1/2, 1/2.
    assert ring_drift(made, data, 2, 4) == pytest.approx(1.0)
    assert ring_drift(data, data, 4, 4) == 0.0


def test_a_list_gives_its_names_and_geometries_of_its_test_part_alone(tmp_path):
    path = tmp_path / "alcohols.csv"
    path.write_text("smiles\n" + "\n".join(ALCOHOLS) + "\nnot-a-smiles\n")
    beside = drugs.beside_list(path, 3, watch=quiet)
    canonical = {smiles_of(folded(parse_smiles(word))) for word in ALCOHOLS}
    assert set(beside.known.tolist()) == canonical
    held = verdicts(beside.held)
    assert len(beside.held) == 3 and held.valid.all() and not (beside.held.z == 1).any()
    assert all(name in canonical and split_of(name) == "test" for name in held.smiles.tolist())
    assert not rings(held).sum()


def test_molecules_of_which_none_is_valid_make_a_row(tmp_path):
    path = tmp_path / "alcohols.csv"
    path.write_text("smiles\n" + "\n".join(ALCOHOLS) + "\n")
    beside = drugs.beside_list(path, 3, watch=quiet)
    # A model without triangles makes no row of autoguidance.
    walks = [Walk("ddim", 2, "time"), Walk("ddim", 2, "time", 1.5)]
    table = steps_table(small(), beside, (4, 2), watch=quiet, quick=True, walks=walks)
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert len(rows) == 2
    assert rows[0]["n"] == 4 and rows[0]["valid %"] <= 100
    assert rows[1]["valid %"] == rows[1]["corrected %"] == 100 and rows[1]["novel %"] == 0


def test_the_list_must_be_there(tmp_path):
    with pytest.raises(InputError, match="zinc250k"):
        drugs.tables(data=tmp_path, quick=True, watch=quiet)
