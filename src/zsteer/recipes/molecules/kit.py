"""What a user is offered for a model of molecules: sample, steer, read and write."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from pydantic import BaseModel
from torch import Tensor

from zsteer.core.batch import Batch
from zsteer.core.goal import Budget, Goal
from zsteer.core.protocols import Denoiser
from zsteer.core.rng import Streams
from zsteer.domains.molecules import files
from zsteer.domains.molecules.complete import completed
from zsteer.domains.molecules.container import SYMBOLS, Molecules
from zsteer.domains.molecules.dense import ragged
from zsteer.errors import CapabilityError, InputError
from zsteer.models.edm import EDM
from zsteer.models.edm_denoiser import OfSize
from zsteer.models.edm_states import atoms_of
from zsteer.recipes.diffusion.sampling import Guide, Sampling, walked
from zsteer.recipes.molecules.settings import MoleculeKnobs
from zsteer.recipes.molecules.shapes import SHAPES, measure_of
from zsteer.recipes.vectors.kit import SamplesOnly
from zsteer.steer.guide import ToValue

__all__ = ["MoleculeDesigns", "MoleculeKit", "generated"]

WALK: Mapping[str, object] = {"solver": "ancestral", "steps": 50, "spacing": "log_snr"}
"""The walk where none is asked for: it draws at every step, which mends what it did wrong before."""


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


def generated(x: Batch) -> tuple[Molecules, list[str]]:
    """A batch that a model made, as molecules with hydrogens counted and SMILES, and what does not hold of each.

    Molecules in several pieces, or whose valences do not hold, have no SMILES.
    """
    if x.mask is None:
        raise InputError("expected molecules with a mask of their atoms")
    arrays = {name: value.cpu().numpy() for name, value in x.fields.items()}
    molecules = ragged(arrays, x.mask.cpu().numpy())
    if molecules.bond_offsets is None or not bool((arrays["bond"] > 0).any()):
        return molecules, ["no bonds: the model makes none"] * len(molecules)
    return completed(molecules)


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
        made, facts = self._made(n, given, rng)
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

        made, facts = self._made(knobs.number, given, Streams.of(rng.seed, knobs.number, device=self.device), guides)
        return self._designs(made, facts)

    def _made(
        self,
        n: int,
        given: Mapping[str, object],
        rng: Streams,
        guides: Callable[[OfSize], list[Guide]] = lambda _: [],
    ) -> tuple[Batch, dict[str, Any]]:
        """Molecules, size by size; molecule i depends on stream i alone."""
        words = {**WALK, **{name.replace("-", "_"): value for name, value in given.items()}}
        if "solver" in given and "spacing" not in given:
            words.pop("spacing")
        sampling, conditions = Sampling.of(words)
        if sampling.guide is not None:
            raise CapabilityError("guide=MODEL is for images; molecules take property=value with scale")
        atoms = conditions.pop("atoms", None)
        wanted = self.model.wanted(conditions, n)
        self._warn(conditions)
        sizes = self._sizes(atoms, wanted, rng)
        spoken = {name: value for name, value in words.items() if name in Sampling.model_fields}
        found: list[Batch] = []
        order: list[Tensor] = []
        facts: dict[str, Any] = {}
        for size in sizes.unique().tolist():
            rows = (sizes == size).nonzero()[:, 0].cpu()
            model = self.model.of_size(size)
            own = {name: _taken(value, rows, n) for name, value in conditions.items()}
            made, facts = walked(
                model, len(rows), {**spoken, **own}, rng.take(rows.to(rng.ids.device)), guides=guides(model)
            )
            found.append(made.to("cpu"))
            order.append(rows)
        return atoms_of(found, torch.cat(order)), facts

    def _sizes(self, atoms: object, wanted: Mapping[int, Float[Tensor, " n"]], rng: Streams) -> Int[Tensor, " n"]:
        if atoms is None:
            return self.model.sizes.draw(wanted, rng)
        try:
            size = int(str(atoms))
        except ValueError:
            raise InputError(f"atoms takes a whole number, got {atoms!r}") from None
        self.model.of_size(size)
        return torch.full((len(rng),), size)

    def _warn(self, conditions: Mapping[str, object]) -> None:
        """Say where a value lies outside of what the training set holds."""
        s = self.model.settings
        for k, value in self.model.wanted(conditions, 1 if not _many(conditions) else _many(conditions)).items():
            if not s.ranges:
                continue
            low, high = s.ranges[k]
            plain = value * s.stds[k] + s.means[k]
            if bool(((plain < low) | (plain > high)).any()):
                warnings.warn(
                    f"{s.properties[k]} is asked for outside of the training set ({low:.3g} ... {high:.3g})",
                    UserWarning,
                    stacklevel=4,
                )

    def _designs(self, made: Batch, facts: Mapping[str, Any]) -> MoleculeDesigns:
        molecules, reasons = generated(made)
        if any(not reason.startswith("no bonds") for reason in reasons):
            molecules, reasons = files.with_smiles(molecules, reasons)
        share = sum(not reason for reason in reasons) / len(reasons)
        return MoleculeDesigns(molecules, reasons, {**facts, "valid": f"{share:.3f} (whole, and valences hold)"})


def _many(conditions: Mapping[str, object]) -> int:
    """How many values are given of a property; 0 for one value for all."""
    return max((len(v) for v in conditions.values() if isinstance(v, (list, tuple, Tensor))), default=0)


def _taken(value: object, rows: Int[Tensor, " m"], n: int) -> object:
    """The values of chosen samples, where there is one for each."""
    if isinstance(value, Tensor) and value.ndim and len(value) == n:
        return value[rows]
    if isinstance(value, (list, tuple)):
        return [value[i] for i in rows.tolist()]
    return value


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


def only_valid(designs: MoleculeDesigns) -> MoleculeDesigns:
    """Without the molecules whose chemistry does not hold."""
    keep = [i for i, reason in enumerate(designs.reasons) if not reason]
    return replace(designs, molecules=designs.molecules.take(keep), reasons=[""] * len(keep))
