"""The public QM9 archive: one file a molecule (``dsgdb9nsd_000001.xyz``), in a tar or a folder, with 15 properties.

Such a file holds the number of atoms; ``gdb i`` and the properties; element, coordinates [angstrom] and charge of each
atom; frequencies; two SMILES (of GDB-17, and of the relaxed geometry); two InChI. Numbers may be written ``1.5*^-6``.
Bonds are those of the SMILES, laid on the geometry by comparing the two graphs; a molecule whose SMILES does not fit
its geometry is a problem. The molecules that the authors call uncharacterised are left out where their list lies
beside the archive (``uncharacterized.txt``).

Source: Ramakrishnan, Dral, Rupp, von Lilienfeld, "Quantum chemistry structures and properties of 134 kilo molecules",
Scientific Data 1, 140022 (2014), table 3.
"""

import csv
import io
import re
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from zsteer.domains.molecules.checks import Counts, Problem
from zsteer.domains.molecules.chemistry import Record, gather
from zsteer.domains.molecules.container import ELEMENTS, Molecules
from zsteer.domains.molecules.perception.fit import fitted
from zsteer.domains.molecules.smiles import read_text
from zsteer.domains.molecules.xyz import XyzFile, number_of
from zsteer.errors import InputError

__all__ = [
    "HARTREE_EV",
    "PROPERTIES",
    "beside_sdf",
    "is_qm9_archive",
    "read_qm9",
    "read_single",
    "read_uncharacterised",
    "record_of_text",
]

HARTREE_EV = 27.211386245988
"""Electronvolts in a hartree (CODATA 2018)."""

PROPERTIES: Mapping[str, float] = {
    "rotational_A_GHz": 1.0,
    "rotational_B_GHz": 1.0,
    "rotational_C_GHz": 1.0,
    "mu_debye": 1.0,
    "alpha_bohr3": 1.0,
    "homo_eV": HARTREE_EV,
    "lumo_eV": HARTREE_EV,
    "gap_eV": HARTREE_EV,
    "r2_bohr2": 1.0,
    "zpve_hartree": 1.0,
    "U0_hartree": 1.0,
    "U_hartree": 1.0,
    "H_hartree": 1.0,
    "G_hartree": 1.0,
    "Cv_cal_mol_K": 1.0,
}
"""The 15 properties in the order of the file, and what the number there is multiplied with."""

_COLUMNS = ("A", "B", "C", "mu", "alpha", "homo", "lumo", "gap", "r2", "zpve", "u0", "u298", "h298", "g298", "cv")
"""The same properties as the table beside the SD file calls them."""
_MEMBER = re.compile(r"dsgdb9nsd_(\d+)\.xyz$")
_HEADING = re.compile(r"gdb\s+\d+\s")
_LIST = "uncharacterized.txt"


def is_qm9_archive(path: Path) -> bool:
    """Whether a path is called like the archive, or is a folder of its files."""
    if path.is_dir():
        return next(path.glob("dsgdb9nsd_*.xyz"), None) is not None
    return path.name.lower().startswith("dsgdb9nsd") and ".tar" in path.name.lower()


def read_uncharacterised(path: Path) -> frozenset[int]:
    """Numbers of the molecules whose geometry fell apart; the first word of each line that begins with one.

    Raises:
        InputError: if the file cannot be read or holds no number.
    """
    try:
        words = [line.split()[0] for line in path.read_text(encoding="utf-8").splitlines() if line.split()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    found = frozenset(int(word) for word in words if word.isdigit())
    if not found:
        raise InputError(f"{path}: expected lines that begin with the number of a molecule, found none")
    return found


def beside_sdf(path: Path, records: int) -> list[dict[str, float]]:
    """Properties in a table beside an SD file (``gdb9.sdf.csv``), one row for each record; empty if there is no table.

    Columns that QM9 names get our names and units; other columns with numbers keep their names.

    Raises:
        InputError: if the table has not one row for each record.
    """
    table = path.with_name(path.name + ".csv")
    if not table.is_file():
        return []
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(table).content)))
    except csv.Error as error:
        raise InputError(f"{table}: cannot be read as a table: {error}") from None
    if len(rows) != records:
        raise InputError(f"{table}: {len(rows)} rows, but {path.name} has {records} records; expected one for each")
    known = {old: (new, factor) for old, (new, factor) in zip(_COLUMNS, PROPERTIES.items(), strict=True)}
    is_qm9 = all(name in rows[0] for name in _COLUMNS)
    found: list[dict[str, float]] = []
    for row in rows:
        values: dict[str, float] = {}
        for name, word in row.items():
            new, factor = known[name] if is_qm9 and name in known else (name, 1.0)
            with suppress(ValueError, TypeError):
                values[new] = number_of(word) * factor
        found.append(values)
    return found


