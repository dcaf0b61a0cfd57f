"""Files of samples and results carry their facts; conditions far from what a model saw are refused."""

import csv

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import Crippen
from tests.made_molecules import built, changed

from zsteer import api
from zsteer.cli.main import main
from zsteer.core.options import Option, Options
from zsteer.domains.molecules.files import write_molecules
from zsteer.domains.molecules.space import MoleculeSpace
from zsteer.errors import InputError, RefusedError
from zsteer.kits import front
from zsteer.kits.base import Samples
from zsteer.kits.molecules.kit import MoleculeKit, generated


@pytest.fixture(scope="module")
def model():
    return api.load("qm9-edm", device="cpu")


def records(path):
    return list(Chem.SDMolSupplier(str(path)))


def test_samples_say_what_was_asked_and_what_was_reached(tmp_path, model):
    found = model.sample(3, given={"logp": 1.5, "atoms": 6}, seed=2, steps=15)
    model.write(tmp_path / "a.sdf", found)
    model.write(tmp_path / "a.csv", found)
    with (tmp_path / "a.csv").open() as file:
        rows = list(csv.DictReader(file))
    read = list(Chem.SDMolSupplier(str(tmp_path / "a.sdf"), sanitize=False))
    assert [one.GetProp("_Name") for one in read] == ["sample-1", "sample-2", "sample-3"]
    valid = [one for one in read if one.GetProp("valid") == "yes"]
    assert valid and len(rows) == len(valid)
    for one in valid:
        own = Crippen.MolLogP(Chem.MolFromSmiles(one.GetProp("smiles")))
        assert one.GetProp("asked") == "logp=1.5; atoms=6"
        assert one.GetProp("reached") == f"logp={own:.4g}" and float(one.GetProp("logp")) == pytest.approx(own)
    assert {row["name"] for row in rows} <= {"sample-1", "sample-2", "sample-3"}
    assert all(row["asked"] == "logp=1.5; atoms=6" and row["valid"] == "yes" for row in rows)


def test_results_say_their_template(tmp_path, capsys):
    write_molecules(tmp_path / "in.sdf", built("Cc1ccccc1", "CCC1CC1", "c1ccccc1", "CC[Se]C"))
    text = (tmp_path / "in.sdf").read_text().split("$$$$\n")
    (tmp_path / "in.sdf").write_text("$$$$\n".join(["toluene" + text[0], *text[1:]]))
    arguments = ["steer", "qm9-edm", "--input", str(tmp_path / "in.sdf"), "--toward", "logp=1", "--steps", "10"]
    arguments += ["--keep", "scaffold=murcko", "--out", str(tmp_path / "out.sdf")]
    assert main(arguments) == 2
    assert not (tmp_path / "out.sdf").exists()
    capsys.readouterr()
    assert main([*arguments, "--skip-invalid"]) == 0
    said = capsys.readouterr().out
    assert "molecule 3 (template-3): its Murcko scaffold is all" in said and "molecule 4" in said and "Se" in said
    found = list(Chem.SDMolSupplier(str(tmp_path / "out.sdf"), sanitize=False))
    assert [one.GetProp("_Name") for one in found] == ["toluene", "template-2"]
    assert [one.GetProp("template_id") for one in found] == ["toluene", "template-2"]
    for one in found:
        assert one.GetProp("asked") == "logp=1" and one.GetProp("valid")
        if one.GetProp("valid") == "yes":
            assert one.GetProp("reached") == f"logp={float(one.GetProp('logp')):.4g}"


def test_nothing_is_left_where_no_start_can_be_used(model, tmp_path):
    write_molecules(tmp_path / "in.sdf", built("c1ccccc1"))
    start = model.read(tmp_path / "in.sdf")
    with pytest.raises(InputError, match="none of 1 molecules"):
        model.usable(start, keep={"scaffold": "murcko"})
    assert len(model.usable(start)) == 1


def test_a_file_without_a_valid_molecule_says_so_and_marks_each(tmp_path):
    molecules = built("CCO", "CC")
    broken = generated(MoleculeSpace.spanning(molecules).encode(molecules))
    broken = type(broken)(broken.molecules, ("a valence of 9", "2 pieces"))
    with pytest.warns(UserWarning, match="none of the 2 molecules"):
        MoleculeKit().write(tmp_path / "a.sdf", Samples("molecules", broken, count=2), overwrite=False)
    assert [one.GetProp("valid") for one in records(tmp_path / "a.sdf")] == ["no: a valence of 9", "no: 2 pieces"]
    # A list has no place for what has no SMILES, which is said.
    bad = changed(molecules, "order", 0, 3)
    made = generated(MoleculeSpace.spanning(bad).encode(bad))
    with pytest.warns(UserWarning, match="1 x no SMILES: record 1"):
        MoleculeKit().write(tmp_path / "a.csv", Samples("molecules", made, count=2), overwrite=False)
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 2


def test_a_condition_far_from_the_training_set_is_refused(model):
    low, high = (getattr(model.about.options.at("given")["logp"], end) for end in ("low", "high"))
    for value in (high + 1.01 * (high - low), low - 1.01 * (high - low), 50.0):
        with pytest.raises(RefusedError, match=f"{low:.3g} ... {high:.3g}"):
            model.sample(1, given={"logp": value})
        with pytest.raises(RefusedError):
            model.steer(None, toward={"logp": 1}, given={"logp": value}, number=1)
    options = Options("x", "", (Option("y", "given", "number", low=0.0, high=1.0, soft=True),))
    for value, force in ((1.9, False), (50.0, True)):
        with pytest.warns(UserWarning, match="outside of the training set"):
            assert front._given(options, {"y": value}, force=force) == {"y": value}
    assert front._given(options, {"y": np.float64(0.5)}, force=False) == {"y": 0.5}


def test_properties_of_two_definitions_say_which_they_are():
    from zsteer.domains.molecules.properties import PROPERTIES

    for name in ("asphericity", "rg", "npr1", "npr2"):
        assert "hydrogens" in PROPERTIES[name].help
