"""The kit of molecules in three dimensions: properties of graph and shape, parts that stay, valence checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rdkit import Chem

from zsteer.core.batch import Batch
from zsteer.core.goal import Term, Trail
from zsteer.core.objective import Part, Target
from zsteer.core.options import Options
from zsteer.core.property import Property
from zsteer.domains.molecules import files
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
from zsteer.kits.common import found_property, numeric_target, results_of
from zsteer.kits.molecules.keep import atoms_kept
from zsteer.kits.molecules.options import OPTIONS

__all__ = ["GeneratedMolecules", "MoleculeKit", "formula", "generated"]


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

    def read(self, path: Path, subject: Subject | None = None, *, skip_invalid: bool = False) -> Samples:
        """Read molecules by the file's ending."""
        del subject
        found = files.read(path, files.Reading(skip_invalid=skip_invalid))
        skipped = [problem.line for problem in found.problems]
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
        """Write molecules by the file's ending; hydrogens become atoms, invalid ones are written as they came."""
        molecules = samples.items.molecules if isinstance(samples.items, GeneratedMolecules) else samples.items
        files.write_molecules(path, molecules, overwrite=overwrite)

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

    def problems(self, subject: Subject, x: Batch) -> Sequence[str] | None:
        """What does not hold of each molecule; a model without bonds is not checked."""
        if not subject.model.space.get("bonded", True):
            return None
        return generated(x).problems

    def samples(
        self, subject: Subject, x: Batch, facts: Mapping[str, Any], given: Mapping[str, object] = NOTHING
    ) -> Samples:
        """What a model made, as molecules with their SMILES; those that are not valid say why."""
        del given
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
        columns = {} if smiles is None else {"smiles": [str(one) for one in smiles]}
        return Samples("molecules", made, columns, own, lines, x.to("cpu"), count=n)

    def results(self, subject: Subject, trail: Trail, start: Samples | None, targets: Sequence[Target]) -> Samples:
        """What a steer found, with each property wanted; shapes and graphs by RDKit's definitions."""
        found = results_of(self, subject, trail, start, targets)
        values: dict[str, Any] = {
            name: np.array([float(str(one)) if one else np.nan for one in column])
            for name, column in found.columns.items()
            if name in {target.quantity.name for target in targets}
        }
        made: GeneratedMolecules = found.items
        molecules = replace(made.molecules, properties={**made.molecules.properties, **values})
        return replace(found, items=replace(made, molecules=molecules))
