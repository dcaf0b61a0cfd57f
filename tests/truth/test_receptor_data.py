"""Receptor tables: roles never meet, negatives are no binders, and every draw is a function of seed and update."""

import csv
import gzip
import hashlib

import numpy as np
import pytest
import torch
from tests.receptors import MOTIFS, world

from zsteer.core.protocols import Source
from zsteer.core.rng import Streams
from zsteer.domains.sequences import data as tables
from zsteer.domains.sequences import epitopes
from zsteer.domains.sequences.space import SequenceSpace
from zsteer.errors import InputError

HEADER = "cdr3b peptide v j mhc mhc_class cdr3a va ja species sources study cluster bucket split".split()  # noqa: SIM905 - one line
PAIRS = [
    ("CASSLGQAYEQYF", "TTPESANL", "titan", "train"),
    ("CASSLGGAYEQYF", "STPESANL", "vdjdb_2026", "train"),
    ("CASSAAAAYEQYF", "CTPYDINQM", "ergo_mcpas|vdjdb_2026", "train"),
    ("CASSRRRRYEQYF", "YLQPRTFLL", "immrep23", "eval"),
    ("CASSAAAAYEQYF", "TTPESANL", "titan", "test"),
    ("CASSTTTTYEQYF", "CTPYDINQM", "titan", "train"),
]


