"""Options of sampling and of the methods, as data: flags of the command line, keywords in Python. Imports no torch.

An option that means something in some domains only names them under ``domains``; other help pages leave it out.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from zsteer.sample.table import SOLVERS, SPACINGS

__all__ = ["DrawOptions", "GeneralOptions", "GuideOptions", "SamplingOptions", "SteerOptions"]


def _listed(names: Iterable[str]) -> str:
    """Names as a sentence has them: a, b or c."""
    *first, last = names
    return f"{', '.join(first)} or {last}"


class SteerOptions(BaseModel):
    """Base of all options: frozen, nothing beyond the named fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class GeneralOptions(SteerOptions):
    """What every steer takes, whatever the method."""

    free: tuple[str, ...] = Field(default=(), description="properties that --keep rest does not hold")
    number: int | None = Field(default=None, ge=1, description="new samples, where there is no start; 16 when absent")
    top: int = Field(default=1, description="results for each start")
    max_edits: int | None = Field(default=None, description="changes of each start; the method's own when absent")
    max_calls: int | None = Field(default=None, description="distinct calls of a property for each start")
    examples: Path | None = Field(default=None, description="file of labelled examples that heads are fitted on")
    properties: Mapping[str, Any] = Field(default={}, description="your own: name -> module:function or a function")
    force: bool = Field(default=False, description="go on where a judge or a head is too weak")
    skip_invalid: bool = Field(default=False, description="leave out rows that cannot be read of files that are named")
    column: str | None = Field(default=None, description="column of files that are named, where they are tables")


class SamplingOptions(SteerOptions):
    """How a diffusion model is sampled."""

    steps: int | Literal["auto"] | None = Field(
        default=None, description="steps of the trajectory, or auto; the model's own when absent"
    )
    solver: str | None = Field(default=None, description=f"{_listed(SOLVERS)}; the model's own when absent")
    spacing: str | None = Field(
        default=None, description=f"of the times: {_listed(SPACINGS)}; the solver's own when absent"
    )
    eta: float | None = Field(default=None, ge=0, le=1, description="share of noise in the steps of ddim")
    scale: float | None = Field(
        default=None, ge=0, description="classifier-free guidance of conditions: 1 none, more exaggerates them"
    )
    interval: tuple[float, float] = Field(
        default=(0.0, 1.0), description="times at which scale holds: two numbers, or 0.2,0.8"
    )
    autoguidance: float = Field(
        default=1.0,
        ge=1,
        description="away from the model without a part of itself: 1 none",
        json_schema_extra={"domains": ["molecules"]},
    )

    @field_validator("interval", mode="before")
    @classmethod
    def _pair(cls, value: object) -> object:
        return tuple(value.split(",")) if isinstance(value, str) else value

    @field_validator("steps")
    @classmethod
    def _positive(cls, value: object) -> object:
        if isinstance(value, int) and value < 1:
            raise ValueError(f"expected steps >= 1 or auto, got {value}")
        return value


class DrawOptions(SteerOptions):
    """How often a sample is drawn again."""

    best_of: int = Field(default=1, ge=1, description="draw so many for each sample and keep the nearest valid one")
    max_retries: int = Field(
        default=4,
        ge=0,
        description="draw a sample that is not valid again, so often at most",
        json_schema_extra={"domains": ["molecules", "sequences"]},
    )


class GuideOptions(SteerOptions):
    """How guidance pulls."""

    guide: str = Field(
        default="", description="model of noisy samples that pulls (classifier guidance); by the property when absent"
    )
    strength: float = Field(default=1.0, ge=0, description="of the pull: 1 aims at p(x | y)")
    tolerance: float | None = Field(
        default=None, gt=0, description="how near a property should come to its value; the property's own when absent"
    )
    mode: Literal["score", "mean"] | None = Field(
        default=None,
        description="of a guide's gradient: score (every solver) or mean (the lecture's, for solvers that draw)",
    )
    depth: float = Field(default=0.5, gt=0, lt=1, description="time that --input is noised back to; more changes more")
