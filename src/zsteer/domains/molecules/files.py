"""Molecules in and out by file ending: ``.sdf``, ``.xyz``, ``.extxyz``, ``.smi``, ``.csv`` and ``.npz``.

Text may be compressed (``.gz``). An ``.npz`` is a prepared container or a set of the data folder. SMILES get a geometry
when they are read. The QM9 archive and folders of ligands in pockets are read too. Reading is checked unless set
otherwise: records that nothing can be learnt from are errors, or are left out and counted with ``skip_invalid``.
"""

import csv
import gzip
import io
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsteer.core.files import check_free, new_file
from zsteer.core.reading import Inventory
from zsteer.domains.molecules.checks import Counts, Problem, raise_first, summary
from zsteer.domains.molecules.chemistry import gather, parse_smiles, place_hydrogens, sanitised, smiles_of, to_rdkit
from zsteer.domains.molecules.container import SYMBOLS, Molecules
from zsteer.domains.molecules.data import is_folder_npz, read_folder_npz
from zsteer.domains.molecules.embed import Embedded, Limits, embed, graphs_alone
from zsteer.domains.molecules.formats import check_format
from zsteer.domains.molecules.items import number_text
from zsteer.domains.molecules.parts import parts_of
from zsteer.domains.molecules.perception.fit import perceived
from zsteer.domains.molecules.pockets import read_complexes
from zsteer.domains.molecules.prepared import about, is_prepared, open_prepared, save_prepared
from zsteer.domains.molecules.qm9 import beside_sdf, is_qm9_archive, read_qm9, read_single
from zsteer.domains.molecules.sdf import read_sdf, sdf_blocks, settle_hydrogens
from zsteer.domains.molecules.smiles import LINES, Row, choose, read_smiles
from zsteer.domains.molecules.xyz import read_xyz, xyz_frames
from zsteer.errors import InputError, OutputError

__all__ = [
    "LISTS",
    "READS",
    "WRITES",
    "Loaded",
    "Reading",
    "check_ending",
    "describe",
    "ending_of",
    "read",
    "read_molecules",
    "recognises",
    "report",
    "write_molecules",
]

READS = (".sdf", ".sd", ".mol", ".xyz", ".extxyz", ".smi", ".smiles", ".txt", ".csv", ".tsv", ".npz")
"""Endings that are read; text also with .gz."""
WRITES = (".sdf", ".xyz", ".extxyz", ".smi", ".csv", ".npz")
"""Endings that are written; text also with .gz."""

_PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".joblib")
LISTS = (*LINES, ".csv", ".tsv")
"""Endings of lists of SMILES."""


@dataclass(frozen=True)
class Reading:
    """How a file is read.

    Args:
        skip_invalid: leave out records that cannot be used, and list them.
        checked: refuse broken chemistry, depictions, salts, radicals and missing hydrogens; otherwise take molecules
            as they stand, which is what judging a generator needs.
        heavy: count hydrogens on their atoms.
        limit: take a random subset of at most this many records.
        seed: of the subset and of geometries.
        max_heavy: heavy atoms at most, where SMILES get a geometry.
        perceive: take bonds from SMILES that fit the geometry, or from the geometry, instead of from the file.
        splits: list of SMILES with a column ``split`` that says the part of each molecule, as the splits of GEOM-Drugs
            are passed around; molecules that are not in it are left out.
        column: heading of the column of SMILES in a list; the usual names when None.
    """

    skip_invalid: bool = False
    checked: bool = True
    heavy: bool = False
    limit: int | None = None
    seed: int = 0
    max_heavy: int = 38
    perceive: bool = False
    splits: Path | None = None
    column: str | None = None


@dataclass(frozen=True)
class Loaded:
    """Molecules of a file.

    Args:
        molecules: what could be used.
        problems: records that could not.
        counts: records after each step.
        notes: what was assumed, chosen or passed over, a line each.
    """

    molecules: Molecules
    problems: Sequence[Problem]
    counts: Counts
    notes: Sequence[str] = ()


Embedder = Callable[[Sequence[Row]], Embedded]
"""Makes geometries for rows of a list."""


def ending_of(path: Path) -> str:
    """Ending of a file's name in small letters, without ``.gz``."""
    name = path.name.lower()
    suffixes = Path(name.removesuffix(".gz")).suffixes
    return suffixes[-1] if suffixes else ""


