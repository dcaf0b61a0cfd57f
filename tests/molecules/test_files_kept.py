"""What people write on molecules is kept on the way through files, or refused, or counted: nothing goes in silence."""

import csv
import json

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem
from tests.made_molecules import built

from zsteer.cli.main import main
from zsteer.domains.molecules.files import Reading, read, read_molecules, write_molecules
from zsteer.domains.molecules.items import number_text, typed
from zsteer.domains.molecules.perception.fit import perceived
from zsteer.domains.molecules.perception.orders import bond_orders
from zsteer.domains.molecules.prepared import open_prepared
from zsteer.domains.molecules.sets import load_molecules
from zsteer.domains.molecules.smiles import read_smiles
from zsteer.errors import InputError

LABELLED = {
    "methanol-d3": "[2H]C([2H])([2H])O",
    "acetic acid-13C": "[13CH3]C(=O)O",
    "tritiated ring": "[3H]c1ccccc1",
    "mapped": "[CH3:1][CH2:7][OH:3]",
    "both": "[13CH3:2]CN",
}


def converted(folder, source, goal, *flags):
    assert main(["convert", str(folder / source), str(folder / goal), "--overwrite", *flags]) == 0
    return folder / goal


def items_of(path):
    return [mol.GetPropsAsDict() for mol in Chem.SDMolSupplier(str(path))]


@pytest.mark.parametrize("way", [["a.sdf"], ["a.npz", "b.sdf"], ["a.sdf.gz", "b.npz"], ["a.csv"]])
def test_isotopes_and_atom_maps_come_through(tmp_path, way):
    (tmp_path / "in.smi").write_text("".join(f"{word} {name}\n" for name, word in LABELLED.items()))
    source = "in.smi"
    for goal in way:
        converted(tmp_path, source, goal)
        source = goal
    found = converted(tmp_path, source, "out.smi").read_text().splitlines()
    assert found == [f"{Chem.CanonSmiles(word)} {name}" for name, word in LABELLED.items()]


def test_rdkit_reads_the_labels_of_a_written_file(tmp_path):
    (tmp_path / "in.smi").write_text("".join(f"{word}\n" for word in LABELLED.values()))
    path = converted(tmp_path, "in.smi", "a.sdf")
    assert [Chem.MolToSmiles(one) for one in Chem.SDMolSupplier(str(path))] == list(
        map(Chem.CanonSmiles, LABELLED.values())
    )


def test_deuterium_is_not_counted_as_a_hydrogen(tmp_path, capsys):
    (tmp_path / "in.smi").write_text("".join(f"{word}\n" for word in LABELLED.values()))
    assert main(["convert", str(tmp_path / "in.smi"), str(tmp_path / "a.npz"), "--heavy"]) == 2
    assert "record 1" in capsys.readouterr().err
    converted(tmp_path, "in.smi", "a.npz", "--heavy", "--skip-invalid")
    assert "2 x a hydrogen that cannot be counted: record 1, 3" in capsys.readouterr().out
    assert len(open_prepared(tmp_path / "a.npz")) == 3
    # An SD file of heavy atoms with one deuterium still counts its other hydrogens.
    heavy = built("[2H]C([2H])([2H])O", "CCO").heavy(strict=False)
    write_molecules(tmp_path / "h.sdf", heavy, hydrogens=False)
    assert read_molecules(tmp_path / "h.sdf").hydrogens.sum() == 1 + 6


def test_what_xyz_cannot_say_is_counted(tmp_path, capsys):
    (tmp_path / "in.smi").write_text("[2H]CO\n[NH3+]CC(=O)[O-]\nC[NH3+] x\n")
    converted(tmp_path, "in.smi", "a.xyz")
    assert {"1 x isotopes are not written: record 1", "2 x charges are not written: record 2, 3 (x)"} <= set(
        capsys.readouterr().out.splitlines()
    )
    text = converted(tmp_path, "in.smi", "a.extxyz").read_text()
    assert text.count("charge=") == 1 and "charge=1" in text
    assert "charges are not written" not in capsys.readouterr().out
    # The charge that is written is the one that bonds are perceived with.
    assert converted(tmp_path, "a.extxyz", "b.smi", "--perceive").read_text().splitlines()[2] == "C[NH3+] x"


