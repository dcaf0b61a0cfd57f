"""Files of receptors as the verbs read them: what is left out is said aloud, wherever the file is given."""

import pytest

import zsteer
from zsteer.domains.sequences import files
from zsteer.errors import InputError, RefusedError
from zsteer.kits.protocols import protocol_of

BETA, OTHER, PEPTIDE = "CASSLGQAYEQYF", "CAVNFGGGKLIF", "YLQPRTFLL"


@pytest.fixture
def mixed(tmp_path):
    """A file of Cell Ranger: two beta chains and one alpha chain."""
    rows = [("TRB", BETA), ("TRA", OTHER), ("TRB", "CASSIRSSYEQYF")]
    path = tmp_path / "contigs.csv"
    path.write_text("barcode,chain,cdr3\n" + "".join(f"b{k},{chain},{cdr3}\n" for k, (chain, cdr3) in enumerate(rows)))
    return path


@pytest.fixture(scope="module")
def autoencoder():
    return zsteer.load("tcr-dwae", device="cpu")


def test_other_chains_are_named_for_templates_examples_and_evaluation(mixed, autoencoder):
    with pytest.warns(UserWarning, match="1 TRA"):
        starts = autoencoder.read(mixed)
    assert starts.items == [BETA, "CASSIRSSYEQYF"]
    goal = {"max_edits": 2, "seed": 1}
    with pytest.warns(UserWarning, match="1 TRA"):
        found = autoencoder.steer([BETA], toward={"like": str(mixed)}, **goal)
    plain = mixed.with_name("beta.csv")
    plain.write_text("cdr3\n" + "\n".join(starts.items) + "\n")
    # The alpha chain has no part in the examples.
    assert found.items == autoencoder.steer([BETA], toward={"like": str(plain)}, **goal).items
    with pytest.warns(UserWarning, match="1 TRA"):
        assert len(protocol_of("tcr")(None).read(mixed, skip_invalid=False)) == 2


def steered(model, path, toward, **options):
    found = model.steer(model.read(path), toward=toward, max_edits=2, **options)
    return found.columns, found.facts


@pytest.fixture
def put(tmp_path):
    """Write a table with a heading, and give its path."""

    def write(name, header, *rows):
        path = tmp_path / name
        path.write_text("\n".join(["\t".join(header), *("\t".join(row) for row in rows)]) + "\n")
        return path

    return write


def test_a_design_carries_no_nucleotides_of_its_template(put, autoencoder, tmp_path):
    names = ["sequence_id", "sequence", "productive", "v_call", "j_call", "junction", "junction_aa", "v_cigar", "locus"]
    names += ["sequence_alignment", "v_sequence_start", "v_score", "junction_length", "cdr3_nt", "nSeqCDR3", "count"]
    row = [
        "r1",
        "TGTG",
        "T",
        "TRBV19",
        "TRBJ2-7",
        "TGTGCC",
        BETA,
        "9M",
        "TRB",
        "TGTG",
        "1",
        "9.5",
        "39",
        "TGT",
        "TG",
        "7",
    ]
    columns, _ = steered(autoencoder, put("a.tsv", names, row), {"binds": PEPTIDE})
    own = {"sequence_id", "junction_aa", "v_call", "j_call", "locus", "count"}
    for name, value in zip(names, row, strict=True):
        if name not in own:
            assert columns[f"template_{name}"] == [value] and name not in columns
        elif name not in {"sequence_id", "junction_aa"}:
            assert columns[name] == [value]
    files.write(tmp_path / "designs.tsv", [BETA], columns)
    again = (tmp_path / "designs.tsv").read_text().splitlines()
    cells = dict(zip(again[0].split("\t"), again[1].split("\t"), strict=True))
    assert [cells[name] for name in ("sequence", "junction", "productive", "v_cigar")] == [""] * 4


def test_all_columns_of_a_user_are_kept_also_when_designs_are_steered_again(put, autoencoder, tmp_path):
    names = ["cdr3b", "peptide", "score", "valid", "edits", "template_valid", "judge_pass"]
    row = [BETA, "GILGFVFTL", "0.5", "yes", "none", "mine", "perhaps"]
    path = put("a.tsv", names, row)
    columns, _ = steered(autoencoder, path, {"binds": PEPTIDE})
    values = {value for texts in columns.values() for value in texts}
    assert set(row) <= values
    assert columns["valid"][0] in "TF" and columns["score"] == ["0.5"]
    files.write(tmp_path / "designs.tsv", ["CASSIRSSYEQYF"], columns)
    again, facts = steered(autoencoder, tmp_path / "designs.tsv", {"binds": PEPTIDE})
    assert set(row) <= {value for texts in again.values() for value in texts}
    assert len(again) == len(set(again)) and again["template_design_score"] != columns["design_score"]
    assert columns["design_score"][0] in again["template_template_design_score"] + again["template_design_score"]
    # The peptide of a design is a goal, not a finding.
    assert facts["templates_known_binders"] == 0


