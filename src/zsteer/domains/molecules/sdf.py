"""SD files, V2000 and V3000, record by record: one broken record costs that record and is named by its number.

Hydrogens: where any record of a file has hydrogen atoms, all are expected to have all of theirs, and open valences are
missing hydrogens (checked) or stay open (as it stands). Where none has, hydrogens are counted from the valences.
"""

import gzip
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rdkit import Chem

from zsteer.core.reading import check_regular
from zsteer.domains.molecules.checks import Problem
from zsteer.domains.molecules.chemistry import Mol, Record, record_of, sanitised, to_rdkit
from zsteer.domains.molecules.container import Molecules
from zsteer.domains.molecules.items import number_text, typed
from zsteer.domains.molecules.judge import Fault, coordinates_fault, depiction_fault, graph_fault
from zsteer.domains.molecules.smiles import SPLITS, decoded
from zsteer.errors import InputError

__all__ = ["SdfFile", "SdfRecord", "read_sdf", "records_of", "sdf_blocks", "settle_hydrogens"]


@dataclass(frozen=True)
class SdfRecord:
    """A record with what decides about its hydrogens.

    Args:
        number: in the file, from 1.
        record: with the hydrogens that valences ask for.
        stated: hydrogens of each atom that the record itself states.
        items: its data items as they are written, without those that the record knows.
        either: double bonds that it marks as of either kind (code 3), which its coordinates settle.
    """

    number: int
    record: Record
    stated: tuple[int, ...]
    items: Mapping[str, str]
    either: int = 0

    @property
    def has_hydrogens(self) -> bool:
        """Whether hydrogens are atoms; deuterium alone says nothing of the others."""
        isotopes = self.record.labels.get("isotope") or [0] * len(self.record.z)
        return any(z == 1 and not label for z, label in zip(self.record.z, isotopes, strict=True))


@dataclass(frozen=True)
class SdfFile:
    """What an SD file holds.

    Args:
        records: that can be used.
        problems: with the others.
        notes: what was assumed or passed over, a line each.
    """

    records: Sequence[SdfRecord]
    problems: Sequence[Problem]
    notes: Sequence[str] = ()


def records_of(path: Path) -> Iterator[tuple[int, str]]:
    """Texts of the records of a file as Latin-1, numbered from 1; blank ones too, and the last may be cut off.

    Raises:
        InputError: if the file cannot be read or is not text.
    """
    check_regular(path)
    number, lines = 1, list[str]()
    opener: Any = gzip.open if path.name.lower().endswith(".gz") else open
    try:
        with opener(path, "rt", encoding="latin-1") as file:  # every byte is a letter: records are decoded one by one
            for line in file:
                if line.startswith("$$$$"):
                    yield number, "".join(lines)
                    number, lines = number + 1, []
                elif "\0" in line:
                    raise InputError(f"{path}: record {number}: not text; is this an SD file?")
                else:
                    lines.append(line)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: not a whole gzip file ({error}); copy or compress it again") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    if any(line.strip() for line in lines):
        yield number, "".join(lines)


def read_sdf(path: Path, *, checked: bool = True) -> SdfFile:
    """Records of an SD file, the problems with the others, and what was passed over.

    Args:
        path: ``.sdf``, ``.sd`` or ``.mol``, also with ``.gz``.
        checked: refuse broken chemistry, depictions, salts and radicals; otherwise only what cannot be parsed.

    Raises:
        InputError: if the file cannot be read at all.
    """
    good: list[SdfRecord] = []
    problems: list[Problem] = []
    blank, strange = 0, list[int]()
    for number, raw in records_of(path):
        text, utf8 = decoded(raw.encode("latin-1"))
        strange += [] if utf8 else [number]
        if not text.strip():
            blank += 1
            continue
        found = _record(number, text, checked=checked)
        if isinstance(found, Fault):
            problems.append(Problem(number, found.kind, found.detail, text.split("\n", 1)[0].strip()))
        else:
            good.append(found)
    items = typed([one.items for one in good], [one.number for one in good])
    kept = zip(good, items.numbers, items.words, strict=True)
    records = [replace(one, record=replace(one.record, properties=n, words=w)) for one, n, w in kept]
    notes = [*items.notes]
    if blank:
        notes.append(f"{blank:,} blank records ($$$$ behind $$$$) were passed over")
    if strange:
        notes.append(f"{len(strange):,} records are not UTF-8 and were read as Latin-1, the first is {strange[0]}")
    either = [one for one in good if one.either]
    if either:
        notes.append(
            f"{sum(one.either for one in either):,} double bonds of {len(either):,} records are marked as of either "
            f"kind (the first is record {either[0].number}); they are taken as their geometry shows them"
        )
    return SdfFile(records, problems, notes)


