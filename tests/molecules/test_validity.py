"""The protocol ``validity``, what a broken molecule does to every protocol, and the cache of names of known sets."""

from dataclasses import replace

import numpy as np
import pytest
from tests.made_molecules import built, changed

from zsteer import api
from zsteer.cli.main import main
from zsteer.core.cache import cache_folder, cached_arrays, key_of_words
from zsteer.domains.molecules.container import Molecules
from zsteer.domains.molecules.files import read_molecules, write_molecules
from zsteer.errors import InputError
from zsteer.kits.molecules.metrics import names
from zsteer.kits.molecules.metrics.names import known_names, named_set

LIST = ["CCO", "OCC", "C[C@H](N)F", "C[C@@H](N)F", "c1ccccc1", "CC(C)(C)(C)C", "C[CH2]", "CCO.Cl", "nonsense((", "*CC"]
"""Three are different and valid; six are valid or repeat one, four are broken: by kind, in the order of the list."""


@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def listed(folder, words=LIST):
    path = folder / "a.smi"
    path.write_text("".join(f"{word} n{k}\n" for k, word in enumerate(words)))
    return path


def row(report, table=0):
    own = report.tables[table]
    return dict(zip(own.columns, own.rows[0], strict=True))


def test_figures_of_a_known_list(tmp_path):
    report = api.evaluate(listed(tmp_path), protocol="validity")
    found = row(report)
    assert found["valid"].value == 0.5 and found["unique"].value == 3 / 5 and found["valid x unique"].value == 0.3
    assert found["n"] == 10 and "novel" not in found
    reasons = {cells[0]: cells[1] for cells in report.tables[1].rows}
    for kind in ("radical", "several fragments", "not a SMILES", "attachment point"):
        assert reasons[kind] == 1


def test_novelty_is_against_the_whole_reference(tmp_path):
    path = listed(tmp_path)
    known = tmp_path / "known.csv"
    # The last repeats the first in another spelling; parts of a set do not matter.
    known.write_text("smiles,split\nOCC,test\nCC,train\nC(O)C,val\n")
    report = api.evaluate(path, protocol="validity", reference=known)
    assert row(report)["novel"].value == 2 / 3
    assert any("2 different of the 3 molecules of known.csv" in note for note in report.tables[0].notes)
    assert row(api.evaluate(path, protocol="validity", reference=path))["novel"].value == 0


def test_samples_are_not_novel_against_themselves_by_any_protocol(tmp_path):
    words = [f"{ring}{tail}" for ring in ("C", "CC", "C1CC1") for tail in ("O", "N", "F", "C#N", "CO", "CN", "CF")]
    write_molecules(tmp_path / "a.sdf", built(*words))
    for protocol, table in (("geom-revisited", "Uniqueness and novelty"), ("edm-2022", "Lookup stability")):
        report = api.evaluate(tmp_path / "a.sdf", protocol=protocol, reference=tmp_path / "a.sdf")
        own = next(one for one in report.tables if one.title.startswith(table))
        cells = dict(zip(own.columns, own.rows[0], strict=True))
        assert next(cell for name, cell in cells.items() if name.startswith("novel")).value == 0
        assert any("21 molecules of the whole reference" in note for note in own.notes)


def test_lists_and_files_and_sets_are_judged_alike(tmp_path):
    molecules = built("CCO", "C[C@H](N)F", "c1ccccc1", "CC(=O)[O-]", "O=[N+]([O-])c1ccccc1")
    broken = changed(built("CCO"), "order", 0, 3)
    bent = replace(built("CC"), bonds=np.array([[0, 1]] * 7, np.int32))
    every = Molecules.cat([replace(one, properties={}, smiles=None) for one in (molecules, broken)])
    assert len(bent.bonds) == 7
    write_molecules(tmp_path / "a.sdf", every)
    write_molecules(tmp_path / "h.sdf", molecules.heavy(), hydrogens=False)
    for name, good in (("a.sdf", 5), ("h.sdf", 5)):
        found = api.evaluate(tmp_path / name, protocol="validity")
        assert found.facts["valid"] == good
    # A missing hydrogen beside hydrogens that are atoms is a radical, as everywhere.
    whole = built("CC")
    stay = np.arange(len(whole.z)) != 7
    kept = (whole.bonds != 7).all(1)
    lacking = replace(
        whole, bonds=whole.bonds[kept], offsets=np.array([0, 7]), bond_offsets=np.array([0, kept.sum()]),
        **{name: getattr(whole, name)[stay] for name in ("z", "xyz", "charge", "hydrogens")},
        **{name: getattr(whole, name)[kept] for name in ("order", "aromatic")},
    )  # fmt: skip
    write_molecules(tmp_path / "r.sdf", lacking)
    assert api.evaluate(tmp_path / "r.sdf", protocol="validity").facts["valid"] == 0
    assert named_set(lacking).kinds.tolist() == ["radical"]


def test_names_are_the_same_by_every_way(tmp_path):
    """Text of lists and of SD files, and a set in memory: hydrogens that tell E from Z, labels, rings, charges."""
    words = [
        "[H]/N=C(\\C)CC", "[H]\\N=C(\\C)CC", "CC(=N)c1ccccc1", "O=c1cc[nH]cc1", "C[n+]1ccccc1", "N=c1cccc[nH]1",
        "[CH3:4]CO", "[13CH3]CO", "[2H]CO", "C/C=C/C", "C[C@H](N)C(=O)[O-]", "O=[N+]([O-])c1ccccc1", "CS(=O)(=O)C",
    ]  # fmt: skip
    (tmp_path / "a.smi").write_text("\n".join(words))
    assert main(["convert", str(tmp_path / "a.smi"), str(tmp_path / "a.sdf")]) == 0
    own = named_set(read_molecules(tmp_path / "a.sdf")).smiles.tolist()
    for parts in (names.smiles_parts(words), names.sdf_parts(tmp_path / "a.sdf")):
        assert names.Named.cat([names.name_part(part) for part in parts]).smiles.tolist() == own
    assert own[0] == own[1] == "CCC(C)=N" and own[6] == "CCO"


