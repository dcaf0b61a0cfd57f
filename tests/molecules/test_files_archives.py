"""The QM9 archive, bonds for atoms that have none, and ligands in their pockets, on records written by hand."""

import io
import tarfile

import numpy as np
import pytest

from zsteer.cli.main import main
from zsteer.domains.molecules.chemistry import gather, parse_smiles, record_of, with_hydrogens
from zsteer.domains.molecules.embed import Limits, embed
from zsteer.domains.molecules.files import Reading, read, read_molecules, write_molecules
from zsteer.domains.molecules.perception.fit import fitted, perceived
from zsteer.domains.molecules.pockets import read_complexes, read_pdb
from zsteer.domains.molecules.qm9 import HARTREE_EV, PROPERTIES, read_uncharacterised
from zsteer.domains.molecules.smiles import Row
from zsteer.errors import InputError

# Geometries by hand: methane with bonds of 1.09, water with .96 and 104.5 degrees. Figures are made up.
METHANE = """5
gdb 1\t157.7\t157.7\t157.7\t0.\t13.2\t-0.39\t0.12\t0.51\t35.4\t4.5*^-2\t-40.48\t-40.47\t-40.46\t-40.5\t6.47
C\t 0.0\t 0.0\t 0.0\t-0.5
H\t 0.6293\t 0.6293\t 0.6293\t 0.1
H\t-0.6293\t-0.6293\t 0.6293\t 0.1
H\t-0.6293\t 0.6293\t-0.6293\t 0.1
H\t 0.6293\t-0.6293\t-6.293*^-1\t 0.1
1341.3\t1341.3
C\tC
InChI=1S/CH4/h1H4\tInChI=1S/CH4/h1H4
"""
WATER = """3
gdb 3\t799.6\t437.9\t282.9\t1.85\t6.3\t-0.29\t0.07\t0.36\t19.0\t0.021\t-76.4\t-76.4\t-76.4\t-76.4\t6.0
H\t 0.7591\t 0.5877\t 0.0\t 0.3
O\t 0.0\t 0.0\t 0.0\t-0.6
H\t-0.7591\t 0.5877\t 0.0\t 0.3
1671.4
{smiles}\t{smiles}
InChI=1S/H2O/h1H2\tInChI=1S/H2O/h1H2
"""


def archive(tmp_path, files, name="dsgdb9nsd.xyz.tar.bz2"):
    path = tmp_path / name
    with tarfile.open(path, "w:bz2") as tar:
        for number, text in files.items():
            info = tarfile.TarInfo(f"dsgdb9nsd_{number:06d}.xyz")
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    return path


def test_qm9_archive_with_its_units_and_its_star_numbers(tmp_path):
    path = archive(tmp_path, {1: METHANE, 3: WATER.format(smiles="O")})
    found = read(path, Reading())
    molecules = found.molecules
    assert len(molecules) == 2 and list(molecules.names) == ["gdb-1", "gdb-3"] and list(molecules.smiles) == ["C", "O"]
    assert set(molecules.properties) == set(PROPERTIES) and len(PROPERTIES) == 15
    assert molecules.properties["zpve_hartree"][0] == 4.5e-2 and molecules.properties["mu_debye"][1] == 1.85
    assert molecules.properties["homo_eV"][0] == pytest.approx(-0.39 * HARTREE_EV)
    assert molecules.xyz[4, 2] == pytest.approx(-0.6293)
    # Water's atoms stand as H O H in the file: both bonds are to atom 1.
    assert molecules.take([1]).bonds.tolist() == [[0, 1], [1, 2]] and molecules.take([1]).order.tolist() == [1, 1]
    assert found.counts.lines()[1].startswith("characterised (no uncharacterized.txt")


def test_qm9_leaves_out_the_uncharacterised(tmp_path):
    path = archive(tmp_path, {1: METHANE, 3: WATER.format(smiles="O")})
    listing = tmp_path / "uncharacterized.txt"
    listing.write_text("Index  SMILES\n=====\n    3  O  3  1.0\n---\n")
    assert read_uncharacterised(listing) == {3}
    found = read(path, Reading())
    assert list(found.molecules.names) == ["gdb-1"]
    assert found.counts.lines()[:2] == [
        "molecules of the archive: 2",
        "characterised (uncharacterized.txt): 1 (1 left out)",
    ]
    listing.write_text("nothing\n")
    with pytest.raises(InputError, match="expected lines that begin with the number"):
        read(path, Reading())


