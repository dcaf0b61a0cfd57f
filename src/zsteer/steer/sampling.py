"""How samples of a diffusion model are drawn: solver, steps and guides from the words of ``--given``, and the walk.

The same words serve every diffusion model: ``class=boot steps=20 solver=multistep2 scale=2 guide=MODEL``.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from torch import Tensor

from zsteer.core.artifact import settings_from
from zsteer.core.batch import Batch
from zsteer.core.protocols import Conditional, Denoiser, SupportsAutoguidance
from zsteer.core.rng import Streams
from zsteer.errors import InputError, SettingsError, nearest
from zsteer.sample.auto import auto
from zsteer.sample.solvers import solver_named
from zsteer.sample.times import SPACINGS, Spacing, times
from zsteer.steer.guide import ClassifierFree

__all__ = ["Sampling", "denoiser_of", "sample_guided", "walked", "wanted_number"]

AT_ONCE = 256
"""Samples that walk together: their number changes nothing but the memory."""
PILOT = 8
"""Samples that ``steps=auto`` chooses on."""


class Sampling(BaseModel):
    """Words about the walk, among the conditions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int | Literal["auto"] = Field(default=20, description="steps of the walk, or auto")
    solver: str = Field(
        default="multistep2",
        description="ancestral, ddim, multistep2, multistep3, corrected, heun, sde2 (dpm++2m_sde)",
    )
    spacing: str | None = Field(
        default=None, description="of the times: time, power, log_snr or karras; the solver's own when absent"
    )
    eta: float | None = Field(default=None, ge=0, le=1, description="chance in the steps of ddim")
    scale: float = Field(default=1.0, description="classifier-free guidance: 1 none, more exaggerates the class")
    interval: tuple[float, float] = Field(default=(0.0, 1.0), description="times at which scale holds, as 0.2,0.8")
    autoguidance: float = Field(
        default=1.0, ge=1, description="away from what the model says without a part of itself: 1 none; molecules"
    )
    guide: str | None = Field(default=None, description="a classifier of noisy samples: artifact or run folder")
    guide_scale: float = Field(default=1.0, ge=0, description="strength of the classifier's gradient")
    guide_mode: Literal["score", "mean"] | None = Field(
        default=None, description="score (every solver) or mean (the lecture's, for solvers that draw)"
    )

    @field_validator("interval", mode="before")
    @classmethod
    def _pair(cls, value: object) -> object:
        return tuple(value.split(",")) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _fits(self) -> "Sampling":
        if self.steps != "auto" and self.steps < 1:
            raise ValueError(f"expected steps >= 1 or auto, got {self.steps}")
        solver_named(self.solver)
        if self.spacing is not None and self.spacing not in SPACINGS:
            raise ValueError(f"expected a spacing of {', '.join(SPACINGS)}, got {self.spacing}")
        if self.eta is not None and self.solver != "ddim":
            raise ValueError(f"eta belongs to solver=ddim, got solver={self.solver}")
        if self.guide is None and (self.guide_scale != 1 or self.guide_mode is not None):
            raise ValueError("guide_scale and guide_mode need guide=MODEL, a classifier of noisy samples")
        return self

    @staticmethod
    def of(given: Mapping[str, object]) -> "tuple[Sampling, dict[str, object]]":
        """Take the words about the walk out of the conditions.

        Args:
            given: conditions and words by name; a dash in a name is an underscore.

        Raises:
            SettingsError: if a word has no meaning there.
        """
        words, rest = {}, dict[str, object]()
        for name, value in given.items():
            plain = name.replace("-", "_")
            (words if plain in Sampling.model_fields else rest)[plain] = value
        return settings_from(Sampling, words, where="--given"), rest


def denoiser_of(model: Conditional, sampling: Sampling, given: Mapping[str, object], n: int) -> Denoiser:
    """The model's denoiser under its conditions, with the guidance of itself that is wanted.

    Raises:
        SettingsError: if guidance is wanted without a condition, or of a model that cannot weaken itself.
    """
    found = model.denoiser(given or None, n)
    if sampling.scale != 1:
        if not given:
            raise SettingsError(f"scale={sampling.scale:g} strengthens a condition, and none is given; add class=NAME")
        found = ClassifierFree(found, model.denoiser(None, n), sampling.scale, sampling.interval)
    if sampling.autoguidance != 1:
        if not isinstance(model, SupportsAutoguidance):
            raise SettingsError("autoguidance needs a model that can leave a part of itself out: one of molecules")
        found = ClassifierFree(found, model.degraded(given or None, n), sampling.autoguidance)
    return found


