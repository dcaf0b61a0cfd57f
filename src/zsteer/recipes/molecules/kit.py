"""What a user is offered for a model of molecules: sample, steer, read and write."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel

from zsteer.core.batch import Batch
from zsteer.core.goal import Budget, Goal
from zsteer.core.protocols import Denoiser
from zsteer.core.rng import Streams
from zsteer.domains.molecules import files
from zsteer.domains.molecules.container import SYMBOLS, Molecules
from zsteer.errors import CapabilityError, InputError
from zsteer.models.edm import EDM
from zsteer.models.edm_denoiser import OfSize
from zsteer.recipes.diffusion.sampling import Guide
from zsteer.recipes.molecules.sampling import generated, walked_by_size
from zsteer.recipes.molecules.settings import MoleculeKnobs
from zsteer.recipes.molecules.shapes import SHAPES, measure_of
from zsteer.recipes.vectors.kit import SamplesOnly
from zsteer.steer.guide import ToValue

__all__ = ["MoleculeDesigns", "MoleculeKit", "formula"]


@dataclass(frozen=True)
class MoleculeDesigns:
    """Molecules with the verdict of valence on each.

    Args:
        molecules: all that were made, in the order of their streams.
        reasons: empty where the chemistry of a molecule holds, else why not.
        facts: figures of the whole set.
    """

    molecules: Molecules
    reasons: Sequence[str]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def noun(self) -> str:
        """What they are."""
        return "molecules"

    @property
    def lines(self) -> Sequence[str]:
        """SMILES, or the formula and the reason where there is none."""
        smiles = self.molecules.smiles
        return [
            str(smiles[i]) if smiles is not None and not reason else f"{formula(self.molecules, i)}  invalid: {reason}"
            for i, reason in enumerate(self.reasons)
        ]

    def __len__(self) -> int:
        return len(self.molecules)


def formula(molecules: Molecules, i: int) -> str:
    """Element counts of one molecule, carbon first."""
    z = molecules.z[int(molecules.offsets[i]) : int(molecules.offsets[i + 1])].tolist()
    count = {SYMBOLS[number]: z.count(number) for number in sorted(set(z), key=lambda number: (number != 6, number))}
    return "".join(f"{symbol}{many if many > 1 else ''}" for symbol, many in count.items())


class MoleculeKit(SamplesOnly):
    """What molecules offer.

    Args:
        model: the model.
        folder: the artifact folder that it came from.
        device: where it is.
    """

    model: EDM
    protocols = "--protocol geom-revisited, edm-2022 or posebusters"

    def __init__(self, model: EDM, folder: Path | None, device: torch.device) -> None:
        del folder
        super().__init__(model, device)

    def read(self, path: Path, *, skip_invalid: bool) -> Molecules:
        """Read molecules."""
        return files.read_molecules(path, skip_invalid=skip_invalid)

    def write(self, path: Path, designs: MoleculeDesigns, *, overwrite: bool) -> None:
        """Write molecules by the file's ending; hydrogens become atoms, invalid ones are written as they came."""
        files.write_molecules(path, designs.molecules, overwrite=overwrite)

    def check_ending(self, path: Path) -> None:
        """Refuse an ending that cannot be written, before any work is done."""
        files.check_ending(path)

    def sample(self, n: int, given: Mapping[str, object], rng: Streams) -> MoleculeDesigns:
        """New molecules.

        Args:
            n: how many.
            given: values of properties, ``atoms`` for their size, and words about the walk.
            rng: one stream for each.
        """
        made, facts = walked_by_size(self.model, n, given, rng)
        return self._designs(made, facts)

    def steer(self, start: Any, goal: Goal, budget: Budget, knobs: BaseModel, rng: Streams) -> MoleculeDesigns:
        """New molecules towards values of properties.

        A shape (asphericity, radius of gyration) is reached by its gradient; other properties by classifier-free
        guidance, for which the model must have learned them.

        Args:
            start: nothing: a given molecule is edited by other models.
            goal: towards properties with numbers; conditions and words about the walk under ``given``.
            budget: not read.
            knobs: steps, solver and strengths.
            rng: one stream.

        Raises:
            CapabilityError: if molecules are given to start from.
            InputError: if the model cannot be steered to a property.
        """
        if not isinstance(knobs, MoleculeKnobs):
            raise InputError(f"a model of molecules takes MoleculeKnobs, got {type(knobs).__name__}")
        if start is not None or goal.keep or budget.edits is not None:
            raise CapabilityError("this model makes new molecules; leave --input, --keep and --max-edits away")
        del budget
        given: dict[str, object] = {"solver": knobs.solver, "steps": knobs.steps, **goal.given}
        shapes = {name: value for name, value in goal.toward.items() if name in SHAPES}
        learned = {name: value for name, value in goal.toward.items() if name not in SHAPES}
        self.model.wanted(learned, knobs.number)
        if learned:
            given |= {**learned, "scale": given.get("scale", knobs.scale)}

        def guides(model: OfSize) -> list[Guide]:
            return [_towards(model, name, value, knobs) for name, value in shapes.items()]

        streams = Streams.of(rng.seed, knobs.number, device=self.device)
        made, facts = walked_by_size(self.model, knobs.number, given, streams, guides)
        return self._designs(made, facts)

    def _designs(self, made: Batch, facts: Mapping[str, Any]) -> MoleculeDesigns:
        molecules, reasons = generated(made)
        share = sum(not reason for reason in reasons) / len(reasons)
        return MoleculeDesigns(molecules, reasons, {**facts, "valid": f"{share:.3f} (whole, and valences hold)"})


def _towards(model: OfSize, name: str, value: object, knobs: MoleculeKnobs) -> Guide:
    measure = measure_of(model, name)
    try:
        wanted = float(str(value))
    except ValueError:
        raise InputError(f"--toward {name} takes a number, got {value!r}") from None
    if not knobs.strength:
        return lambda inner, _: inner
    tolerance = knobs.tolerance / knobs.strength**0.5

    def guide(inner: Denoiser, piece: slice) -> Denoiser:
        del piece
        return ToValue(inner, measure, wanted, tolerance)

    return guide
