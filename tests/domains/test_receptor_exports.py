"""Files as the usual programs write them: the right column is read, rows that are none are named or counted."""

import codecs
import gzip

import pytest

from zsteer.domains.sequences import files, rows
from zsteer.errors import InputError, SettingsError

A, B = "CASSLGQAYEQYF", "CASSIRSSYEQYF"
CUT_A, CUT_B = A[1:-1], B[1:-1]
NT = "TGTGCCAGCAGCTTAGGGCAGGCCTACGAGCAGTACTTC"

# name -> (file name, text); each holds A and B, in this order, and nothing else that is usable.
EXPORTS = {
    "AIRR": ("a.tsv", f"sequence_id\tsequence\tjunction\tjunction_aa\nr1\t{NT}\t{NT}\t{A}\nr2\t{NT}\t{NT}\t{B}\n"),
    "AIRR without junctions": (
        "a.tsv",
        f"sequence\tcdr3\tcdr3_aa\tjunction_aa\n{NT}\t{NT}\t{CUT_A}\t\n{NT}\t{NT}\t{CUT_B}\t\n",
    ),
    "10x contigs": ("a.csv", f"barcode,chain,cdr3,cdr3_nt\nx,TRB,{A},{NT}\nx,TRB,{B},{NT}\n"),
    "10x clonotypes": ("a.csv", f"clonotype_id,cdr3s_aa\n1,TRA:CAVF;TRB:{A}\n2,TRB:{B}\n3,TRA:CAVNF\n"),
    "MiXCR": ("a.tsv", f"cloneId\tnSeqCDR3\taaSeqCDR3\n0\t{NT}\t{A}\n1\t{NT}\t{B}\n"),
    "immunoSEQ v1": ("a.tsv", f"nucleotide\taminoAcid\tsequenceStatus\n{NT}\t{A}\tIn\n{NT}\t\tOut\n{NT}\t{B}\tIn\n"),
    "immunoSEQ v3": (
        "a.tsv",
        f"rearrangement\tamino_acid\tframe_type\n{NT}\t{A}\tIn\n{NT}\tC*F\tStop\n{NT}\t{B}\tIn\n",
    ),
    "IMGT": (
        "a.txt",
        f"Functionality\tJUNCTION\tAA JUNCTION\nproductive\t{NT}\t{A}\nunproductive (stop)\t{NT}\t{A}\nok\t{NT}\t{B}\n",
    ),
    "IMGT, amino acids": ("a.txt", f"CDR3-IMGT\tJUNCTION\n{CUT_A}\t{A}\n{CUT_B}\t{B}\n"),
    "VDJtools": ("a.txt", f"#count\tfreq\tcdr3nt\tcdr3aa\tv\n1\t0.5\t{NT}\t{A}\tTRBV7\n1\t0.5\t{NT}\t{B}\tTRBV7\n"),
    "TRUST4": ("a.tsv", f"#count\tfrequency\tCDR3nt\tCDR3aa\tV\n2\t0.1\t{NT}\t{A}\tTRBV7\n2\t0.1\t{NT}\t{B}\t*\n"),
    "VDJdb": ("a.tsv", f"Gene\tCDR3\tV\nTRB\t{A}\tTRBV7\nTRA\tCAVF\tTRAV1\nTRB\t{B}\tTRBV7\n"),
    "McPAS": ("a.csv", f"CDR3.alpha.aa,CDR3.beta.aa,Epitope.peptide\nCAVNF,{A},LLW\nNA,{B},LLW\n"),
    "IEDB, two headings": (
        "a.csv",
        f"Receptor,Chain 1,Chain 2,Chain 2\nID,CDR3 Curated,CDR3 Curated,CDR3 Calculated\n1,AV,{A},\n2,AV,,{CUT_B}\n",
    ),
    "IEDB, flat": ("a.csv", f"Chain 1 - CDR3 Calculated,Chain 2 - CDR3 Calculated\nAVN,{CUT_A}\nAVN,{CUT_B}\n"),
    "tcrdist3": ("a.csv", f"cdr3_a_aa,v_a_gene,cdr3_b_aa,v_b_gene\nCAVF,TRAV1,{A},TRBV7\nCAVF,TRAV1,{B},TRBV7\n"),
    "scirpy": ("a.csv", f"cell_id,IR_VJ_1_junction_aa,IR_VDJ_1_junction_aa\nx,CAVF,{A}\ny,CAVF,{B}\n"),
    "NetTCR": ("a.csv", f"A3,B3,peptide\nAVN,{CUT_A},GIL\nAVN,{CUT_B},GIL\n"),
    "ERGO-II": ("a.csv", f"TRA,TRB,TRAV,TRBV\nCAVF,{A},TRAV1,TRBV7\nCAVF,{B},TRAV1,TRBV7\n"),
    "semicolons": ("a.csv", f"id;cdr3b;share\nx;{A};0,5\ny;{B};0,5\n"),
    "commas under .tsv": ("a.tsv", f"id,cdr3b\nx,{A}\ny,{B}\n"),
    "tabs under .csv": ("a.csv", f"id\tcdr3b\nx\t{A}\ny\t{B}\n"),
    "not productive": ("a.tsv", f"junction_aa\tproductive\n{A}\tT\nCASSQDRGNTEAFF\tF\n{B}\t\n"),
    "unnamed column": ("a.csv", f",cdr3b\n0,{A}\n1,{B}\n"),
}