def check_ending(path: str | Path) -> None:
    """Refuse a file whose ending names no format that can be written.

    Raises:
        InputError: names the known endings.
    """
    path = Path(path)
    kind = ending_of(path)
    if kind not in WRITES or (kind == ".npz" and path.name.lower().endswith(".gz")):
        raise InputError(f"{path}: cannot tell the format from the ending; expected one of {' '.join(WRITES)}")


def read_molecules(path: str | Path, *, skip_invalid: bool = False, checked: bool = True) -> Molecules:
    """Read molecules by the ending of their file.

    Args:
        path: any file that ``READS`` names.
        skip_invalid: leave out records that cannot be used.
        checked: see :class:`Reading`.

    Raises:
        InputError: if the file cannot be read, or on the first record that cannot be used unless ``skip_invalid``.
    """
    return read(path, Reading(skip_invalid=skip_invalid, checked=checked)).molecules


def read(path: str | Path, how: Reading, *, embedder: Embedder | None = None) -> Loaded:
    """Read molecules by the ending of their file, with the counts of what was left out.

    Args:
        path: any file that ``READS`` names.
        how: what is taken.
        embedder: makes geometries for lists of SMILES; this process, one by one, when None.

    Raises:
        InputError: if the file cannot be read, or on the first record that cannot be used unless ``skip_invalid``.
    """
    path = Path(path)
    kind = ending_of(path)
    if kind in _PICKLES:
        raise InputError(
            f"{path}: a pickle can run any program when it is opened, so none is read; write its content as .sdf, or "
            "its SMILES and splits as .csv, with the program that made it"
        )
    archive = path.is_dir() or ".tar" in path.suffixes or path.suffix == ".tgz"
    if not path.exists():
        raise InputError(f"{path}: there is no such file")
    if not archive:
        _check_format(path, kind)
    if how.column is not None and kind not in LISTS:
        raise InputError(f"{path}: a column of SMILES is named for lists ({' '.join(LISTS)}) only; omit --column")
    if archive:
        found = _archive(path, how)
    else:
        found = _list(path, how, embedder) if kind in LISTS else _npz(path, how) if kind == ".npz" else _text(path, how)
    if how.perceive:
        found = _perceived(path, found, how)
    if how.splits is not None:
        found = _parted(found, how.splits)
    if not len(found.molecules):
        first = f"; the first: {found.problems[0].line}" if found.problems else ""
        raise InputError(f"{path}: no usable molecule{first}")
    if how.heavy and found.molecules.bond_offsets is None:
        raise InputError(
            f"{path}: hydrogens are counted along bonds, which are not known; pass --perceive to find them"
        )
    return _heavy(path, found, how) if how.heavy else found


def _check_format(path: Path, ending: str) -> None:
    """Refuse a file whose content shows another format than its ending says, and an ending that none has.

    Raises:
        InputError: says what the file is, and what to do.
    """
    found = check_format(path, ending)
    if found is not None and ending not in found.endings:
        raise InputError(f"{path}: this is {found.name}, and its ending says {ending or 'nothing'}: {found.way}")
    if ending not in READS:
        what = f": this is {found.name}; {found.way}" if found is not None else ""
        raise InputError(f"{path}: expected a file with one of the endings {' '.join(READS)}{what}")


def _heavy(path: Path, found: Loaded, how: Reading) -> Loaded:
    """Hydrogens counted; a molecule with one that cannot be is a problem, or keeps it where nothing is checked."""
    if not how.checked:
        return replace(found, molecules=found.molecules.heavy(strict=False))
    stays = found.molecules.heavy(strict=False)
    left = np.add.reduceat(stays.z == 1, stays.offsets[:-1]) > 0 if len(stays) else np.zeros(0, bool)
    reasons = ["marked as an isotope, or not bound to one heavy atom" if one else "" for one in left]
    problems = _problems("a hydrogen that cannot be counted", reasons, stays)
    raise_first(path, problems, skip_invalid=how.skip_invalid)
    kept = found.molecules.take(~left) if problems else found.molecules
    maps = int(((kept.z == 1) & kept.labelled("map")).sum())
    notes = [f"the atom maps of {maps:,} hydrogens are lost with them"] if maps else []
    counts = found.counts.then("hydrogens can be counted", len(kept)) if problems else found.counts
    return Loaded(kept.heavy(), [*found.problems, *problems], counts, [*found.notes, *notes])


def _archive(path: Path, how: Reading) -> Loaded:
    """The archive of QM9, or the ligands of a folder of pockets."""
    if is_qm9_archive(path):
        molecules, problems, counts = read_qm9(path)
        raise_first(path, problems, skip_invalid=how.skip_invalid)
        return _subset(Loaded(molecules, problems, counts), how)
    found = read_complexes(path, skip_invalid=how.skip_invalid)
    return _subset(Loaded(found.ligands, found.problems, found.counts), how)