QM9_BREAKS = {
    "another molecule": (WATER.format(smiles="OO"), "SMILES does not fit the geometry: OO"),
    "no number": (METHANE.replace("13.2", "thirteen"), "unreadable record"),
    "cut off": (METHANE[:200], "unreadable record"),
    "a property less": (METHANE.replace("\t6.47", ""), "expected 15 properties and a SMILES, got 14"),
    "an element": (METHANE.replace("C\t 0.0", "Q\t 0.0"), "unreadable record"),
}


@pytest.mark.parametrize("name", QM9_BREAKS)
def test_broken_qm9_files_are_named(tmp_path, name):
    text, match = QM9_BREAKS[name]
    path = archive(tmp_path, {1: METHANE, 7: text})
    with pytest.raises(InputError, match=rf"record 7 .gdb 7.: .*{match}"):
        read_molecules(path)
    found = read(path, Reading(skip_invalid=True))
    assert len(found.molecules) == 1 and len(found.problems) == 1


def test_qm9_folder_and_convert(tmp_path, capsys):
    (tmp_path / "qm9").mkdir()
    (tmp_path / "qm9" / "dsgdb9nsd_000001.xyz").write_text(METHANE)
    assert main(["convert", str(tmp_path / "qm9"), str(tmp_path / "a.npz"), "--heavy"]) == 0
    found = read_molecules(tmp_path / "a.npz")
    assert found.z.tolist() == [6] and found.hydrogens.tolist() == [4]
    whole = archive(tmp_path, {1: METHANE})
    whole.write_bytes(whole.read_bytes()[:-40])
    capsys.readouterr()
    assert main(["convert", str(whole), str(tmp_path / "b.npz")]) == 2
    assert "copy the archive again" in capsys.readouterr().err


DRUGS = [
    "CC(=O)Oc1ccccc1C(=O)O",
    "Cn1cnc2c1c(=O)n(C)c(=O)n2C",
    "[NH3+]CC(=O)[O-]",
    "O=[N+]([O-])c1ccccc1",
    "CS(=O)(=O)C",
]


@pytest.fixture(scope="module")
def drugs(tmp_path_factory):
    rows = [Row(i, text, f"d{i}") for i, text in enumerate(DRUGS, 1)]
    return embed(rows, Limits(), tmp_path_factory.mktemp("drugs") / "parts").molecules


def graph(smiles_or_record):
    from rdkit import Chem

    from zsteer.domains.molecules.chemistry import sanitised, smiles_of, to_rdkit

    mol = to_rdkit(smiles_or_record, 0)
    assert not sanitised(mol)
    Chem.RemoveStereochemistry(mol)
    mol.RemoveAllConformers()
    return smiles_of(mol)


def test_a_smiles_is_laid_on_atoms_in_any_order(drugs):
    # A fixed shuffle: reading the atoms backwards.
    for i, smiles in enumerate(DRUGS):
        one = drugs.take([i])
        z, xyz = one.z[::-1].tolist(), one.xyz[::-1]
        found = fitted(smiles, z, xyz)
        lengths = [np.linalg.norm(xyz[a] - xyz[b]) for a, b, *_ in found.bonds]
        assert max(lengths) < 1.9 and len(found.bonds) == len(one.bonds)  # C-S is 1.8 angstrom
        assert sum(found.charge) == one.charge.sum() and sorted(found.charge) == sorted(one.charge.tolist())
        back = [(len(z) - 1 - a, len(z) - 1 - b) for a, b, *_ in found.bonds]
        assert {tuple(sorted(pair)) for pair in back} == {tuple(pair) for pair in one.bonds.tolist()}
    assert fitted("CCO", drugs.take([0]).z.tolist(), drugs.take([0]).xyz) is None
    assert fitted("C1", [6], np.zeros((1, 3))) is None


