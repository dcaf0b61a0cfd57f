"""What a file holds, known by its first bytes: for the message where the ending says something else.

Nothing is read by this guess but lists in ``.txt``; it names the format, and the way to one that is read.
"""

import gzip
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

from zsteer.domains.molecules.chemistry import parse_smiles

__all__ = ["Format", "check_format", "format_of"]

_HEAD = 8192


@dataclass(frozen=True)
class Format:
    """A format of files.

    Args:
        name: with its article.
        endings: that fit; empty where none is read.
        way: what to do with such a file.
    """

    name: str
    endings: tuple[str, ...]
    way: str


_SD = Format("an SD file", (".sdf", ".sd", ".mol"), "call it .sdf")
_XYZ = Format("an XYZ file", (".xyz", ".extxyz"), "call it .xyz")
_LIST = Format("a list of SMILES", (".smi", ".smiles", ".txt", ".csv", ".tsv"), "call it .smi")
_TABLE = Format("a table", (".csv", ".tsv", ".txt", ".smi", ".smiles"), "call it .csv")
_PDB = Format(
    "a PDB file",
    (".pdb", ".ent"),
    "it has no bond orders; write the ligand as .sdf with the program that made it, or: obabel IN.pdb -O OUT.sdf "
    "(pockets are read from folders of x.sdf beside x_pocket10.pdb)",
)
_MOL2 = Format(
    "a MOL2 file", (".mol2",), "write it as .sdf with the program that made it, or: obabel IN.mol2 -O OUT.sdf"
)
_CIF = Format("a CIF file", (".cif", ".mmcif"), "write the ligand as .sdf, or: obabel IN.cif -O OUT.sdf")
_ZIP = Format("a ZIP archive", (".npz", ".zip"), "unpack it (unzip), and give the file that is inside")
_GZIP = Format("gzip data", (".gz", ".tgz"), "give it the ending .gz, or unpack it (gunzip)")


def format_of(head: bytes) -> Format | None:
    """The format that the first bytes of a file show, or None."""
    if head.startswith(b"PK\x03\x04"):
        return _ZIP
    if head.startswith(b"\x1f\x8b"):
        return _GZIP
    text = head.decode("latin-1").replace("\r\n", "\n").replace("\r", "\n").removeprefix("\xef\xbb\xbf")
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines or "\0" in text:
        return None
    if re.search(r"^@<TRIPOS>", text, re.MULTILINE):
        return _MOL2
    if re.search(r"V2000\s*$|V3000\s*$|^M  END", text, re.MULTILINE):
        return _SD
    if any(line.startswith(("ATOM  ", "HETATM", "HEADER    ", "CRYST1")) for line in lines[:200]):
        return _PDB
    if lines[0].startswith("data_") and "_" in text:
        return _CIF
    if lines[0].strip().isdigit():
        return _XYZ
    first = re.split(r"[\s,;]", lines[-1 if len(lines) == 1 else 1].strip().strip('"'))[0]
    if not isinstance(parse_smiles(first), str):
        return _LIST
    return _TABLE if any(sign in lines[0] for sign in ",;\t") else None


def check_format(path: Path, ending: str) -> Format | None:
    """The format of a file; None where it cannot be opened (its reader says why) or is not known.

    Args:
        path: the file.
        ending: without ``.gz``; the head of such a file is unpacked.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
        if path.name.lower().endswith(".gz") and ending != ".gz" and head.startswith(b"\x1f\x8b"):
            head = zlib.decompressobj(wbits=31).decompress(head, _HEAD)
    except (OSError, EOFError, zlib.error, gzip.BadGzipFile):
        return None
    return format_of(head)
