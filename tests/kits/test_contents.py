"""What a file holds: the domain that recognises it, the report of each, and the protocol that is taken for it."""

import json

import numpy as np
import pytest
from PIL import Image

from zsteer.cli.main import main
from zsteer.errors import InputError, SettingsError
from zsteer.kits.contents import content_of, report_of
from zsteer.kits.protocols import default_protocol

TEXTS = {
    "m.smi": ("molecules", "CCO ethanol\n"),
    "list.csv": ("molecules", "Drug;id\nCCO;a\nCCN;b\n"),
    "w.xyz": ("molecules", "3\nwater\nO 0 0 0.12\nH 0 0.76 -0.47\nH 0 -0.76 -0.47\n"),
    "r.csv": ("sequences", "id,cdr3_b_aa\na,CASSLGQAYEQYF\nb,CASSPVTGGIYGYTF\n"),
    "r.fasta": ("sequences", ">a\nCASSLGQAYEQYF\n"),
    "tcr.csv": ("sequences", "tcr,note\nCASSLGQAYEQYF,x\nCASSPVTGGIYGYTF,y\n"),
    "u.data": ("ratings", "u1\ti1\t5\t881250949\nu1\ti2\t3\t881250949\nu2\ti1\t4\t881250949\n"),
    "s.csv": ("ratings", "userId,movieId,rating\n1,10,5\n1,20,3\n2,10,4\n"),
    "mv.txt": ("ratings", "10:\n1,5,2005-09-06\n2,3,2005-09-06\n"),
    "t.csv": ("tables", "x,colour\n" + "1.5,red\n2.5,blue\n" * 10),
    "sequence.csv": ("tables", "sequence,x\n" + "ACGTACGTACGTAC,1.5\nACGTACGTTTGTAC,2.5\n" * 10),
}
"""File -> its domain and content."""


@pytest.fixture
def files(tmp_path):
    for name, (_, text) in TEXTS.items():
        (tmp_path / name).write_text(text)
    np.savez(tmp_path / "i.npz", x=np.arange(20 * 16, dtype=np.uint8).reshape(20, 4, 4))
    np.save(tmp_path / "x.npy", np.arange(40.0).reshape(20, 2) ** 1.1)
    for name in ("cat", "dog"):
        (tmp_path / "pics" / name).mkdir(parents=True)
        Image.fromarray(np.full((4, 6), 90, np.uint8)).save(tmp_path / "pics" / name / "1.png")
    (tmp_path / "pics" / "empty").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        *((name, domain) for name, (domain, _) in TEXTS.items()),
        ("i.npz", "images"),
        ("x.npy", "tables"),
        ("pics", "images"),
    ],
)
def test_a_file_is_recognised_by_its_domain_alone_and_reported(files, name, domain):
    content, found = report_of(files / name, skip_invalid=True)
    assert content.domain == domain
    assert found.lines
    assert sorted(path.name for path in files.iterdir()) == sorted([*TEXTS, "i.npz", "x.npy", "pics"])


def test_what_is_unclear_is_refused_with_what_it_can_be(files):
    (files / "both.csv").write_text("smiles,cdr3\nCCO,CASSLGQAYEQYF\n")
    with pytest.raises(InputError, match=r"molecules.*sequences"):
        content_of(files / "both.csv")
    assert content_of(files / "both.csv", "cdr3").domain == "sequences"
    (files / "page.html").write_text("<p>")
    for name in ("page.html", "nowhere.csv"):
        with pytest.raises(InputError, match=name):
            content_of(files / name)
    with pytest.raises(SettingsError, match="heavy"):
        report_of(files / "t.csv", heavy=True)
    with pytest.raises(SettingsError, match="tables"):
        report_of(files / "t.csv", "table")


def test_a_report_of_the_command_line_counts_what_is_left_out(files, capsys):
    (files / "gaps.csv").write_text("x,y\n" + "1.5,2\n3.5,4\n" * 12 + ",5\n")
    assert main(["convert", str(files / "gaps.csv"), "--report"]) == 2
    assert "line 26" in capsys.readouterr().err
    assert main(["convert", str(files / "gaps.csv"), "--report", "--skip-invalid", "--json"]) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert found["domain"] == "tables" and "24 rows" in found["found"][0]
    assert "line 26" in found["notes"][-1] and "line 26" in printed.err


@pytest.mark.parametrize(
    ("name", "given", "protocol"),
    [
        ("t.csv", (), "properties"),
        ("t.csv", ("reference",), "two-sample"),
        ("t.csv", ("models",), "likelihood"),
        ("t.csv", ("property", "reference"), "properties"),
        ("i.npz", ("reference",), "two-sample"),
        ("r.csv", ("toward",), "tcr"),
        ("r.csv", (), "properties"),
        ("m.smi", ("reference",), "validity"),
        ("s.csv", ("models",), "ratings"),
    ],
)
def test_a_protocol_is_taken_by_what_a_file_holds_and_said(files, name, given, protocol):
    found, why = default_protocol(files / name, given)
    assert found == protocol
    assert name in why and f"--protocol {protocol}" in why


def test_a_protocol_that_is_unclear_is_asked_for(files, capsys):
    with pytest.raises(SettingsError, match="two-sample or likelihood"):
        default_protocol(files / "t.csv", ("reference", "models"))
    assert main(["evaluate", str(files / "list.csv"), "--column", "Drug"]) == 0
    printed = capsys.readouterr()
    assert "Valid: 100.0 %" in printed.out and "--protocol validity" in printed.err
    assert main(["evaluate", str(files / "list.csv"), "--column", "Drugs"]) == 2
