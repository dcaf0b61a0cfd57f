"""XYZ and extended XYZ: atoms and coordinates without bonds, one frame behind the other.

Extended XYZ says its columns in ``Properties=`` and further values as ``key=value`` on the second line; ``species`` (or
``Z``) and ``pos`` are read; numbers become properties of the molecule, other values items of text. ``D`` and ``T`` are
hydrogen with its isotope. Coordinates are in angstrom.
"""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from zsteer.domains.molecules.checks import Problem
from zsteer.domains.molecules.chemistry import Record
from zsteer.domains.molecules.container import ELEMENTS, SYMBOLS, Molecules
from zsteer.domains.molecules.items import number_text, typed
from zsteer.domains.molecules.judge import coordinates_fault
from zsteer.domains.molecules.smiles import read_text
from zsteer.errors import InputError

__all__ = ["CHARGES", "XyzFile", "number_of", "read_xyz", "xyz_frames"]

CHARGES = ("charge", "total_charge", "net_charge")
"""Names of a total charge, in any case of letters."""

LONGEST = 2**16
"""Letters of a frame's second line."""
_COLUMNS = re.compile(r"Properties=(\S+)")
_KNOWN = ("name", "smiles", "split")
_CELL = ("Lattice", "pbc")
_ISOTOPES: Mapping[str, int] = {"D": 2, "T": 3}


def number_of(word: str) -> float:
    """A number as data sets write it: QM9 has ``1.5*^-6`` for 1.5e-6.

    Raises:
        ValueError: if it is none.
    """
    return float(word.replace("*^", "e"))


@dataclass(frozen=True)
class XyzFile:
    """What an XYZ file holds.

    Args:
        records: that can be used, with their numbers.
        problems: with the others.
        notes: what was assumed or left out, a line each.
    """

    records: Sequence[tuple[int, Record]]
    problems: Sequence[Problem]
    notes: Sequence[str] = ()


def read_xyz(path: Path) -> XyzFile:
    """Frames of a file with their numbers, the problems with the others, and what was left out.

    Raises:
        InputError: if the file cannot be read, or a count of atoms is not where one must stand, from where on nothing
            can be trusted.
    """
    good: list[tuple[int, Record]] = []
    problems: list[Problem] = []
    items: list[Mapping[str, str]] = []
    text, periodic = read_text(path), 0
    for number, heading, lines in _frames(path, text.content):
        try:
            record = _record(heading, lines)
        except ValueError as error:
            problems.append(Problem(number, "unreadable record", str(error)))
            continue
        fault = None if record.xyz is None else coordinates_fault(record.xyz)
        if fault is None:
            good.append((number, record))
            values = _values(heading)
            periodic += any(name in values for name in _CELL)
            items.append({name: word for name, word in values.items() if name not in (*_KNOWN, *_CELL)})
        else:
            problems.append(Problem(number, fault.kind, fault.detail, record.name))
    found = typed(items, [number for number, _ in good])
    kept = zip(good, found.numbers, found.words, strict=True)
    records = [(number, replace(one, properties=n, words=w)) for (number, one), n, w in kept]
    cells = [f"the cell (Lattice, pbc) of {periodic:,} frames is left out"] if periodic else []
    return XyzFile(records, problems, [*text.notes, *found.notes, *cells])


def _frames(path: Path, text: str) -> Iterator[tuple[int, str, Sequence[str]]]:
    lines = text.split("\n")
    place, number = 0, 0
    while place < len(lines):
        if not lines[place].strip():
            place += 1
            continue
        number += 1
        try:
            atoms = int(lines[place])
        except ValueError:
            atoms = -1
        if atoms < 0:
            raise InputError(
                f"{path}: record {number}, line {place + 1}: expected the number of atoms, got {lines[place][:40]!r}"
            )
        rest = lines[place + 2 : place + 2 + atoms]
        yield number, lines[place + 1] if place + 1 < len(lines) else "", rest if len(rest) == atoms else [*rest, ""]
        place += 2 + atoms