def read_qm9(path: Path, uncharacterised: Path | None = None) -> tuple[Molecules, list[Problem], Counts]:
    """Read the archive.

    Args:
        path: the tar (any compression) or the folder of its files.
        uncharacterised: the authors' list; ``uncharacterized.txt`` beside the archive when None, if it is there.

    Returns:
        The molecules, the problems with the others, and the counts after each step.

    Raises:
        InputError: if the archive cannot be read or nothing in it can be used.
    """
    beside = (path if path.is_dir() else path.parent) / _LIST
    listed = uncharacterised or (beside if beside.is_file() else None)
    left_out = read_uncharacterised(listed) if listed is not None else frozenset[int]()
    total, kept = 0, 0
    records: list[Record] = []
    problems: list[Problem] = []
    for number, text in _texts(path):
        total += 1
        if number in left_out:
            continue
        kept += 1
        try:
            records.append(record_of_text(text))
        except ValueError as error:
            kind, _, detail = str(error).partition(": ")
            problems.append(Problem(number, kind, detail, f"gdb {number}"))
    if not records:
        raise InputError(
            f"{path}: no usable molecule among {total} files" + (f"; {problems[0].line}" if problems else "")
        )
    what = f"characterised ({listed.name})" if listed else f"characterised (no {_LIST} beside the archive: all)"
    counts = Counts((("molecules of the archive", total),)).then(what, kept)
    return gather(records), problems, counts.then("SMILES fits the geometry", len(records))


def read_single(path: Path) -> XyzFile | None:
    """One file of the archive under any name; None where a file is not of its kind.

    Raises:
        InputError: if the file cannot be read.
    """
    text = read_text(path)
    lines = text.content.split("\n", 2)
    if len(lines) < 2 or _HEADING.match(lines[1]) is None:
        return None
    try:
        return XyzFile([(1, record_of_text(text.content))], (), ["a file of the QM9 archive: read as that says"])
    except ValueError as error:
        kind, _, detail = str(error).partition(": ")
        return XyzFile((), [Problem(1, kind, detail)])


def _texts(path: Path) -> Iterator[tuple[int, str]]:
    try:
        if path.is_dir():
            for file in sorted(path.glob("dsgdb9nsd_*.xyz")):
                if match := _MEMBER.search(file.name):
                    yield int(match.group(1)), file.read_text(encoding="utf-8")
            return
        with tarfile.open(path) as archive:
            for member in archive:
                match = _MEMBER.search(member.name)
                content = archive.extractfile(member) if match else None
                if match and content:
                    yield int(match.group(1)), content.read().decode("utf-8")
    except (OSError, EOFError, tarfile.TarError, UnicodeDecodeError) as error:
        why = str(error).split("\n", 1)[0]  # tarfile tells of every compression that it tried
        raise InputError(f"{path}: cannot be read: {why}; copy the archive again") from None


def record_of_text(text: str) -> Record:
    """One file of the archive.

    Raises:
        ValueError: says what is wrong, as ``kind: detail``.
    """
    lines = text.split("\n")
    try:
        n = int(lines[0])
        words, atoms, smiles = lines[1].split(), [line.split() for line in lines[2 : 2 + n]], lines[3 + n].split()
        z = [ELEMENTS[row[0]] for row in atoms]
        xyz = np.array([[number_of(word) for word in row[1:4]] for row in atoms]).reshape(n, 3)
        values = [number_of(word) for word in words[2:]]
    except (ValueError, IndexError, KeyError) as error:
        raise ValueError(f"unreadable record: {' '.join(str(error).split())}") from None
    if len(values) != len(PROPERTIES) or not smiles:
        raise ValueError(f"unreadable record: expected {len(PROPERTIES)} properties and a SMILES, got {len(values)}")
    known = zip(PROPERTIES.items(), values, strict=True)
    properties = {name: value * factor for (name, factor), value in known}
    # The second SMILES is that of the relaxed geometry; the first, of GDB-17, is the molecule that was meant.
    for word in reversed(smiles):
        found = fitted(word, z, xyz)
        if found is not None:
            named = f"gdb-{words[1]}"
            return Record(z, xyz, found.charge, [0] * n, found.bonds, properties, smiles=word, name=named)
    raise ValueError(f"SMILES does not fit the geometry: {' or '.join(dict.fromkeys(smiles))}")
