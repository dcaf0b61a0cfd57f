"""The kits of multinomial diffusion: sequences and cut pictures, any solver, any guide.

``--given class=NAME scale=2`` conditions, ``--given length=14`` fixes the length of sequences, and ``steer --toward
charge=2`` follows the gradient of the property itself: of sequences ``charge`` and ``hydropathy``, of pictures those of
``domains.images.properties``. Nothing is trained for that. A start is taken back to the time ``depth`` and walks again.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from pydantic import BaseModel
from torch import Tensor

from zsteer.core.batch import Batch
from zsteer.core.goal import Budget, Goal
from zsteer.core.protocols import Denoiser
from zsteer.core.rng import Streams
from zsteer.domains.images import files as image_files
from zsteer.domains.images.segments import Cut
from zsteer.domains.sequences import files
from zsteer.domains.sequences.junctions import anchored
from zsteer.domains.sequences.properties import PROPERTIES
from zsteer.domains.sequences.space import SequenceSpace
from zsteer.errors import CapabilityError, InputError, SettingsError
from zsteer.kits.images.kit import SamplesOnly, VectorDesigns
from zsteer.kits.sequences.options import MultinomialKnobs
from zsteer.kits.sequences.rbm import ResidueDesigns
from zsteer.models.multinomial.multinomial import MultinomialDiffusion
from zsteer.noise.categorical import Categorical
from zsteer.steer.guide import ByProperty
from zsteer.steer.sampling import Guide, walked, wanted_number

__all__ = ["SegmentKit", "SequenceKit", "kit"]


def kit(model: MultinomialDiffusion, folder: Path | None, device: torch.device) -> "SequenceKit | SegmentKit":
    """The kit for what the model was trained on.

    Raises:
        CapabilityError: if the model keeps no description of its samples.
    """
    del folder
    name = model.settings.datum.space.get("name")
    if name == "sequences":
        return SequenceKit(model, device)
    if name == "segments":
        return SegmentKit(model, device)
    raise CapabilityError(f"the model keeps no description of sequences or cut pictures (it says {name!r})")


@dataclass(frozen=True)
class OfLength:
    """The model with sequences of one length.

    Args:
        model: the model.
        length: of every sequence. [residues]
    """

    model: MultinomialDiffusion
    length: int

    @property
    def noise(self) -> Categorical:
        """The model's noise."""
        return self.model.noise

    @property
    def classes(self) -> Sequence[str]:
        """The model's classes."""
        return self.model.classes

    def denoiser(self, given: Mapping[str, object] | None, n: int) -> Denoiser:
        """The model's denoiser."""
        return self.model.denoiser(given, n)

    def like(self, n: int, rng: Streams) -> Float[Tensor, "n ..."]:
        """Ones on the first positions."""
        del rng
        return self.model.of_length(torch.full((n,), self.length))

    def finish(self, x: Float[Tensor, "n ..."]) -> Batch:
        """As the model does."""
        return self.model.finish(x)


class _MultinomialKit(SamplesOnly, ABC):
    """What both kinds of samples share: the walk, and steering by properties."""

    model: MultinomialDiffusion
    properties: Mapping[str, Callable[[Tensor], Tensor]] = {}

    def _made(self, n: int, given: Mapping[str, object], rng: Streams, **how: Any) -> tuple[Batch, dict[str, Any]]:
        """Walk; without a word about it by the model's own chain.

        Raises:
            CapabilityError: if a classifier is to guide.
            InputError: if the length is no number, or none of the model's.
        """
        words = {"solver": "ancestral", "steps": self.model.noise.steps, **given}
        if "guide" in words:
            raise CapabilityError(
                "guide=MODEL takes a classifier of noisy samples, and there is none for categories; strengthen a class "
                "with scale=2, or steer --toward a property (in Python: steer.guide.ByClassifier with a function)"
            )
        length = words.pop("length", None)
        if length is None:
            return walked(self.model, n, words, rng, **how)
        if not str(length).isdecimal():
            raise InputError(f"--given length takes a number of residues, got {length!r}")
        return walked(OfLength(self.model, int(str(length))), n, words, rng, **how)

    def steer(self, start: Any, goal: Goal, budget: Budget, knobs: BaseModel, rng: Streams) -> Any:
        """Make samples, or change those of a file, towards properties.

        Args:
            start: samples to change; they are taken back to the time ``depth``. None for new ones.
            goal: towards properties, with numbers; conditions under ``given``.
            budget: ``top`` results for each start.
            knobs: solver, steps and strengths.
            rng: one stream.

        Raises:
            InputError: if there is no such property, or the goal cannot be met by this model.
        """
        if not isinstance(knobs, MultinomialKnobs):
            raise SettingsError(f"expected the knobs of multinomial diffusion, got {type(knobs).__name__}")
        if goal.keep or budget.edits is not None:
            raise InputError("a diffusion model keeps nothing in place; leave --keep and --max-edits away")
        begin = None
        n = knobs.number
        if start is not None:
            n = len(start) * budget.top
            begin = (self.model.states(start.repeat(budget.top).to(self.device)), knobs.depth)
        streams = Streams.of(rng.seed, n, device=self.device)
        words: dict[str, object] = {"solver": knobs.solver, **dict(goal.given)}
        words |= {} if knobs.steps is None else {"steps": knobs.steps}
        guides = [self._towards(name, value, streams, begin, knobs) for name, value in goal.toward.items()]
        made, facts = self._made(n, words, streams, guides=guides, start=begin)
        found = self._designs(made.to("cpu"), facts)
        achieved = {name: self._achieved(found, name, value) for name, value in goal.toward.items()}
        return replace(found, facts={**found.facts, **achieved})

    def _towards(
        self,
        name: str,
        value: object,
        rng: Streams,
        begin: tuple[Tensor, float] | None,
        knobs: MultinomialKnobs,
    ) -> Guide:
        """A guide by (property - wanted)^2 / (2 tolerance^2) of the expected sample."""
        wanted = wanted_number(name, value, list(self.properties))

        def guide(inner: Denoiser, piece: slice) -> Denoiser:
            own = rng.take(piece)
            like = self.model.like(len(own), own) if begin is None else begin[0][piece]
            real = (like.sum(-1, keepdim=True) > 0).to(like.dtype)

            def energy(log_x0: Float[Tensor, "b n k"]) -> Float[Tensor, " b"]:
                p = log_x0.softmax(-1)[..., : self.model.noise.categories] * real
                return (self._measure(name, p) - wanted).square() / (2 * knobs.tolerance**2)

            return ByProperty(inner, energy, knobs.strength)

        return guide

    @abstractmethod
    def _measure(self, name: str, p: Float[Tensor, "b n k"]) -> Float[Tensor, " b"]:
        """A property of expected samples."""

    @abstractmethod
    def _designs(self, made: Batch, facts: Mapping[str, Any]) -> Any:
        """Samples as what this kind of kit gives back."""

    def _achieved(self, designs: Any, name: str, value: object) -> str:
        """What the samples have of a property that was asked for."""
        certain = self.model.states(designs.batch)[..., : self.model.noise.categories]
        found = self._measure(name, certain.double())
        spread = float(found.std()) if len(found) > 1 else 0.0
        return f"{float(found.mean()):.4g} +- {spread:.2g} (asked for {value})"