def wanted_number(name: str, value: object, known: Sequence[str]) -> float:
    """The value that ``--toward`` asks a property for.

    Raises:
        InputError: if there is no such property, or the value is no number.
    """
    if name not in known:
        raise InputError("--toward: " + nearest(name, known, what="property"))
    try:
        return float(str(value))
    except ValueError:
        raise InputError(f"--toward {name} takes a number, got {value!r}") from None


Guide = Callable[[Denoiser, slice], Denoiser]
"""Wraps the denoiser of a slice of the samples."""


def sample_guided(
    model: Conditional,
    n: int,
    given: Mapping[str, object],
    rng: Streams,
    *,
    guides: Sequence[Guide] = (),
    start: tuple[Float[Tensor, "n ..."], float] | None = None,
) -> tuple[Batch, dict[str, Any]]:
    """Samples of a diffusion model, a few hundred at a time.

    Args:
        model: the model.
        n: how many.
        given: conditions, each one value for all samples or one for each, and words about the walk.
        rng: one stream for each sample.
        guides: further guides, innermost first.
        start: samples inside the model to start from, and the time to take them back to; None for pure noise.

    Returns:
        The samples, and facts about the walk.
    """
    sampling, conditions = Sampling.of(given)
    solver, facts = solver_named(sampling.solver), dict[str, Any]()
    model.denoiser(conditions or None, n)  # conditions that do not hold are refused before anything is computed

    def guided(piece: slice) -> Denoiser:
        each = {name: _part(value, piece, model.classes) for name, value in conditions.items()}
        found = denoiser_of(model, sampling, each, len(range(n)[piece]))
        for guide in guides:
            found = guide(found, piece)
        return found

    steps = sampling.steps
    spacing: Spacing = sampling.spacing or solver.spacing  # pyright: ignore[reportAssignmentType] - checked above
    if steps == "auto":
        piece = slice(0, min(n, PILOT))
        steps, facts = _chosen(model, guided(piece), rng.take(piece), sampling, spacing)
    made: list[Tensor] = []
    for first in range(0, n, AT_ONCE):
        piece = slice(first, min(first + AT_ONCE, n))
        streams = rng.take(piece)
        denoiser = guided(piece)
        at = times(model.noise, steps, spacing)
        x = model.like(len(streams), streams)
        if start is None:
            x = model.noise.prior(x, streams)
        else:
            at = [start[1], *(time for time in at if time < start[1])]
            x = model.noise.corrupt(start[0][piece], torch.full((len(streams),), start[1], dtype=x.dtype), streams)
        options = {} if sampling.eta is None else {"eta": sampling.eta}
        with torch.no_grad():
            made.append(solver.run(denoiser, x, at, streams, **options))
    return model.finish(torch.cat(made)), {"solver": sampling.solver, "steps": steps, **facts}


def _part(value: object, piece: slice, classes: Sequence[str]) -> object:
    """A condition of a slice of the samples: ``all`` counts from the first sample of all."""
    if isinstance(value, (list, tuple, Tensor)):
        return value[piece]
    if isinstance(value, str) and value.strip().lower() == "all":
        return torch.arange(piece.start, piece.stop) % max(len(classes), 1)
    return value


def _chosen(
    model: Conditional, denoiser: Denoiser, rng: Streams, sampling: Sampling, spacing: Spacing
) -> tuple[int, dict[str, Any]]:
    if len(rng) < 2:
        raise SettingsError("steps=auto compares samples with each other and needs two or more; give a number of steps")
    like = model.like(len(rng), rng)
    found = auto(denoiser, model.noise.prior(like, rng), rng, solver=sampling.solver, spacing=spacing)
    note = "" if found.met else " (no fewer met the tolerance)"
    return found.steps, {"error": f"{found.error:.3g} of the samples' spread, against 100 steps{note}"}


walked = sample_guided
"""The former name, until the kits have the new one."""