def test_bonds_from_the_geometry_alone(tmp_path, drugs):
    write_molecules(tmp_path / "a.xyz", drugs)
    plain = read_molecules(tmp_path / "a.xyz")
    assert plain.bond_offsets is None and plain.smiles is None
    with pytest.raises(InputError, match="pass --perceive"):
        read(tmp_path / "a.xyz", Reading(heavy=True))
    found = read(tmp_path / "a.xyz", Reading(perceive=True, heavy=True)).molecules
    assert [graph(found.take([i])) for i in range(5)] == [graph(drugs.take([i]).heavy()) for i in range(5)]


def test_convert_says_that_bonds_are_missing(tmp_path, drugs, capsys):
    write_molecules(tmp_path / "a.xyz", drugs)
    assert main(["convert", str(tmp_path / "a.xyz"), str(tmp_path / "a.npz")]) == 0
    assert "bonds are not known, so none were written" in capsys.readouterr().out
    assert main(["convert", str(tmp_path / "a.xyz"), str(tmp_path / "b.sdf"), "--perceive", "--json"]) == 0
    assert '"molecules": 5' in capsys.readouterr().out and len(read_molecules(tmp_path / "b.sdf")) == 5


@pytest.mark.parametrize(
    "name, content, match",
    [
        ("a.sdf.gz", b"\x1f\x8b\x08broken", "not a whole gzip file"),
        ("a.sdf", b"na\xefve\0\n", "record 1: not text"),
        ("a.xyz", b"", "empty"),
        ("a.tar", b"nothing", "not a whole tar"),
        ("dsgdb9nsd.tar", b"nothing", "copy the archive again"),
        ("folder", None, "no pair of a ligand"),
    ],
)
def test_files_that_are_no_files_of_their_kind(tmp_path, name, content, match):
    path = tmp_path / name
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(InputError, match=match) as caught:
        read_molecules(path)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_perceived_is_counted(drugs):
    torn = drugs.take([4])
    torn = type(torn)(torn.z, torn.xyz * np.float32(1.6), torn.offsets, torn.charge, torn.hydrogens)
    found = perceived(torn)
    assert not len(found.molecules) and [one.kind for one in found.problems] == ["bonds cannot be perceived"]


def test_a_table_beside_an_sd_file(tmp_path, drugs):
    write_molecules(tmp_path / "a.sdf", drugs)
    header = "mol_id,A,B,C,mu,alpha,homo,lumo,gap,r2,zpve,u0,u298,h298,g298,cv\n"
    rows = "".join(f"gdb_{i},1,1,1,{i},1,-0.2,1,1,1,1,1,1,1,1,1\n" for i in range(5))
    (tmp_path / "a.sdf.csv").write_text(header + rows)
    found = read_molecules(tmp_path / "a.sdf")
    assert found.properties["mu_debye"].tolist() == [0, 1, 2, 3, 4]
    assert found.properties["homo_eV"] == pytest.approx([-0.2 * HARTREE_EV] * 5)
    (tmp_path / "a.sdf.csv").write_text(header + rows + rows)
    with pytest.raises(InputError, match=r"10 rows, but a\.sdf has 5 records"):
        read_molecules(tmp_path / "a.sdf")


# --------------------------------------------------------------------------------------------------------- pockets


def pdb(rows):
    return "".join(
        f"ATOM  {i:5d}  {name:<3} {residue:>3} A{number:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00 10.00"
        f"{'':10}{name[0]:>2}\n"
        for i, (name, residue, number, x, y, z) in enumerate(rows, 1)
    )


ROWS = [("CA", "LEU", 36, 4.0, 0.0, 0.0), ("CB", "LEU", 36, 30.0, 0.0, 0.0), ("N", "GLY", 99, 60.0, 0.0, 0.0),
        ("O", "HOH", 400, 3.0, 3.0, 0.0)]  # fmt: skip


def complex_folder(tmp_path, drugs, text=None, pocket="aspirin_pocket10.pdb"):
    folder = tmp_path / "set" / "LEU_HUMAN"
    folder.mkdir(parents=True)
    write_molecules(folder / "aspirin.sdf", drugs.take([0]))
    (folder / pocket).write_text(pdb(ROWS) if text is None else text)
    (folder / "other.pdb").write_text(pdb(ROWS))
    return tmp_path / "set"


