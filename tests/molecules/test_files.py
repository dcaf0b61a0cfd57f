"""Molecules in and out by their ending: what is written comes back, and what is broken is named by its record."""

from dataclasses import replace

import numpy as np
import pytest

from zsteer.cli.main import main
from zsteer.domains.molecules.chemistry import (
    from_rdkit,
    graphs_of,
    parse_smiles,
    place_hydrogens,
    sanitised,
    smiles_of,
    to_rdkit,
)
from zsteer.domains.molecules.embed import Limits, embed
from zsteer.domains.molecules.files import Reading, check_ending, read, read_molecules, write_molecules
from zsteer.domains.molecules.prepared import save_prepared
from zsteer.domains.molecules.smiles import Row
from zsteer.errors import InputError, OutputError

DRUGS = {
    "aspirin": "CC(=O)Oc1ccccc1C(=O)O",
    "caffeine": "Cn1cnc2c1c(=O)n(C)c(=O)n2C",
    "histidine": "[NH3+][C@@H](Cc1c[nH]cn1)C(=O)[O-]",
    "nitrobenzene": "O=[N+]([O-])c1ccccc1",
    "sulfone": "CS(=O)(=O)c1ccccc1",
}


@pytest.fixture(scope="module")
def drugs(tmp_path_factory):
    rows = [Row(i, text, name) for i, (name, text) in enumerate(DRUGS.items(), 1)]
    return embed(rows, Limits(), tmp_path_factory.mktemp("drugs") / "parts").molecules


def same_graph(a, b):
    for name in ("z", "offsets", "charge", "hydrogens", "bonds", "order", "aromatic", "bond_offsets"):
        assert np.array_equal(getattr(a, name), getattr(b, name)), name


@pytest.mark.parametrize("ending", [".sdf", ".sdf.gz"])
def test_sdf_gives_back_atoms_bonds_charges_and_values(tmp_path, drugs, ending):
    path = tmp_path / f"a{ending}"
    assert not write_molecules(path, drugs)
    found = read(path, Reading())
    same_graph(found.molecules, drugs)
    # SD files have four decimals.
    assert abs(found.molecules.xyz - drugs.xyz).max() <= 0.0005
    assert list(found.molecules.names) == list(DRUGS) and list(found.molecules.split) == list(drugs.split)
    assert list(found.molecules.smiles) == list(DRUGS.values())
    for name, value in drugs.properties.items():
        assert found.molecules.properties[name] == pytest.approx(value, rel=1e-8)  # nine digits are written
    assert found.counts.lines() == ["records: 5", "usable: 5"]


def test_heavy_atoms_keep_their_hydrogens_through_sdf(tmp_path, drugs):
    heavy = drugs.heavy()
    write_molecules(tmp_path / "a.sdf", heavy, hydrogens=False)
    found = read_molecules(tmp_path / "a.sdf")
    same_graph(found, heavy)
    write_molecules(tmp_path / "b.sdf", heavy)
    whole = read_molecules(tmp_path / "b.sdf")
    same_graph(whole, drugs)
    # Placed hydrogens stand near where MMFF94 has them, apart from torsions: bonds are 0.95 to 1.12 angstrom.
    owner = np.repeat(whole.offsets[:-1], np.diff(whole.bond_offsets))
    first, second = whole.bonds.T + owner
    to_hydrogen = whole.z[second] == 1
    lengths = np.linalg.norm(whole.xyz[first] - whole.xyz[second], axis=1)[to_hydrogen]
    assert lengths.min() > 0.9 and lengths.max() < 1.15
    same_graph(read(tmp_path / "b.sdf", Reading(heavy=True)).molecules, heavy)


