"""What a user is offered for a model of molecules: sample, steer, read and write."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor

from zsteer.core.batch import Batch
from zsteer.core.goal import Budget, Goal
from zsteer.core.protocols import Denoiser
from zsteer.core.rng import Streams
from zsteer.domains.molecules import files
from zsteer.domains.molecules.container import SYMBOLS, Molecules
from zsteer.errors import InputError
from zsteer.kits.images.kit import SamplesOnly
from zsteer.kits.molecules.candidates import Distance, by_definition, by_guide, drawn
from zsteer.kits.molecules.guides import by_properties, joined, noisy_property, of_some, to_shape
from zsteer.kits.molecules.keep import kept_atoms, known_of
from zsteer.kits.molecules.options import MoleculeKnobs
from zsteer.kits.molecules.sampling import WALK, Guides, taken, unguided, walked_by_size
from zsteer.kits.molecules.shapes import SHAPES
from zsteer.models.edm.denoiser import OfSize
from zsteer.models.edm.edm import EDM, short_names
from zsteer.predictors.noisy_property import NoisyProperty
from zsteer.sample.solvers import solver_named
from zsteer.steer.keep import KeepAtoms
from zsteer.steer.sampling import Guide, Sampling

__all__ = ["TRIES", "MoleculeDesigns", "MoleculeKit", "formula"]

TRIES = 5
"""Walks for each molecule at most, until one is valid; the share that was valid at the first is told beside."""
OWN_WORDS = ("atoms", "tries", "candidates")
"""Words of ``--given`` that are neither properties nor about the walk."""


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
        """New molecules; one that is not valid is drawn again, from streams of its own.

        Args:
            n: how many.
            given: values of properties, ``atoms`` for their size, ``tries`` for each, ``candidates`` of which the
                nearest is kept, and words about the walk.
            rng: one stream for each.
        """
        words = {name.replace("-", "_"): value for name, value in given.items()}
        name = words.pop("guide", None)
        if name is None:
            return self._designs(n, words, rng)
        sampling, conditions = Sampling.of({**WALK, **words, "guide": name})
        for word in ("guide_scale", "guide_mode"):
            words.pop(word, None)
        judge = noisy_property(str(name), self.model)
        wanted = self.model.wanted({k: v for k, v in conditions.items() if k not in OWN_WORDS}, n)
        if not wanted:
            raise InputError("guide=MODEL pulls towards properties, and none is given; add one, as logp=1.5")
        mode = sampling.guide_mode or ("mean" if solver_named(sampling.solver).stochastic else "score")
        pulls = by_properties(judge, self.model, wanted, sampling.guide_scale, mode)
        return self._designs(n, words, rng, pulls, judge)

    def steer(self, start: Any, goal: Goal, budget: Budget, knobs: BaseModel, rng: Streams) -> MoleculeDesigns:
        """Molecules towards values of properties, new ones or around what is kept of given ones.

        A shape (asphericity, radius of gyration) is reached by its gradient; other properties by classifier-free
        guidance, for which the model must have learned them.

        Args:
            start: molecules of which a part is kept, or None for new ones.
            goal: towards properties with numbers; conditions and words about the walk under ``given``; what is kept.
            budget: ``top`` results for each start.
            knobs: steps, solver and strengths.
            rng: one stream.

        Raises:
            InputError: if the model cannot be steered to a property, or what is kept and the molecules do not fit.
        """
        if not isinstance(knobs, MoleculeKnobs):
            raise InputError(f"a model of molecules takes MoleculeKnobs, got {type(knobs).__name__}")
        if budget.edits is not None or (start is None) != (not goal.keep):
            raise InputError("--input and --keep belong together: what is kept of which molecules; no --max-edits")
        given: dict[str, object] = {"solver": knobs.solver, "steps": knobs.steps, **goal.given}
        shapes = {name: value for name, value in goal.toward.items() if name in SHAPES}
        learned = {name: value for name, value in goal.toward.items() if name not in SHAPES}
        wanted = self.model.wanted(learned, 1)
        # A shape that the model has learned is asked for as well as pulled to.
        known = short_names(self.model.settings.properties)
        given |= {**learned, **{name: value for name, value in shapes.items() if name in known}}
        if learned and "scale" not in given and not knobs.guide:
            given["scale"] = knobs.scale

        def guides(of_size: OfSize, rows: Tensor) -> list[Guide]:
            del rows
            return [to_shape(of_size, name, value, knobs) for name, value in shapes.items()]

        pulls, judge = guides, None
        if knobs.guide:
            judge = noisy_property(knobs.guide, self.model)
            # At x_t, where it was trained: pulled through x_0-hat it leaves what the model takes for molecules.
            pulls = joined(guides, by_properties(judge, self.model, wanted, knobs.strength, "score"))
        if start is None:
            streams = Streams.of(rng.seed, knobs.number, device=self.device)
            return self._designs(knobs.number, given, streams, pulls, judge)
        return self._around(start, (goal, budget), given, rng, (pulls, judge))

    def _around(
        self,
        start: Any,
        asked: tuple[Goal, Budget],
        given: Mapping[str, object],
        rng: Streams,
        pulled: tuple[Guides, NoisyProperty | None],
    ) -> MoleculeDesigns:
        """New molecules around what is kept of each start."""
        (goal, budget), (guides, judge) = asked, pulled
        heavy = start.heavy() if self.model.settings.hydrogens == "implicit" and bool((start.z == 1).any()) else start
        kept = [known_of(self.model, heavy, i, kept_atoms(heavy, i, goal.keep)) for i in range(len(heavy))]
        pieces: list[MoleculeDesigns] = []
        for i, known in enumerate(kept):

            def around(model: OfSize, rows: Tensor, known: Mapping[str, Tensor] = known) -> list[Guide]:
                def keep(inner: Denoiser, piece: slice) -> Denoiser:
                    del piece
                    return KeepAtoms(inner, known)

                # A shape is that of the whole, and what pulls at it may bend the fragment: it is laid in again.
                return [keep, *guides(model, rows), keep]

            streams = Streams.of(rng.seed, budget.top, start=i * budget.top, device=self.device)
            words = {"atoms": int(heavy.sizes[i]), **given}
            pieces.append(self._designs(budget.top, words, streams, around, judge))
        joined = Molecules.cat([piece.molecules for piece in pieces])
        reasons = [reason for piece in pieces for reason in piece.reasons]
        return MoleculeDesigns(
            joined, reasons, {"kept": str(dict(goal.keep)), **pieces[-1].facts, "valid": _share(reasons)}
        )

    def _designs(
        self,
        n: int,
        given: Mapping[str, object],
        rng: Streams,
        guides: Guides = unguided,
        judge: NoisyProperty | None = None,
    ) -> MoleculeDesigns:
        """Walk, and walk again for those that are not valid, or to keep the nearest of several."""
        words = dict(given)
        tries = _whole("tries", words.pop("tries", TRIES if self.model.settings.bonds else 1))
        candidates = _whole("candidates", words.pop("candidates", 1))
        distance = self._distance(words, n, judge) if candidates > 1 else None

        def walk(rows: Tensor, streams: Streams) -> tuple[Batch, dict[str, Any]]:
            own = {name: taken(value, rows, n) for name, value in words.items()}
            return walked_by_size(self.model, len(rows), own, streams, of_some(guides, rows))

        bonded = bool(self.model.settings.bonds)
        found = drawn(walk, rng, tries=tries, candidates=candidates, distance=distance, bonded=bonded)
        told: dict[str, Any] = {**found.facts, "valid": f"{found.first:.3f}"}
        if found.walks > 1:
            told["valid"] += f"; {_share(found.reasons)} after {found.walks} tries"
        if candidates > 1:
            by = "the definitions" if judge is None else "the guide"
            told["candidates"] = f"the nearest of {candidates} by {by}"
        return MoleculeDesigns(found.molecules, found.reasons, told)

    def _distance(self, words: Mapping[str, object], n: int, judge: NoisyProperty | None) -> Distance | None:
        """How far molecules are from the values that are asked for; None where none is."""
        _, conditions = Sampling.of(words)
        conditions.pop("atoms", None)
        s = self.model.settings
        wanted = self.model.wanted(conditions, n)
        asked = {s.properties[k]: value * s.stds[k] + s.means[k] for k, value in wanted.items()}
        if not asked:
            return None
        return by_definition(self.model, asked) if judge is None else by_guide(judge, self.model, asked)


def _share(reasons: Sequence[str]) -> str:
    return f"{sum(not reason for reason in reasons) / len(reasons):.3f}"


def _whole(name: str, value: object) -> int:
    try:
        found = int(str(value))
    except ValueError:
        found = 0
    if found < 1:
        raise InputError(f"{name} takes a whole number of at least 1, got {value!r}")
    return found
