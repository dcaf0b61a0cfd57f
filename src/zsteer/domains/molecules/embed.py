"""Geometries for SMILES: a conformer by ETKDGv3, minimised with MMFF94, with the values that belong to it.

The random numbers of a molecule follow from the seed and its SMILES alone, so that a row is the same for any number of
workers, any order and any subset. Work is cut into parts; each part is a small prepared container beside the goal, so
that a run that was killed goes on where it was.

Source: Wang, Witek, Landrum, Riniker, "Improving conformer generation for small rings and macrocycles based on distance
geometry and experimental torsional-angle preferences", 2020; Halgren, "Merck molecular force field", 1996.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import rdkit
from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

from zsteer.core.files import new_file
from zsteer.domains.molecules.checks import Counts, Problem, raise_first
from zsteer.domains.molecules.chemistry import Mol, Record, gather, parse_smiles, whole_record, with_hydrogens
from zsteer.domains.molecules.container import ELEMENTS, SYMBOLS, Molecules
from zsteer.domains.molecules.descriptors import graph_values, shape_values
from zsteer.domains.molecules.prepared import about, open_prepared, save_prepared
from zsteer.domains.molecules.smiles import Row, split_of
from zsteer.errors import InputError, OutputError

__all__ = ["DRUG_ELEMENTS", "Embedded", "Limits", "Runner", "embed", "embed_one", "embed_part", "screen", "serial"]

DRUG_ELEMENTS = ("H", "B", "C", "N", "O", "F", "Si", "P", "S", "Cl", "Br", "I")
"""Elements that are taken by default."""

PART = 200
"""Rows of one part: a few seconds of work."""
_STEPS = 10_000

Runner = Callable[[Sequence[Any]], Iterator[tuple[int, str]]]
"""Runs tasks of :func:`embed_part`, and gives (number of the task, ``"ok"`` or the reason) as they end."""


@dataclass(frozen=True)
class Limits:
    """Which molecules are taken, and the seed of their geometries.

    Args:
        max_heavy: heavy atoms at most; larger molecules are filtered and counted.
        elements: symbols that may occur.
        seed: of the geometries.
    """

    max_heavy: int = 38
    elements: tuple[str, ...] = DRUG_ELEMENTS
    seed: int = 0

    def __post_init__(self) -> None:
        unknown = [symbol for symbol in self.elements if symbol not in ELEMENTS]
        if unknown or self.max_heavy < 1:
            raise InputError(f"expected symbols of elements and at least one heavy atom, got {self}")


_Task = tuple[str, Sequence[Row], Limits]


@dataclass(frozen=True)
class Embedded:
    """Molecules made from SMILES.

    Args:
        molecules: with bonds, hydrogens as atoms, properties and split.
        problems: rows that gave none.
        counts: rows after each step.
    """

    molecules: Molecules
    problems: Sequence[Problem]
    counts: Counts


def screen(row: Row, limits: Limits) -> Mol | Problem | None:
    """Molecule of a row, the problem with it, or None where it is larger than the limit."""
    mol = parse_smiles(row.smiles)
    if isinstance(mol, str):
        kind, _, detail = mol.partition(": ")
        return Problem(row.row, kind, f"{row.smiles!r} {detail}".strip(), row.name)
    atoms = list(mol.GetAtoms())
    if len(Chem.GetMolFrags(mol)) > 1:
        return Problem(row.row, "several fragments", f"{row.smiles}; a salt? keep its main part", row.name)
    unknown = sorted({atom.GetAtomicNum() for atom in atoms} - {ELEMENTS[symbol] for symbol in limits.elements})
    if unknown:
        symbols = " ".join(SYMBOLS[z] if z < len(SYMBOLS) else str(z) for z in unknown)
        return Problem(row.row, "unknown element", f"{symbols} in {row.smiles}", row.name)
    if any(atom.GetNumRadicalElectrons() for atom in atoms):
        return Problem(row.row, "radical", row.smiles, row.name)
    return mol if sum(atom.GetAtomicNum() > 1 for atom in atoms) <= limits.max_heavy else None


def embed_one(row: Row, limits: Limits) -> Record | Problem:
    """Geometry and values of one row.

    Args:
        row: with a SMILES.
        limits: the seed is used; what is taken was screened before.
    """
    parsed = parse_smiles(row.smiles)
    if isinstance(parsed, str):
        return Problem(row.row, parsed, row.smiles, row.name)
    mol = with_hydrogens(parsed)
    settings: Any = rdDistGeom.ETKDGv3()
    word = hashlib.sha256(f"{limits.seed}:{row.smiles}".encode()).digest()
    settings.randomSeed = int.from_bytes(word[:4], "big") & 0x7FFFFFFF
    if rdDistGeom.EmbedMolecule(mol, settings) < 0:
        settings.useRandomCoords = True
        if rdDistGeom.EmbedMolecule(mol, settings) < 0:
            return Problem(row.row, "does not embed", row.smiles, row.name)
    if not rdForceFieldHelpers.MMFFHasAllMoleculeParams(mol):
        return Problem(row.row, "no MMFF94 parameters", row.smiles, row.name)
    if rdForceFieldHelpers.MMFFOptimizeMolecule(mol, maxIters=_STEPS) != 0:
        return Problem(row.row, "MMFF94 does not converge", row.smiles, row.name)
    # MMFF94 leaves its own idea of aromaticity on the molecule, so that the graph is taken from the parsed one.
    values = {**row.values, **graph_values(parsed), **shape_values(mol)}
    part = row.split or split_of(Chem.MolToSmiles(parsed))
    named = row.name or f"row-{row.row}"
    one = whole_record(parsed, smiles=row.smiles, name=named, split=part, properties=values)
    xyz = mol.GetConformer().GetPositions()
    return replace(one, xyz=xyz - xyz.mean(0))


def embed_part(task: _Task) -> None:
    """Embed the rows of one part and write it; the task is (path, rows, limits). Runs in a worker."""
    path, rows, limits = task
    found = [embed_one(row, limits) for row in rows]
    problems = [one for one in found if isinstance(one, Problem)]
    molecules = gather([one for one in found if isinstance(one, Record)])
    save_prepared(path, molecules, notes=[json.dumps(asdict(one)) for one in problems], overwrite=True)


def serial(tasks: Sequence[Any]) -> Iterator[tuple[int, str]]:
    """Run the tasks here, one after the other."""
    for number, task in enumerate(tasks):
        embed_part(task)
        yield number, "ok"


def embed(
    rows: Sequence[Row],
    limits: Limits,
    work: Path,
    *,
    called: str = "the list",
    skip_invalid: bool = False,
    run: Runner = serial,
    watch: Callable[[dict[str, Any]], None] = lambda _: None,
) -> Embedded:
    """Make geometries for a list of SMILES.

    Args:
        rows: the list.
        limits: which molecules are taken, and the seed.
        work: folder for the parts; one that is there already is gone on with. The caller removes it in the end.
        called: what the list is called in messages: its file.
        skip_invalid: leave out rows that cannot be used.
        run: what runs the parts.
        watch: called with ``step`` of ``steps`` rows.

    Raises:
        InputError: on the first row that cannot be used, unless ``skip_invalid``; if ``work`` belongs to another run;
            or if nothing is left.
    """
    usable, problems, counts = _screened(rows, limits)
    raise_first(called, problems, skip_invalid=skip_invalid)
    parts = [usable[start : start + PART] for start in range(0, len(usable), PART)]
    _plan(work, usable, limits)
    tasks = [(str(work / f"part-{number:06d}.npz"), part, limits) for number, part in enumerate(parts)]
    broken: list[_Task] = []
    done = sum(len(part) for path, part, _ in tasks if Path(path).is_file())
    for task, status in _worked(tasks, run):
        if status != "ok":
            broken.append(task)
        done += len(task[1])
        watch({"step": done, "steps": len(usable)})
    # One row can take its worker down with it; alone, it takes down nothing else.
    alone = [
        (f"{path.removesuffix('.npz')}-{row.row:09d}.npz", [row], limits) for path, part, _ in broken for row in part
    ]
    crashed = [(task[1][0], status) for task, status in _worked(alone, run) if status != "ok"]
    failed = [Problem(row.row, "takes the program down", f"{row.smiles}: {why}", row.name) for row, why in crashed]
    files = [task[0] for task in (*tasks, *alone) if Path(task[0]).is_file()]
    failed += [Problem(**json.loads(line)) for path in files for line in about(path)["notes"]]
    failed.sort(key=lambda one: one.record)
    if failed and not skip_invalid:
        raise InputError(
            f"{called}: {failed[0].line}; {len(failed):,} such records in all (pass --skip-invalid to leave them out; "
            f"what is done is kept in {work})"
        )
    # Joining one part copies it, so that its file is closed: thousands of parts are more than a process may open.
    made = [Molecules.cat([part]) for path in sorted(files) if len(part := open_prepared(path))]
    if not made:
        raise InputError(f"{called}: no usable row among {len(rows):,}; the first: {(problems + failed)[0].line}")
    molecules = Molecules.cat(_alike(made))
    return Embedded(molecules, problems + failed, counts.then("a geometry was found", len(molecules)))


def _worked(tasks: Sequence[_Task], run: Runner) -> Iterator[tuple[_Task, str]]:
    """Run the tasks whose part is not there yet."""
    waiting = [task for task in tasks if not Path(task[0]).is_file()]
    for number, status in run(waiting):
        yield waiting[number], status


def _screened(rows: Sequence[Row], limits: Limits) -> tuple[list[Row], list[Problem], Counts]:
    usable: list[Row] = []
    problems: list[Problem] = []
    for row in rows:
        found = screen(row, limits)
        if isinstance(found, Problem):
            problems.append(found)
        elif found is not None:
            usable.append(row)
    counts = Counts((("rows", len(rows)),)).then("usable SMILES", len(rows) - len(problems))
    return usable, problems, counts.then(f"at most {limits.max_heavy} heavy atoms", len(usable))


def _plan(work: Path, rows: Sequence[Row], limits: Limits) -> None:
    """Note what the folder of parts is for, or refuse one that is for something else."""
    digest = hashlib.sha256(json.dumps([asdict(row) for row in rows]).encode()).hexdigest()
    plan = {"rows": digest, "limits": [limits.max_heavy, *limits.elements, limits.seed], "rdkit": rdkit.__version__}
    path = work / "plan.json"
    try:
        if path.is_file():
            if json.loads(path.read_text(encoding="utf-8")) == plan:
                return
            raise InputError(f"{work} holds parts of another run; remove it, or choose another name for the output")
        with new_file(path) as partial:
            partial.write_text(json.dumps(plan), encoding="utf-8")
    except (OSError, ValueError) as error:
        raise OutputError(f"{path}: {error}; remove the folder to begin again") from None


def _alike(parts: Sequence[Molecules]) -> list[Molecules]:
    """Parts with the same properties: one that a part lacks is NaN there."""
    names = list(dict.fromkeys(name for part in parts for name in part.properties))
    return [
        replace(part, properties={n: part.properties.get(n, np.full(len(part), np.nan)) for n in names})
        for part in parts
    ]
