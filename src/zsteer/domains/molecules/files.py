"""Molecules in and out by file ending: ``.sdf``, ``.xyz``, ``.extxyz``, ``.smi``, ``.csv`` and ``.npz``.

Text may be compressed (``.gz``). An ``.npz`` is a prepared container or a set of the data folder. SMILES get a geometry
when they are read. The QM9 archive and folders of ligands in pockets are read too. Reading is checked unless set
otherwise: records that nothing can be learnt from are errors, or are left out and counted with ``skip_invalid``.
"""

import csv
import gzip
import io
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from zsteer.core.files import check_free, new_file
from zsteer.domains.molecules.checks import Counts, Problem, raise_first
from zsteer.domains.molecules.chemistry import gather, parse_smiles, place_hydrogens, sanitised, smiles_of, to_rdkit
from zsteer.domains.molecules.container import Molecules
from zsteer.domains.molecules.data import is_folder_npz, read_folder_npz
from zsteer.domains.molecules.embed import Embedded, Limits, embed
from zsteer.domains.molecules.fit import perceived
from zsteer.domains.molecules.pockets import read_complexes
from zsteer.domains.molecules.prepared import about, is_prepared, open_prepared, save_prepared
from zsteer.domains.molecules.qm9 import beside_sdf, is_qm9_archive, read_qm9
from zsteer.domains.molecules.sdf import read_sdf, sdf_blocks, settle_hydrogens
from zsteer.domains.molecules.smiles import Row, choose, read_smiles
from zsteer.domains.molecules.xyz import read_xyz, xyz_frames
from zsteer.errors import InputError, OutputError

__all__ = ["READS", "WRITES", "Loaded", "Reading", "check_ending", "read", "read_molecules", "write_molecules"]

READS = (".sdf", ".sd", ".mol", ".xyz", ".extxyz", ".smi", ".smiles", ".csv", ".tsv", ".npz")
"""Endings that are read; text also with .gz."""
WRITES = (".sdf", ".xyz", ".extxyz", ".smi", ".csv", ".npz")
"""Endings that are written; text also with .gz."""

_PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".joblib")
_LISTS = (".smi", ".smiles", ".csv", ".tsv")


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
    """

    skip_invalid: bool = False
    checked: bool = True
    heavy: bool = False
    limit: int | None = None
    seed: int = 0
    max_heavy: int = 38
    perceive: bool = False
    splits: Path | None = None


@dataclass(frozen=True)
class Loaded:
    """Molecules of a file.

    Args:
        molecules: what could be used.
        problems: records that could not.
        counts: records after each step.
    """

    molecules: Molecules
    problems: Sequence[Problem]
    counts: Counts


Embedder = Callable[[Sequence[Row]], Embedded]
"""Makes geometries for rows of a list."""


def _ending(path: Path) -> str:
    name = path.name.lower()
    suffixes = Path(name.removesuffix(".gz")).suffixes
    return suffixes[-1] if suffixes else ""


def check_ending(path: str | Path) -> None:
    """Refuse a file whose ending names no format that can be written.

    Raises:
        InputError: names the known endings.
    """
    path = Path(path)
    kind = _ending(path)
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
    kind = _ending(path)
    if kind in _PICKLES:
        raise InputError(
            f"{path}: a pickle can run any program when it is opened, so none is read; write its content as .sdf, or "
            "its SMILES and splits as .csv, with the program that made it"
        )
    archive = path.is_dir() or ".tar" in path.suffixes or path.suffix == ".tgz"
    if kind not in READS and not archive:
        raise InputError(f"{path}: cannot tell the format from the ending; expected one of {' '.join(READS)}")
    if not path.exists():
        raise InputError(f"{path}: there is no such file")
    if archive:
        found = _archive(path, how)
    else:
        found = (
            _list(path, how, embedder) if kind in _LISTS else _npz(path, how) if kind == ".npz" else _text(path, how)
        )
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
    return replace(found, molecules=found.molecules.heavy()) if how.heavy else found


def _archive(path: Path, how: Reading) -> Loaded:
    """The archive of QM9, or the ligands of a folder of pockets."""
    if is_qm9_archive(path):
        molecules, problems, counts = read_qm9(path)
        raise_first(path, problems, skip_invalid=how.skip_invalid)
        return _subset(Loaded(molecules, problems, counts), how)
    found = read_complexes(path, skip_invalid=how.skip_invalid)
    return _subset(Loaded(found.ligands, found.problems, found.counts), how)


def _perceived(path: Path, found: Loaded, how: Reading) -> Loaded:
    molecules, problems = perceived(found.molecules)
    raise_first(path, problems, skip_invalid=how.skip_invalid)
    return Loaded(molecules, [*found.problems, *problems], found.counts.then("bonds were found", len(molecules)))


def _parted(found: Loaded, splits: Path) -> Loaded:
    """Parts by a list: by the SMILES as it is given, else by the canonical one."""
    given = {row.smiles: row.split for row in read_smiles(splits)}
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
    if _ending(path) in {".xyz", ".extxyz"}:
        good, problems = read_xyz(path)
    else:
        records, problems = read_sdf(path, checked=how.checked)
        good, open_valences = settle_hydrogens(records, checked=how.checked, heavy=how.heavy)
        problems = sorted([*problems, *open_valences], key=lambda one: one.record)
        values = beside_sdf(path, len(records) + len(problems) - len(open_valences))
        if values:
            joined = [(n, replace(one, properties={**one.properties, **values[n - 1]})) for n, one in good]
            good = joined
    counts = Counts((("records", len(good) + len(problems)),)).then("usable", len(good))
    raise_first(path, problems, skip_invalid=how.skip_invalid)
    if not good:
        first = f"; the first: {problems[0].line}" if problems else ""
        raise InputError(f"{path}: no usable molecule{first}")
    return _subset(Loaded(gather([record for _, record in good]), problems, counts), how)


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
    rows = read_smiles(path)
    chosen = [rows[place] for place in choose([row.row for row in rows], how.limit, how.seed)]
    if embedder is None:
        with tempfile.TemporaryDirectory() as folder:
            limits = Limits(max_heavy=how.max_heavy, seed=how.seed)
            made = embed(chosen, limits, Path(folder) / "parts", called=str(path), skip_invalid=how.skip_invalid)
            # The parts are views of files that go away with the folder; joining them made copies.
    else:
        made = embedder(chosen)
    counts = Counts((("rows of the list", len(rows)), *made.counts.steps))
    return Loaded(made.molecules, made.problems, counts)


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
        Molecules that could not be written whole: without SMILES, or without their hydrogens.

    Raises:
        InputError: if the ending is unknown.
        OutputError: if the file exists and ``overwrite`` is false, or the disk refuses.
    """
    path = Path(path)
    check_ending(path)
    check_free(path, overwrite=overwrite)
    kind = _ending(path)
    if kind == ".npz":
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
    """SMILES of each molecule as its bonds have it; empty where there is none."""
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
        words.append("" if reasons[-1] else smiles_of(mol))
    return words, _problems("no SMILES", reasons, molecules)


def _smi(molecules: Molecules, words: Sequence[str]) -> Iterator[str]:
    for i, word in enumerate(words):
        if word:
            name = "" if molecules.names is None else str(molecules.names[i])
            yield f"{word} {name}".strip() + "\n"


def _csv(molecules: Molecules, words: Sequence[str]) -> Iterator[str]:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    columns = {name: getattr(molecules, name) for name in ("names", "split") if getattr(molecules, name) is not None}
    writer.writerow(["smiles", *("name" if name == "names" else name for name in columns), *molecules.properties])
    for i, word in enumerate(words):
        if word:
            numbers = [f"{value[i]:.9g}" for value in molecules.properties.values()]
            writer.writerow([word, *(str(column[i]) for column in columns.values()), *numbers])
    yield out.getvalue()
