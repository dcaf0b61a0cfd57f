"""Sampling of a diffusion model under options and guides: one trajectory, whatever the shapes of the samples.

A model whose samples have several shapes gives groups (``core.protocols.Grouped``); a model of one shape is one group.
Guides are made for a group, a few hundred rows at a time, and know which rows they steer.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zsteer.core.artifact import settings_from
from zsteer.core.batch import Batch
from zsteer.core.protocols import Conditional, Denoiser, Group, Grouped, SamplingDefaults, SupportsAutoguidance
from zsteer.core.rng import Streams
from zsteer.errors import SettingsError, nearest
from zsteer.sample.auto import auto
from zsteer.sample.solvers import Solver, solver_named
from zsteer.sample.times import SPACINGS, Spacing, times_from
from zsteer.steer.guide import ClassifierFree
from zsteer.steer.options import SamplingOptions

__all__ = [
    "GroupGuides",
    "Guided",
    "Start",
    "Trajectory",
    "groups_of",
    "sample_by",
    "sample_guided",
    "trajectory_of",
    "unguided",
]

AT_ONCE = 256
"""Samples that are denoised together: their number changes nothing but the memory."""
PILOT = 8
"""Samples that ``steps=auto`` chooses on."""

Guided = Callable[[Denoiser], Denoiser]
"""Wraps a denoiser."""
GroupGuides = Callable[[Group], Sequence[Guided]]
"""The guides of a group's rows, innermost first."""


def unguided(group: Group) -> Sequence[Guided]:
    """No guides."""
    del group
    return ()


@dataclass(frozen=True)
class Start:
    """Samples to start from, taken back to a time.

    Args:
        states: inside the model, a row for each sample.
        time: in (0, 1).
    """

    states: Float[Tensor, "n ..."]
    time: float


@dataclass(frozen=True)
class Trajectory:
    """How to walk back, with every choice made.

    Args:
        name: of the solver.
        steps: how many, or auto.
        spacing: of the times.
        options: scale, interval, eta and autoguidance.
    """

    name: str
    steps: int | Literal["auto"]
    spacing: Spacing
    options: SamplingOptions = field(default_factory=SamplingOptions)

    @property
    def solver(self) -> Solver:
        """The solver."""
        return solver_named(self.name)


def trajectory_of(defaults: SamplingDefaults, options: SamplingOptions) -> Trajectory:
    """The options with the model's defaults in place of what is absent; steps and spacing go with the solver.

    Raises:
        SettingsError: if there is no such solver or spacing, or eta belongs to another solver.
    """
    name = options.solver or defaults.solver
    solver = solver_named(name)
    own = name == defaults.solver
    spacing = options.spacing or (defaults.spacing if own else None) or solver.spacing
    if spacing not in SPACINGS:
        raise SettingsError("--spacing: " + nearest(spacing, SPACINGS, what="spacing"))
    if options.eta is not None and name != "ddim":
        raise SettingsError(f"--eta belongs to --solver ddim, got solver {name}")
    return Trajectory(name, options.steps or defaults.steps, spacing, options)  # pyright: ignore[reportArgumentType]


def groups_of(model: object, n: int, given: Mapping[str, object], rng: Streams) -> Sequence[Group]:
    """The samples by their shape.

    Raises:
        SettingsError: if the model is no diffusion model.
    """
    if isinstance(model, Grouped):
        return model.groups(n, given, rng)
    if not isinstance(model, Conditional):
        raise SettingsError(f"{type(model).__name__} is no diffusion model; its sampling takes no such options")
    return [Group(model, torch.arange(n), dict(given))]


def sample_guided(
    model: object,
    n: int,
    given: Mapping[str, object],
    rng: Streams,
    *,
    trajectory: Trajectory,
    guides: GroupGuides = unguided,
    start: Start | None = None,
    rows: Int[Tensor, " n"] | None = None,
) -> tuple[Batch, dict[str, Any]]:
    """Samples of a diffusion model; sample i depends on stream i alone.

    Args:
        model: the model.
        n: how many.
        given: conditions, each one value for all samples or one for each.
        rng: one stream for each sample.
        trajectory: how to walk back.
        guides: further guides of each group.
        start: samples to start from; None for pure noise.
        rows: which of all samples these are, as guides and starts count them; 0 ... n - 1 when None.

    Returns:
        The samples, on the processor, and facts about the trajectory.
    """
    groups = groups_of(model, n, given, rng)
    order = torch.cat([group.rows for group in groups])
    for group in groups:  # conditions that do not hold are refused before anything is computed
        group.model.denoiser(dict(group.given) or None, len(group.rows))
    steps, facts = trajectory.steps, dict[str, Any]()
    pieces: list[Batch] = []
    for group in groups:
        streams = rng.take(group.rows.to(rng.ids.device))
        group = group if rows is None else replace(group, rows=rows[group.rows])  # noqa: PLW2901 - the same, renumbered
        if steps == "auto":
            pilot = _part(group, slice(0, min(len(group.rows), PILOT)))
            own = streams.take(slice(0, len(pilot.rows)))
            steps, facts = _chosen(pilot.model, _denoiser(pilot, trajectory, guides), own, trajectory)
        states = _states(group, streams, trajectory, int(steps), guides, start)
        pieces.append(group.model.finish(states).to("cpu"))
    facts = {"solver": trajectory.name, "steps": int(steps), **facts}
    if isinstance(model, Grouped):
        return model.join(pieces, order), facts
    return pieces[0], facts