def test_ligand_and_pocket(tmp_path, drugs):
    found = read_complexes(complex_folder(tmp_path, drugs))
    assert list(found.ligands.names) == ["LEU_HUMAN/aspirin"] and (found.ligands.z > 1).all()
    # The residue near the ligand comes whole, the far one and the water not at all.
    pocket = found.pockets[0]
    assert pocket.atoms.tolist() == ["CA", "CB"] and pocket.residues.tolist() == ["LEU", "LEU"]
    assert pocket.numbers.tolist() == ["36", "36"] and pocket.chains.tolist() == ["A", "A"]
    assert pocket.z.tolist() == [6, 6]
    assert found.counts.lines() == ["ligands: 1", "with a pocket, usable: 1"]
    assert len(read_molecules(tmp_path / "set")) == 1


def test_a_folder_as_tar(tmp_path, drugs):
    folder = complex_folder(tmp_path, drugs)
    with tarfile.open(tmp_path / "set.tar.gz", "w:gz") as tar:
        tar.add(folder, "set")
    assert len(read_complexes(tmp_path / "set.tar.gz").pockets[0]) == 2


@pytest.mark.parametrize(
    "text, pocket, match",
    [
        (None, "unrelated.pdb", "no pocket: expected NAME_pocket10"),
        ("HEADER\n", "aspirin_pocket10.pdb", "there is no ATOM line"),
        (pdb(ROWS).replace("   4.000", "   four "), "aspirin_pocket10.pdb", "line 1: expected coordinates"),
        (pdb(ROWS[2:3]), "aspirin_pocket10.pdb", "no atom of aspirin_pocket10.pdb within 10 angstrom"),
    ],
)
def test_bad_pairs_are_named(tmp_path, drugs, text, pocket, match):
    folder = complex_folder(tmp_path, drugs, text, pocket)
    with pytest.raises(InputError, match=rf"record 1 .LEU_HUMAN/aspirin\.sdf.: .*{match}"):
        read_complexes(folder)
    with pytest.raises(InputError, match="no pair of a ligand"):
        read_complexes(folder, skip_invalid=True)


def test_old_pdb_files_without_the_element_column(tmp_path):
    (tmp_path / "a.pdb").write_text("\n".join(line[:66] for line in pdb(ROWS).split("\n")))
    assert read_pdb(tmp_path / "a.pdb").z.tolist() == [6, 6, 7]


def test_real_complexes(data_folder):
    found = read_complexes(data_folder / "molecules" / "protein_ligand_complexes.tar.gz")
    assert len(found.ligands) == 9 and not found.problems  # the tenth has its ligand as .mol2
    imatinib = found.ligands.names.tolist().index("complexes/1iep/1iep_ligand")
    assert found.ligands.sizes[imatinib] == 37


@pytest.mark.slow
def test_smiles_fit_the_real_geometries(data_folder):
    whole = read_molecules(data_folder / "molecules" / "qm7_dft3d.npz").take(range(0, 7101, 10))
    found = perceived(whole).molecules
    assert len(found) / len(whole) > 0.99  # 27 of 7,101 have no SMILES in the set


def test_parts_of_a_set_by_a_list_of_smiles(tmp_path, drugs, capsys):
    write_molecules(tmp_path / "a.sdf", drugs)
    # The first by its own SMILES, the second by another way to write it; the others are not in the list.
    (tmp_path / "list.csv").write_text(f"smiles,split\n{DRUGS[0]},test\nCN1C=NC2=C1C(=O)N(C(=O)N2C)C,valid\n")
    found = read(tmp_path / "a.sdf", Reading(splits=tmp_path / "list.csv"))
    assert list(found.molecules.split) == ["test", "val"]
    assert found.counts.lines()[-1] == "in the list of parts (list.csv): 2 (3 left out)"
    (tmp_path / "list.csv").write_text("smiles,name\nC,methane\n")
    with pytest.raises(InputError, match=r"list\.csv: expected a column called split"):
        read(tmp_path / "a.sdf", Reading(splits=tmp_path / "list.csv"))


def test_gather_keeps_records_apart():
    one = record_of(with_hydrogens(parse_smiles("C")))
    with pytest.raises(InputError, match="molecule 1 has no coordinates"):
        gather([one])
