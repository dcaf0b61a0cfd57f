"""``Guide``: sample a diffusion model towards a goal, by whatever pull each property has.

A property is pulled at by a predictor of noisy samples (classifier guidance), by the gradient of its measure of the
predicted sample, or by a condition that the model has learned (classifier-free guidance). Parts that stay in place are
laid into every prediction. A start is noised back to the time ``depth`` and denoised again.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.core.batch import Batch, rows_of
from zsteer.core.catalog import load_model
from zsteer.core.goal import Budget, Trail
from zsteer.core.objective import Constraint, Objective, Target
from zsteer.core.options import Option
from zsteer.core.protocols import (
    Conditional,
    Expects,
    Group,
    Grouped,
    NoisyPredictor,
    SamplingDefaults,
    Stateful,
)
from zsteer.core.rng import Streams
from zsteer.errors import CapabilityError, InputError, ZsteerError
from zsteer.noise.categorical import Categorical
from zsteer.sample.solvers import solver_named
from zsteer.steer.guide import ByClassifier, ByProperty, ToValue
from zsteer.steer.options import DrawOptions, GuideOptions, SamplingOptions
from zsteer.steer.rejection import Distance, Problems, draw_valid
from zsteer.steer.sampling import Guided, Start, Trajectory, sample_guided, trajectory_of

__all__ = ["Fixing", "Guide", "Pull"]

SCALE = 2.0
"""Classifier-free guidance of a goal that the model has learned, where nothing else pulls and none is given."""


@runtime_checkable
class Fixing(Protocol):
    """A part that a diffusion model can keep in place."""

    def conditions(self, start: Batch, row: int) -> Mapping[str, object]:
        """Conditions that samples around this start must have."""
        ...

    def lay(self, model: object, start: Batch, row: int) -> Guided:
        """What lays the part of this start into a prediction."""
        ...


@runtime_checkable
class Reads(Protocol):
    """A predictor that also measures whole samples."""

    def values(self, x: Batch, name: str) -> Float[Tensor, " b"]: ...


@dataclass(frozen=True)
class Pull:
    """How one target is pulled at.

    Args:
        target: the target.
        by: a predictor of noisy samples, the property's own measure, or a condition of the model.
        learned: whether the model takes the property as a condition besides.
    """

    target: Target
    by: Literal["predictor", "measure", "condition"]
    learned: bool


@dataclass(frozen=True)
class Guide:
    """Sampling of a diffusion model with guidance, as a method.

    Args:
        options: how guidance pulls.
        sampling: how the model is sampled.
        drawing: how often a sample is drawn again.
        given: conditions.
        number: new samples, where there is no start.
        problems: says which samples are not valid; all are when None.
    """

    options: GuideOptions = field(default_factory=GuideOptions)
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    drawing: DrawOptions = field(default_factory=DrawOptions)
    given: Mapping[str, object] = field(default_factory=dict)
    number: int = 16
    problems: Problems | None = None
    name: str = "guide"

    def fits(self, model: object, objective: Objective, constraint: Constraint) -> str:
        """Why not, or empty."""
        if not isinstance(model, Conditional | Grouped):
            return "guidance needs a diffusion model"
        for target in objective.targets:
            if (pull := self._way(model, target)) is not None and pull.learned and (odd := _unfit(model, target)):
                return odd
            if pull is None:
                return f"nothing pulls at {target.quantity.name}: no gradient, no condition of the model, no --guide"
        unfixed = [part for part in constraint.parts if not isinstance(part, Fixing)]
        if unfixed:
            return f"a diffusion model cannot keep {unfixed[0].text} in place"
        if constraint.properties or constraint.rest:
            return "guidance holds no property at the start's value"
        return ""

    def run(
        self,
        model: object,
        start: Batch | None,
        objective: Objective,
        constraint: Constraint,
        budget: Budget,
        rng: Streams,
    ) -> Trail:
        """Sample towards the goal.

        Args:
            model: a diffusion model.
            start: samples to change; None for new ones.
            objective: where to go.
            constraint: parts that stay in place.
            budget: ``top`` results for each start.
            rng: one stream.

        Raises:
            CapabilityError: if the method does not fit, or changes are limited.
            InputError: if starts are missing or cannot be used.
        """
        reason = self.fits(model, objective, constraint)
        if reason or budget.edits is not None:
            raise CapabilityError(reason or "guidance counts no edits; omit --max-edits, or take --by search")
        if budget.calls is not None and budget.calls < self.drawing.best_of:
            raise InputError(
                f"--best-of {self.drawing.best_of} measures as many samples for each result, more than --max-calls "
                f"{budget.calls}"
            )
        if start is None and (constraint.parts or objective.relative):
            raise InputError("changes and parts that stay belong to a start: give --input FILE")
        task = _Task(self, model, start, objective, constraint, budget.top if start is not None else self.number)
        return task.trail(rng)

    @cached_property
    def _predictors(self) -> dict[str, NoisyPredictor]:
        return {}

    def predictor(self, target: Target) -> NoisyPredictor | None:
        """The predictor that pulls at a target: the one that is asked for, or the property's own.

        Raises:
            InputError: if the model of that name does not read noisy samples.
        """
        name = self.options.guide or target.quantity.guide
        if not name:
            return None
        if name not in self._predictors:
            found = load_model(name)
            if not isinstance(found, NoisyPredictor):
                raise InputError(f"--guide {name} reads no noisy samples; qm9-properties or a ddpm-classifier does")
            self._predictors[name] = found
        return self._predictors[name]

    def _own_guide_fits(self, model: object, target: Target) -> bool:
        """Whether the property's own guide reads this model's samples."""
        if not target.quantity.guide:
            return False
        try:
            predictor = self.predictor(target)
            if predictor is None:
                return False
            predictor.check(model)
            predictor.targets(target.quantity.name, target.quantity.argument or target.low, 1)
        except ZsteerError:
            return False
        return True

    def _way(self, model: object, target: Target) -> Pull | None:
        """How a target is pulled at; None where nothing can."""
        name = target.quantity.name
        known = {option.name for option in options_of(model)}
        numeric = not target.quantity.argument
        learned = name in known and target.exact and not target.relative and numeric
        if target.quantity.measure is not None and isinstance(model, Expects | Grouped):
            return Pull(target, "measure", learned)
        if (target.exact or not numeric) and (self.options.guide or self._own_guide_fits(model, target)):
            return Pull(target, "predictor", learned)
        if name in known and (learned or (target.sign > 0 and not numeric)):
            return Pull(target, "condition", learned=True)
        return None

    def pulls(self, model: object, objective: Objective) -> list[Pull]:
        """How every target is pulled at."""
        found = [self._way(model, target) for target in objective.targets]
        return [pull for pull in found if pull is not None]


def options_of(model: object) -> Sequence[Option]:
    """Conditions that a model takes."""
    return [option for option in getattr(model, "options", ()) if option.place == "given"]


def _unfit(model: object, target: Target) -> str:
    """Why the value of a target is none that the model's condition of that name takes, or empty."""
    option = next(one for one in options_of(model) if one.name == target.quantity.name)
    if option.type != "whole":
        return ""
    low, high = option.low or 0, math.inf if option.high is None else option.high
    if float(target.low).is_integer() and low <= target.low <= high:
        return ""
    return f"the model takes {option.name} as a whole number ({option.range}), and {target.text} is none of these"