def _perceived(path: Path, found: Loaded, how: Reading) -> Loaded:
    made = perceived(found.molecules, alternatives=True)
    raise_first(path, made.problems, skip_invalid=how.skip_invalid)
    counts = found.counts.then("bonds were found", len(made.molecules))
    return Loaded(made.molecules, [*found.problems, *made.problems], counts, [*found.notes, *made.notes])


def _parted(found: Loaded, splits: Path) -> Loaded:
    """Parts by a list: by the SMILES as it is given, else by the canonical one."""
    given = {row.smiles: row.split for row in read_smiles(splits).rows}
    if not all(given.values()):
        raise InputError(f"{splits}: expected a column called split with train, val or test beside the SMILES")
    canonical: dict[str, str] = {}
    for text, part in given.items():
        mol = parse_smiles(text)
        if not isinstance(mol, str):
            canonical[smiles_of(mol)] = part
    own = [""] * len(found.molecules) if found.molecules.smiles is None else found.molecules.smiles.tolist()
    words, _ = _smiles(found.molecules)
    parts = np.array([given.get(a) or canonical.get(b, "") for a, b in zip(own, words, strict=True)], np.str_)
    molecules = replace(found.molecules, split=parts).take(parts != "")
    what = f"in the list of parts ({splits.name})"
    return replace(found, molecules=molecules, counts=found.counts.then(what, len(molecules)))


def _subset(found: Loaded, how: Reading) -> Loaded:
    """A random subset, where there is a limit."""
    if how.limit is None:
        return found
    molecules = found.molecules.take(choose(range(len(found.molecules)), how.limit, how.seed))
    return replace(
        found,
        molecules=molecules,
        counts=found.counts.then(f"random subset of at most {how.limit:,}", len(molecules)),
    )


def _text(path: Path, how: Reading) -> Loaded:
    if ending_of(path) in {".xyz", ".extxyz"}:
        found = read_single(path) or read_xyz(path)
        good, problems = found.records, found.problems
    else:
        found = read_sdf(path, checked=how.checked)
        good, open_valences = settle_hydrogens(found.records, checked=how.checked, heavy=how.heavy)
        problems = sorted([*found.problems, *open_valences], key=lambda one: one.record)
        values = beside_sdf(path, len(found.records) + len(found.problems))
        if values:
            joined = [(n, replace(one, properties={**one.properties, **values[n - 1]})) for n, one in good]
            good = joined
    counts = Counts((("records", len(good) + len(problems)),)).then("usable", len(good))
    raise_first(path, problems, skip_invalid=how.skip_invalid)
    if not good:
        first = f"; the first: {problems[0].line}" if problems else ""
        raise InputError(f"{path}: no usable molecule{first}")
    return _subset(Loaded(gather([record for _, record in good]), problems, counts, found.notes), how)


def _npz(path: Path, how: Reading) -> Loaded:
    if is_prepared(path):
        molecules = open_prepared(path)
    elif is_folder_npz(path):
        molecules = read_folder_npz(path)
    else:
        about(path)  # says what is wrong with it
        raise InputError(f"{path}: neither a prepared container nor a set of the data folder")
    counts = Counts((("molecules", len(molecules)),))
    return _subset(Loaded(molecules, (), counts), how)


def _list(path: Path, how: Reading, embedder: Embedder | None) -> Loaded:
    listed = read_smiles(path, how.column)
    raise_first(path, listed.problems, skip_invalid=how.skip_invalid)
    rows = listed.rows
    chosen = [rows[place] for place in choose([row.row for row in rows], how.limit, how.seed)]
    if embedder is None:
        with tempfile.TemporaryDirectory() as folder:
            limits = Limits(max_heavy=how.max_heavy, seed=how.seed)
            made = embed(
                chosen,
                limits,
                Path(folder) / "parts",
                called=str(path),
                skip_invalid=how.skip_invalid,
                resumable=False,
            )
            # The parts are views of files that go away with the folder; joining them made copies.
    else:
        made = embedder(chosen)
    steps = [("rows of the list", len(rows) + len(listed.problems))]
    steps += [("readable rows", len(rows))] if listed.problems else []
    problems = sorted([*listed.problems, *made.problems], key=lambda one: one.record)
    return Loaded(made.molecules, problems, Counts((*steps, *made.counts.steps)), [*listed.notes, *made.notes])