def _record(number: int, text: str, *, checked: bool) -> SdfRecord | Fault:
    block, end, rest = text.partition("M  END")
    if not end:
        return Fault("truncated record", "there is no M  END")
    mol: Any = Chem.MolFromMolBlock(block + end + "\n", sanitize=False, removeHs=False)
    if mol is None:
        return _why(block)
    if any(one.HasQuery() for one in (*mol.GetAtoms(), *mol.GetBonds())):
        mol = _without_queries(mol)
        if mol is None:
            return Fault("query record", "an atom may be one of several elements; expected one molecule")
    either = sum(one.GetBondDir() == Chem.BondDir.EITHERDOUBLE for one in mol.GetBonds())
    xyz = mol.GetConformer().GetPositions() if mol.GetNumConformers() else np.zeros((0, 3))
    stated = tuple(atom.GetNumExplicitHs() for atom in mol.GetAtoms())
    if checked:
        declared_flat = block.split("\n")[1:2] != [] and block.split("\n")[1][20:22] == "2D"
        # Sanitising marks aromatic bonds, and flatness is a matter of the bonds as they are written.
        flat = depiction_fault(mol, xyz, declared_flat=declared_flat) if len(xyz) else None
        fault = coordinates_fault(xyz) or graph_fault(mol) or flat
        if fault is not None:
            return fault
    else:
        # A copy tells which bonds are aromatic; the molecule itself stays as it stands in the file.
        judged = Chem.Mol(mol)
        mol = mol if sanitised(judged, repair=False) else judged
    tags = _tags(rest)
    name = block.split("\n", 1)[0].strip()
    try:
        record = record_of(mol, name=name, **_known(tags))
    except InputError as error:
        return Fault("unreadable bond", str(error))
    items = {name: text for name, text in tags.items() if not _is_known(name, text)}
    return SdfRecord(number, record, stated, items, either)


def _without_queries(mol: Mol) -> Mol | None:
    """The molecule behind a record with query fields, as some programs write them; None where an atom is a choice."""
    plain: Any = Chem.RWMol()
    for atom in mol.GetAtoms():
        if atom.HasQuery() and "AtomOr" in atom.DescribeQuery():
            return None
        own = Chem.Atom(atom.GetAtomicNum())
        own.SetFormalCharge(atom.GetFormalCharge())
        own.SetNumRadicalElectrons(atom.GetNumRadicalElectrons())
        own.SetIsAromatic(atom.GetIsAromatic())
        own.SetIsotope(atom.GetIsotope())
        own.SetAtomMapNum(atom.GetAtomMapNum())
        plain.AddAtom(own)
    for bond in mol.GetBonds():
        count = plain.AddBond(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), bond.GetBondType())
        plain.GetBondWithIdx(count - 1).SetIsAromatic(bond.GetIsAromatic())
    for place in mol.GetConformers():
        plain.AddConformer(place)
    return plain.GetMol()