def sample_by(
    model: object,
    n: int,
    words: Mapping[str, object],
    rng: Streams,
    *,
    guides: GroupGuides = unguided,
    start: Start | None = None,
) -> tuple[Batch, dict[str, Any]]:
    """``sample_guided`` with conditions and options of sampling in one mapping, for experiments in Python.

    Args:
        model: the model.
        n: how many.
        words: conditions, and the fields of ``SamplingOptions`` by their names.
        rng: one stream for each sample.
        guides: further guides of each group.
        start: samples to start from; None for pure noise.
    """
    own = {name: value for name, value in words.items() if name in SamplingOptions.model_fields}
    given = {name: value for name, value in words.items() if name not in own}
    options = settings_from(SamplingOptions, own, where="sampling")
    trajectory = trajectory_of(getattr(model, "sampling", SamplingDefaults()), options)
    return sample_guided(model, n, given, rng, trajectory=trajectory, guides=guides, start=start)


def _states(
    group: Group, rng: Streams, trajectory: Trajectory, steps: int, guides: GroupGuides, start: Start | None
) -> Float[Tensor, "m ..."]:
    """Where the trajectories of a group end."""
    found: list[Tensor] = []
    for first in range(0, len(group.rows), AT_ONCE):
        piece = slice(first, min(first + AT_ONCE, len(group.rows)))
        part, streams = _part(group, piece), rng.take(piece)
        denoiser = _denoiser(part, trajectory, guides)
        at = times_from(group.model.noise, 1.0 if start is None else start.time, steps, trajectory.spacing)
        x = group.model.like(len(streams), streams)
        if start is None:
            x = group.model.noise.prior(x, streams)
        else:
            back = torch.full((len(streams),), start.time, dtype=x.dtype)
            x = group.model.noise.corrupt(start.states[part.rows.to(start.states.device)], back, streams)
        eta = {} if trajectory.options.eta is None else {"eta": trajectory.options.eta}
        with torch.no_grad():
            found.append(trajectory.solver.run(denoiser, x, at, streams, **eta))
    return torch.cat(found)


def _denoiser(group: Group, trajectory: Trajectory, guides: GroupGuides) -> Denoiser:
    """The group's denoiser under its conditions, with guidance of the model by itself and the further guides.

    Raises:
        SettingsError: if guidance is asked for without a condition, or of a model that cannot leave out a part.
    """
    model, given, n = group.model, dict(group.given) or None, len(group.rows)
    options, found = trajectory.options, group.model.denoiser(given, n)
    scale = 1.0 if options.scale is None else options.scale
    if scale != 1:
        if not given:
            raise SettingsError(f"--scale {scale:g} strengthens a condition, and none is given; add --given NAME=VALUE")
        found = ClassifierFree(found, model.denoiser(None, n), scale, options.interval)
    if options.autoguidance != 1:
        if not isinstance(model, SupportsAutoguidance):
            raise SettingsError("--autoguidance needs a model that can leave a part of itself out: one of molecules")
        found = ClassifierFree(found, model.degraded(given, n), options.autoguidance)
    for guide in guides(group):
        found = guide(found)
    return found


def _part(group: Group, piece: slice) -> Group:
    """Some rows of a group."""
    rows = group.rows[piece]
    given = {
        name: _values(value, piece, rows, len(group.rows), group.model.classes) for name, value in group.given.items()
    }
    return Group(group.model, rows, given)


def _values(value: object, piece: slice, rows: Int[Tensor, " m"], n: int, classes: Sequence[str]) -> object:
    """A condition of some rows; ``all`` counts from the first sample of all."""
    if isinstance(value, str) and value.strip().lower() == "all":
        return rows % max(len(classes), 1)
    if isinstance(value, (list, tuple, Tensor)) and len(value) == n:
        return value[piece]
    return value


def _chosen(model: Conditional, denoiser: Denoiser, rng: Streams, trajectory: Trajectory) -> tuple[int, dict[str, Any]]:
    if len(rng) < 2:
        raise SettingsError("--steps auto compares samples with each other and needs two or more; give a number")
    like = model.like(len(rng), rng)
    found = auto(denoiser, model.noise.prior(like, rng), rng, solver=trajectory.name, spacing=trajectory.spacing)
    note = "" if found.met else " (no fewer met the tolerance)"
    return found.steps, {"error": f"{found.error:.3g} of the samples' spread, against 100 steps{note}"}
