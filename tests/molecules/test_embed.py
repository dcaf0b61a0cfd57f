"""Geometries for SMILES: reproducible row by row, resumable, and every row that gives none is named and counted."""

import csv
import gzip

import numpy as np
import pytest

from zsteer.cli.main import main
from zsteer.domains.molecules.checks import Counts, Problem, summary
from zsteer.domains.molecules.chemistry import graphs_of, parse_smiles, record_of, whole_record, with_hydrogens
from zsteer.domains.molecules.embed import Limits, embed, serial
from zsteer.domains.molecules.files import read_molecules
from zsteer.domains.molecules.prepared import about, open_prepared
from zsteer.domains.molecules.smiles import Row, choose, read_smiles, split_of
from zsteer.errors import InputError

DRUGS = {
    "aspirin": "CC(=O)Oc1ccccc1C(=O)O",
    "caffeine": "Cn1cnc2c1c(=O)n(C)c(=O)n2C",
    "ibuprofen": "CC(C)Cc1ccc(cc1)C(C)C(=O)O",
    "paracetamol": "CC(=O)Nc1ccc(O)cc1",
    "glycine": "[NH3+]CC(=O)[O-]",
}


def rows(smiles=DRUGS):
    return [Row(i, text, name) for i, (name, text) in enumerate(smiles.items(), 2)]


def test_geometries_are_real_and_in_the_order_of_the_smiles(tmp_path, seed):
    found = embed(rows(), Limits(seed=seed), tmp_path / "work")
    molecules = found.molecules
    assert list(molecules.names) == list(DRUGS) and list(molecules.smiles) == list(DRUGS.values())
    aspirin = molecules.take([0])
    assert "".join("XHXXXXCNO"[z] for z in aspirin.z) == "CCOOCCCCCCCOO" + "H" * 8
    ring = aspirin.bonds[aspirin.aromatic]
    lengths = np.linalg.norm(aspirin.xyz[ring[:, 0]] - aspirin.xyz[ring[:, 1]], axis=1)
    # MMFF94 gives a benzene bond about 1.40 angstrom; the two at the ester are the longest.
    assert len(ring) == 6 and (abs(lengths - 1.40) < 0.03).all()
    for part in range(len(molecules)):
        assert abs(molecules.take([part]).xyz.mean(0)).max() < 1e-5  # float32 of a few angstrom
    assert list(molecules.take([4]).charge[:4]) == [1, 0, 0, 0] and molecules.take([4]).charge.sum() == 0
    # QED as RDKit gives it for aspirin, .550; Crippen logP 1.3101 (RDKit 2026.9).
    assert molecules.properties["qed"][0] == pytest.approx(0.5501, abs=1e-4)
    assert molecules.properties["logp"][0] == pytest.approx(1.3101, abs=1e-4)
    assert set(molecules.properties) == {"qed", "sas", "logp", "asphericity", "npr1", "npr2", "rg_A"}


def test_a_row_does_not_depend_on_the_others(tmp_path):
    together = embed(rows(), Limits(), tmp_path / "a").molecules
    alone = embed(rows()[3:4], Limits(), tmp_path / "b").molecules
    assert np.array_equal(together.take([3]).xyz, alone.xyz)
    other = embed(rows()[3:4], Limits(seed=1), tmp_path / "c").molecules
    assert not np.array_equal(other.xyz, alone.xyz)