def test_text_items_and_all_digits_come_through(tmp_path):
    rows = [
        ["smiles", "name", "ChEMBL ID", "CAS", "energy", "zinc", "assay", "gone"],
        ["CCO", "a", "CHEMBL545", "64-17-5", "-155.0462834521", "000123", ">100", ""],
        ["CCN", "b", "CHEMBL14449", "75-04-7", "", "4", "12.5", ""],
        ["CC#N", "c", "", "75-05-8", "1e-12", "5", "3", ""],
    ]
    with (tmp_path / "in.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    for goal, source in (("a.sdf", "in.csv"), ("b.npz", "a.sdf"), ("c.extxyz", "b.npz"), ("d.csv", "a.sdf")):
        converted(tmp_path, source, goal)
    assert items_of(tmp_path / "a.sdf")[0] | {"assay": ">100"} == items_of(tmp_path / "a.sdf")[0]
    with (tmp_path / "d.csv").open() as file:
        found = list(csv.DictReader(file))
    for row, one in zip(rows[1:], found, strict=True):
        for name in ("ChEMBL ID", "CAS", "zinc", "assay"):
            assert one[name] == row[rows[0].index(name)]
    assert [one["energy"] for one in found] == ["-155.0462834521", "", "1e-12"]
    read_back = read_molecules(tmp_path / "c.extxyz")
    assert read_back.words["ChEMBL ID"].tolist() == ["CHEMBL545", "CHEMBL14449", ""]
    assert read_back.properties["energy"][0] == -155.0462834521


def test_a_column_is_numbers_or_text_as_a_whole():
    found = typed([{"a": "1", "b": "x", "c": "1.5"}, {"a": "NA", "b": "2", "c": ">2"}, {"c": "3"}], [2, 3, 4])
    assert found.numbers[0] == {"a": 1.0} and np.isnan(found.numbers[1]["a"]) and found.numbers[2] == {}
    assert [one.get("c") for one in found.words] == ["1.5", ">2", "3"]
    assert len(found.notes) == 1 and "c " in found.notes[0] and "'>2'" in found.notes[0] and "3" in found.notes[0]
    for text in ("007", "1_000", "inf", "12345678901234567890", "0x1", "1 2"):
        assert typed([{"a": text}], [1]).words == [{"a": text}], text
    for value in (0.1, 1e-300, 123456789.123456789, 2.0, -0.0, 1e300):
        assert float(number_text(value)) == value


@pytest.mark.parametrize("kind", ["csv", "sdf"])
def test_the_users_value_wins_over_a_computed_one(tmp_path, capsys, kind):
    (tmp_path / "in.csv").write_text("smiles,LogP,qed,sas\nCCO,8.5,0.25,\nCCN,7.5,0.75,2\nCCC,6.5,,3\n")
    source = "in.csv"
    if kind == "sdf":
        source = converted(tmp_path, "in.csv", "in.sdf").name
    found = read_molecules(converted(tmp_path, source, "a.npz"))
    assert found.properties["LogP"].tolist() == [8.5, 7.5, 6.5] and "logp" not in found.properties
    assert found.properties["qed"][:2].tolist() == [0.25, 0.75] and np.isnan(found.properties["qed"][2])
    assert np.isnan(found.properties["sas"][0])
    assert kind == "sdf" or "the list's own values are kept" in capsys.readouterr().err


def test_training_learns_the_users_column(tmp_path):
    from zsteer.recipes.molecules.learnt import properties_of

    words = [f"{ring}{tail}" for ring in ("C", "CC", "C1CC1", "C1CCC1") for tail in ("O", "N", "F", "Cl", "S", "C#N")]
    (tmp_path / "in.csv").write_text("smiles,logP\n" + "".join(f"{word},{n}\n" for n, word in enumerate(words)))
    data = load_molecules(str(tmp_path / "in.csv"), None, largest=60, skip_invalid=False)
    assert "logP" in properties_of("auto", data) and "logp" not in properties_of("auto", data)
    assert {*data.train.properties["logP"], *data.held.properties["logP"]} <= set(range(len(words)))
    assert "logP" not in data.origin["notes"] and "logp" in data.origin["notes"]


def test_a_cxsmiles_is_cut_off_and_counted(tmp_path, capsys):
    (tmp_path / "in.smi").write_text("OC(C)=O |$lab;;;$| acid\nCCO ethanol\nC[C@H](O)CC |&1:1,r|\nCCN |broken\n")
    assert [(row.smiles, row.name) for row in read_smiles(tmp_path / "in.smi").rows] == [
        ("OC(C)=O", "acid"), ("CCO", "ethanol"), ("C[C@H](O)CC", ""), ("CCN", ""),
    ]  # fmt: skip
    text = converted(tmp_path, "in.smi", "a.smi").read_text()
    assert "|" not in text and "CC(=O)O acid" in text
    assert "3 CXSMILES" in capsys.readouterr().err
    (tmp_path / "in.csv").write_text('smiles,x\n"OC(C)=O |$lab;;;$|",1\nCCO,2\n')
    found = read_smiles(tmp_path / "in.csv")
    assert [row.smiles for row in found.rows] == ["OC(C)=O", "CCO"] and "1 CXSMILES" in found.notes[0]


@pytest.mark.parametrize("goal", ["a.smi", "a.csv"])
def test_open_stereo_stays_open_in_lists_and_is_counted(tmp_path, capsys, goal):
    words = ["CC(O)CC", "CC=CCO", "C/C=C/CO", "C[C@H](O)CC", "C[C@H](O)C(F)Cl"]
    (tmp_path / "in.smi").write_text("\n".join(words))
    text = converted(tmp_path, "in.smi", goal).read_text()
    found = [line.split(",")[0] for line in text.splitlines()][goal == "a.csv" :]
    assert found == [Chem.CanonSmiles(word) for word in words]
    assert "3 molecules leave stereo open (row 1, 2, 5)" in capsys.readouterr().err
    # A SMILES that says another molecule than the bonds, or another hand than the geometry, does not speak for them.
    given = built("C[C@H](O)CC")
    for stale in ("C[C@@H](O)CC", "CCCO", "not a SMILES"):
        other = type(given)(**{**given.__dict__, "smiles": np.array([stale])})
        write_molecules(tmp_path / "b.smi", other, overwrite=True)
        assert (tmp_path / "b.smi").read_text().strip() == Chem.CanonSmiles("C[C@H](O)CC")


CHARGED = {
    "dication": ("C[n+]1ccc(cc1)-c1cc[n+](C)cc1", 2),
    "diammonium": ("[NH3+]CC[NH3+]", 2),
    "dianion": ("[O-]C(=O)CCC(=O)[O-]", -2),
    "phosphate": ("COP(=O)([O-])[O-]", -2),
    "nitro beside a chain": ("CC(C)(C)c1ccc([N+](=O)[O-])cc1", 0),
    "zwitterion": ("C[N+](C)(C)CC(=O)[O-]", 0),
    "trication": ("C[N+](C)(C)CC[N+](C)(C)CC[N+](C)(C)C", 3),
}


def bare(word):
    """A frame of XYZ without its bonds."""
    mol = Chem.AddHs(Chem.MolFromSmiles(word))
    assert AllChem.EmbedMolecule(mol, randomSeed=3) == 0
    AllChem.MMFFOptimizeMolecule(mol, maxIters=5000)
    rows = [
        f"{a.GetSymbol()} {x:.6f} {y:.6f} {z:.6f}"
        for a, (x, y, z) in zip(mol.GetAtoms(), mol.GetConformer().GetPositions(), strict=True)
    ]
    return "\n".join(rows) + "\n", len(rows)


@pytest.mark.parametrize("name", CHARGED)
def test_the_stated_charge_is_the_one_that_bonds_are_found_for(tmp_path, name):
    word, charge = CHARGED[name]
    atoms, n = bare(word)
    (tmp_path / "in.xyz").write_text(f"{n}\nCharge={charge}\n{atoms}")
    assert converted(tmp_path, "in.xyz", "a.smi", "--perceive").read_text().strip() == Chem.CanonSmiles(word)


def test_two_charges_that_fit_are_told_and_one_that_does_not_is_refused(tmp_path, capsys):
    atoms, n = bare(CHARGED["dication"][0])
    (tmp_path / "in.xyz").write_text(f"{n}\n\n{atoms}")
    converted(tmp_path, "in.xyz", "a.smi", "--perceive")
    assert "record 1 (0, +2)" in capsys.readouterr().err
    (tmp_path / "in.xyz").write_text(f"{n}\ncharge=1\n{atoms}")
    assert main(["convert", str(tmp_path / "in.xyz"), str(tmp_path / "b.smi"), "--perceive"]) == 2
    said = capsys.readouterr().err
    assert "record 1" in said and "+1" in said and "smiles=" in said
    (tmp_path / "in.xyz").write_text(f'{n}\ncharge=0 smiles="{CHARGED["dication"][0]}"\n{atoms}')
    assert main(["convert", str(tmp_path / "in.xyz"), str(tmp_path / "b.smi"), "--perceive"]) == 2
    assert "two charges" in capsys.readouterr().err


def test_most_neutral_molecules_fit_one_charge(tmp_path):
    molecules = built("aspirin", "paracetamol", "nitrobenzene", "benzene", "sulfanilamide", "furan")
    write_molecules(tmp_path / "a.xyz", molecules)
    assert perceived(read_molecules(tmp_path / "a.xyz"), alternatives=True).notes == []


def test_orders_are_those_of_a_known_case():
    # Ethene and hydrogen cyanide by hand; a methyl radical has no answer.
    ethene = bond_orders([6, 6, 1, 1, 1, 1], np.array([[0, 1], [0, 2], [0, 3], [1, 4], [1, 5]]), np.ones(5), 0)
    assert ethene is not None and ethene.order.tolist() == [2, 1, 1, 1, 1] and not ethene.charge.any()
    cyanide = bond_orders([6, 7], np.array([[0, 1]]), np.ones(1), -1)
    assert cyanide is None  # carbon carries no charge here
    assert bond_orders([6, 1, 1, 1], np.array([[0, 1], [0, 2], [0, 3]]), np.ones(3), 0) is None


def test_every_pose_of_a_ligands_file_comes_with_its_pocket(tmp_path, capsys):
    folder = tmp_path / "set" / "t"
    folder.mkdir(parents=True)
    write_molecules(folder / "lig.sdf", built("CCO", "CCO", "CCN"), hydrogens=False)
    atom = "ATOM      1  CA  ALA A   1       3.000   0.000   0.000  1.00  0.00           C\n"
    (folder / "lig_pocket10.pdb").write_text(atom)
    path = converted(tmp_path, "set", "a.sdf")
    assert [Chem.MolToSmiles(one) for one in Chem.SDMolSupplier(str(path))] == ["CCO", "CCO", "CCN"]
    assert read_molecules(path).names.tolist() == ["t/lig-1", "t/lig-2", "t/lig-3"]
    assert "ligands: 3" in capsys.readouterr().out


def test_conformers_and_repeats_fall_into_one_part(tmp_path):
    words = ["C" * n + tail for n in range(1, 9) for tail in ("O", "N", "F")]
    blocks = []
    for word in words:
        mol = Chem.AddHs(Chem.MolFromSmiles(word))
        for place in AllChem.EmbedMultipleConfs(mol, 3, randomSeed=1):
            # The same atoms in another order are the same molecule.
            order = list(range(mol.GetNumAtoms()))[:: -1 if place == 2 else 1]
            blocks.append(Chem.MolToMolBlock(Chem.RenumberAtoms(mol, order), confId=place) + "$$$$\n")
    (tmp_path / "a.sdf").write_text("".join(blocks))
    data = load_molecules(str(tmp_path / "a.sdf"), None, largest=60, skip_invalid=False)
    from zsteer.domains.molecules.metrics.graph import verdicts

    train, held = (set(verdicts(part).smiles.tolist()) for part in (data.train, data.held))
    assert len(data.train) + len(data.held) == 72 and held and not train & held
    assert "24 different molecules" in data.origin["split"]
    # The prepared container carries the same parts, so that training from it needs no RDKit.
    assert sorted(open_prepared(converted(tmp_path, "a.sdf", "b.npz")).split.tolist()).count("test") == len(data.held)


def test_two_molecules_are_never_all_on_one_side(tmp_path):
    write_molecules(tmp_path / "a.sdf", built("CCO", "CCO", "CCN", "CCN"))
    data = load_molecules(str(tmp_path / "a.sdf"), None, largest=60, skip_invalid=False)
    assert len(data.train) == len(data.held) == 2


READ = {
    "semicolons": ("a.csv", '"ChEMBL ID";"Name";"Smiles"\n"CHEMBL1";"eth";"CCO"\n"C2";"am";"CCN"\n', ()),
    "tabs in a csv": ("a.csv", "id\tcanonical_smiles\nx\tCCO\ny\tCCN\n", ()),
    "commas in a tsv": ("a.tsv", "id,SMILES\nx,CCO\ny,CCN\n", ()),
    "TDC": ("a.csv", "Drug_ID,Drug,Y\n1,CCO,0.5\n2,CCN,0.7\n", ()),
    "named": ("a.csv", "code,thing,y\n1,CCO,0.5\n2,CCN,0.7\n", ("--column", "thing")),
    "no heading": ("a.csv", "CCO\nCCN\n", ()),
    "no heading, names": ("a.csv", "x1,CCO\nx2,CCN\n", ()),
    "text file": ("a.txt", "CCO ethanol\nCCN\n", ()),
    "table as text file": ("a.txt", "id;smiles\n1;CCO\n2;CCN\n", ()),
    "commas in a list": ("a.smi", "CCO,ethanol\nCCN,ethylamine\n", ()),
    "carriage returns, byte order mark": ("a.csv", "\ufeffSMILES,x\r\nCCO,1\r\n\r\nCCN,2\r\n", ()),
    "Latin-1": ("a.csv", "smiles,name\nCCO,\xe9thanol\nCCN,\xb5\n".encode("latin-1"), ()),
    "MOSES": ("a.csv", "SMILES,SPLIT\nCCO,train\nCCN,test\nCCC,test_scaffolds\n", ("--skip-invalid",)),
    "short row": ("a.csv", "smiles,x\nCCO,1\nCCC\nCCN,2\n", ("--skip-invalid",)),
    "several of a name": ("a.csv", "smiles,x,x,\nCCO,1,2,3\nCCN,3,4,5\n", ()),
}


@pytest.mark.parametrize("case", READ)
def test_lists_as_people_have_them_are_read(tmp_path, case):
    name, content, flags = READ[case]
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    found = converted(tmp_path, name, "out.smi", *flags).read_text().splitlines()
    assert [line.split()[0] for line in found] == ["CCO", "CCN"]
    if case == "Latin-1":
        assert found[0].split()[1] == "\xe9thanol"


REFUSED = {
    "PDB": (
        "a.sdf",
        "HEADER    X\nATOM      1  C   LIG A   1       0.000   0.000   0.000  1.00  0.00           C\n",
        "a PDB file",
    ),
    "PDB by name": (
        "a.pdb",
        "HETATM    1  C   LIG A   1       0.000   0.000   0.000  1.00  0.00           C\n",
        "a PDB file",
    ),
    "MOL2": ("a.mol2", "@<TRIPOS>MOLECULE\nx\n", "a MOL2 file"),
    "ZIP": ("a.zip", b"PK\x03\x04rest", "a ZIP archive"),
    "ZIP of SD": ("a.sdf", b"PK\x03\x04rest", "a ZIP archive"),
    "gzip": ("a.smi", b"\x1f\x8b\x08\x00rest", "gzip data"),
    "SMILES": ("a.sdf", "CCO ethanol\nCCN amine\n", "a list of SMILES"),
    "SMILES as XYZ": ("a.xyz", "CCO ethanol\nCCN amine\n", "a list of SMILES"),
    "table": ("a.sdf", "id,y\n1,2\n2,3\n", "a table"),
    "SD": ("a.smi", Chem.MolToMolBlock(Chem.MolFromSmiles("CCO")), "an SD file"),
    "XYZ": ("a.sdf", "1\n\nC 0 0 0\n", "an XYZ file"),
    "attachment in a list": ("a.smi", "[*:1]c1ccccc1\n", "attachment point"),
    "attachment": ("a.smi", "*CCO\n", "attachment point"),
    "no such column": ("a.csv", "a,b\nCCO,1\n", "unknown column .c."),
}


@pytest.mark.parametrize("case", REFUSED)
def test_another_kind_of_file_is_named(tmp_path, case):
    name, content, named = REFUSED[case]
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    how = Reading(column="c") if case == "no such column" else Reading()
    with pytest.raises(InputError, match=named) as caught:
        read(tmp_path / name, how)
    assert "\n" not in str(caught.value)


def test_odd_sd_files_are_read(tmp_path):
    write_molecules(tmp_path / "a.sdf", built("CCO", "CCN"))
    first, second, _ = (tmp_path / "a.sdf").read_text().split("$$$$\n")
    (tmp_path / "b.sdf").write_text(f"{first}$$$$\n$$$$\n\n$$$$\n{second}$$$$\n")
    found = read(tmp_path / "b.sdf", Reading())
    assert len(found.molecules) == 2 and "2 blank" in found.notes[0]
    titled = "\xe9thanol" + first[first.index("\n") :].replace("M  END\n", "M  END\n>  <note>\n5 \xb5M\n\n")
    (tmp_path / "c.sdf").write_bytes((titled + "$$$$\n").encode("latin-1") + (second + "$$$$\n").encode())
    found = read(tmp_path / "c.sdf", Reading())
    assert found.molecules.names[0] == "\xe9thanol" and found.molecules.words["note"][0] == "5 \xb5M"
    assert "1 records are not UTF-8" in found.notes[0]
    point = Chem.MolToMolBlock(Chem.MolFromSmiles("*CCO"))
    (tmp_path / "d.sdf").write_text(point)
    with pytest.raises(InputError, match="attachment point"):
        read(tmp_path / "d.sdf", Reading())


def test_a_single_file_of_the_qm9_archive_is_read(tmp_path):
    numbers = " ".join(["157.7"] * 3 + ["0."] + ["13.21", "-0.3877", "0.1171", "0.5048"] + ["1.*^-6"] * 7)
    atoms = [("C", 0, 0, 0)] + [("H", x, y, z) for x, y, z in ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))]
    rows = "".join(f"{s}\t{0.63 * x}\t{0.63 * y}\t{0.63 * z}\t0.1\n" for s, x, y, z in atoms)
    (tmp_path / "one.xyz").write_text(f"5\ngdb 1\t{numbers}\n{rows}1.0 2.0\nC\tC\nInChI=1\tInChI=1\n")
    found = read_molecules(tmp_path / "one.xyz")
    assert found.names.tolist() == ["gdb-1"] and len(found.bonds) == 4 and found.properties["alpha_bohr3"][0] == 13.21