def _why(block: str) -> Fault:
    """The likeliest reason why RDKit cannot read a record, from its counts line and coordinates."""
    lines = block.split("\n")
    counts = lines[3] if len(lines) > 3 else ""
    if "V3000" in counts:
        return Fault("unreadable record", "the V3000 block is not whole")
    try:
        atoms, bonds = int(counts[:3]), int(counts[3:6])
    except ValueError:
        reason = f"expected the numbers of atoms and bonds in line 4, got {counts.strip()[:40]!r}"
        return Fault("unreadable record", reason)
    if len(lines) - 5 < atoms + bonds:
        reason = f"line 4 promises {atoms} atoms and {bonds} bonds, and only {len(lines) - 5} lines follow"
        return Fault("unreadable record", reason)
    for row, line in enumerate(lines[4 : 4 + atoms], 1):
        try:
            good = all(math.isfinite(float(line[start : start + 10])) for start in (0, 10, 20))
        except ValueError:
            good = False
        if not good:
            return Fault("coordinates are not numbers", f"atom {row}: {line[:30].strip()!r}")
    return Fault("unreadable record", "an atom or bond line is not as the format says")


def _tags(text: str) -> dict[str, str]:
    """Data items behind the structure: name to text."""
    tags: dict[str, str] = {}
    name = None
    for line in text.split("\n"):
        if line.startswith(">") and "<" in line:
            name = line[line.index("<") + 1 :].rsplit(">", 1)[0]
            tags[name] = ""
        elif name is not None and line.strip():
            tags[name] = f"{tags[name]}\n{line}" if tags[name] else line
        elif not line.strip():
            name = None
    return tags


def _is_known(name: str, text: str) -> bool:
    """Whether a data item is one that a record knows: its SMILES, or its part of the set."""
    return name.lower() == "smiles" or (name.lower() == "split" and text.strip() in SPLITS)


def _known(tags: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): text.strip() for name, text in tags.items() if _is_known(name, text)}


def settle_hydrogens(
    records: Sequence[SdfRecord], *, checked: bool, heavy: bool
) -> tuple[list[tuple[int, Record]], list[Problem]]:
    """Decide for a whole file what an open valence means (see the module).

    Args:
        records: of one file.
        checked: open valences beside hydrogen atoms are problems.
        heavy: hydrogens will be numbers anyway, so that none is missing.
    """
    atoms_somewhere = any(one.has_hydrogens for one in records)
    good: list[tuple[int, Record]] = []
    problems: list[Problem] = []
    for one in records:
        open_valences = sum(one.record.hydrogens)
        if heavy or not atoms_somewhere or not open_valences:
            good.append((one.number, one.record))
        elif checked:
            detail = f"{open_valences} of them; count them (zsteer convert --heavy), or add them"
            problems.append(Problem(one.number, "missing hydrogens", detail, one.record.name))
        else:
            good.append((one.number, replace(one.record, hydrogens=list(one.stated))))
    return good, problems


def sdf_blocks(molecules: Molecules) -> Iterator[str]:
    """Texts of the records, with SMILES, split and properties as data items; V3000 beyond 999 atoms."""
    for i in range(len(molecules)):
        mol = to_rdkit(molecules, i)
        if molecules.names is not None:
            mol.SetProp("_Name", str(molecules.names[i]).replace("\n", " "))
        _settle_stereo(mol)
        # Bonds are kekulised already where they can be.
        block = Chem.MolToMolBlock(mol, includeStereo=False, kekulize=False)
        yield block + _items(molecules, i) + "$$$$\n"


def _settle_stereo(mol: Mol) -> None:
    """Take E and Z from the coordinates; RDKit marks a double bond that nobody judged as of either kind (code 3)."""
    mol.UpdatePropertyCache(False)
    Chem.FastFindRings(mol)
    Chem.AssignStereochemistryFrom3D(mol)


def _items(molecules: Molecules, i: int) -> str:
    numbers = {name: float(value[i]) for name, value in molecules.properties.items()}
    items = {name: number_text(value) for name, value in numbers.items() if not math.isnan(value)}
    items |= {name: str(value[i]) for name, value in molecules.words.items() if str(value[i])}
    for name, words in (("smiles", molecules.smiles), ("split", molecules.split)):
        if words is not None and str(words[i]):
            items[name] = str(words[i])
    # A blank line would end an item.
    texts = {name: "\n".join(line for line in value.split("\n") if line.strip()) for name, value in items.items()}
    return "".join(f">  <{name}>\n{value}\n\n" for name, value in texts.items())