def rows_as_file(path, header, rows):
    with gzip.open(path, "wt", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


@pytest.fixture
def folder(tmp_path):
    """A data folder of a few rows."""
    full = [[c, p, *[""] * 8, sources, "", "1", "2", split] for c, p, sources, split in PAIRS]
    rows_as_file(tmp_path / "tcr_pairs.csv.gz", HEADER, full)
    back = [[f"CASS{a}{b}GYEQYF", "", "", "", "1", "train"] for a in "ACDEFGHIKL" for b in "ACDEFGHIKL"]
    header = ["cdr3b", "v", "j", "study", "n_studies", "split"]
    rows_as_file(tmp_path / "tcr_background_300k.csv.gz", header, back)
    return tmp_path


def test_the_permissive_subset_leaves_out_rows_of_one_source(folder):
    everything = tables.load_tcr(folder, subset="all")
    permissive = tables.load_tcr(folder, subset="permissive")
    assert set(everything.cdr3) - set(permissive.cdr3) == {"CASSLGGAYEQYF"}
    assert len(everything.cdr3) == 6
    assert everything.digest != permissive.digest
    assert SequenceSpace().decode(_batch(permissive.tokens)) == permissive.cdr3.tolist()


def test_the_folder_is_found_by_name_parent_and_environment(folder, monkeypatch):
    nested = folder / "sets"
    (nested / "tcr").mkdir(parents=True)
    for path in folder.glob("*.gz"):
        (nested / "tcr" / path.name).write_bytes(path.read_bytes())
    assert tables.data_folder(nested) == nested / "tcr"
    monkeypatch.setenv("ZSTEER_DATA", str(folder))
    assert tables.data_folder() == folder
    monkeypatch.delenv("ZSTEER_DATA")
    with pytest.raises(InputError, match="ZSTEER_DATA"):
        tables.data_folder()
    with pytest.raises(InputError, match="neither has both"):
        tables.data_folder(folder / "none")


def test_damaged_data_are_named(folder):
    path = folder / "tcr_pairs.csv.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[:-12])
    with pytest.raises(InputError, match="tcr_pairs"):
        tables.load_tcr(folder)
    rows_as_file(path, HEADER[:-1], [])
    with pytest.raises(InputError, match="no column split"):
        tables.load_tcr(folder)


def test_background_parts_follow_the_hash(folder):
    data = tables.load_tcr(folder)
    for sequence, part in zip(data.background.tolist(), data.background_split.tolist(), strict=True):
        bucket = int(hashlib.sha1(sequence.encode(), usedforsecurity=False).hexdigest()[:8], 16) % 100
        assert part == ("design" if bucket < 50 else "judge" if bucket < 80 else "valid" if bucket < 90 else "test")
    parts = [set(data.unlabelled(part)) for part in ("design", "judge", "valid", "test")]
    assert sum(map(len, parts)) == len(set().union(*parts)) == len(data.background)
    assert set(data.unlabelled("train")) == parts[0] | parts[1]
    with pytest.raises(InputError, match="part"):
        data.background_rows("all")


def test_swaps_are_of_the_same_host_and_bind_no_relative(folder):
    data = tables.load_tcr(folder, subset="all")
    swapped = data.cdr3[data.swaps("STPESANL", tables.DESIGN)].tolist()
    # TTPESANL is a relative, YLQPRTFLL is human, and CASSAAAAYEQYF binds a relative in another split.
    assert swapped == ["CASSTTTTYEQYF"]


def test_an_unknown_peptide_is_answered_with_the_nearest(folder):
    data = tables.load_tcr(folder)
    with pytest.raises(InputError, match="did you mean 'YLQPRTFLL'"):
        data.rows("ylqprtfl", tables.DESIGN)
    with pytest.raises(InputError, match="no recorded receptor in train, valid"):
        tables.pools(data, ["YLQPRTFLL"])


def _batch(tokens):
    from zsteer.core.batch import Batch

    return Batch({"tokens": tokens.long()}, tokens < 20)


def test_training_batches_are_a_function_of_seed_and_update(seed):
    data = world()
    source = tables.pools(data, list(MOTIFS), size=64, negatives=3)
    assert isinstance(source, Source)
    first, again = (source.batch(7, Streams.of(seed, 1)) for _ in range(2))
    assert torch.equal(first["tokens"], again["tokens"])
    assert not torch.equal(first["tokens"], source.batch(8, Streams.of(seed, 1))["tokens"])
    assert first["label"].sum() == 16
    assert torch.equal(first.mask, first["tokens"] < 20)


def test_labels_tell_the_truth(seed):
    data = world()
    source = tables.pools(data, list(MOTIFS), size=400, negatives=2)
    x = source.batch(0, Streams.of(seed, 1))
    space, background = SequenceSpace(), set(data.unlabelled("design"))
    kinds = {"pair": 0, "swap": 0, "background": 0}
    for cdr3, p, label in zip(space.decode(x), x["peptide"].tolist(), x["label"].tolist(), strict=True):
        own = cdr3 in set(data.binders(source.peptides[p], tables.DESIGN))
        assert own == (label == 1)
        kinds["pair" if own else "background" if cdr3 in background else "swap"] += 1
    # Of three rows one is a pair; negatives are swapped and background by turns.
    assert kinds["pair"] == 134
    assert abs(kinds["swap"] - kinds["background"]) <= 2


def test_labelled_takes_every_pair_once(seed):
    data = world()
    source = tables.pools(data, list(MOTIFS))
    x = tables.labelled(source, "YLQPRTFLL", Streams.of(seed, 1), negatives=2)
    pairs = SequenceSpace().decode(x.take(x["label"] == 1))
    assert sorted(pairs) == sorted(data.binders("YLQPRTFLL", tables.DESIGN))
    assert len(x) == 3 * len(pairs)
    alone = tables.labelled(source, "YLQPRTFLL", Streams.of(seed, 1), swapped=False)
    others = SequenceSpace().decode(alone.take(alone["label"] == 0))
    assert set(others) <= set(data.unlabelled("design"))
    with pytest.raises(InputError):
        tables.labelled(source, "YLQPRTFLM", Streams.of(seed, 1))


def test_unlabelled_batches_come_from_their_part():
    data = world()
    source = tables.unlabelled(data, "valid", size=32)
    x = source.batch(3, Streams.of(0, 1))
    assert set(SequenceSpace().decode(x)) <= set(data.unlabelled("valid"))
    assert torch.equal(x["tokens"], source.batch(3, Streams.of(0, 1))["tokens"])


def test_peptides_are_related_by_letters():
    assert epitopes.related("FRDYVDRFYKTLRAEQASQE", "RFYKTLRAEQASQ")
    assert epitopes.related("TTPESANL", "STPESANL")
    assert epitopes.related("ELAGIGILTV", "EAAGIGILTV")
    assert not epitopes.related("GILGFVFTL", "YLQPRTFLL")
    assert not epitopes.related("SSYRRPVGI", "SSLENFRAYV")
    assert epitopes.relatives("TTPESANL", ["STPESANL", "GILGFVFTL"]) == {"TTPESANL", "STPESANL"}


def test_facts_cover_the_panels():
    named = {name for panel in epitopes.PANELS.values() for name in panel}
    assert named == set(epitopes.EPITOPES)
    assert {epitopes.host(name) for name in epitopes.CORE + epitopes.HARD} == {"human"}
    assert [epitopes.epitope(name).host for name in epitopes.PAPER] == ["macaque", "macaque", "mouse", "mouse"]
    assert epitopes.epitope("SIINFEKL", known=["SIINFEKL"]).mhc_class is None
    with pytest.raises(InputError, match="did you mean 'GILGFVFTL'"):
        epitopes.epitope("GILGFVFT")


def test_the_real_tables_keep_roles_apart(data_folder):
    data = tables.load_tcr(data_folder, subset="permissive")
    assert len(data.cdr3) == 39331
    roles = (tables.DESIGN, tables.JUDGE, tables.CALIBRATION)
    groups = [set(data.cdr3[np.isin(data.split, role)].tolist()) for role in roles]
    assert sum(map(len, groups)) == len(set().union(*groups))
    assert not set(data.background.tolist()) & set(data.cdr3.tolist())
    for peptide in ("YLQPRTFLL", "TTPESANL"):
        own = set(data.binders(peptide, ("train", "valid", "eval", "test")))
        assert not own & set(data.cdr3[data.swaps(peptide, tables.DESIGN)].tolist())
