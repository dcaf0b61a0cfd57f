"""Ligands in their pockets: folders of PDB files beside SD files, as CrossDocked has them.

Every record of a ligand's file is a ligand of its own: further poses, or what else was docked. ``x.sdf`` belongs to
``x_pocket10.pdb`` (or any ``x_pocket*.pdb``) beside it, else to the only PDB file of its folder. A pocket is the
residues with an atom within a radius of the ligand; water is left out, and so is what the PDB file holds of the ligand
itself. Coordinates of both are in the same frame. [angstrom]
"""

import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsteer.domains.molecules.checks import Counts, Problem, raise_first
from zsteer.domains.molecules.chemistry import gather
from zsteer.domains.molecules.container import ELEMENTS, Molecules
from zsteer.domains.molecules.items import typed
from zsteer.domains.molecules.sdf import SdfRecord, read_sdf
from zsteer.errors import InputError

__all__ = ["Complexes", "Pocket", "read_complexes", "read_pdb"]

_WATER = {"HOH", "WAT", "DOD"}
_SAME = 0.5
"""An atom of the PDB file nearer to a ligand atom than this is the ligand. [angstrom]"""


@dataclass(frozen=True)
class Pocket:
    """Atoms of a protein around a ligand.

    Args:
        z: atomic numbers, shape ``(n,)``.
        xyz: coordinates, shape ``(n, 3)``, float32. [angstrom]
        atoms: names as in the file (``CA``), shape ``(n,)``.
        residues: names of their residues (``LEU``), shape ``(n,)``.
        numbers: of the residues with insertion code (``36``, ``52A``), shape ``(n,)``.
        chains: shape ``(n,)``.
    """

    z: NDArray[np.uint8]
    xyz: NDArray[np.float32]
    atoms: NDArray[Any]
    residues: NDArray[Any]
    numbers: NDArray[Any]
    chains: NDArray[Any]

    def __len__(self) -> int:
        return len(self.z)

    def take(self, keep: NDArray[np.bool_]) -> "Pocket":
        """Some of the atoms."""
        return Pocket(*(getattr(self, name)[keep] for name in ("z", "xyz", "atoms", "residues", "numbers", "chains")))


@dataclass(frozen=True)
class Complexes:
    """Ligands, each with its pocket.

    Args:
        ligands: molecules with bonds, hydrogens counted; named by their file.
        pockets: one for each ligand.
        problems: pairs that could not be used.
        counts: pairs after each step.
    """

    ligands: Molecules
    pockets: Sequence[Pocket]
    problems: Sequence[Problem]
    counts: Counts


def read_pdb(path: Path) -> Pocket:
    """Atoms of the first model of a PDB file, without water; of alternative places the first.

    Raises:
        InputError: names the line that is not as the format says.
    """
    rows: list[tuple[int, list[float], str, str, str, str]] = []
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    for number, line in enumerate(lines, 1):
        if line.startswith("ENDMDL"):
            break
        if line[:6] not in {"ATOM  ", "HETATM"} or line[17:20].strip() in _WATER or line[16:17] not in {" ", "A", ""}:
            continue
        try:
            place = [float(line[start : start + 8]) for start in (30, 38, 46)]
            element = _element(line)
        except (ValueError, KeyError):
            raise InputError(f"{path}: line {number}: expected coordinates and an element, got {line[:78]!r}") from None
        rows.append(
            (element, place, line[12:16].strip(), line[17:20].strip(), line[22:27].strip(), line[21:22].strip())
        )
    if not rows:
        raise InputError(f"{path}: there is no ATOM line; is this a PDB file?")
    z, xyz, *words = zip(*rows, strict=True)
    return Pocket(np.array(z, np.uint8), np.array(xyz, np.float32), *(np.array(column, np.str_) for column in words))


def _element(line: str) -> int:
    symbol = line[76:78].strip().capitalize()
    if symbol in ELEMENTS:
        return ELEMENTS[symbol]
    # Old files leave the column of the element empty; the name has it in its first two letters, right-aligned.
    name = line[12:14].strip().lstrip("0123456789").capitalize()
    return ELEMENTS[name] if name in ELEMENTS else ELEMENTS[name[:1]]