def describe(found: Loaded) -> list[str]:
    """What was read, in lines: records at each step, what was left out and why, what molecules carry and consist of."""
    molecules = found.molecules
    sizes = [f"{int(value):,}" for value in (molecules.sizes.min(), molecules.sizes.max())]
    present = np.unique(molecules.z)
    elements = [f"{SYMBOLS[z]} {int((molecules.z == z).sum()):,}" for z in sorted(present, key=lambda z: (z != 6, z))]
    hydrogens = "counted on atoms" if bool(molecules.hydrogens.any()) else "atoms" if 1 in present else "none"
    bonds = "not known" if molecules.bond_offsets is None else f"{len(molecules.bonds):,}"
    lines = [
        *found.counts.lines(),
        *summary(found.problems),
        f"atoms of a molecule: {' to '.join(dict.fromkeys(sizes))}; bonds: {bonds}; hydrogens: {hydrogens}",
        f"elements: {', '.join(elements)}",
    ]
    for name, value in molecules.properties.items():
        there = value[np.isfinite(value)]
        span = f"{there.min():.6g} to {there.max():.6g}" if len(there) else "no value"
        lines.append(f"number {name}: {span}, {len(there):,} of {len(value):,} molecules have one")
    for name, value in molecules.words.items():
        there = value[value != ""]
        lines.append(f"text {name}: {len(np.unique(there)):,} different, {len(there):,} of {len(value):,} have one")
    lines += [f"{name} labels: {int(molecules.labelled(name).sum()):,} atoms" for name in molecules.labels]
    charged = np.add.reduceat(molecules.charge.astype(np.int64), molecules.offsets[:-1]) != 0
    if bool(charged.any()):
        lines.append(f"charged: {int(charged.sum()):,} molecules")
    if molecules.split is not None:
        parts, counts = np.unique(molecules.split, return_counts=True)
        lines.append("parts: " + ", ".join(f"{part or 'none'} {n:,}" for part, n in zip(parts, counts, strict=True)))
    return lines


def report(path: Path, **reading: Any) -> Inventory:
    """What is read of a file: records at each step, what molecules carry and consist of, what was assumed or left out.

    Args:
        path: any file that ``READS`` names, an archive or a folder; a list of SMILES gets no geometries.
        **reading: fields of ``Reading``.

    Raises:
        InputError: as ``read``.
    """
    how = Reading(**reading)
    limits = Limits(max_heavy=how.max_heavy, seed=how.seed)

    def embedder(rows: Sequence[Row]) -> Embedded:
        return graphs_alone(rows, limits, called=str(path), skip_invalid=how.skip_invalid)

    found = read(path, how, embedder=embedder)
    left = f"{len(found.problems):,} records are left out: {'; '.join(summary(found.problems))}"
    return Inventory(tuple(describe(found)), (*found.notes, *([left] if found.problems else [])))


TRIED = 20
"""Rows of a list that tell whether it holds SMILES."""


def recognises(path: Path, column: str | None = None) -> str:
    """What kind of molecules a path may be, by its ending or a column of SMILES; empty for none.

    Args:
        path: a file or folder.
        column: of the SMILES; one of the usual names when None.
    """
    if path.is_dir() or ".tar" in path.suffixes or path.suffix == ".tgz":
        archive = is_qm9_archive(path) or (path.is_dir() and next(path.rglob("*.sdf"), None) is not None)
        return "an archive of molecules" if archive else ""
    kind = ending_of(path)
    if kind == ".npz":
        known = is_prepared(path) or is_folder_npz(path)
        return "a set of molecules" if known else ""
    if kind not in LISTS or kind in {".smi", ".smiles"}:
        return f"by the ending {kind}" if kind in READS else ""
    try:
        rows = read_smiles(path, column).rows[:TRIED]
    except InputError:
        return ""
    good = sum(not isinstance(parse_smiles(row.smiles), str) for row in rows)
    return "a list of SMILES" if 2 * good > len(rows) else ""