@pytest.mark.parametrize("name", EXPORTS)
def test_the_exports_of_the_usual_programs_are_read(tmp_path, name):
    file, text = EXPORTS[name]
    path = tmp_path / file
    path.write_text(text)
    found = files.read(path)
    assert found.sequences == [A, B]
    # What was left out is counted.
    headings = 2 if "two headings" in name else 1
    assert (text.count("\n") - headings > 2) == any("left out" in note for note in found.notes)
    assert rows.check(path).count == 2


ENCODINGS = {
    "UTF-8": lambda text: text.encode(),
    "UTF-8 with a mark": lambda text: codecs.BOM_UTF8 + text.encode(),
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-16, big end first": lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    "Latin-1": lambda text: text.encode("latin-1"),
    "Windows": lambda text: text.replace("\n", "\r\n").encode(),
    "old Macintosh": lambda text: text.replace("\n", "\r").encode(),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ENCODINGS)
def test_encodings_and_line_ends_are_read(tmp_path, name, packed):
    content = ENCODINGS[name](f"donor,cdr3b\nJosé,{A}\nx,{B}\n")
    path = tmp_path / ("a.csv.gz" if packed else "a.csv")
    path.write_bytes(gzip.compress(content) if packed else content)
    found = files.read(path)
    assert (found.sequences, found.columns["donor"], found.rows) == ([A, B], ["José", "x"], [2, 3])


@pytest.mark.parametrize("mark", ["None", "NA", "nan", "out_of_frame", "?", "", "_", "N/A", ".", "null"])
def test_marks_of_a_missing_value_are_called_that(tmp_path, mark):
    path = tmp_path / "a.csv"
    path.write_text(f"cdr3b,x\n{A},1\n{mark},2\n{B},3\n")
    with pytest.raises(InputError, match="row 3: there is no CDR3"):
        files.read(path)
    found = files.read(path, skip_invalid=True)
    assert (found.sequences, [entry.row for entry in found.skipped]) == ([A, B], [3])


def test_a_column_without_the_ends_is_judged_row_by_row(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(f"cdr3_aa\n{A}\n{CUT_B}\nASSLNTEAF\n")
    found = files.read(path)
    assert found.sequences == [A, B, "CASSLNTEAFF"]
    assert "2 rows" in found.notes[0] and "1 rows that have both ends" in found.notes[0]


def test_two_beta_chains_in_a_cell_are_named(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(f"cdr3s_aa,x\nTRB:{A};TRB:{B},1\nTRB:{B},2\n")
    with pytest.raises(InputError, match="row 2: 2 beta chains"):
        files.read(path)
    assert files.read(path, skip_invalid=True).sequences == [B]


def test_a_column_can_be_named_but_not_in_fasta(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(f"cdr3b,My CDR3\nCAVNF,{A}\n")
    assert files.read(path, column="my_cdr3").sequences == [A]
    fasta = tmp_path / "a.fasta"
    fasta.write_text(f">x\n{A}\n")
    with pytest.raises(SettingsError, match="--column"):
        files.read(fasta, column="x")


@pytest.mark.parametrize("name", ["TRA", "cdr3_a_aa", "CDR3.alpha.aa", "cdr3a", "Chain 1 - CDR3 Calculated", "A3"])
def test_a_column_of_the_alpha_chain_is_refused(tmp_path, name):
    path = tmp_path / "a.csv"
    path.write_text(f"{name},cdr3b\nCAVNFGGGKLIF,{A}\n")
    assert files.read(path).sequences == [A]
    with pytest.raises(InputError, match="alpha"):
        files.read(path, column=name)


def test_a_file_is_read_in_blocks_as_it_is_read_whole(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("id,cdr3b\n" + "".join(f"{k},{A if k % 5 else 'C*F'}\n" for k in range(47)))
    whole = files.read(path, skip_invalid=True)
    parts = list(files.blocks(path, 10, skip_invalid=True))
    assert [len(part) for part in parts] == [10, 10, 10, 7]
    assert [k for part in parts for k in part.columns["id"]] == whole.columns["id"]
    assert [k for part in parts for k in part.rows] == whole.rows
    assert (parts[-1].skipped, parts[0].skipped) == (whole.skipped, ())


def test_a_pipe_is_refused(tmp_path):
    import os

    os.mkfifo(tmp_path / "a.csv")
    with pytest.raises(InputError, match="pipe"):
        files.read(tmp_path / "a.csv")