def test_a_record_that_cannot_be_parsed_counts_as_invalid(tmp_path):
    write_molecules(tmp_path / "a.sdf", built("CCO", "CCN"))
    first, second, _ = (tmp_path / "a.sdf").read_text().split("$$$$\n")
    (tmp_path / "b.sdf").write_text(f"{first}$$$$\n{second[:100]}\n$$$$\n")
    report = api.evaluate(tmp_path / "b.sdf", protocol="validity")
    assert row(report)["valid"].value == 0.5 and report.tables[1].rows[0][0] == "unreadable record"


def generated_with_faults():
    """Twelve molecules, of which one has a hydrogen between two atoms, one an element of no table, one is torn."""
    good = built(*[f"{ring}{tail}" for ring in ("C", "CC", "C1CC1") for tail in ("O", "N", "C#N")])
    bridge = built("CCO")
    light = int(np.flatnonzero(bridge.z == 1)[0])
    extra = np.array([[1, light]], np.int32)
    bridge = replace(
        bridge,
        bonds=np.concatenate([bridge.bonds, extra]),
        order=np.append(bridge.order, 1).astype(np.uint8),
        aromatic=np.append(bridge.aromatic, False),
        bond_offsets=bridge.bond_offsets + np.array([0, 1]),
    )
    strange = changed(built("CCO"), "z", 0, 34)
    torn = changed(built("CCN"), "xyz", 0, np.nan)
    pieces = [good, bridge, strange, torn]
    return Molecules.cat([replace(one, properties={}, smiles=None) for one in pieces])


@pytest.mark.parametrize("protocol", ["geom-revisited", "edm-2022", "posebusters-fast", "strain", "validity"])
def test_broken_molecules_count_as_invalid_and_end_no_protocol(tmp_path, protocol):
    for extra in {"posebusters-fast": ["posebusters"], "strain": ["tblite"]}.get(protocol, []):
        pytest.importorskip(extra)
    faulty = generated_with_faults()
    counted = faulty.heavy(strict=False) if protocol in {"geom-revisited", "validity"} else faulty
    alone = protocol in {"posebusters-fast", "strain", "validity"}
    reference = None if alone else tmp_path / "ref.sdf"
    if not alone:
        known = built(*[f"{ring}{tail}" for ring in ("CC", "CCC", "C1CCC1") for tail in "ONFCSP" for _ in "ab"])
        write_molecules(tmp_path / "ref.sdf", known.heavy() if protocol == "geom-revisited" else known, hydrogens=False)
    report = api.evaluate(counted, protocol=protocol, reference=reference)
    assert report.facts["molecules"] == 12
    if protocol in {"geom-revisited", "validity"}:
        table = next(one for one in report.tables if "valid" in one.columns)
        # The selenol is fine; what is torn has a graph all the same.
        assert dict(zip(table.columns, table.rows[0], strict=True))["valid"].value == 11 / 12


def test_a_reference_is_needed_only_where_something_is_compared(tmp_path):
    write_molecules(tmp_path / "a.sdf", built("CCO"))
    for protocol in ("geom-revisited", "edm-2022"):
        with pytest.raises(InputError, match="--reference"):
            api.evaluate(tmp_path / "a.sdf", protocol=protocol)


def test_validity_is_the_default_for_molecules(tmp_path, capsys):
    assert main(["evaluate", str(listed(tmp_path))]) == 0
    assert "Valid: 50.0 %; unique of the valid: 60.0 %" in capsys.readouterr().out
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    assert main(["evaluate", str(tmp_path / "a.csv")]) == 2
    assert "--protocol" in capsys.readouterr().err


def test_rows_without_a_place_for_a_smiles_follow_skip_invalid(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("smiles,x\nCCO,1\nCCN\n")
    arguments = ["evaluate", str(tmp_path / "a.csv"), "--protocol", "validity"]
    assert main(arguments) == 2
    assert "record 3" in capsys.readouterr().err
    assert main([*arguments, "--skip-invalid"]) == 0
    assert "1 x another number of columns: record 3" in capsys.readouterr().out


def test_names_of_a_known_set_come_from_the_cache(kept, monkeypatch):
    molecules = built("CCO", "CCN", "c1ccccc1")
    monkeypatch.setattr(names, "KEPT", 2)
    first = known_names(molecules, "graph")
    monkeypatch.setattr(names, "_pieces", lambda _: pytest.fail("named again"))
    again = known_names(molecules, "graph")
    assert first.keys() == again.keys() and all((first[name] == again[name]).all() for name in first)
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(kept / "cache"))
    monkeypatch.setattr(names, "KEPT", 2)
    (path,) = (cache_folder() / "names").glob("*.npz")
    for damage in (b"", b"nonsense", path.read_bytes()[:-30]):
        path.write_bytes(damage)
        assert known_names(molecules, "graph")["smiles"].tolist() == first["smiles"].tolist()
    # Other molecules have other names.
    assert known_names(built("CCO", "CCC"), "graph")["smiles"].tolist() == ["CCO", "CCC"]


def test_a_cache_that_cannot_be_written_is_no_error(kept, monkeypatch):
    (kept / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(kept / "file"))
    made = cached_arrays("names", key_of_words("a", 1), ["x"], lambda: {"x": np.arange(3)})
    assert made["x"].tolist() == [0, 1, 2] and key_of_words("a", 1) != key_of_words("a1")