BROKEN = {
    "salt": ("CC(=O)[O-].[Na+]", "several fragments"),
    "salt of ammonium": ("CC(=O)[O-].[NH4+]", "several fragments"),
    "methyl": ("[CH3]", "radical"),
    "open": ("C1CC", "not a SMILES"),
    "pentavalent": ("C(C)(C)(C)(C)C", "chemistry"),
    "selenium": ("C[Se]C", "unknown element"),
    "empty": ("", "empty SMILES"),
    "twisted bridge": ("C1C[C@@H]2C[C@@H]1CC2", "does not embed"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_each_broken_row_is_named_with_its_reason(tmp_path, name):
    smiles, kind = BROKEN[name]
    given = [Row(2, "CCO"), Row(3, smiles, name)]
    with pytest.raises(InputError, match=f"record 3 .{name}.: {kind}.*--skip-invalid"):
        embed(given, Limits(), tmp_path / "work")
    found = embed(given, Limits(), tmp_path / "work2", skip_invalid=True)
    assert len(found.molecules) == 1 and [(one.record, one.kind) for one in found.problems] == [(3, kind)]
    assert found.counts.lines()[0] == "rows: 2" and found.counts.lines()[-1].startswith("a geometry was found: 1")


def test_larger_molecules_are_filtered_and_counted(tmp_path):
    found = embed([Row(1, "CCO"), Row(2, "C" * 12)], Limits(max_heavy=11), tmp_path / "work")
    assert "at most 11 heavy atoms: 1 (1 left out)" in found.counts.lines() and not found.problems


def test_nothing_usable_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"no usable row among 1.*record 3: not a SMILES"):
        embed([Row(3, "C1")], Limits(), tmp_path / "work", skip_invalid=True)


def test_a_killed_run_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr("zsteer.domains.molecules.embed.PART", 2)
    whole = embed(rows(), Limits(), tmp_path / "whole").molecules
    started = []

    def killed(tasks):
        for number, status in serial(tasks):
            started.append(number)
            yield number, status
            if len(started) == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed(rows(), Limits(), tmp_path / "work", run=killed)
    again = []

    def counted(tasks):
        again.extend(tasks)
        return serial(tasks)

    seen = []
    found = embed(rows(), Limits(), tmp_path / "work", run=counted, watch=seen.append).molecules
    assert len(again) == 1 and seen[-1] == {"step": 5, "steps": 5}
    assert found.digest() == whole.digest() and list(found.names) == list(whole.names)
    # Parts of other limits are of no use, and are made anew.
    other = embed(rows(), Limits(seed=3), tmp_path / "work").molecules
    assert other.digest() != whole.digest() and len(other) == len(whole)


def test_a_row_that_takes_its_worker_down_costs_itself_alone(tmp_path):
    def run(tasks):
        for number, task in enumerate(tasks):
            if any(row.name == "caffeine" for row in task[1]):
                yield number, "the worker died (exit code -11), 3 times; given up"
            else:
                yield from ((number, status) for _, status in serial([task]))

    with pytest.raises(InputError, match=r"record 3 .caffeine.: takes the program down: .*exit code -11"):
        embed(rows(), Limits(), tmp_path / "work", run=run)
    found = embed(rows(), Limits(), tmp_path / "work", run=run, skip_invalid=True)
    assert list(found.molecules.names) == ["aspirin", "ibuprofen", "paracetamol", "glycine"]
    assert [one.record for one in found.problems] == [3]


def test_what_mmff94_does_not_know_gets_its_geometry_by_uff(tmp_path):
    given = [Row(1, "OB(O)c1ccccc1", "boronic acid"), Row(2, "CB(C)C"), Row(3, "CCO", "ethanol")]
    found = embed(given, Limits(), tmp_path / "work")
    assert list(found.molecules.words["force_field"]) == ["UFF", "UFF", ""]
    assert list(found.molecules.names) == ["boronic acid", "", "ethanol"]  # a row without a name gets none
    assert len(found.notes) == 1 and found.notes[0].startswith("2 geometries are by UFF")
    # B-O is 1.36 to 1.38 angstrom in boronic acids; UFF gives 1.46.
    acid = found.molecules.take([0])
    boron = int(np.flatnonzero(acid.z == 5)[0])
    apart = np.linalg.norm(acid.xyz[acid.z == 8] - acid.xyz[boron], axis=1)
    assert np.abs(apart - 1.37).max() < 0.12


def test_the_choice_of_rows_is_nested_and_follows_the_seed(seed):
    numbers = list(range(2, 502))
    small, large = choose(numbers, 20, seed), choose(numbers, 200, seed)
    assert set(small) < set(large) and small == sorted(small) and len(large) == 200
    assert choose(numbers, 20, seed + 1) != small
    assert choose(numbers, None, seed) == list(range(500)) == choose(numbers, 900, seed)


def test_split_by_hash_is_8_1_1():
    parts = [split_of("C" * n + "O" * m) for n in range(1, 60) for m in range(1, 60)]
    # 3481 hashes: 4 standard deviations of a binomial share around .8 and .1 are .027 and .020.
    assert abs(parts.count("train") / len(parts) - 0.8) < 0.027 and abs(parts.count("val") / len(parts) - 0.1) < 0.020


def test_counts_and_problems_print_one_line_each():
    counts = Counts().then("rows", 12000).then("usable", 11990).then("small", 11990)
    assert counts.lines() == ["rows: 12,000", "usable: 11,990 (10 left out)", "small: 11,990"]
    problems = [Problem(i, "radical") for i in range(5)] + [Problem(9, "not a SMILES", "x", "n")]
    assert summary(problems) == ["5 x radical: record 0, 1, 2, ...", "1 x not a SMILES: record 9 (n)"]


def test_lists_by_ending(tmp_path):
    (tmp_path / "a.smi").write_text("smiles name\nCCO ethanol\n\nC\n")
    assert read_smiles(tmp_path / "a.smi").rows == [Row(2, "CCO", "ethanol"), Row(4, "C")]
    with gzip.open(tmp_path / "a.csv.gz", "wt", newline="") as file:
        csv.writer(file).writerows([["name", "SMILES", "split", "pIC50"], ["x", "CCO", "valid", "7.5"]])
    assert read_smiles(tmp_path / "a.csv.gz").rows == [Row(2, "CCO", "x", "val", {"pIC50": 7.5})]


BAD_LISTS = {
    "no column": ("a.csv", "a,b\n1,2\n", "row 1: expected a column called smiles, got a, b"),
    "short row": ("a.csv", "smiles,b\nC,1\nC\n", "record 3: .*expected 2 columns, got 1"),
    "only a header": ("a.csv", "smiles\n", "no row"),
    "empty": ("a.smi", "", "empty"),
    "split": ("a.csv", "smiles,split\nC,dev\n", "record 2 .*expected train, val or test as split, got 'dev'"),
    "a quote that never ends": ("a.csv", 'smiles\n"C' + "C" * 140_000, "row 2: field larger"),
    "not gzip": ("a.csv.gz", "smiles\nC\n", "not a whole gzip"),
}


@pytest.mark.parametrize("case", BAD_LISTS)
def test_bad_lists_are_one_line(tmp_path, case):
    name, text, match = BAD_LISTS[case]
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=match):
        read_molecules(tmp_path / name)