def read_complexes(path: Path, *, radius: float = 10.0, skip_invalid: bool = False) -> Complexes:
    """Read every pair of a ligand and a pocket below a folder.

    Args:
        path: the folder, or a tar of it.
        radius: residues with an atom within it of the ligand make the pocket. [angstrom]
        skip_invalid: leave out pairs that cannot be used.

    Raises:
        InputError: on the first pair that cannot be used, unless ``skip_invalid``, or if none can.
    """
    if path.is_file():
        with tempfile.TemporaryDirectory() as folder:
            try:
                with tarfile.open(path) as archive:
                    archive.extractall(folder, filter="data")
            except (OSError, EOFError, tarfile.TarError) as error:
                why = str(error).split("\n", 1)[0]  # tarfile tells of every compression that it tried
                raise InputError(f"{path}: not a whole tar ({why}); copy it again") from None
            return _read(Path(folder), path, radius, skip_invalid=skip_invalid)
    if not path.is_dir():
        raise InputError(f"{path}: there is no such folder")
    return _read(path, path, radius, skip_invalid=skip_invalid)


def _read(folder: Path, called: Path, radius: float, *, skip_invalid: bool) -> Complexes:
    ligands: list[SdfRecord] = []
    pockets: list[Pocket] = []
    problems: list[Problem] = []
    total = 0
    for ligand, protein in _pairs(folder):
        name = ligand.relative_to(folder).as_posix()
        for found in _complexes(total, name, ligand, protein, radius):
            total += 1
            if isinstance(found, Problem):
                problems.append(found)
            else:
                ligands.append(found[0])
                pockets.append(found[1])
    raise_first(called, problems, skip_invalid=skip_invalid)
    if not ligands:
        first = f"; the first: {problems[0].line}" if problems else ""
        raise InputError(f"{called}: no pair of a ligand (.sdf) and a pocket (.pdb) that can be used{first}")
    counts = Counts((("ligands", total),)).then("with a pocket, usable", len(ligands))
    items = typed([one.items for one in ligands], list(range(1, len(ligands) + 1)))
    kept = zip(ligands, items.numbers, items.words, strict=True)
    records = [replace(one.record, properties=numbers, words=words) for one, numbers, words in kept]
    return Complexes(gather(records).heavy(), pockets, problems, counts)


def _pairs(folder: Path) -> Iterator[tuple[Path, Path | None]]:
    for ligand in sorted(folder.rglob("*.sdf")):
        own = sorted(ligand.parent.glob(f"{ligand.stem}_pocket*.pdb"))
        every = sorted(ligand.parent.glob("*.pdb"))
        yield ligand, own[0] if own else every[0] if len(every) == 1 else None


def _complexes(
    before: int, name: str, ligand: Path, protein: Path | None, radius: float
) -> Iterator[tuple[SdfRecord, Pocket] | Problem]:
    """Every record of a file of ligands with its pocket: poses, or molecules, that were docked into the same protein.

    Args:
        before: records of the files before.
        name: of the file.
        ligand: the file.
        protein: its PDB file, or None.
        radius: of the pocket. [angstrom]
    """
    if protein is None:
        yield Problem(before + 1, "no pocket", "expected NAME_pocket10.pdb, or one .pdb in the folder", name)
        return
    try:
        found, whole = read_sdf(ligand), read_pdb(protein)
    except InputError as error:
        yield Problem(before + 1, "unreadable file", str(error), name)
        return
    count = len(found.records) + len(found.problems)
    if not count:
        yield Problem(before + 1, "empty", "", name)
    for one in sorted(
        [*found.records, *found.problems], key=lambda one: one.number if isinstance(one, SdfRecord) else one.record
    ):
        number = one.number if isinstance(one, SdfRecord) else one.record
        called = name if count == 1 else f"{name.removesuffix('.sdf')}-{number}"
        if isinstance(one, Problem):
            yield Problem(before + number, one.kind, one.detail, called)
            continue
        pocket = _pocket(whole, np.asarray(one.record.xyz, np.float64), radius)
        if len(pocket):
            yield replace(one, record=replace(one.record, name=called.removesuffix(".sdf"))), pocket
        else:
            detail = f"no atom of {protein.name} within {radius:g} angstrom"
            yield Problem(before + number, "no pocket", detail, called)


def _pocket(whole: Pocket, place: NDArray[np.float64], radius: float) -> Pocket:
    """The residues around a ligand, without what the file holds of the ligand itself."""
    distance = np.sqrt(((whole.xyz[:, None] - place) ** 2).sum(-1).min(1))
    whole, distance = whole.take(distance > _SAME), distance[distance > _SAME]
    words = [
        f"{chain} {at} {what}" for chain, at, what in zip(whole.chains, whole.numbers, whole.residues, strict=True)
    ]
    near = set(np.array(words, np.str_)[distance <= radius].tolist())
    return whole.take(np.array([word in near for word in words], np.bool_))
