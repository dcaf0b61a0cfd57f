"""E and Z and the hands of centres survive every SD file that is written: other programs read them, not we."""

from dataclasses import replace

import numpy as np
import pytest
from rdkit import Chem
from tests.made_molecules import built

from zsteer.cli.main import main
from zsteer.domains.molecules.files import write_molecules
from zsteer.domains.molecules.space import MoleculeSpace
from zsteer.kits.base import Samples
from zsteer.kits.molecules.kit import MoleculeKit, generated

ISOMERS = {
    "fumaric acid": "OC(=O)/C=C/C(=O)O",
    "maleic acid": "OC(=O)/C=C\\C(=O)O",
    "E-oxime": "C/C=N/O",
    "Z-oxime": "C/C=N\\O",
    "diene": "C/C=C/C=C\\C",
    "azo": "c1ccccc1/N=N/c1ccccc1",
    "trans-cyclodecene": "C1CCCC/C=C/CCC1",
    "enamide with a centre": "C/C=C/[C@H](O)CF",
    "allylic alcohol": "C/C=C\\[C@@H](N)CO",
}
"""Isomers by name, as canonical SMILES tell them apart."""
PLAIN = {"isobutene": "CC(C)=C", "cyclohexene": "C1CCCCC=1", "ketene": "CC=C=O", "acetone": "CC(C)=O"}
"""Double bonds without E or Z."""


def by_rdkit(path):
    """Isomeric SMILES of an SD file as RDKit alone reads it."""
    return [Chem.MolToSmiles(Chem.RemoveHs(mol)) for mol in Chem.SDMolSupplier(str(path), removeHs=False)]


def canonical(*words):
    return [Chem.CanonSmiles(word) for word in words]


@pytest.mark.parametrize("hydrogens", ["atoms", "placed", "counted"])
def test_rdkit_reads_the_isomers_of_a_written_file(tmp_path, hydrogens):
    molecules = built(*ISOMERS.values(), *PLAIN.values())
    if hydrogens != "atoms":
        molecules = molecules.heavy()
    path = tmp_path / "a.sdf"
    write_molecules(path, molecules, hydrogens=hydrogens == "placed")
    assert by_rdkit(path) == canonical(*ISOMERS.values(), *PLAIN.values())


def test_a_molecule_beyond_999_atoms_keeps_its_isomer_in_v3000(tmp_path):
    several = built("C/C=C\\C", "C/C=C/O", *["CCO"] * 110)
    owner = np.repeat(several.offsets[:-1], np.diff(several.bond_offsets))
    ends = {"offsets": several.offsets[[0, -1]], "bond_offsets": several.bond_offsets[[0, -1]]}
    one = replace(several, bonds=(several.bonds + owner[:, None]).astype(np.int32), properties={}, smiles=None, **ends)
    path = tmp_path / "long.sdf"
    write_molecules(path, one)
    assert "V3000" in path.read_text() and "CFG=2" not in path.read_text()
    assert by_rdkit(path) == canonical(".".join(["C/C=C\\C", "C/C=C/O", *["CCO"] * 110]))


def test_a_broken_molecule_is_written_and_its_neighbours_keep_their_isomer(tmp_path):
    whole = built(ISOMERS["maleic acid"], "C/C=C/C")
    order = whole.order.copy()
    order[:2] = 3  # a carbon with too many bonds
    path = tmp_path / "a.sdf"
    write_molecules(path, replace(whole, order=order))
    read = list(Chem.SDMolSupplier(str(path), removeHs=False))
    assert read[0] is None and Chem.MolToSmiles(Chem.RemoveHs(read[1])) == canonical("C/C=C/C")[0]


def test_convert_passes_the_isomers_of_an_sdf_through(tmp_path, capsys):
    write_molecules(tmp_path / "a.sdf", built(*ISOMERS.values()))
    (tmp_path / "list.smi").write_text("".join(f"{word} {name.replace(' ', '-')}\n" for name, word in ISOMERS.items()))
    for source, made in (("a.sdf", "b.sdf"), ("list.smi", "c.sdf")):
        assert main(["convert", str(tmp_path / source), str(tmp_path / made)]) == 0, capsys.readouterr().err
        assert by_rdkit(tmp_path / made) == canonical(*ISOMERS.values())


@pytest.mark.parametrize("hydrogens", ["explicit", "implicit"])
def test_what_a_model_makes_reads_the_same_by_rdkit(tmp_path, hydrogens):
    molecules = built(*ISOMERS.values()).heavy() if hydrogens == "implicit" else built(*ISOMERS.values())
    made = generated(MoleculeSpace.spanning(molecules).encode(molecules))
    path = tmp_path / "s.sdf"
    MoleculeKit().write(path, Samples("molecules", made, count=len(molecules)), overwrite=False)
    assert by_rdkit(path) == canonical(*ISOMERS.values())