def _record(heading: str, lines: Sequence[str]) -> Record:
    if len(heading) > LONGEST:
        raise ValueError(f"its second line has {len(heading):,} letters, more than {LONGEST:,}")
    kind, start = _columns(heading)
    if not lines:
        raise ValueError("a frame of no atoms")
    z: list[int] = []
    isotopes: list[int] = []
    xyz: list[list[float]] = []
    for row, line in enumerate(lines, 1):
        words = line.split()
        if len(words) < max(kind + 1, start + 3):
            raise ValueError(f"atom {row}: expected an element and three coordinates, got {line.strip()[:40]!r}")
        z.append(_element(row, words[kind]))
        isotopes.append(_ISOTOPES.get(words[kind].capitalize(), 0))
        try:
            xyz.append([number_of(word) for word in words[start : start + 3]])
        except ValueError:
            raise ValueError(f"atom {row}: expected three numbers, got {' '.join(words[start : start + 3])}") from None
    values = _values(heading)
    plain = heading.strip() if not values and "=" not in heading else values.get("name", "")
    zeros = [0] * len(z)
    return Record(
        z=z,
        xyz=np.array(xyz, np.float64).reshape(-1, 3),
        charge=zeros,
        hydrogens=zeros,
        bonds=None,
        smiles=values.get("smiles", ""),
        name=plain,
        split=values.get("split", ""),
        labels={"isotope": isotopes} if any(isotopes) else {},
    )


def _element(row: int, word: str) -> int:
    symbol = word.capitalize()
    if symbol in _ISOTOPES:
        return 1
    if symbol in ELEMENTS:
        return ELEMENTS[symbol]
    if word.isdigit() and 0 < int(word) < len(SYMBOLS):
        return int(word)
    raise ValueError(f"atom {row}: unknown element {word!r}")


def _columns(heading: str) -> tuple[int, int]:
    """Which column holds the element, and where the coordinates begin."""
    found = _COLUMNS.search(heading)
    if found is None:
        return 0, 1
    words = found.group(1).split(":")
    places: dict[str, int] = {}
    place = 0
    for name, width in zip(words[0::3], words[2::3], strict=False):
        places[name.lower()] = place
        place += int(width) if width.isdigit() else 1
    element = places.get("species", places.get("z"))
    if element is None or "pos" not in places:
        raise ValueError(f"Properties={found.group(1)} names no species and pos")
    return element, places["pos"]


def _values(heading: str) -> Mapping[str, str]:
    if "=" not in heading:
        return {}
    try:
        words = shlex.split(heading)
    except ValueError:
        return {}
    pairs = (word.split("=", 1) for word in words if "=" in word)
    return {key: value for key, value in pairs if key != "Properties"}


def _key(name: str) -> str:
    return f'"{name}"' if any(sign.isspace() for sign in name) else name


def xyz_frames(molecules: Molecules, *, extended: bool) -> Iterator[str]:
    """Texts of the frames; extended ones carry name, SMILES, split and properties.

    Args:
        molecules: hydrogens that are no atoms are not written.
        extended: write ``Properties=`` and ``key=value``.
    """
    for i in range(len(molecules)):
        first, last = int(molecules.offsets[i]), int(molecules.offsets[i + 1])
        words: dict[str, str] = {}
        for key, column in (("name", molecules.names), ("smiles", molecules.smiles), ("split", molecules.split)):
            if column is not None and str(column[i]):
                words[key] = str(column[i]).replace('"', "'").replace("\n", " ")
        heading = words.get("name", "")
        if extended:
            parts = ["Properties=species:S:1:pos:R:3", *(f'{key}="{word}"' for key, word in words.items())]
            parts += [
                f"{_key(name)}={number_text(float(value[i]))}"
                for name, value in molecules.properties.items()
                if value[i] == value[i]
            ]
            for name, value in molecules.words.items():
                word = " ".join(str(value[i]).replace('"', "'").split("\n"))
                parts += [f'{_key(name)}="{word}"'] if word else []
            total = int(molecules.charge[first:last].sum())
            if total and not any(name.lower() in CHARGES for name in molecules.properties):
                parts.append(f"charge={total}")
            heading = " ".join(parts)
        rows = zip(molecules.z[first:last].tolist(), molecules.xyz[first:last].tolist(), strict=True)
        atoms = "".join(f"{SYMBOLS[z]:<2} {x:12.6f} {y:12.6f} {w:12.6f}\n" for z, (x, y, w) in rows)
        yield f"{last - first}\n{heading}\n{atoms}"
