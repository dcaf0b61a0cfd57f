"""Files of sequences: what is written is read back, and whatever stands in a file gives a table or one clear line."""

import gzip
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zsteer.core.batch import Batch
from zsteer.domains.sequences import files
from zsteer.domains.sequences.space import ALPHABET, PAD, SequenceSpace, canonical
from zsteer.errors import InputError, OutputError, SettingsError

ENDINGS = [ending + gz for ending in (".tsv", ".csv", ".fasta") for gz in ("", ".gz")]
letters = st.text(ALPHABET, min_size=5, max_size=30)
junctions = st.builds(
    lambda middle, last: f"C{middle}{last}", st.text(ALPHABET, min_size=6, max_size=28), st.sampled_from("FW")
)
cells = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=12)


@pytest.fixture
def put(tmp_path):
    """Write bytes or text to a named file, and give its path."""

    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@given(st.lists(letters, max_size=20))
def test_decoding_undoes_encoding(items):
    space = SequenceSpace()
    x = space.encode(items)
    assert space.decode(x) == items
    assert (x["tokens"] == PAD).eq(~x.mask).all()


@given(st.text(max_size=40))
def test_a_text_is_encoded_or_has_a_problem(text):
    space = SequenceSpace()
    problem = space.problem(text)
    assert (problem is None) == (5 <= len(text) <= 30 and set(text) <= set(ALPHABET))
    if problem is not None:
        with pytest.raises(InputError, match="sequence 1: "):
            space.encode([text])


def test_decode_names_a_token_that_is_no_residue():
    x = SequenceSpace().encode(["CASSF"])
    tokens = x["tokens"].clone()
    tokens[0, 2] = 21
    with pytest.raises(InputError, match="row 0, column 2"):
        SequenceSpace().decode(Batch({"tokens": tokens}, x.mask))
    with pytest.raises(SettingsError):
        SequenceSpace(9, 5)


@given(st.lists(letters, min_size=1, max_size=10))
def test_keys_are_equal_for_equal_sequences_alone(items):
    names = canonical(SequenceSpace().encode(items)["tokens"])
    assert len(set(names)) == len(set(items))