def test_ids_lead_back_to_one_template(put, autoencoder):
    rows = [["clone", BETA], ["clone", "CASSIRSSYEQYF"], ["", "CASSPVTGGIYGYTF"], ["clone.2", "CASRPGLAGGRPEQYF"]]
    columns, _ = steered(autoencoder, put("a.tsv", ["sequence_id", "cdr3b"], *rows), {"binds": PEPTIDE}, top=2)
    assert len(set(columns["sequence_id"])) == 8
    by_id = dict(zip(columns["template_id"], columns["template"], strict=True))
    assert len(by_id) == 4 and by_id["clone"] == BETA and by_id["clone.2"] == "CASRPGLAGGRPEQYF"


def test_examples_give_scores_and_the_nearest_one(put, autoencoder):
    path = put("like.tsv", ["cdr3b"], [BETA], ["CASSIRSSYEQYF"])
    columns, facts = steered(autoencoder, put("a.tsv", ["cdr3b"], ["CASSPVTGGIYGYTF"]), {"like": str(path)})
    assert {"plausibility", "plausible", "valid", "copied", "nearest_example", "example_edits", "edits"} <= set(columns)
    assert columns["nearest_example"][0] in {BETA, "CASSIRSSYEQYF"}
    assert facts["examples"] == 2 and 0 < int(columns["example_edits"][0]) < 15


def test_skipped_rows_and_a_named_column_hold_for_every_file(put, autoencoder):
    path = put("like.tsv", ["cdr3b", "mine"], ["CAVF", BETA], ["CAVF", "CASS*F"])
    options = {"skip_invalid": True, "column": "mine"}
    with pytest.warns(UserWarning, match="1 rows are left out"):
        found = autoencoder.steer([BETA], toward={"like": str(path)}, max_edits=1, **options)
    assert found.facts["examples"] == 1
    with pytest.warns(UserWarning, match="1 rows are left out"):
        assert autoencoder.read(path, **options).items == [BETA]
    with pytest.warns(UserWarning, match="1 rows are left out"):
        report = zsteer.evaluate(path, protocol="tcr", toward={"like": str(path)}, **options)
    assert "1 rows" in " ".join(report.summary)


def test_templates_that_pass_or_are_known_are_flagged(put, autoencoder):
    rows = [["CASSDANTGELFF", PEPTIDE], [BETA, "FLRGRAYGL"]]  # the first has the motif of its peptide
    columns, facts = steered(autoencoder, put("a.tsv", ["cdr3b", "peptide"], *rows), {"binds": PEPTIDE})
    assert columns["template_known"] == ["T", "F"]
    passes = columns["template_passes"]
    assert facts["templates_that_pass"] == passes.count("T") and facts["templates_known_binders"] == 1
    worse = [float(a) < float(b) for a, b in zip(columns["judge_score"], columns["template_judge_score"], strict=True)]
    assert [mark == "T" for mark in columns["below_template"]] == worse


def test_a_sample_is_refused_as_a_steer_is(autoencoder):
    model = autoencoder
    with pytest.raises(RefusedError, match="GILGFVFTL"):
        model.sample(2, given={"peptide": "GILGFVFTL"})
    assert len(model.sample(2, given={"peptide": "GILGFVFTL"}, force=True)) == 2


def test_an_unknown_peptide_is_told_what_is_known_and_the_way(autoencoder):
    with pytest.raises(InputError, match=r"SIINFEKX.*YLQPRTFLL.*like=FILE"):
        autoencoder.steer([BETA], toward={"binds": "SIINFEKX"})


def test_evaluation_of_a_peptide_without_a_judge_says_so():
    report = zsteer.evaluate(zsteer.sample("tcr-lm", 3), protocol="tcr", toward={"binds": "NLVPMVATV"})
    assert "no judge" in report.summary[0]
    assert not any("judge" in str(row[0]) for row in report.tables[0].rows)