@pytest.mark.parametrize("ending", [".xyz", ".extxyz", ".xyz.gz"])
def test_xyz_gives_back_atoms_and_coordinates(tmp_path, drugs, ending):
    write_molecules(tmp_path / f"a{ending}", drugs)
    found = read_molecules(tmp_path / f"a{ending}")
    assert np.array_equal(found.z, drugs.z) and np.array_equal(found.offsets, drugs.offsets)
    assert abs(found.xyz - drugs.xyz).max() <= 0.0005 and found.bond_offsets is None
    assert list(found.names) == list(DRUGS)
    if ending == ".extxyz":
        assert found.properties["qed"] == pytest.approx(drugs.properties["qed"], rel=1e-8)
        assert list(found.smiles) == list(DRUGS.values()) and list(found.split) == list(drugs.split)


def test_prepared_container_by_ending(tmp_path, drugs):
    write_molecules(tmp_path / "a.npz", drugs, notes=["five drugs"])
    same_graph(read_molecules(tmp_path / "a.npz"), drugs)
    assert len(read(tmp_path / "a.npz", Reading(limit=2)).molecules) == 2


@pytest.mark.parametrize("ending", [".smi", ".csv"])
def test_smiles_are_those_of_the_bonds_with_the_stereo_of_the_geometry(tmp_path, drugs, ending):
    from rdkit import Chem

    write_molecules(tmp_path / f"a{ending}", drugs)
    found = read_molecules(tmp_path / f"a{ending}")
    assert list(found.smiles) == [Chem.CanonSmiles(text) for text in DRUGS.values()]
    assert list(found.names) == list(DRUGS)
    if ending == ".csv":
        assert list(found.split) == list(drugs.split)


def test_reading_smiles_makes_geometries(tmp_path):
    (tmp_path / "a.smi").write_text("CCO ethanol\n")
    found = read_molecules(tmp_path / "a.smi")
    assert len(found.z) == 9 and np.isfinite(found.xyz).all() and found.xyz.std() > 0.5


def test_rdkit_and_back(drugs):
    mols = [to_rdkit(drugs, i) for i in range(len(drugs))]
    assert not any(sanitised(mol) for mol in mols)
    same_graph(from_rdkit(mols), drugs)
    assert smiles_of(mols[2]) == smiles_of(parse_smiles(DRUGS["histidine"]))


def test_broken_chemistry_converts_without_being_judged(tmp_path, drugs):
    # A carbon with five bonds: nobody sanitises on the way out or in.
    order = drugs.order.copy()
    order[0] = 3
    broken = replace(drugs, order=order).take([0])
    mol = to_rdkit(broken, 0)
    assert "valence" in sanitised(mol)
    assert not write_molecules(tmp_path / "a.sdf", broken)
    found = read_molecules(tmp_path / "a.sdf", checked=False)
    assert np.array_equal(found.order, broken.order) and np.array_equal(found.bonds, broken.bonds)
    with pytest.raises(InputError, match=r"record 1 .aspirin.: chemistry: .*valence"):
        read_molecules(tmp_path / "a.sdf")
    problems = write_molecules(tmp_path / "a.smi", broken)
    assert [(one.record, one.kind) for one in problems] == [(1, "no SMILES")]


def test_a_missing_hydrogen_stays_missing(tmp_path, drugs):
    # The last hydrogen of aspirin is gone: the file says so, and reading it as it stands gives no hydrogen back.
    aspirin = drugs.take([0])
    last = len(aspirin.z) - 1
    keep = (aspirin.bonds != last).all(1)
    torn = replace(
        aspirin,
        z=aspirin.z[:-1],
        xyz=aspirin.xyz[:-1],
        charge=aspirin.charge[:-1],
        hydrogens=aspirin.hydrogens[:-1],
        offsets=np.array([0, last]),
        bonds=aspirin.bonds[keep],
        order=aspirin.order[keep],
        aromatic=aspirin.aromatic[keep],
        bond_offsets=np.array([0, keep.sum()]),
    )
    write_molecules(tmp_path / "a.sdf", torn)
    found = read_molecules(tmp_path / "a.sdf", checked=False)
    same_graph(found, torn)
    with pytest.raises(InputError, match=r"record 1 .aspirin.: radical"):
        read_molecules(tmp_path / "a.sdf")