@given(st.sampled_from(ENDINGS), st.lists(junctions, min_size=1, max_size=8), st.data())
def test_what_is_written_is_read_back(ending, sequences, data):
    note = data.draw(st.lists(cells, min_size=len(sequences), max_size=len(sequences)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{ending}"
        files.write(path, sequences, {"note": note, "score": [0.5] * len(sequences)})
        table = files.read(path)
        assert list(table.sequences) == sequences
        assert SequenceSpace().decode(table.batch) == sequences
        if "fasta" not in ending:
            assert table.columns["note"] == note
            assert table.columns["score"] == ["0.5"] * len(sequences)
            files.write(Path(folder) / f"b{ending}", table.sequences, table.columns)
            again = files.read(Path(folder) / f"b{ending}")
            assert again.columns["note"] == note


@given(st.binary(max_size=200), st.sampled_from(ENDINGS), st.booleans())
def test_any_bytes_give_a_table_or_one_line_that_names_the_file(content, ending, skip):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"any{ending}"
        path.write_bytes(gzip.compress(content) if ending.endswith("gz") else content)
        table, complaint = None, ""
        try:
            table = files.read(path, skip_invalid=skip)
        except InputError as error:
            complaint = str(error)
        if table is None:
            assert path.name in complaint
            assert "\n" not in complaint
        else:
            assert len(table) == len(table.rows) == len(table.batch)


@given(st.lists(st.one_of(junctions, st.text("ACDxX-* ", max_size=10)), min_size=1, max_size=10))
def test_skipping_and_keeping_make_up_the_file(sequences):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "some.csv"
        path.write_text("id,cdr3b\n" + "".join(f"{i},{s}\n" for i, s in enumerate(sequences)))
        good = [s.strip() for s in sequences if s.strip().startswith("C") and s.strip()[-1:] in tuple("FW")]
        good = [s for s in good if SequenceSpace(min_length=8).problem(s) is None]
        if not good:
            with pytest.raises(InputError, match="no usable row"):
                files.read(path, skip_invalid=True)
            return
        table = files.read(path, skip_invalid=True)
        assert list(table.sequences) == good
        assert len(table) + len(table.skipped) == len(sequences)
        assert sorted([*table.rows, *(skipped.row for skipped in table.skipped)]) == list(range(2, len(sequences) + 2))


BAD = [
    ("a.csv", b"x,y\nCASSLGQF,1\n", "no column with sequences: expected one of junction_aa.*--column"),
    ("a.csv", b"cdr3b,cdr3B\nCASSLGQF,CASSLGQF\n", "stands there twice"),
    ("a.csv", b"cdr3b,y\nCASSLGQF,1\nCAssLGQF,1\n", "row 3: .*lower-case 's' at position 3"),
    ("a.csv", b"cdr3b,y\nCAS-F,1\n", "row 2: .*gap '-' at position 4"),
    ("a.csv", b"cdr3b,y\nCAS*F,1\n", "row 2: .*stop codon"),
    ("a.csv", b"cdr3b,y\nCAXSF,1\n", "row 2: .*not one of the 20 amino acids"),
    ("a.csv", b"cdr3b,y\nCA SF,1\n", "row 2: .*white space"),
    ("a.csv", b"cdr3b,y\nCA1SF,1\n", "row 2: .*not an amino acid"),
    ("a.csv", b"cdr3b,y\nCALGF,1\n", "row 2: .*too short: expected at least 8"),
    ("a.csv", b"cdr3b,y\n" + b"C" + b"A" * 30 + b"F,1\n", "row 2: .*too long: expected at most 30"),
    ("a.csv", b"cdr3b,y\n,1\n", "row 2: there is no CDR3 in the column cdr3b"),
    ("a.csv", b"cdr3b,y\nASSLGQYF,1\n", "row 2: 'ASSLGQYF' is no whole junction"),
    ("a.csv", b"cdr3b,y\nCASSLGQF\n", "row 2: expected 2 columns, got 1"),
    ("a.csv", b"cdr3b,y\nCASSLGQF,1,2\n", "row 2: expected 2 columns, got 3"),
    ("a.csv", b'cdr3b,y\n"CASSLGQF,1\n', "row 2: .*check the quotes"),
    ("a.csv", b"cdr3b,y\nCASSLGQF,1\nCAS\xe9F,1\n", "row 3: .*not an amino acid"),
    ("a.csv", b"cdr3b,y\nCASSLGQF,1\nCASSLGQF,\x90\n", "row 3: byte 0x90 is neither UTF-8 nor Latin-1"),
    ("a.csv", "cdr3b\nCASSLGQF\n".encode("utf-16")[:-1], "not the text that its mark promises"),
    ("a.csv", b"cdr3b\nCAS\0F\n", "row 2: a zero byte"),
    ("a.csv", b"cdr3b,y\n", "a header but no row"),
    ("a.csv", b"", "the file is empty"),
    ("a.csv", b"\n\n", "the file is empty"),
    ("a.csv", gzip.compress(b"cdr3b\nCASSLGQF\n"), r"add \.gz"),
    ("a.csv.gz", b"cdr3b\nCASSLGQF\n", "not a whole gzip file"),
    ("a.csv.gz", gzip.compress(b"cdr3b\nCASSLGQF\n" * 50)[:-9], "not a whole gzip file"),
    ("a.tsv", b"cdr3_aa\nCASSLGQAY\n", "row 2: .*both ends in cdr3_aa or none"),
    ("a.csv", b"cdr3b,y\nNone,1\n", "row 2: there is no CDR3 .*'None'"),
    ("a.csv", b"cdr3b,y\nCASSQSIA_VNNEKLFF,1\n", "row 2: .*frame shift"),
    ("a.csv", b"cdr3b,y\nCASSPS?QYF,1\n", "row 2: .*not one of the 20 amino acids"),
    ("a.csv", b"cdr3,y\nTGTGCCAGCAGC,1\n", "nucleotides; expected a column of amino acids"),
    ("a.csv", b"cdr3b,y\n" + b"GAGVSQNPRHKITKRGQNVTFRCDPISEHN" * 3 + b"CASSLGQF,1\n", "row 2: .*V domain"),
    ("a.fasta", b"CASSLGQF\n", "row 1: expected a line that starts with '>'"),
    ("a.fasta", b">x\n>y\nCASSLGQF\n", "row 1: the record 'x' has no sequence"),
    ("a.xlsx", b"", r"expected one of \.tsv"),
]


@pytest.mark.parametrize(("name", "content", "message"), BAD, ids=[f"{i}-{row[0]}" for i, row in enumerate(BAD)])
def test_bad_input_is_named_with_file_and_row(put, name, content, message):
    path = put(name, content)
    with pytest.raises(InputError, match=message) as caught:
        files.read(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(InputError, match="there is no such file"):
        files.read(tmp_path / "none.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="got a folder"):
        files.read(tmp_path / "folder.csv")


def test_a_byte_order_mark_and_windows_line_ends_are_read(put):
    table = files.read(put("a.csv", b"\xef\xbb\xbfcdr3b,y\r\nCASSLGQF,1\r\n\r\nCASTLGQF,2\r\n"))
    assert table.sequences == ["CASSLGQF", "CASTLGQF"]
    assert table.rows == [2, 4]
    assert table.notes == ()


def test_cdr3_aa_gets_its_anchors_and_a_note(put):
    table = files.read(put("a.tsv", "sequence_id\tcdr3_aa\nx\tASSLGQ\n"))
    assert table.sequences == ["CASSLGQF"]
    assert "C + cdr3_aa + F" in table.notes[0]


def test_junction_aa_goes_before_cdr3_aa_and_the_nucleotides(put):
    table = files.read(put("a.tsv", "sequence\tcdr3_aa\tjunction_aa\nTGTGCC\tASSLGQ\tCASSLGQF\n"))
    assert table.sequences == ["CASSLGQF"]
    assert table.notes == ()


def test_a_named_column_is_taken(put):
    path = put("a.csv", "cdr3b,mine\nCASSLGQF,CASTLGQF\n")
    assert files.read(path, column="mine").sequences == ["CASTLGQF"]
    with pytest.raises(InputError, match=r"'other'.*mine"):
        files.read(path, column="other")


def test_sequences_that_are_no_junctions_can_be_allowed(put):
    assert files.read(put("a.fa", ">p\nYLQPR\nTFLL\n"), anchored=False).sequences == ["YLQPRTFLL"]


def test_airr_output_has_every_required_column(tmp_path):
    files.write(tmp_path / "a.tsv", ["CASSF"], {"v_call": ["TRBV19*01"]})
    header = (tmp_path / "a.tsv").read_text().split("\n")[0].split("\t")
    required = "sequence_id sequence rev_comp productive v_call d_call j_call sequence_alignment germline_alignment"
    assert {*required.split(), "junction", "junction_aa", "v_cigar", "d_cigar", "j_cigar"} <= set(header)
    assert len(header) == len(set(header))


def test_nothing_is_overwritten_unasked_and_equal_content_gives_equal_files(tmp_path):
    path = tmp_path / "a.csv.gz"
    files.write(path, ["CASSF"])
    before = path.read_bytes()
    with pytest.raises(OutputError, match="--overwrite"):
        files.write(path, ["CASTF"])
    assert path.read_bytes() == before
    files.write(path, ["CASSF"], overwrite=True)
    assert path.read_bytes() == before


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="No space left on device"):
        files.write(tmp_path / "a.csv", ["CASSF"])
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="expected 1 values, got 2"):
        files.write(tmp_path / "a.csv", ["CASSF"], {"x": [1, 2]})
