"""The kit of diffusion models of images and rows: any solver, any guide, towards classes and properties.

``--given class=boot scale=2`` conditions the model; ``--toward class=boot`` asks a classifier of noisy samples for a
gradient, ``--toward brightness=0.4`` the property itself. The last needs no training at all.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from pydantic import BaseModel
from torch import Tensor

from zsteer.core import catalog
from zsteer.core.artifact import read_artifact
from zsteer.core.batch import Batch
from zsteer.core.goal import Budget, Goal
from zsteer.core.protocols import Denoiser
from zsteer.core.rng import Streams
from zsteer.domains.images.properties import PROPERTIES
from zsteer.domains.images.space import ImageSpace
from zsteer.errors import CapabilityError, InputError
from zsteer.kits.images.kit import VectorDesigns, VectorKit
from zsteer.kits.images.options import DiffusionKnobs
from zsteer.models.diffusion.conditioned import class_indices
from zsteer.models.diffusion.ddpm import DDPM
from zsteer.predictors.noisy_classifier import NoisyClassifier
from zsteer.sample.solvers import solver_named
from zsteer.steer.guide import ByClassifier, ToValue
from zsteer.steer.sampling import Guide, Sampling, walked, wanted_number

__all__ = ["DiffusionKit", "noisy_classifier"]


def noisy_classifier(name: str, model: DDPM) -> NoisyClassifier:
    """The classifier that is to guide a diffusion model.

    Args:
        name: an artifact, a run folder, or a shipped artifact.
        model: the model to guide.

    Raises:
        InputError: if it is no classifier of noisy samples, or knows other data or another noise.
    """
    folder = catalog.resolve(name)
    artifact = read_artifact(folder)
    if artifact.kind != NoisyClassifier.kind:
        raise InputError(
            f"guide={name} is a model of kind {artifact.kind!r}; it takes a classifier of noisy samples: "
            f"zsteer train ddpm-classifier --out FOLDER"
        )
    found: NoisyClassifier = NoisyClassifier.from_artifact(artifact, where=str(folder))
    ours, theirs = model.settings, found.settings
    if (ours.datum.shape, ours.datum.values) != (theirs.datum.shape, theirs.datum.values):
        raise InputError(
            f"guide={name} knows {theirs.datum.values} of shape {theirs.datum.shape}, "
            f"the model makes {ours.datum.values} of shape {ours.datum.shape}"
        )
    if ours.schedule != theirs.schedule:
        raise InputError(f"guide={name} knows the {theirs.schedule} noise, the model the {ours.schedule} one")
    return found.to(next(model.parameters()).device).eval()


@dataclass(frozen=True)
class Pull:
    """How a classifier guides.

    Args:
        model: its name or folder.
        scale: of its gradient.
        mode: score or mean; by the solver when None.
        solver: that it works with.
    """

    model: str
    scale: float
    mode: Literal["score", "mean"] | None
    solver: str


class DiffusionKit(VectorKit):
    """What images and rows offer for a diffusion model.

    Args:
        model: the model.
        folder: the artifact folder that it came from.
        device: where it is.
    """

    model: DDPM

    def sample(self, n: int, given: Mapping[str, object], rng: Streams) -> VectorDesigns:
        """New samples, with the words about the walk among the conditions.

        Raises:
            CapabilityError: if guidance needs what the model does not have.
        """
        sampling, conditions = Sampling.of(given)
        guides: list[Guide] = []
        if sampling.guide is not None:
            if "class" not in conditions:
                raise InputError("guide=MODEL raises the probability of a class, and none is given; add class=NAME")
            pull = Pull(sampling.guide, sampling.guide_scale, sampling.guide_mode, sampling.solver)
            guides.append(self._by_classifier(n, conditions["class"], pull))
            if not self.model.settings.classes:
                given = {name: value for name, value in given.items() if name != "class"}
        made, facts = walked(self.model, n, given, rng, guides=guides)
        return VectorDesigns(made.to("cpu"), self.space, facts)

    def _by_classifier(self, n: int, wanted: object, pull: Pull) -> Guide:
        judge = noisy_classifier(pull.model, self.model)
        y = class_indices(judge.settings.classes, wanted, n).to(self.device)
        mode = pull.mode or ("mean" if solver_named(pull.solver).stochastic else "score")

        def guide(inner: Denoiser, piece: slice) -> Denoiser:
            return ByClassifier(inner, judge.log_prob(y[piece]), pull.scale, mode)

        return guide

    def steer(self, start: Batch | None, goal: Goal, budget: Budget, knobs: BaseModel, rng: Streams) -> VectorDesigns:
        """Make samples, or change those of a file, towards a class or properties.

        Args:
            start: samples to change; they are taken back to the time ``depth``. None for new ones.
            goal: towards ``class`` or properties of images, with numbers; conditions under ``given``.
            budget: ``top`` results for each start.
            knobs: solver, steps and strengths.
            rng: one stream.

        Raises:
            InputError: if there is no such property, or the goal cannot be met by this model.
        """
        if not isinstance(knobs, DiffusionKnobs):
            raise InputError(f"a diffusion model takes DiffusionKnobs, got {type(knobs).__name__}")
        if goal.keep or budget.edits is not None:
            raise InputError("a diffusion model keeps nothing in place; leave --keep and --max-edits away")
        n = knobs.number if start is None else len(start) * budget.top
        streams = Streams.of(rng.seed, n, device=self.device)
        words = knobs.words() | dict(goal.given)
        begin = None
        if start is not None:
            begin = (self.model.scaled(start.repeat(budget.top).to(self.device)), knobs.depth)
        guides = [self._towards(name, value, n, knobs) for name, value in goal.toward.items()]
        made, facts = walked(self.model, n, words, streams, guides=guides, start=begin)
        achieved = self._achieved(made, goal)
        return VectorDesigns(made.to("cpu"), self.space, {**facts, **achieved})

    def _towards(self, name: str, value: object, n: int, knobs: DiffusionKnobs) -> Guide:
        if name == "class":
            return self._by_classifier(n, value, Pull(knobs.guide, knobs.strength, knobs.mode, knobs.solver))
        measure, wanted = self._property(name, value)
        if not knobs.strength:
            return lambda inner, _: inner
        tolerance = knobs.tolerance / knobs.strength**0.5

        def guide(inner: Denoiser, piece: slice) -> Denoiser:
            del piece
            return ToValue(inner, measure, wanted, tolerance)

        return guide

    def _property(self, name: str, value: object) -> tuple[Callable[[Tensor], Tensor], float]:
        """A property of images as the net sees them, and its wanted value."""
        if not isinstance(self.space, ImageSpace):
            raise CapabilityError("properties are those of images; in Python steer.guide.ToValue takes any function")
        wanted = wanted_number(name, value, list(PROPERTIES))
        found, shape = PROPERTIES[name], self.space.shape

        def measure(x0: Float[Tensor, "b ..."]) -> Float[Tensor, " b"]:
            return found(((x0 + 1) / 2).reshape(len(x0), *shape))

        return measure, wanted

    def _achieved(self, made: Batch, goal: Goal) -> dict[str, str]:
        """What the samples have of the properties that were asked for."""
        found: dict[str, str] = {}
        for name, value in goal.toward.items():
            if name in PROPERTIES:
                values = PROPERTIES[name](made["x"].double())
                spread = float(values.std()) if len(values) > 1 else 0.0
                found[name] = f"{float(values.mean()):.4g} +- {spread:.2g} (asked for {value})"
        return found
