"""Beta chains alone: whatever column an export has for the chain, rows of other chains are left out and counted."""

import gzip

import pytest

from zsteer.domains.sequences import chains, data, files
from zsteer.errors import InputError

BETA, OTHER = "CASSLGQAYEQYF", "CAVNFGGGKLIF"


def table(path, columns, *rows):
    """Two rows of each kind by turns, under a heading."""
    lines = [",".join(["cdr3", *columns]), *(",".join(row) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


# Heading and the cells of a beta row and of another one, and what the other chain is called.
CASES = {
    "10x contigs": (("chain", "v_gene", "productive"), ("TRB", "TRBV7-9", "True"), ("TRA", "TRAV1", "True"), "TRA"),
    "10x, several chains": (("chain", "v_gene"), ("TRB", "TRBV7-9"), ("Multi", "None"), "Multi"),
    "10x, no chain, gene tells": (("chain", "v_gene"), ("None", "TRBV7-9"), ("None", "TRAV1"), "TRA"),
    "AIRR": (("locus",), ("TRB",), ("TRG",), "TRG"),
    "AIRR genes": (("v_call", "j_call"), ("TRBV7-9*01", "TRBJ2-7*01"), ("TRAV29/DV5*01", "TRAJ23*01"), "TRA"),
    "AIRR, V unknown": (("v_call", "j_call"), ("", "TRBJ2-7*01"), ("", "TRDJ1*01"), "TRD"),
    "VDJdb": (("Gene", "V"), ("TRB", "TRBV7-9*01"), ("TRA", "TRAV1*01"), "TRA"),
    "MiXCR": (("allVHitsWithScore",), ("TRBV7-9*00(500)",), ("IGHV1-2*00(500)",), "IGH"),
    "VDJtools": (("v", "j"), ("TRBV7-9", "TRBJ2-7"), ("TRGV9", "TRGJP"), "TRG"),
    "immunoSEQ": (("vGeneName",), ("TCRBV07-09",), ("TCRAV12-01",), "TRA"),
    "IMGT": (("V-GENE and allele",), ("Homsap TRBV7-9*01 F",), ("Homsap TRAV1-2*01 F",), "TRA"),
    "words": (("Chain",), ("beta",), ("alpha",), "TRA"),
    "constant gene alone": (("c_gene",), ("TRBC2",), ("TRAC",), "TRA"),
}


@pytest.mark.parametrize("case", CASES)
def test_rows_of_other_chains_are_left_out_and_counted(tmp_path, case):
    columns, beta, other, name = CASES[case]
    path = table(tmp_path / "a.csv", columns, (BETA, *beta), (OTHER, *other), (BETA, *beta))
    found = files.read(path)
    assert (found.sequences, found.rows) == ([BETA, BETA], [2, 4])
    assert len(found.notes) == 1 and f"1 {name}" in found.notes[0] and "1 of 3" in found.notes[0]
    # A file with no beta chain at all is refused, also under skip_invalid.
    path = table(tmp_path / "b.csv", columns, (OTHER, *other), (OTHER, *other))
    with pytest.raises(InputError, match=f"2 {name}"):
        files.read(path, skip_invalid=True)


def test_what_says_nothing_of_a_chain_is_beta(tmp_path):
    found = files.read(table(tmp_path / "a.csv", ("v", "peptide"), (BETA, "unresolved", "TRAP"), (BETA, "", "")))
    assert (found.sequences, found.notes) == ([BETA, BETA], ())


def test_fasta_titles_name_their_genes(tmp_path):
    path = tmp_path / "a.fasta"
    path.write_text(f">one TRBV7-9 TRBJ2-7\n{BETA}\n>two TRAV1-2\n{OTHER}\n>three\n{BETA}\n")
    found = files.read(path)
    assert found.columns["sequence_id"] == ["one", "three"]
    assert "1 TRA" in found.notes[0]


@pytest.mark.parametrize("word", ["TRAF6", "TRADD", "CD8A", "TRAP", "", "None", "NA"])
def test_other_genes_are_no_chain(word):
    assert chains.Chains(["v_call"]).of([word]) == ""


def test_training_tables_leave_them_out_too(tmp_path):
    def write(name, text):
        with gzip.open(tmp_path / name, "wt") as file:
            file.write(text)

    rows = f"{BETA},YLQPRTFLL,titan,train,TRB\n{OTHER},YLQPRTFLL,titan,train,TRA\n"
    write("tcr_pairs.csv.gz", "cdr3b,peptide,sources,split,locus\n" + rows)
    write("tcr_background_300k.csv.gz", f"cdr3b,v\n{BETA},TRBV19\n{OTHER},TRAV1-2\n{OTHER},TRAV1-2\n")
    found = data.load_tcr(tmp_path)
    assert found.cdr3.tolist() == found.background.tolist() == [BETA]
    assert ["1 TRA" in found.notes[0], "2 TRA" in found.notes[1]] == [True, True]
    write("tcr_background_300k.csv.gz", f"cdr3b,v\n{OTHER},TRAV1-2\n")
    with pytest.raises(InputError, match="1 TRA"):
        data.load_tcr(tmp_path)
