"""The example receptors: readable, distinct, and recorded for their peptide in the data."""

import re
from pathlib import Path

from zsteer.domains.sequences import files
from zsteer.domains.sequences.data import load_tcr

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "receptors.tsv"


def test_receptors_are_readable_and_distinct():
    table = files.read(EXAMPLES)
    assert len(table) == 30
    assert len(set(table.sequences)) == len(set(table.columns["sequence_id"])) == 30
    assert all(re.fullmatch(r"[1-9][A-Z0-9]{3}", structure) for structure in table.columns["structure"])
    assert all(table.columns["reference"])


def test_receptors_are_recorded_for_their_peptide(data_folder):
    data = load_tcr(data_folder, subset="all")
    recorded = set(zip(data.cdr3.tolist(), data.peptide.tolist(), strict=True))
    table = files.read(EXAMPLES)
    assert set(zip(table.sequences, table.columns["peptide"], strict=True)) <= recorded