def test_a_bad_row_of_a_list_to_train_on_ends_the_work_at_once(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr("zsteer.domains.molecules.embed.graph_values", lambda mol: made.append(mol) or {})
    # Cyclopropane fused beyond what can be: it parses, and has no geometry.
    rows = ["CCO", "CCN", "C12C3C4C1C5C2C3C45", "C1#CC1"] + ["CCC"] * 50
    (tmp_path / "in.smi").write_text("\n".join(rows))
    with pytest.raises(InputError, match="record 4") as caught:
        load_molecules(str(tmp_path / "in.smi"), None, largest=60, skip_invalid=False)
    assert len(made) <= 3 and "kept" not in str(caught.value)


def test_report_says_what_a_file_holds_and_writes_nothing(tmp_path, capsys):
    (tmp_path / "in.csv").write_text("smiles,id,y\nCCO,a,1.5\n[2H]C,b,\n[NH4+],c,2\nC[CH2],d,1\n")
    before = sorted(tmp_path.iterdir())
    assert main(["convert", str(tmp_path / "in.csv"), "--report", "--skip-invalid"]) == 0
    said = capsys.readouterr().out
    for line in ("1 x radical: record 5 (d)", "number y: 1.5 to 2, 2 of 3", "isotope labels: 1 atoms", "charged: 1"):
        assert line in said
    assert sorted(tmp_path.iterdir()) == before
    assert main(["convert", str(tmp_path / "in.csv"), "--report", "--skip-invalid", "--json"]) == 0
    assert any("radical" in line for line in json.loads(capsys.readouterr().out)["found"])
    assert main(["convert", str(tmp_path / "in.csv"), str(tmp_path / "o.sdf"), "--report"]) == 2
    assert main(["convert", str(tmp_path / "in.csv")]) == 2
