"""The sets of ``bench defaults`` are what its page says, and a set that is not there is named."""

import numpy as np
import torch

from zsteer.bench import BENCHMARKS, defaults
from zsteer.bench.molecules import own
from zsteer.core.cells import read_cells
from zsteer.errors import SettingsError


def test_the_generated_sets_have_what_binds_them():
    table = defaults.generated_table()
    assert np.corrcoef(table["x"], table["y"])[0, 1] > 0.9
    assert set(table["flag"]) == {0, 1}
    rated = defaults.generated_ratings()
    pairs = set(zip(rated["user"], rated["item"], strict=True))
    assert len(pairs) == len(rated["rating"])
    assert set(rated["rating"]) == {1, 2, 3, 4, 5}


def test_sets_that_are_not_there_are_named(tmp_path, monkeypatch):
    paths, missing = defaults._written(tmp_path)
    assert set(paths) == {"generated table", "wine", "breast cancer", "digits"}
    assert not missing
    assert len(read_cells(paths["wine"])) == 178

    def fail(target):
        raise SettingsError(target)

    monkeypatch.setattr(defaults, "load_name", fail)
    paths, missing = defaults._written(tmp_path)
    assert set(paths) == {"generated table"}
    assert "scikit-learn" in missing


def test_a_recipe_that_is_refused_stands_in_the_table(tmp_path):
    np.savez(tmp_path / "few.npz", x=torch.zeros(3, 4, 4).numpy())
    assert str(defaults._row("vae", tmp_path / "few.npz")[0]).startswith("refused")
    assert "defaults" in BENCHMARKS


def test_a_list_of_smiles_and_molecules_by_chance():
    from rdkit import Chem

    made = own.generated_smiles()
    assert len(set(made)) == 500
    assert all(Chem.CanonSmiles(text) == text for text in made)
    chance = own.by_chance(made, 60)
    mols = [Chem.MolFromSmiles(text, sanitize=False) for text in chance]
    letters = {atom.GetSymbol() for mol in mols for atom in mol.GetAtoms()}
    assert letters <= {"C", "N", "O", "F", "Cl", "S"}
    assert all(mol.GetNumBonds() == mol.GetNumAtoms() - 1 for mol in mols)
    assert 0 < sum(Chem.MolFromSmiles(text) is not None for text in chance) < 60
