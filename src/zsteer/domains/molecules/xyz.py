"""XYZ and extended XYZ: atoms and coordinates without bonds, one frame behind the other.

Extended XYZ says its columns in ``Properties=`` and further values as ``key=value`` on the second line; ``species`` (or
``Z``) and ``pos`` are read, and numbers become properties of the molecule. Coordinates are in angstrom.
"""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from zsteer.domains.molecules.checks import Problem
from zsteer.domains.molecules.chemistry import Record
from zsteer.domains.molecules.container import ELEMENTS, SYMBOLS, Molecules
from zsteer.domains.molecules.judge import coordinates_fault
from zsteer.domains.molecules.smiles import read_text
from zsteer.errors import InputError

__all__ = ["number_of", "read_xyz", "xyz_frames"]

_COLUMNS = re.compile(r"Properties=(\S+)")


def number_of(word: str) -> float:
    """A number as data sets write it: QM9 has ``1.5*^-6`` for 1.5e-6.

    Raises:
        ValueError: if it is none.
    """
    return float(word.replace("*^", "e"))


def read_xyz(path: Path) -> tuple[list[tuple[int, Record]], list[Problem]]:
    """Frames of a file with their numbers, and the problems with the others.

    Raises:
        InputError: if the file cannot be read, or a count of atoms is not where one must stand, from where on nothing
            can be trusted.
    """
    good: list[tuple[int, Record]] = []
    problems: list[Problem] = []
    for number, heading, lines in _frames(path):
        try:
            record = _record(heading, lines)
        except ValueError as error:
            problems.append(Problem(number, "unreadable record", str(error)))
            continue
        fault = None if record.xyz is None else coordinates_fault(record.xyz)
        if fault is None:
            good.append((number, record))
        else:
            problems.append(Problem(number, fault.kind, fault.detail, record.name))
    return good, problems


def _frames(path: Path) -> Iterator[tuple[int, str, Sequence[str]]]:
    lines = read_text(path).split("\n")
    place, number = 0, 0
    while place < len(lines):
        if not lines[place].strip():
            place += 1
            continue
        number += 1
        try:
            atoms = int(lines[place])
        except ValueError:
            raise InputError(
                f"{path}: record {number}, line {place + 1}: expected the number of atoms, got {lines[place][:40]!r}"
            ) from None
        rest = lines[place + 2 : place + 2 + atoms]
        yield number, lines[place + 1] if place + 1 < len(lines) else "", rest if len(rest) == atoms else [*rest, ""]
        place += 2 + atoms


def _record(heading: str, lines: Sequence[str]) -> Record:
    kind, start = _columns(heading)
    z: list[int] = []
    xyz: list[list[float]] = []
    for row, line in enumerate(lines, 1):
        words = line.split()
        if len(words) < max(kind + 1, start + 3):
            raise ValueError(f"atom {row}: expected an element and three coordinates, got {line.strip()[:40]!r}")
        z.append(_element(row, words[kind]))
        try:
            xyz.append([number_of(word) for word in words[start : start + 3]])
        except ValueError:
            raise ValueError(f"atom {row}: expected three numbers, got {' '.join(words[start : start + 3])}") from None
    values = _values(heading)
    numbers: dict[str, float] = {}
    for name, word in values.items():
        try:
            numbers[name] = number_of(word)
        except ValueError:
            continue  # words beside name, smiles and split have no place in a set
    plain = heading.strip() if not values and "=" not in heading else values.get("name", "")
    zeros = [0] * len(z)
    return Record(
        z=z,
        xyz=np.array(xyz, np.float64).reshape(-1, 3),
        charge=zeros,
        hydrogens=zeros,
        bonds=None,
        properties=numbers,
        smiles=values.get("smiles", ""),
        name=plain,
        split=values.get("split", ""),
    )


def _element(row: int, word: str) -> int:
    symbol = word.capitalize()
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
    return {key: value for key, value in pairs if key not in {"Properties", "Lattice", "pbc"}}


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
            parts += [f"{name}={value[i]:.9g}" for name, value in molecules.properties.items() if value[i] == value[i]]
            heading = " ".join(parts)
        rows = zip(molecules.z[first:last].tolist(), molecules.xyz[first:last].tolist(), strict=True)
        atoms = "".join(f"{SYMBOLS[z]:<2} {x:12.6f} {y:12.6f} {w:12.6f}\n" for z, (x, y, w) in rows)
        yield f"{last - first}\n{heading}\n{atoms}"