def test_hydrogens_that_cannot_be_placed_are_said(drugs):
    heavy = drugs.heavy()
    order = heavy.order.copy()
    order[0] = 3
    _, reasons = place_hydrogens(replace(heavy, order=order))
    assert "valence" in reasons[0] and not any(reasons[1:])


def test_graphs_of_smiles_are_those_of_the_file(drugs):
    graph = graphs_of(drugs.smiles, drugs.z, drugs.offsets)
    assert all(np.array_equal(value, getattr(drugs, name)) for name, value in graph.items())


# ---------------------------------------------------------------------------------------------- broken on purpose


def sd_texts(tmp_path, drugs):
    write_molecules(tmp_path / "whole.sdf", drugs)
    return (tmp_path / "whole.sdf").read_text().split("$$$$\n")[:-1]


def nan(text):
    line = text.split("\n")[6]
    return text.replace(line, f"{'nan':>10}" + line[10:])


def flat(text):
    lines = text.split("\n")
    atoms = int(lines[3][:3])
    lines[4 : 4 + atoms] = [line[:20] + f"{0:10.4f}" + line[30:] for line in lines[4 : 4 + atoms]]
    return "\n".join(lines)


def no_hydrogens(text):
    from rdkit import Chem

    mol = Chem.RemoveHs(Chem.MolFromMolBlock(text, removeHs=False))
    return Chem.MolToMolBlock(mol)


