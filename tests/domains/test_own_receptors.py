"""Receptors of one's own to learn from: clusters are never cut, what is left out is counted, nothing crashes."""

import pytest
from tests.receptors import world

from zsteer.core.rng import Streams
from zsteer.domains.sequences import data as tables
from zsteer.domains.sequences import own
from zsteer.domains.sequences.metrics import distances
from zsteer.domains.sequences.space import ALPHABET, SequenceSpace
from zsteer.errors import InputError

PEPTIDE, OTHER = "KLMNPQRSV", "YLQPRTFLL"
BACK = ["CASSLGQAYEQYF", "CASSPVTGGIYGYTF"]


def receptors(n, seed=0):
    """Receptors in families of single edits, so that clusters have something to join."""
    letters = Streams.of(seed, n).integers("letters", 20, (5,)).tolist()
    made = []
    for k, row in enumerate(letters):
        core = "".join(ALPHABET[i] for i in (row if k % 3 else letters[k - 1 if k else 0]))
        core = core if k % 3 else core[:2] + ALPHABET[k % 20] + core[2:]
        made.append(f"CASS{core}YEQYF")
    return list(dict.fromkeys(made))


def write(path, rows, header="cdr3b,peptide"):
    path.write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n")
    return path


def test_clusters_are_those_of_single_edits():
    items = receptors(60)
    near = distances(*[SequenceSpace().encode(items)["tokens"]] * 2) <= 1
    # The closure of "one edit apart", by repeated squares.
    for _ in range(7):
        near = (near.double() @ near.double()) > 0
    found = own.clusters(items)
    for a in range(len(items)):
        for b in range(len(items)):
            assert (found[a] == found[b]) == bool(near[a, b]), (items[a], items[b])
    assert len(set(found)) < len(items)
    assert all(name == min(k for k, of in zip(items, found, strict=True) if of == name) for name in found)


def test_a_table_is_split_by_cluster_and_always_alike(tmp_path):
    items = receptors(300)
    path = write(tmp_path / "own.csv", [(text, PEPTIDE if k % 2 else OTHER) for k, text in enumerate(items)])
    found = own.load_own(path, BACK)
    assert found.cdr3.tolist() == items and set(found.split) == {"train", "valid", "eval", "test"}
    of_cluster = dict(zip(own.clusters(items), found.split.tolist(), strict=True))
    assert [of_cluster[name] for name in own.clusters(items)] == found.split.tolist()
    shares = [sum(found.split == name) / len(items) for name in ("train", "valid", "eval", "test")]
    assert all(abs(a - b) < 0.1 for a, b in zip(shares, (0.6, 0.05, 0.2, 0.15), strict=True))
    assert found.own == {PEPTIDE, OTHER} and found.notes == ()
    # The order of the rows does not matter.
    path = write(tmp_path / "b.csv", [(text, PEPTIDE) for text in reversed(items)])
    again = own.load_own(path, BACK)
    assert dict(zip(again.cdr3, again.split, strict=True)) == dict(zip(found.cdr3, found.split, strict=True))


def test_what_a_table_leaves_out_is_counted(tmp_path):
    rows = [(text, PEPTIDE, "1") for text in receptors(30)]
    rows += [rows[0], ("CASSLAAAAYEQYF", PEPTIDE, "0")]
    path = write(tmp_path / "own.csv", rows, "cdr3b,Epitope,label")
    found = own.load_own(path, [rows[0][0], *BACK])
    assert len(found.cdr3) == len(rows) - 2
    assert "label 0" in found.notes[0] and "twice" in found.notes[1]
    assert rows[0][0] not in found.background.tolist()  # a binder is no background


BAD = {
    "no peptide column": ("cdr3b,x", [("CASSLGQAYEQYF", "1")], "no column with peptides"),
    "no peptide": ("cdr3b,peptide", [("CASSLGQAYEQYF", "NA")], "row 2: there is no peptide"),
    "a modified peptide": ("cdr3b,peptide", [("CASSLGQAYEQYF", "KLM+OX")], "row 2: .*no peptide"),
    "a strange label": ("cdr3b,peptide,label", [("CASSLGQAYEQYF", PEPTIDE, "0.37")], "row 2: .*no label"),
    "no binder": ("cdr3b,peptide,label", [("CASSLGQAYEQYF", PEPTIDE, "0")], "no row is a binder"),
    "a bad receptor": ("cdr3b,peptide", [("CASS*F", PEPTIDE)], "row 2: .*stop codon"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_table_is_named_by_row(tmp_path, case):
    header, rows, message = BAD[case]
    with pytest.raises(InputError, match=message):
        own.load_own(write(tmp_path / "own.csv", rows, header), BACK)


def test_bad_rows_can_be_left_out_and_are_told(tmp_path):
    rows = [("CASSLGQAYEQYF", PEPTIDE), ("CASS*F", PEPTIDE), ("CASSLGQAYEQYF", "?")]
    found = own.load_own(write(tmp_path / "own.csv", rows), BACK, skip_invalid=True)
    assert len(found.cdr3) == 1 and "row 3" in found.notes[0] and "row 4" in found.notes[0]


def test_a_peptide_alone_has_background_for_negatives():
    from dataclasses import replace

    data = world()
    keep = data.peptide == OTHER
    alone = replace(
        data, cdr3=data.cdr3[keep], peptide=data.peptide[keep], split=data.split[keep], tokens=data.tokens[keep]
    )
    x = tables.labelled(tables.pools(alone, [OTHER]), OTHER, Streams.of(0, 1), negatives=2)
    texts = SequenceSpace().decode(x)
    others = [text for text, label in zip(texts, x["label"].tolist(), strict=True) if not label]
    assert others and set(others) <= set(alone.unlabelled("design"))
