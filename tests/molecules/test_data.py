"""The sets of the data folder, and the prepared container on disk: exact, mapped, and closed to damaged files."""

import numpy as np
import pytest

from zsteer.domains.molecules.chemistry import gather, parse_smiles, record_of, with_hydrogens
from zsteer.domains.molecules.data import is_folder_npz, load, read_folder_npz
from zsteer.domains.molecules.prepared import about, is_prepared, open_prepared, save_prepared
from zsteer.errors import InputError, OutputError

DRUGS = ["CC(=O)Oc1ccccc1C(=O)O", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "C[N+](=O)[O-]", "Clc1ccncc1"]


def drugs(smiles=DRUGS, **about):
    """Molecules with made-up coordinates: rounding and order are tested, not chemistry."""
    records = []
    for k, text in enumerate(smiles):
        mol = with_hydrogens(parse_smiles(text))
        one = record_of(mol, smiles=text, name=f"drug-{k}", split="train", properties={"k": float(k)}, **about)
        xyz = np.arange(3.0 * len(one.z)).reshape(-1, 3) / 7 + k
        records.append(type(one)(**{**vars(one), "xyz": xyz}))
    return gather(records)


def same(a, b):
    for name in ("z", "xyz", "offsets", "charge", "hydrogens", "bonds", "order", "aromatic", "bond_offsets"):
        assert np.array_equal(getattr(a, name), getattr(b, name)), name
    for name in ("smiles", "names", "split"):
        assert list(getattr(a, name)) == list(getattr(b, name)), name
    assert {k: list(v) for k, v in a.properties.items()} == {k: list(v) for k, v in b.properties.items()}


def in_folder_layout(path, molecules, **change):
    arrays = {
        "Z": molecules.z,
        "coords_mA": np.round(molecules.xyz * 1000).astype(np.int16),
        "offsets": molecules.offsets.astype(np.int32),
        "smiles": molecules.smiles.astype("S"),
        "smiles_canonical": molecules.smiles.astype("S"),
        "split": molecules.split.astype("S"),
        "k": molecules.properties["k"].astype(np.float32),
        "qm9_row": np.arange(len(molecules), dtype=np.int32),
    }
    np.savez(path, **{**arrays, **change})


def test_prepared_container_gives_back_what_was_saved(tmp_path):
    molecules = drugs()
    save_prepared(tmp_path / "a.npz", molecules, notes=["made by hand"])
    found = open_prepared(tmp_path / "a.npz")
    same(found, molecules)
    assert found.xyz.flags.aligned and not found.xyz.flags.owndata and not found.xyz.flags.writeable
    heading = about(tmp_path / "a.npz")
    assert heading["digest"] == molecules.digest() and heading["notes"] == ["made by hand"]
    assert is_prepared(tmp_path / "a.npz")


def test_equal_content_gives_equal_files(tmp_path):
    save_prepared(tmp_path / "a.npz", drugs())
    save_prepared(tmp_path / "b.npz", drugs())
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_words_beyond_ascii_and_missing_bonds_survive(tmp_path):
    molecules = drugs()
    plain = type(molecules)(
        molecules.z, molecules.xyz, molecules.offsets, molecules.charge, molecules.hydrogens,
        names=np.array(["acide acétique", "b", "c", "d"]),
    )  # fmt: skip
    save_prepared(tmp_path / "a.npz", plain)
    found = open_prepared(tmp_path / "a.npz")
    assert found.names[0] == "acide acétique"
    assert found.bond_offsets is None and found.smiles is None and len(found.bonds) == 0


def test_an_existing_file_is_kept_unless_told(tmp_path):
    save_prepared(tmp_path / "a.npz", drugs())
    with pytest.raises(OutputError, match="exists"):
        save_prepared(tmp_path / "a.npz", drugs())
    save_prepared(tmp_path / "a.npz", drugs(DRUGS[:1]), overwrite=True)
    assert len(open_prepared(tmp_path / "a.npz")) == 1


@pytest.mark.parametrize("place", [0.1, 0.3, 0.5, 0.7])
def test_a_flipped_bit_is_found(tmp_path, place):
    path = tmp_path / "a.npz"
    save_prepared(path, drugs())
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1
    path.write_bytes(content)
    # A bit in the filler between two members changes nothing; everywhere else it is an error of one line.
    try:
        found = open_prepared(path)
    except InputError as error:
        assert str(path) in str(error) and "\n" not in str(error)  # noqa: PT017
    else:
        same(found, drugs())


