"""The recipes of molecules on a small set of one's own: trained, sampled, and without RDKit where they may be."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from rdkit import Chem
from rdkit.Chem import rdDistGeom

import zsteer
from zsteer import api
from zsteer.core.catalog import load_model
from zsteer.domains.molecules.chemistry import from_rdkit
from zsteer.domains.molecules.descriptors import graph_values, shape_values
from zsteer.domains.molecules.prepared import open_prepared, save_prepared
from zsteer.errors import InputError, SettingsError
from zsteer.recipes.base import recipe_class

SMALL = ("CCO", "CCN", "CC=O", "C1CC1", "CC#N", "CCC", "CCF", "COC", "CNC", "C=CO", "OCCO", "NCCO", "CC(C)O", "C1CCC1")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A prepared container of small molecules with hydrogens, properties and a split."""
    mols = []
    for k, smiles in enumerate(SMALL):
        mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
        assert rdDistGeom.EmbedMolecule(mol, randomSeed=k + 1) == 0
        mols.append(mol)
    values = [graph_values(Chem.RemoveHs(mol)) | shape_values(mol) for mol in mols]
    table = {name: np.array([value[name] for value in values]) for name in ("logp", "asphericity")}
    split = np.array(["test" if k % 4 == 3 else "train" for k in range(len(mols))])
    path = tmp_path_factory.mktemp("molecules") / "small.npz"
    save_prepared(path, replace(from_rdkit(mols), split=split).with_properties(**table))
    return path


@pytest.mark.parametrize("recipe", ["molecules", "molecule-properties", "edm"])
def test_a_recipe_trains_on_a_set_of_ones_own(recipe, prepared, tmp_path):
    keys = {"dataset": str(prepared), "size": "xs", "steps": 3, "batch": 4, "width": 16, "layers": 1}
    keys["skip_invalid"] = True
    made = zsteer.fit(recipe, out=tmp_path / "run", **keys)
    origin = json.loads((tmp_path / "run" / "artifact" / "config.json").read_text())["origin"]
    assert origin["data"]["name"] == "small"
    assert f"zsteer train {recipe} " in origin["command"] and " --skip-invalid --data" in origin["command"]
    assert origin["data"]["train"] == 11 and origin["data"]["test"] == 3 and len(origin["data"]["sha256"]) == 64
    assert origin["metrics"]["test_molecules"] == 3
    if recipe == "molecules":
        assert made.model.settings.properties == ("asphericity", "logp")
        designs = made.sample(3, given={"logp": 0.5}, steps=2, max_retries=0, seed=1)
        assert len(designs) == 3
    if recipe == "edm":
        assert made.model.settings.net == "egnn"
        assert made.sample(2, steps=2, seed=1).lines[0].endswith("the model makes none")


def test_a_model_is_gone_on_from_with_a_set_of_ones_own(prepared, tmp_path):
    whole = open_prepared(prepared)
    ethers = whole.take(np.array([k for k, name in enumerate(SMALL) if "F" not in name]))
    path = tmp_path / "ethers.npz"
    save_prepared(path, replace(ethers, properties={"logp": ethers.properties["logp"]}))
    first = zsteer.load("qm9-edm").model
    keys = {"dataset": str(path), "size": "xs", "init_from": "qm9-edm", "lr": 1e-7, "batch": 4, "steps": 2}
    model = zsteer.fit("molecules", out=tmp_path / "run", **keys).model
    # Settings and weights are those of the start (two steps at a rate of nothing), sizes those of the set.
    assert model.settings == first.settings
    for name, weight in first.net.state_dict().items():
        assert torch.allclose(model.net.state_dict()[name], weight, atol=1e-6), name
    train = ethers.heavy().take(ethers.split == "train")
    assert model.sizes.count.tolist() == np.bincount(train.sizes, minlength=10)[1:].tolist()
    with pytest.raises(SettingsError, match="width"):
        zsteer.fit("molecules", out=tmp_path / "b", **{**keys, "width": 64})
    with pytest.raises(InputError, match="fashion-ddpm"):
        zsteer.fit("molecules", out=tmp_path / "c", **{**keys, "init_from": "fashion-ddpm"})
    salty = tmp_path / "charged.npz"
    mols = [Chem.AddHs(Chem.MolFromSmiles(word)) for word in ("C[N+](C)(C)C", "CC", "CCC", "CCCC")]
    assert all(rdDistGeom.EmbedMolecule(mol, randomSeed=1) == 0 for mol in mols)
    save_prepared(salty, replace(from_rdkit(mols), split=np.array(["train"] * 3 + ["test"])))
    with pytest.raises(InputError, match=r"N with charge \+1"):
        zsteer.fit("molecules", out=tmp_path / "d", **{**keys, "dataset": str(salty)})


def test_the_rate_goes_with_the_optimiser(prepared):
    def plan(name, **keys):
        recipe = recipe_class(name)(dataset=str(prepared), size="xs", properties="none", **keys)
        return recipe.build(None, torch.device("cpu")).plan.optim

    muon, adamw = plan("molecules"), plan("molecules", optimiser="adamw")
    assert (muon.kind, adamw.kind) == ("muon", "adamw")
    assert adamw.lr == pytest.approx(0.1 * muon.lr)
    assert plan("molecules", optimiser="adamw", lr=3e-4).lr == 3e-4
    # The lecture's EDM learns as its authors had it.
    assert plan("edm").kind == "adamw"


def test_training_from_a_prepared_set_imports_no_rdkit(prepared, tmp_path):
    code = (
        "import sys, zsteer; "
        f"zsteer.fit('molecules', out={str(tmp_path / 'run')!r}, dataset={str(prepared)!r}, size='xs', steps=2); "
        "found = [name for name in ('rdkit', 'scipy', 'lightgbm') if name in sys.modules]; print(found); "
        "sys.exit(bool(found))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_set_that_cannot_be_learned_is_refused(prepared, tmp_path):
    with pytest.raises(InputError, match="dataset"):
        zsteer.fit("molecules", out=tmp_path / "a", dataset="qm10")
    with pytest.raises(InputError, match="property"):
        zsteer.fit("molecules", out=tmp_path / "b", dataset=str(prepared), properties="weight")
    with pytest.raises(InputError, match="too few"):
        zsteer.fit("molecules", out=tmp_path / "c", dataset=str(prepared), largest=2)


def test_the_shipped_model_makes_molecules_and_its_guide_reads_them():
    model, judge = api.load("qm9-edm"), load_model("qm9-properties")
    options = {"number": 6, "guide": "qm9-properties", "steps": 10, "seed": 3}
    low, high = (model.steer(toward={"mu": value}, given={"mu": value}, **options) for value in (0.5, 5.0))
    assert low.facts["pulled_by"] == "mu: predictor" and len(low) == 6
    # Six molecules, ten steps, five draws each: all fail with a probability far below one in a million.
    assert any(not problem for problem in low.items.problems)
    # The guide leads to where it is sent: what it reads of the results lies that way.
    assert float(judge.values(low.batch, "mu").mean()) + 1 < float(judge.values(high.batch, "mu").mean())
