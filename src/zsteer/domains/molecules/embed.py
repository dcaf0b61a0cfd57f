"""Geometries for SMILES: a conformer by ETKDGv3, minimised with MMFF94, with the values that belong to it.

Where MMFF94 has no parameters (boron, hypervalent atoms) the geometry is that of UFF, and such molecules are counted. A
value that the list gives itself, in any case of letters, is not computed.

The random numbers of a molecule follow from the seed and its SMILES alone, so that a row is the same for any number of
workers, any order and any subset. Work is cut into parts; each part is a small prepared container beside the goal, so
that a run that was killed goes on where it was.

Source: Wang, Witek, Landrum, Riniker, "Improving conformer generation for small rings and macrocycles based on distance
geometry and experimental torsional-angle preferences", 2020; Halgren, "Merck molecular force field", 1996; Rappe
et al., "UFF, a full periodic table force field for molecular mechanics and molecular dynamics simulations", 1992.
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
from zsteer.domains.molecules.chemistry import (
    Mol,
    Record,
    gather,
    leaves_stereo_open,
    parse_smiles,
    unmapped_smiles,
    whole_record,
    with_hydrogens,
)
from zsteer.domains.molecules.container import ELEMENTS, SYMBOLS, Molecules
from zsteer.domains.molecules.descriptors import GRAPH, SHAPE, graph_values, shape_values
from zsteer.domains.molecules.prepared import about, open_prepared, save_prepared
from zsteer.domains.molecules.smiles import Row, split_of
from zsteer.errors import InputError, OutputError

__all__ = [
    "DRUG_ELEMENTS",
    "Embedded",
    "Limits",
    "Runner",
    "embed",
    "embed_one",
    "embed_part",
    "graphs_alone",
    "screen",
    "serial",
]

DRUG_ELEMENTS = ("H", "B", "C", "N", "O", "F", "Si", "P", "S", "Cl", "Br", "I")
"""Elements that are taken by default."""

FORCE_FIELD = "force_field"
"""Item of text of a molecule whose geometry is not by MMFF94."""
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


@dataclass(frozen=True)
class Rules:
    """What else a worker has to know.

    Args:
        own: names of values that the list gives, in lower case; they are not computed.
        stop: give a part up at its first row without a geometry.
    """

    own: frozenset[str] = frozenset()
    stop: bool = False


_Task = tuple[str, Sequence[Row], Limits, Rules]


@dataclass(frozen=True)
class Embedded:
    """Molecules made from SMILES.

    Args:
        molecules: with bonds, hydrogens as atoms, properties and split.
        problems: rows that gave none.
        counts: rows after each step.
        notes: what was assumed or chosen, a line each.
    """

    molecules: Molecules
    problems: Sequence[Problem]
    counts: Counts
    notes: Sequence[str] = ()


def screen(row: Row, limits: Limits) -> Mol | Problem | None:
    """Molecule of a row, the problem with it, or None where it is larger than the limit."""
    mol = parse_smiles(row.smiles)
    if isinstance(mol, str):
        kind, _, detail = mol.partition(": ")
        return Problem(row.row, kind, f"{row.smiles!r} {detail}".strip(), row.name)
    atoms = list(mol.GetAtoms())
    if len(Chem.GetMolFrags(mol)) > 1:
        return Problem(row.row, "several fragments", f"{row.smiles}; a salt? keep its main part", row.name)
    if any(atom.GetAtomicNum() == 0 for atom in atoms):
        detail = f"{row.smiles}: * or an R group is no element; cap it (with H, C) first"
        return Problem(row.row, "attachment point", detail, row.name)
    unknown = sorted({atom.GetAtomicNum() for atom in atoms} - {ELEMENTS[symbol] for symbol in limits.elements})
    if unknown:
        symbols = " ".join(SYMBOLS[z] if z < len(SYMBOLS) else str(z) for z in unknown)
        return Problem(row.row, "unknown element", f"{symbols} in {row.smiles}", row.name)
    if any(atom.GetNumRadicalElectrons() for atom in atoms):
        return Problem(row.row, "radical", row.smiles, row.name)
    return mol if sum(atom.GetAtomicNum() > 1 for atom in atoms) <= limits.max_heavy else None


def embed_one(row: Row, limits: Limits, own: frozenset[str] = frozenset()) -> Record | Problem:
    """Geometry and values of one row.

    Args:
        row: with a SMILES.
        limits: the seed is used; what is taken was screened before.
        own: names of values in lower case that the list gives, here or in other rows; they are not computed.
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
    mmff = rdForceFieldHelpers.MMFFHasAllMoleculeParams(mol)
    if not mmff and not rdForceFieldHelpers.UFFHasAllMoleculeParams(mol):
        return Problem(row.row, "no force field", f"{row.smiles}: MMFF94 and UFF lack parameters", row.name)
    field_name = "MMFF94" if mmff else "UFF"
    optimise = rdForceFieldHelpers.MMFFOptimizeMolecule if mmff else rdForceFieldHelpers.UFFOptimizeMolecule
    if optimise(mol, maxIters=_STEPS) != 0:
        return Problem(row.row, f"{field_name} does not converge", row.smiles, row.name)
    # MMFF94 leaves its own idea of aromaticity on the molecule, so that the graph is taken from the parsed one.
    known = own | {name.casefold() for name in (*row.values, *row.words)}
    computed = {**graph_values(parsed), **shape_values(mol)}
    values = {**row.values, **{name: value for name, value in computed.items() if name.casefold() not in known}}
    words = row.words if mmff else {FORCE_FIELD: "UFF", **row.words}
    part = row.split or split_of(unmapped_smiles(parsed))
    one = whole_record(parsed, smiles=row.smiles, name=row.name, split=part, properties=values, words=words)
    xyz = mol.GetConformer().GetPositions()
    return replace(one, xyz=xyz - xyz.mean(0))