@dataclass(frozen=True)
class _Task:
    """One run of guidance.

    Args:
        method: with the options.
        model: that is sampled.
        start: samples to change, or None.
        objective: where to go.
        constraint: what stays in place.
        each: results for each start, or of all where there is none.
    """

    method: Guide
    model: object
    start: Batch | None
    objective: Objective
    constraint: Constraint
    each: int

    @property
    def n(self) -> int:
        return self.each if self.start is None else self.each * len(self.start)

    @cached_property
    def pulls(self) -> list[Pull]:
        return self.method.pulls(self.model, self.objective)

    @cached_property
    def trajectory(self) -> Trajectory:
        sampling = self.method.sampling
        ways = {pull.by for pull in self.pulls}
        if sampling.scale is None and "condition" in ways and "predictor" not in ways:
            sampling = sampling.model_copy(update={"scale": SCALE})
        defaults = getattr(self.model, "sampling", SamplingDefaults())
        return trajectory_of(defaults, sampling)

    @cached_property
    def before(self) -> dict[str, Float[Tensor, " s"]] | None:
        """Each property of the starts, where a target is a change."""
        return self.objective.values(self.start) if self.start is not None and self.objective.relative else None

    def given(self) -> dict[str, object]:
        """Conditions, and targets that the model has learned among them."""
        own = {pull.target.quantity.name: self._condition(pull.target) for pull in self.pulls if pull.learned}
        return {**own, **self.method.given}

    def _condition(self, target: Target) -> object:
        return target.quantity.argument or target.low

    def wanted(self, target: Target, rows: Tensor) -> Float[Tensor, " m"]:
        """The value that each row should come to, of an exact target."""
        found = torch.full((len(rows),), target.low, dtype=torch.float64)
        if target.relative and self.before is not None:
            found = found + self.before[target.quantity.key][rows // self.each]
        return found

    def guides(self, group: Group) -> list[Guided]:
        """The pulls of a group, innermost first; a part that stays is laid in before and after them."""
        found = [guide for pull in self.pulls for guide in self._guide(pull, group)]
        if self.start is None or not self.constraint.parts:
            return found
        row = int(group.rows[0]) // self.each
        laid = [part.lay(group.model, self.start, row) for part in self.constraint.parts if isinstance(part, Fixing)]
        # What pulls at the whole may bend a part: it is laid in again.
        return [*laid, *found, *laid]

    def _guide(self, pull: Pull, group: Group) -> list[Guided]:
        options, strength = self.method.options, self.method.options.strength
        if pull.by == "condition" or not strength:
            return []
        if pull.by == "predictor":
            return [self._by_predictor(pull.target, group)]
        target, model = pull.target, group.model
        measure = target.quantity.measure
        if measure is None or not isinstance(model, Expects):
            raise CapabilityError(f"{target.quantity.name} has no gradient in this model")
        tolerance = options.tolerance or target.quantity.tolerance

        def value(x0: Tensor) -> Float[Tensor, " b"]:
            return measure(model.expectation(x0))

        if target.exact and not isinstance(model.noise, Categorical):
            wanted = self.wanted(target, group.rows)
            return [lambda inner: ToValue(inner, value, _plain(wanted), tolerance / strength**0.5)]

        def energy(x0: Tensor) -> Float[Tensor, " b"]:
            now = value(x0)
            before = None if self.before is None else self.before[target.quantity.key][group.rows // self.each]
            gap = target.gap(now, None if before is None else before.to(now))
            return gap / target.quantity.spread if target.sign else gap.square() / (2 * tolerance**2)

        return [lambda inner: ByProperty(inner, energy, strength)]

    def _by_predictor(self, target: Target, group: Group) -> Guided:
        predictor = self.method.predictor(target)
        if predictor is None:
            raise CapabilityError(f"there is no guide towards {target.quantity.name}")
        predictor.check(self.model)
        name = target.quantity.name
        value = target.quantity.argument or self.wanted(target, group.rows)
        targets = predictor.targets(name, value, len(group.rows))
        if target.quantity.argument and str(value).strip().lower() == "all":
            targets = predictor.targets(name, value, int(group.rows.max()) + 1)[group.rows]
        log_prob = predictor.log_prob_at(group.model, name, targets)
        sign = -1 if target.sign < 0 else 1
        options = self.method.options
        # At x_t, where it was trained; the mean of a kernel that draws is the lecture's way of a class.
        mean = solver_named(self.trajectory.name).stochastic and bool(target.quantity.argument)
        mode = options.mode or ("mean" if mean else "score")
        return lambda inner: ByClassifier(inner, lambda x, t: sign * log_prob(x, t), options.strength, mode)

    def distance(self) -> Distance | None:
        """How far samples are from the goal: by the guide where it measures samples, else by the properties."""
        reading = [self.method.predictor(t) for t in self.objective.targets if not t.quantity.argument]
        if reading and all(isinstance(one, Reads) for one in reading):
            return self._read
        if not self.objective.measurable:
            return None

        def by_function(x: Batch, rows: Tensor) -> Float[Tensor, " m"]:
            before = None
            if self.before is not None:
                before = {name: value[rows // self.each] for name, value in self.before.items()}
            return -self.objective.score(self.objective.values(x), before)

        return by_function

    def _read(self, x: Batch, rows: Tensor) -> Float[Tensor, " m"]:
        total = torch.zeros(len(rows), dtype=torch.float64)
        for target in self.objective.targets:
            predictor = self.method.predictor(target)
            if isinstance(predictor, Reads):
                found = predictor.values(x, target.quantity.name)
                gap = (found - self.wanted(target, rows)) / target.quantity.spread
                total = total + gap.square()
        return total

    def trail(self, rng: Streams) -> Trail:
        """Sample, all at once or, where parts stay, start by start."""
        streams = Streams(rng.seed, torch.arange(self.n, device=rng.ids.device), rng.path)
        jobs = [torch.arange(self.n)]
        if self.constraint.parts and self.start is not None:
            jobs = [torch.arange(i * self.each, (i + 1) * self.each) for i in range(len(self.start))]
        begin = self._begin()
        batches: list[Batch] = []
        facts: dict[str, Any] = {}
        calls, valid, rounds = 0, 0.0, 1
        for rows in jobs:
            given = self.given()
            if self.constraint.parts and self.start is not None:
                for part in self.constraint.parts:
                    own = part.conditions(self.start, int(rows[0]) // self.each) if isinstance(part, Fixing) else {}
                    given = {**own, **given}
            drawing = self._draw(rows, given, streams, begin)
            batches.append(drawing.batch)
            facts, calls = facts or drawing.facts, calls + drawing.calls
            valid, rounds = valid + drawing.first * len(rows), max(rounds, drawing.rounds)
        if self.method.problems is not None:
            facts = {**facts, "valid_at_first": round(valid / self.n, 3), "draws": rounds}
        x = Batch.cat(batches)
        origin = torch.full((self.n,), -1) if self.start is None else torch.arange(self.n) // self.each
        facts = {**facts, "pulled_by": ", ".join(f"{p.target.quantity.name}: {p.by}" for p in self.pulls)}
        return Trail(x, origin, {}, calls, facts=facts)

    def _draw(self, rows: Tensor, given: Mapping[str, object], streams: Streams, begin: Start | None) -> Any:
        def draw(chosen: Tensor, rng: Streams) -> tuple[Batch, dict[str, Any]]:
            own = {name: rows_of(value, rows[chosen], self.n) for name, value in given.items()}
            return sample_guided(
                self.model,
                len(chosen),
                own,
                rng,
                trajectory=self.trajectory,
                guides=self.guides,
                start=begin,
                rows=rows[chosen],
            )

        distance = self.distance() if self.method.drawing.best_of > 1 else None
        own = streams.take(rows.to(streams.ids.device))
        return draw_valid(draw, own, options=self.method.drawing, problems=self.method.problems, distance=distance)

    def _begin(self) -> Start | None:
        """States of the starts; None for new samples, and where only parts of the starts stay."""
        if self.start is None or self.constraint.parts:
            return None
        if not isinstance(self.model, Stateful):
            raise CapabilityError("this model takes no start; omit --input, or keep a part of it with --keep")
        return Start(self.model.states(self.start.repeat(self.each)), self.method.options.depth)


def _plain(value: Float[Tensor, " m"]) -> Float[Tensor, " m"] | float:
    """One number where all are alike."""
    return float(value[0]) if bool((value == value[0]).all()) else value.float()