BREAKS = {
    "cut off": (lambda text: text[:900] + "\n", "truncated record"),
    "too few lines": (
        lambda text: "\n".join(text.split("\n")[:9]) + "\nM  END\n",
        "unreadable record: line 4 promises",
    ),
    "no counts": (lambda text: text.replace("V2000", "").replace(" 21 21", " ab cd"), "unreadable record"),
    "not a number": (nan, "coordinates are not numbers: atom 3"),
    "flat": (flat, "2-D depiction"),
    "element": (lambda text: text.replace(" C   0", " Xx  0", 1), "unknown element|unreadable record"),
    "no hydrogens": (no_hydrogens, "missing hydrogens: 8 of them"),
    "five bonds": (lambda text: text.replace("  1  2  1", "  1  2  3"), "chemistry"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_sd_record_is_named_and_costs_itself_alone(tmp_path, drugs, name):
    change, kind = BREAKS[name]
    texts = sd_texts(tmp_path, drugs)
    texts[0], texts[3] = texts[3], change(texts[0])
    (tmp_path / "a.sdf").write_text("$$$$\n".join(texts) + "$$$$\n")
    with pytest.raises(InputError, match=rf"a\.sdf: record 4 .*({kind})") as caught:
        read_molecules(tmp_path / "a.sdf")
    assert "--skip-invalid" in str(caught.value) and "\n" not in str(caught.value)
    found = read(tmp_path / "a.sdf", Reading(skip_invalid=True))
    assert len(found.molecules) == 4 and [one.record for one in found.problems] == [4]
    assert found.counts.lines() == ["records: 5", "usable: 4 (1 left out)"]


@pytest.mark.parametrize(
    "smiles, kind", [("CC(=O)[O-].[NH4+]", "several fragments"), ("C[CH2]", "radical")], ids=["salt", "radical"]
)
def test_salts_and_radicals_in_sd_files(tmp_path, smiles, kind):
    from rdkit import Chem
    from rdkit.Chem import AllChem

    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    AllChem.EmbedMolecule(mol, randomSeed=1)
    (tmp_path / "a.sdf").write_text(Chem.MolToMolBlock(mol) + "$$$$\n")
    with pytest.raises(InputError, match=f"record 1: {kind}"):
        read_molecules(tmp_path / "a.sdf")
    assert len(read_molecules(tmp_path / "a.sdf", checked=False)) == 1


def test_depictions_and_flat_molecules_are_told_apart(tmp_path, drugs):
    from rdkit import Chem
    from rdkit.Chem import AllChem

    benzene = Chem.AddHs(Chem.MolFromSmiles("c1ccccc1"))
    AllChem.Compute2DCoords(benzene)
    block = Chem.MolToMolBlock(benzene)
    (tmp_path / "drawn.sdf").write_text(block)
    with pytest.raises(InputError, match="2-D depiction: the record says 2D"):
        read_molecules(tmp_path / "drawn.sdf")
    (tmp_path / "flat.sdf").write_text(block.replace("2D", "3D", 1))
    assert len(read_molecules(tmp_path / "flat.sdf")) == 1


def test_v3000_is_read(tmp_path, drugs):
    from rdkit import Chem

    (tmp_path / "a.sdf").write_text(Chem.MolToV3KMolBlock(to_rdkit(drugs, 0), kekulize=False))
    found = read_molecules(tmp_path / "a.sdf")
    assert np.array_equal(found.bonds, drugs.take([0]).bonds)
    text = (tmp_path / "a.sdf").read_text()
    (tmp_path / "a.sdf").write_text(text[: len(text) // 2])
    with pytest.raises(InputError, match="record 1: truncated record"):
        read_molecules(tmp_path / "a.sdf")


BAD_XYZ = {
    "short": ("3\nwater\nO 0 0 0\nH 0 0 1\n", "record 1: unreadable record: atom 3"),
    "element": ("1\n\nQq 0 0 0\n", "record 1: unreadable record: atom 1: unknown element 'Qq'"),
    "words": ("1\n\nC 0 zero 0\n", "atom 1: expected three numbers, got 0 zero 0"),
    "nan": ("2\n\nC 0 0 0\nH nan 0 1\n", "record 1: coordinates are not numbers: atom 2"),
    "point": ("2\n\nC 0 0 0\nH 0 0 0\n", "record 1: no coordinates"),
    "count": ("1\n\nC 0 0 0\nfive\n\n", "record 2, line 4: expected the number of atoms, got 'five'"),
}


@pytest.mark.parametrize("name", BAD_XYZ)
def test_bad_xyz_is_one_line(tmp_path, name):
    text, match = BAD_XYZ[name]
    (tmp_path / "a.xyz").write_text(text)
    with pytest.raises(InputError, match=match):
        read_molecules(tmp_path / "a.xyz")


def test_bad_names_and_endings(tmp_path, drugs):
    for name, match in (
        ("a.pkl", "pickle can run any program"),
        ("a.docx", "no such file"),
        ("none.sdf", "no such file"),
    ):
        with pytest.raises(InputError, match=match):
            read_molecules(tmp_path / name)
    for name in ("a.mol2", "a", "a.npz.gz"):
        with pytest.raises(InputError, match="expected one of"):
            check_ending(tmp_path / name)
    (tmp_path / "a.docx").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"one of the endings \.sdf"):
        read_molecules(tmp_path / "a.docx")
    (tmp_path / "a.npz").write_bytes(b"nothing")
    with pytest.raises(InputError, match="damaged"):
        read_molecules(tmp_path / "a.npz")
    write_molecules(tmp_path / "a.sdf", drugs)
    with pytest.raises(OutputError, match="exists"):
        write_molecules(tmp_path / "a.sdf", drugs)
    (tmp_path / "e.sdf").write_text("")
    with pytest.raises(InputError, match="no usable molecule"):
        read_molecules(tmp_path / "e.sdf")


@pytest.mark.parametrize("goal", ["b.sdf", "b.xyz", "b.extxyz", "b.smi", "b.csv", "b.npz"])
def test_convert_between_endings(tmp_path, capsys, drugs, goal):
    save_prepared(tmp_path / "a.npz", drugs)
    assert main(["convert", str(tmp_path / "a.npz"), str(tmp_path / goal), "--heavy"]) == 0
    assert f"{goal}: 5 molecules" in capsys.readouterr().out
    found = read(tmp_path / goal, Reading(heavy=goal.endswith(("sdf", "smi", "csv", "npz"))))
    assert len(found.molecules) == 5 and (found.molecules.z > 1).all()