def embed_part(task: _Task) -> None:
    """Embed the rows of one part and write it; the task is (path, rows, limits, rules). Runs in a worker."""
    path, rows, limits, rules = task
    found: list[Record | Problem] = []
    for row in rows:
        found.append(embed_one(row, limits, rules.own))
        if rules.stop and isinstance(found[-1], Problem):
            with new_file(_refusal(path), overwrite=True) as partial:
                partial.write_text(json.dumps(asdict(found[-1])), encoding="utf-8")
            return
    problems = [one for one in found if isinstance(one, Problem)]
    molecules = gather([one for one in found if isinstance(one, Record)])
    save_prepared(path, molecules, notes=[json.dumps(asdict(one)) for one in problems], overwrite=True)


def _refusal(path: str) -> Path:
    """Where a part that was given up says why."""
    return Path(path).with_suffix(".json")


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
    resumable: bool = True,
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
        resumable: whether ``work`` outlives this call, so that what is done is gone on with.
        run: what runs the parts.
        watch: called with ``step`` of ``steps`` rows.

    Raises:
        InputError: on the first row that cannot be used, unless ``skip_invalid``; or if nothing is left.
    """
    usable, problems, counts, opened = _screened(rows, limits)
    raise_first(called, problems, skip_invalid=skip_invalid)
    parts = [usable[start : start + PART] for start in range(0, len(usable), PART)]
    _plan(work, usable, limits)
    own = frozenset(name.casefold() for row in rows for name in (*row.values, *row.words))
    rules = Rules(own, stop=not skip_invalid)
    tasks = [(str(work / f"part-{number:06d}.npz"), part, limits, rules) for number, part in enumerate(parts)]
    broken: list[_Task] = []
    done = sum(len(task[1]) for task in tasks if Path(task[0]).is_file())
    for task, status in _worked(tasks, run):
        if status != "ok":
            broken.append(task)
        if _refusal(task[0]).is_file():
            problem = Problem(**json.loads(_refusal(task[0]).read_text(encoding="utf-8")))
            _refusal(task[0]).unlink()
            kept = f"; {done:,} geometries are kept and gone on with" if resumable and done else ""
            raise InputError(f"{called}: {problem.line} (pass --skip-invalid to leave such rows out{kept})")
        done += len(task[1])
        watch({"step": done, "steps": len(usable)})
    alone = [one for task in broken for one in _singly(task, Rules(own))]
    crashed = [(task[1][0], status) for task, status in _worked(alone, run) if status != "ok"]
    failed = [Problem(row.row, "takes the program down", f"{row.smiles}: {why}", row.name) for row, why in crashed]
    files = [task[0] for task in (*tasks, *alone) if Path(task[0]).is_file()]
    failed += [Problem(**json.loads(line)) for path in files for line in about(path)["notes"]]
    failed.sort(key=lambda one: one.record)
    raise_first(called, failed, skip_invalid=skip_invalid)
    # Joining one part copies it, so that its file is closed: thousands of parts are more than a process may open.
    made = [Molecules.cat([part]) for path in sorted(files) if len(part := open_prepared(path))]
    problems += failed
    if not made:
        first = f"; the first: {problems[0].line}" if problems else ""
        raise InputError(f"{called}: no usable row among {len(rows):,}{first}")
    molecules, lost = Molecules.cat(_alike(made)), {one.record for one in failed}
    notes = _notes(molecules, own, [row for row in opened if row not in lost])
    return Embedded(molecules, problems, counts.then("a geometry was found", len(molecules)), notes)


def graphs_alone(
    rows: Sequence[Row], limits: Limits, *, called: str = "the list", skip_invalid: bool = False
) -> Embedded:
    """Molecules of a list without their geometry, all atoms in one place: to say what the list holds.

    Args:
        rows: the list.
        limits: which molecules are taken.
        called: what the list is called in messages.
        skip_invalid: leave out rows that cannot be used.

    Raises:
        InputError: on the first row that cannot be used, unless ``skip_invalid``; or if nothing is left.
    """
    usable, problems, counts, opened = _screened(rows, limits)
    raise_first(called, problems, skip_invalid=skip_invalid)
    made: list[Record] = []
    for row in usable:
        mol = parse_smiles(row.smiles)
        if not isinstance(mol, str):
            about = {"smiles": row.smiles, "name": row.name, "split": row.split}
            one = whole_record(mol, **about, properties=row.values, words=row.words)
            made.append(replace(one, xyz=np.zeros((len(one.z), 3), np.float32)))
    if not made:
        first = f"; the first: {problems[0].line}" if problems else ""
        raise InputError(f"{called}: no usable row among {len(rows):,}{first}")
    molecules, own = gather(made), frozenset(name.casefold() for row in rows for name in (*row.values, *row.words))
    later = "a geometry is made of each when the list is converted or trained on"
    return Embedded(molecules, problems, counts, [*_notes(molecules, own, opened), later])


def _singly(task: _Task, rules: Rules) -> list[_Task]:
    """Rows of a part that took its worker down, each alone: it takes down nothing else then."""
    path, part, limits, _ = task
    return [(f"{path.removesuffix('.npz')}-{row.row:09d}.npz", [row], limits, rules) for row in part]


def _notes(molecules: Molecules, own: frozenset[str], opened: Sequence[int]) -> list[str]:
    """What was chosen for molecules that say less than a geometry does."""
    notes: list[str] = []
    kept = [name for name in (*GRAPH, *SHAPE) if name.casefold() in own]
    if kept:
        notes.append(f"{', '.join(kept)}: the list's own values are kept, none is computed")
    if opened:
        rows = ", ".join(map(str, opened[:5])) + (", ..." if len(opened) > 5 else "")
        notes.append(
            f"{len(opened):,} molecules leave stereo open (row {rows}): their geometry shows one isomer of several, "
            "their SMILES stay as they are"
        )
    rough = int((molecules.words.get(FORCE_FIELD, np.array([])) == "UFF").sum())
    if rough:
        notes.append(f"{rough:,} geometries are by UFF, because MMFF94 has no parameters ({FORCE_FIELD}: UFF)")
    return notes


def _worked(tasks: Sequence[_Task], run: Runner) -> Iterator[tuple[_Task, str]]:
    """Run the tasks whose part is not there yet."""
    waiting = [task for task in tasks if not Path(task[0]).is_file()]
    for number, status in run(waiting):
        yield waiting[number], status


def _screened(rows: Sequence[Row], limits: Limits) -> tuple[list[Row], list[Problem], Counts, list[int]]:
    """Rows that can be used, problems, counts, and the rows that leave stereo open."""
    opened: list[int] = []
    usable: list[Row] = []
    problems: list[Problem] = []
    for row in rows:
        found = screen(row, limits)
        if isinstance(found, Problem):
            problems.append(found)
        elif found is not None:
            usable.append(row)
            opened += [row.row] if leaves_stereo_open(found) else []
    counts = Counts((("rows", len(rows)),)).then("usable SMILES", len(rows) - len(problems))
    return usable, problems, counts.then(f"at most {limits.max_heavy} heavy atoms", len(usable)), opened


def _plan(work: Path, rows: Sequence[Row], limits: Limits) -> None:
    """Note what the folder of parts is for; parts of another list, or of other limits, are cleared away."""
    digest = hashlib.sha256(json.dumps([asdict(row) for row in rows]).encode()).hexdigest()
    plan = {"rows": digest, "limits": [limits.max_heavy, *limits.elements, limits.seed], "rdkit": rdkit.__version__}
    path = work / "plan.json"
    try:
        if path.is_file():
            if json.loads(path.read_text(encoding="utf-8")) == plan:
                return
            for part in work.glob("part-*"):
                part.unlink()
        with new_file(path, overwrite=True) as partial:
            partial.write_text(json.dumps(plan), encoding="utf-8")
    except (OSError, ValueError) as error:
        raise OutputError(f"{path}: {error}; remove the folder to begin again") from None


def _alike(parts: Sequence[Molecules]) -> list[Molecules]:
    """Parts with the same properties and items of text, names and splits: one that a part lacks is NaN, or empty."""
    names = list(dict.fromkeys(name for part in parts for name in part.properties))
    texts = list(dict.fromkeys(name for part in parts for name in part.words))
    named = any(part.names is not None for part in parts)
    made: list[Molecules] = []
    for part in parts:
        empty = np.full(len(part), "", np.str_)
        made.append(
            replace(
                part,
                properties={n: part.properties.get(n, np.full(len(part), np.nan)) for n in names},
                words={n: part.words.get(n, empty) for n in texts},
                names=empty if named and part.names is None else part.names,
            )
        )
    return made