def test_convert_makes_a_container_and_says_what_it_left_out(tmp_path, capsys):
    source, goal = tmp_path / "drugs.csv", tmp_path / "drugs.npz"
    source.write_text("smiles,name\n" + "".join(f"{s},{n}\n" for n, s in DRUGS.items()) + "C[CH2],ethyl\n")
    assert main(["convert", str(source), str(goal), "--workers", "1"]) == 2
    assert "record 7 (ethyl): radical" in capsys.readouterr().err and not goal.exists()
    assert main(["convert", str(source), str(goal), "--workers", "1", "--skip-invalid", "--heavy"]) == 0
    said = capsys.readouterr().out
    assert "1 x radical: record 7 (ethyl)" in said and "5 molecules" in said
    found = open_prepared(goal)
    assert len(found) == 5 and (found.z > 1).all() and found.take([0]).hydrogens.sum() == 8
    assert about(goal)["notes"][:2] == ["drugs.csv", "rows of the list: 6"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["drugs.csv", "drugs.npz"]
    assert main(["convert", str(source), str(goal), "--skip-invalid"]) == 2
    assert "exists" in capsys.readouterr().err


@pytest.mark.slow
def test_a_pool_gives_the_same_molecules(tmp_path):
    (tmp_path / "a.smi").write_text("".join(f"{s} {n}\n" for n, s in DRUGS.items()))
    for workers in "12":
        code = main(["convert", str(tmp_path / "a.smi"), str(tmp_path / f"{workers}.npz"), "--workers", workers])
        assert code == 0
    assert (tmp_path / "1.npz").read_bytes() == (tmp_path / "2.npz").read_bytes()


@pytest.mark.parametrize("smiles", [*DRUGS.values(), "[2H]C([2H])O", "C[C@H](N)[C@@H]1CC1", "[NH4+]", "c1cc[nH]c1"])
def test_hydrogens_are_appended_as_rdkit_appends_them(smiles):
    mol = parse_smiles(smiles)
    assert whole_record(mol) == record_of(with_hydrogens(mol))


def test_aromatic_flags_are_those_of_the_smiles_not_of_the_force_field(tmp_path):
    # RDKit sees all of caffeine's rings as aromatic, MMFF94's own model only the five-ring.
    caffeine = embed(rows()[1:2], Limits(), tmp_path / "work").molecules
    graph = graphs_of(caffeine.smiles, caffeine.z, caffeine.offsets)
    assert np.array_equal(caffeine.aromatic, graph["aromatic"]) and caffeine.aromatic.sum() == 10
    assert np.array_equal(caffeine.bonds, graph["bonds"]) and np.array_equal(caffeine.order, graph["order"])
