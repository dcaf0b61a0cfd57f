"""The kit of molecules in three dimensions: properties of graph and shape, parts that stay, valence checked."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from rdkit import Chem

from zsteer.core.batch import Batch
from zsteer.core.goal import Term, Trail
from zsteer.core.objective import Part, Target
from zsteer.core.options import Options
from zsteer.core.property import Property
from zsteer.domains.molecules import files
from zsteer.domains.molecules.checks import Problem, summary
from zsteer.domains.molecules.chemistry import Mol, from_rdkit
from zsteer.domains.molecules.complete import completed
from zsteer.domains.molecules.container import SYMBOLS, Molecules
from zsteer.domains.molecules.dense import ragged
from zsteer.domains.molecules.metrics.chemist import folded, perceived
from zsteer.domains.molecules.metrics.graph import Verdicts, verdicts
from zsteer.domains.molecules.properties import PROPERTIES
from zsteer.domains.molecules.space import MoleculeSpace
from zsteer.errors import CapabilityError, InputError
from zsteer.kits.base import NOTHING, Samples, Subject
from zsteer.kits.common import found_property, note_reading, numeric_target, results_of
from zsteer.kits.molecules.keep import atoms_kept, kept_atoms
from zsteer.kits.molecules.options import OPTIONS

__all__ = ["GeneratedMolecules", "MoleculeKit", "formula", "generated"]


FACTS = ("template_id", "asked", "reached")
"""Columns of a table of results that files carry as items of text; ``valid`` is added to them."""


@dataclass(frozen=True)
class GeneratedMolecules:
    """Molecules as a model made them, hydrogens counted, with what does not hold of each.

    Args:
        molecules: with SMILES where the chemistry holds.
        problems: empty where the chemistry of a molecule holds, else why not.
    """

    molecules: Molecules
    problems: tuple[str, ...]

    def objects(self) -> list[Mol | None]:
        """RDKit molecules with their conformer; None for those that are not valid."""
        graphs = verdicts(self.molecules)
        return [mol if good else None for mol, good in zip(graphs.mols, graphs.valid, strict=True)]


def generated(x: Batch, *, bonded: bool = True) -> GeneratedMolecules:
    """A batch that a model made, as molecules with hydrogens counted and SMILES.

    Molecules in several pieces, or whose valences do not hold, have a problem and no SMILES.

    Args:
        x: molecules, as their space encodes them.
        bonded: whether the model makes bonds; where it does not, nothing holds and nothing has SMILES.

    Raises:
        InputError: if there is no mask.
    """
    if x.mask is None:
        raise InputError("expected molecules with a mask of their atoms")
    arrays = {name: value.cpu().numpy() for name, value in x.fields.items()}
    molecules = ragged(arrays, x.mask.cpu().numpy())
    if not bonded:
        return GeneratedMolecules(molecules, ("no bonds: the model makes none",) * len(molecules))
    whole, problems = completed(molecules)
    return GeneratedMolecules(whole, tuple(problems))


def formula(molecules: Molecules, i: int) -> str:
    """Element counts of one molecule, carbon first."""
    z = molecules.z[int(molecules.offsets[i]) : int(molecules.offsets[i + 1])].tolist()
    count = {SYMBOLS[number]: z.count(number) for number in sorted(set(z), key=lambda number: (number != 6, number))}
    return "".join(f"{symbol}{many if many > 1 else ''}" for symbol, many in count.items())


def _warn_of_losses(path: Path, lost: Sequence[Problem]) -> None:
    """Say which molecules a file lacks, or has not whole."""
    for line in summary(lost):
        warnings.warn(f"{path}: {line}", UserWarning, stacklevel=3)


def _with_facts(made: GeneratedMolecules, columns: Mapping[str, Sequence[object]]) -> Molecules:
    """Molecules with the names and items of text of their table."""
    texts = {name: [str(one) for one in columns[name]] for name in FACTS if name in columns}
    texts["valid"] = ["yes" if not problem else f"no: {problem}" for problem in made.problems]
    named = columns.get("name")
    molecules = made.molecules.with_words(**texts)
    return molecules if named is None else replace(molecules, names=np.array([str(one) for one in named], np.str_))


def _names_of(samples: Samples) -> Sequence[str]:
    """Names of molecules of a file, or their places where they have none."""
    molecules: Molecules = samples.items.molecules if isinstance(samples.items, GeneratedMolecules) else samples.items
    names = [""] * len(molecules) if molecules.names is None else molecules.names.tolist()
    return [str(name) or f"template-{k}" for k, name in enumerate(names, 1)]


def _stays(molecules: Molecules, i: int, keep: Mapping[str, object]) -> str:
    """Why nothing, or everything, of molecule i would stay; empty where a part does, or none was asked to."""
    if keep:
        try:
            kept_atoms(molecules, i, keep)
        except InputError as error:
            return str(error).partition(": ")[2] or str(error)
    return ""


def _each(value: object, n: int) -> Sequence[float | str]:
    """A condition for each of ``n`` samples."""
    if isinstance(value, str | int | float):
        return [value] * n
    found = value.tolist() if isinstance(value, torch.Tensor | np.ndarray) else list(cast("Sequence[Any]", value))
    return found if len(found) == n else [str(value)] * n


def _said(values: Mapping[str, Any], n: int) -> list[str]:
    """Values of each sample in one text; what has no value is left away."""
    rows = {
        name: [one if isinstance(one, str) else f"{float(one):.4g}" for one in found] for name, found in values.items()
    }
    return ["; ".join(f"{name}={row[k]}" for name, row in rows.items() if row[k] != "nan") for k in range(n)]


class MoleculeKit:
    """What molecules offer a user."""

    domain: str = "molecules"
    options: Options = OPTIONS

    def space(self, description: Mapping[str, Any]) -> MoleculeSpace:
        """Molecules of the model's elements.

        Raises:
            CapabilityError: if the description is of something else.
        """
        if description.get("name") != "molecules":
            raise CapabilityError(f"the model keeps no description of molecules (it says {description.get('name')!r})")
        return MoleculeSpace.of({key: value for key, value in description.items() if key != "bonded"})

    def read(
        self, path: Path, subject: Subject | None = None, *, skip_invalid: bool = False, column: str | None = None
    ) -> Samples:
        """Read molecules by the file's ending; ``column`` is that of the SMILES in a list."""
        del subject
        found = files.read(path, files.Reading(skip_invalid=skip_invalid, column=column))
        skipped = [problem.line for problem in found.problems]
        note_reading(path, found.notes, skipped, "records")
        return Samples("molecules", found.molecules, skipped=skipped, source=str(path), count=len(found.molecules))

    def take(self, things: object, subject: Subject) -> Samples:
        """Molecules of a container, RDKit molecules with a conformer, or a batch of the model, as samples.

        Raises:
            InputError: if they are something else.
        """
        if isinstance(things, Batch):
            things = generated(things, bonded=bool(subject.model.space.get("bonded", True))).molecules
        if isinstance(things, list | tuple):
            wrong = [k for k, mol in enumerate(things, 1) if not isinstance(mol, Chem.Mol)]
            if wrong:
                raise InputError(f"expected RDKit molecules, and number {wrong[0]} is none")
            things = from_rdkit(things)
        if not isinstance(things, Molecules):
            raise InputError(f"expected molecules or a file, got {type(things).__name__}")
        return Samples("molecules", things, count=len(things))

    def write(self, path: Path, samples: Samples, *, overwrite: bool) -> None:
        """Write molecules by the file's ending; hydrogens become atoms, invalid ones are written as they came.

        What a model made carries the facts of its table: names, what was asked, what was reached, whether it is valid.
        """
        made = samples.items
        if not isinstance(made, GeneratedMolecules):
            _warn_of_losses(path, files.write_molecules(path, made, overwrite=overwrite))
            return
        lost = files.write_molecules(path, _with_facts(made, samples.columns), overwrite=overwrite)
        _warn_of_losses(path, lost)
        broken = sum(bool(problem) for problem in made.problems)
        if broken == len(made.problems):
            text = (
                f"none of the {broken} molecules in {path} is valid ({made.problems[0]}); each says so (valid: no ...)"
            )
            warnings.warn(text, UserWarning, stacklevel=2)

    def check_ending(self, path: Path) -> None:
        """Refuse an ending that cannot be written, before any work is done."""
        files.check_ending(path)

    def _molecules(self, samples: Samples, description: Mapping[str, Any]) -> Molecules:
        """The molecules of samples, with hydrogens counted where the model counts them."""
        found = samples.items.molecules if isinstance(samples.items, GeneratedMolecules) else samples.items
        implicit = description.get("hydrogens") == "implicit"
        return found.heavy() if implicit and bool((found.z == 1).any()) else found

    def encode(self, samples: Samples, subject: Subject) -> Batch:
        """Molecules as the model holds them."""
        description = subject.model.space
        return self.space(description).encode(self._molecules(samples, description))

    def things(self, subject: Subject, x: Batch) -> Verdicts:
        """Graphs of molecules; bonds are perceived where the model makes none."""
        made = generated(x, bonded=bool(subject.model.space.get("bonded", True)))
        molecules = made.molecules
        if molecules.bond_offsets is None or not subject.model.space.get("bonded", True):
            molecules, _ = perceived(replace(molecules, bond_offsets=None))
        return verdicts(molecules)

    def things_of(self, samples: Samples) -> Verdicts:
        """Graphs of molecules of a file; bonds are perceived where it has none."""
        found = samples.items.molecules if isinstance(samples.items, GeneratedMolecules) else samples.items
        return verdicts(perceived(found)[0] if found.bond_offsets is None else found)

    def adapt(self, things: Verdicts) -> Any:
        """What a property of one's own takes: RDKit molecules without hydrogen atoms; None where one is not valid."""
        return [
            folded(mol) if mol is not None and good else None
            for mol, good in zip(things.mols, things.valid, strict=True)
        ]

    def properties(self, subject: Subject) -> Mapping[str, Property]:
        """Properties of graph and shape, and the user's own."""
        return {**PROPERTIES, **subject.properties}

    def targets(self, subject: Subject, terms: Sequence[Term]) -> tuple[Target, ...]:
        """Numbers of properties.

        Raises:
            InputError: if there is no such property, or a value does not fit.
        """
        known = self.properties(subject)
        return tuple(numeric_target(term, found_property(term, known)) for term in terms)

    def parts(self, subject: Subject, keep: Mapping[str, object], start: Samples | None) -> tuple[Part, ...]:
        """A scaffold or the atoms of a pattern, of each start.

        Raises:
            InputError: if there is no start, or nothing or everything would stay.
        """
        chosen = self.options.parse("keep", keep)
        if not chosen:
            return ()
        if start is None:
            raise InputError("--keep says what stays of which molecules: give --input FILE")
        return (atoms_kept(subject.model, self._molecules(start, subject.model.space), chosen),)

    def usable(self, subject: Subject, start: Samples, keep: Mapping[str, object]) -> Samples:
        """The starts that are molecules of the model's space, and of which something stays and something is made.

        Raises:
            InputError: if none is.
        """
        space, molecules = self.space(subject.model.space), self._molecules(start, subject.model.space)
        chosen = {name: value for name, value in keep.items() if name in self.options.at("keep")}
        reasons = [space.problem(molecules, i) or _stays(molecules, i, chosen) for i in range(len(molecules))]
        good = np.array([not reason for reason in reasons], bool)
        if not good.any():
            raise InputError(f"{start.source or 'the start'}: none of {len(good)} molecules can be used: {reasons[0]}")
        lines = [f"molecule {i + 1} ({_names_of(start)[i]}): {reason}" for i, reason in enumerate(reasons) if reason]
        kept: Molecules = start.items.molecules if isinstance(start.items, GeneratedMolecules) else start.items
        # A start without a name keeps the place that it had in its file.
        kept = replace(kept, names=np.array(_names_of(start), np.str_)).take(good)
        return Samples("molecules", kept, skipped=[*start.skipped, *lines], source=start.source, count=len(kept))

    def problems(self, subject: Subject, x: Batch) -> Sequence[str] | None:
        """What does not hold of each molecule; a model without bonds is not checked."""
        if not subject.model.space.get("bonded", True):
            return None
        return generated(x).problems

    def samples(
        self, subject: Subject, x: Batch, facts: Mapping[str, Any], given: Mapping[str, object] = NOTHING
    ) -> Samples:
        """What a model made, as molecules with their SMILES; those that are not valid say why."""
        made = generated(x.to("cpu"), bonded=bool(subject.model.space.get("bonded", True)))
        smiles, n = made.molecules.smiles, len(made.problems)
        lines = [
            str(smiles[i])
            if smiles is not None and not problem
            else f"{formula(made.molecules, i)}  invalid: {problem}"
            for i, problem in enumerate(made.problems)
        ]
        valid = sum(not problem for problem in made.problems) / max(n, 1)
        own = {**facts, "valid": f"{valid:.3f}"}
        columns: dict[str, Sequence[object]] = {"name": [f"sample-{k}" for k in range(1, n + 1)]}
        columns |= {} if smiles is None else {"smiles": [str(one) for one in smiles]}
        found = Samples("molecules", made, columns, own, lines, x.to("cpu"), count=n)
        return self._beside(subject, found, given) if given else found

    def _beside(self, subject: Subject, found: Samples, given: Mapping[str, object]) -> Samples:
        """Samples with the conditions that were asked for, and those that can be measured as they came out."""
        n, x = len(found), found.batch
        asked = {name: _each(value, n) for name, value in given.items()}
        known = self.properties(subject)
        measured = [known[name] for name in asked if name in known and known[name].function is not None]
        values: dict[str, Any] = {}
        if measured and x is not None:
            things = self.things(subject, x)
            values = {each.name: each.values(things, n) for each in measured}
        columns = {**found.columns, "asked": _said(asked, n), "reached": _said(values, n)}
        made: GeneratedMolecules = found.items
        molecules = made.molecules.with_properties(**values)
        return replace(found, items=replace(made, molecules=molecules), columns=columns)

    def results(self, subject: Subject, trail: Trail, start: Samples | None, targets: Sequence[Target]) -> Samples:
        """What a steer found, with each property wanted; shapes and graphs by RDKit's definitions."""
        found = results_of(self, subject, trail, start, targets)
        n = len(found)
        wanted = [target.quantity.name for target in targets]
        columns: dict[str, Sequence[object]] = {
            **found.columns,
            "asked": ["; ".join(target.text for target in targets)] * n,
            "reached": [
                "; ".join(f"{name}={found.columns[name][k]}" for name in wanted if found.columns.get(name, [""] * n)[k])
                for k in range(n)
            ],
        }
        if start is not None:
            template = _names_of(start)
            columns["template_id"] = [template[int(k)] for k in trail.origin.tolist()]
            columns["name"] = columns["template_id"]
        found = replace(found, columns=columns)
        values: dict[str, Any] = {
            name: np.array([float(str(one)) if one else np.nan for one in column])
            for name, column in found.columns.items()
            if name in {target.quantity.name for target in targets}
        }
        made: GeneratedMolecules = found.items
        molecules = replace(made.molecules, properties={**made.molecules.properties, **values})
        return replace(found, items=replace(made, molecules=molecules))