def write_molecules(
    path: str | Path,
    molecules: Molecules,
    *,
    hydrogens: bool = True,
    overwrite: bool = False,
    notes: Sequence[str] = (),
) -> Sequence[Problem]:
    """Write molecules by the ending of the file; it appears whole or not at all.

    Args:
        path: any file that ``WRITES`` names.
        molecules: broken chemistry is written as it is, except as SMILES, which it has none of.
        hydrogens: give counted hydrogens places in ``.sdf`` and ``.xyz``.
        overwrite: replace a file that exists.
        notes: lines that a prepared container carries.

    Returns:
        Molecules that could not be written whole: without SMILES, without their hydrogens, or with charges or labels
        that the kind of file has no place for.

    Raises:
        InputError: if the ending is unknown.
        OutputError: if the file exists and ``overwrite`` is false, or the disk refuses.
    """
    path = Path(path)
    check_ending(path)
    check_free(path, overwrite=overwrite)
    kind = ending_of(path)
    if kind == ".npz":
        if molecules.split is None:
            molecules = replace(molecules, split=parts_of(molecules).words)
        save_prepared(path, molecules, notes=notes, overwrite=overwrite)
        return ()
    problems: list[Problem] = []
    if kind in {".smi", ".csv"}:
        words, problems = _smiles(molecules)
        texts = _smi(molecules, words) if kind == ".smi" else _csv(molecules, words)
    else:
        if hydrogens:
            molecules, reasons = place_hydrogens(molecules)
            problems = _problems("hydrogens cannot be placed", reasons, molecules)
        texts = sdf_blocks(molecules) if kind == ".sdf" else xyz_frames(molecules, extended=kind == ".extxyz")
        problems += [] if kind == ".sdf" else _unwritten(molecules, extended=kind == ".extxyz")
    data = "".join(texts).encode()
    with new_file(path, overwrite=overwrite) as partial:
        try:
            # No time stamp, so that equal content gives equal files.
            partial.write_bytes(gzip.compress(data, mtime=0) if path.name.lower().endswith(".gz") else data)
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror or error}; nothing was kept") from error
    return problems


def _problems(kind: str, reasons: Sequence[str], molecules: Molecules) -> list[Problem]:
    names = [""] * len(molecules) if molecules.names is None else [str(name) for name in molecules.names]
    return [Problem(i, kind, why, name) for i, (why, name) in enumerate(zip(reasons, names, strict=True), 1) if why]


def _smiles(molecules: Molecules) -> tuple[list[str], list[Problem]]:
    """SMILES of the bonds of each molecule, with what its own SMILES leaves open left open; empty where none holds."""
    words: list[str] = []
    reasons: list[str] = []
    for i in range(len(molecules)):
        if molecules.bond_offsets is None:
            given = "" if molecules.smiles is None else str(molecules.smiles[i])
            words.append(given)
            reasons.append("" if given else "its bonds are not known")
            continue
        mol = to_rdkit(molecules, i)
        reasons.append(sanitised(mol))
        own = "" if molecules.smiles is None else str(molecules.smiles[i])
        words.append("" if reasons[-1] else smiles_of(mol, own))
    return words, _problems("no SMILES", reasons, molecules)


def _unwritten(molecules: Molecules, *, extended: bool) -> list[Problem]:
    """Molecules with what an XYZ file has no place for."""
    owner = np.repeat(np.arange(len(molecules)), molecules.sizes)
    losses: list[tuple[str, str, NDArray[np.bool_]]] = [
        ("isotopes are not written", ".sdf keeps them", molecules.labelled("isotope")),
        ("atom maps are not written", ".sdf keeps them", molecules.labelled("map")),
    ]
    if not extended:
        losses.append(("charges are not written", ".extxyz says their sum, .sdf has each", molecules.charge != 0))
    found: list[Problem] = []
    for kind, way, atoms in losses:
        has = np.bincount(owner[atoms], minlength=len(molecules)) > 0
        found += _problems(kind, [way if one else "" for one in has.tolist()], molecules)
    return found


def _smi(molecules: Molecules, words: Sequence[str]) -> Iterator[str]:
    for i, word in enumerate(words):
        if word:
            name = "" if molecules.names is None else str(molecules.names[i])
            yield f"{word} {name}".strip() + "\n"


def _csv(molecules: Molecules, words: Sequence[str]) -> Iterator[str]:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    columns: dict[str, Sequence[str]] = {"smiles": words}
    for name, column in (("name", molecules.names), ("split", molecules.split)):
        if column is not None:
            columns[name] = [str(one) for one in column]
    numbers = {
        name: ["" if math.isnan(one) else number_text(one) for one in value.tolist()]
        for name, value in molecules.properties.items()
    }
    texts = {name: [str(one) for one in value] for name, value in molecules.words.items()}
    for name, column in (*numbers.items(), *texts.items()):
        # An item may be called as a column of ours is.
        columns[f"{name} (item)" if name in columns else name] = column
    writer.writerow(columns)
    for i, word in enumerate(words):
        if word:
            writer.writerow([column[i] for column in columns.values()])
    yield out.getvalue()