class SequenceKit(_MultinomialKit):
    """What CDR3-beta sequences offer.

    Args:
        model: of sequences.
        device: where it is.
    """

    protocols = "--protocol tcr or --protocol likelihood"
    properties = PROPERTIES

    def __init__(self, model: MultinomialDiffusion, device: torch.device) -> None:
        super().__init__(model, device)
        self.space = SequenceSpace()

    def read(self, path: Path, *, skip_invalid: bool) -> Batch:
        """Read sequences by the file's ending; residues that do not exist are named with their row."""
        return files.read(path, skip_invalid=skip_invalid).batch

    def write(self, path: Path, designs: ResidueDesigns, *, overwrite: bool) -> None:
        """Write sequences by the file's ending."""
        names = {"sequence_id": [f"sample{k}" for k in range(1, len(designs) + 1)]}
        files.write(path, designs.sequences, names, overwrite=overwrite)

    def check_ending(self, path: Path) -> None:
        """Refuse an ending that cannot be written, before any work is done."""
        files.check_ending(path)

    def sample(self, n: int, given: Mapping[str, object], rng: Streams) -> ResidueDesigns:
        """New sequences, with the words about the walk, ``class`` and ``length`` among the conditions."""
        made, facts = self._made(n, given, rng)
        return self._designs(made.to("cpu"), facts)

    def _designs(self, made: Batch, facts: Mapping[str, Any]) -> ResidueDesigns:
        written: Sequence[str] = self.space.decode(made)
        broken = int((~anchored(made["tokens"])).sum())
        told = {**facts, "distinct": len(set(written))} | ({"no_whole_junction": broken} if broken else {})
        return ResidueDesigns(written, made, told)

    def _measure(self, name: str, p: Float[Tensor, "b n k"]) -> Float[Tensor, " b"]:
        return self.properties[name](p)


class SegmentKit(_MultinomialKit):
    """What pictures cut into grey levels offer.

    Args:
        model: of cut pictures.
        device: where it is.
    """

    def __init__(self, model: MultinomialDiffusion, device: torch.device) -> None:
        from zsteer.domains.images.properties import PROPERTIES as OF_IMAGES

        super().__init__(model, device)
        self.cut = Cut.of(model.settings.datum.space)
        self.properties = OF_IMAGES

    def read(self, path: Path, *, skip_invalid: bool) -> Batch:
        """Read pictures and cut them.

        Raises:
            InputError: if they are of another size, or in colour.
        """
        space = replace(
            self.cut.space, height=self.cut.height * self.cut.shrink, width=self.cut.width * self.cut.shrink
        )
        return self.cut.cut(space.encode(image_files.read(path, skip_invalid=skip_invalid).pixels))

    def write(self, path: Path, designs: VectorDesigns, *, overwrite: bool) -> None:
        """Write pictures in the greys of their levels, by the file's ending."""
        image_files.write(path, self.cut.space.decode(self.cut.paint(designs.batch)), overwrite=overwrite)

    def check_ending(self, path: Path) -> None:
        """Refuse an ending that cannot be written, before any work is done."""
        image_files.check_ending(path)

    def sample(self, n: int, given: Mapping[str, object], rng: Streams) -> VectorDesigns:
        """New pictures, with the words about the walk and ``class`` among the conditions."""
        made, facts = self._made(n, given, rng)
        return self._designs(made.to("cpu"), facts)

    def _designs(self, made: Batch, facts: Mapping[str, Any]) -> VectorDesigns:
        return VectorDesigns(made, self.cut.space, facts)

    def _measure(self, name: str, p: Float[Tensor, "b n k"]) -> Float[Tensor, " b"]:
        greys = torch.tensor(self.cut.greys, dtype=p.dtype, device=p.device)
        return self.properties[name]((p @ greys).reshape(len(p), *self.cut.shape))