def test_damaged_files_are_refused_with_their_name(tmp_path):
    path = tmp_path / "a.npz"
    save_prepared(path, drugs())
    whole = path.read_bytes()
    start = whole.index(b"xyz.npy") + 200
    path.write_bytes(whole[:start] + bytes([whole[start] ^ 1]) + whole[start + 1 :])
    with pytest.raises(InputError, match=r"a\.npz.*check sum of xyz"):
        open_prepared(path)
    for content, match in ((whole[:-100], "damaged"), (b"", r"a\.npz"), (b"hello", "damaged")):
        path.write_bytes(content)
        with pytest.raises(InputError, match=match):
            open_prepared(path)
    with pytest.raises(InputError, match="no such file"):
        open_prepared(tmp_path / "none.npz")
    np.savez(path, z=np.zeros(3, np.uint8))
    with pytest.raises(InputError, match="no prepared container"):
        open_prepared(path)
    np.savez(path, z=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match=r"a\.npz"):
        open_prepared(path)


def test_a_bond_to_an_atom_that_is_not_there_is_refused(tmp_path):
    from dataclasses import replace

    molecules = drugs()
    bonds = molecules.bonds.copy()
    bonds[3, 1] = 120
    save_prepared(tmp_path / "a.npz", replace(molecules, bonds=bonds))
    with pytest.raises(InputError, match="names an atom that its molecule does not have"):
        open_prepared(tmp_path / "a.npz")


def test_folder_layout_gets_bonds_and_charges_of_its_smiles(tmp_path):
    molecules = drugs()
    in_folder_layout(tmp_path / "a.npz", molecules)
    assert is_folder_npz(tmp_path / "a.npz") and not is_prepared(tmp_path / "a.npz")
    found = read_folder_npz(tmp_path / "a.npz")
    assert np.array_equal(found.bonds, molecules.bonds) and np.array_equal(found.aromatic, molecules.aromatic)
    assert np.array_equal(found.charge, molecules.charge) and found.charge.min() == -1 and found.charge.max() == 1
    assert abs(found.xyz - molecules.xyz).max() <= 0.0005  # half of the last digit of the file, 1/1000 angstrom
    assert list(found.names) == ["qm9-0", "qm9-1", "qm9-2", "qm9-3"] and list(found.split) == ["train"] * 4
    # Aspirin: one ring of six aromatic bonds, of which three are double when kekulised; two C=O.
    aspirin = found.take([0])
    assert (
        aspirin.aromatic.sum() == 6 and aspirin.order[aspirin.aromatic].sum() == 9 and (aspirin.order == 2).sum() == 5
    )


def test_folder_layout_with_other_atoms_than_its_smiles_is_refused(tmp_path):
    molecules = drugs()
    swapped = molecules.smiles.copy()
    swapped[2] = "O=[N+]([O-])C"
    in_folder_layout(tmp_path / "a.npz", molecules, smiles=swapped.astype("S"))
    with pytest.raises(InputError, match=r"molecule 3: the atoms of O=\[N\+\]"):
        read_folder_npz(tmp_path / "a.npz")
    in_folder_layout(tmp_path / "a.npz", molecules, smiles=np.array([b"C(C", b"C", b"C", b"C"]))
    with pytest.raises(InputError, match=r"molecule 1.*no usable SMILES"):
        read_folder_npz(tmp_path / "a.npz")
    in_folder_layout(tmp_path / "a.npz", molecules, offsets=np.array([0, 5, 3, 20, 40], np.int32))
    with pytest.raises(InputError, match="offsets"):
        read_folder_npz(tmp_path / "a.npz")


def test_real_set_without_bonds(data_folder):
    found = load("qm7", data_folder)
    # Figures of the set's own README.
    assert (len(found), len(found.z)) == (7101, 109600) and found.bond_offsets is None
    assert found.properties["E_atomization_PBE0_kcal_mol"].mean() == pytest.approx(-1536.3, abs=0.05)


@pytest.mark.slow
def test_computed_set_has_neutral_closed_shells(data_folder):
    found = load("qm9-gfn2", data_folder)
    assert (len(found), len(found.z)) == (129901, 2338536)
    heavy = found.heavy()
    # Four bonds at each neutral carbon, kekulised and with its hydrogens: the bonds sit on the right atoms.
    owner = np.repeat(heavy.offsets[:-1], np.diff(heavy.bond_offsets))
    valence = heavy.hydrogens.astype(int)
    for side in (0, 1):
        np.add.at(valence, heavy.bonds[:, side] + owner, heavy.order)
    assert (valence[(heavy.z == 6) & (heavy.charge == 0)] == 4).all()
    lengths = np.linalg.norm(heavy.xyz[heavy.bonds[:, 0] + owner] - heavy.xyz[heavy.bonds[:, 1] + owner], axis=1)
    # A few hundred strained cages are longer than 1.75 angstrom, as the README of the set says.
    assert np.quantile(lengths, 0.999) < 1.75 and np.quantile(lengths, 0.001) > 1.1
    assert {name: int((found.split == name).sum()) for name in ("train", "val", "test")} == {
        "train": 104022, "val": 12939, "test": 12940,
    }  # fmt: skip
