"""Options of ``refit``. Imports no torch."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["RefitOptions"]


class RefitOptions(BaseModel):
    """Options of ``refit``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weights: Literal["cbas", "textbook", "dbas", "cem", "rwr", "fb"] = Field(
        default="cbas",
        description="of the draws: cbas stays near the model; textbook is Algorithm 1 as printed; dbas, cem, rwr and fb"
        " have no anchor",
    )
    generations: int = Field(default=20, ge=1, description="rounds of drawing, measuring and learning")
    draws: int = Field(default=100, ge=4, description="new things measured in each round")
    effective: float = Field(
        default=30.0, ge=2, description="effective draws that the next level must leave to learn from"
    )
    quantile: float = Field(
        default=0.9, gt=0, lt=1, description="of a round's scores: the next level of textbook, dbas, cem and fb"
    )
    alpha: float = Field(default=20.0, gt=0, description="rwr: how steeply weights rise, for each spread of score")
    replay: float = Field(
        default=3.0, ge=0, description="cbas: weight of the model's own first draws in every fit, in draws"
    )
    error: float = Field(
        default=0.0, ge=0, description="standard error of a measured value, in its own unit; 0 takes it as certain"
    )
    model_out: Path | None = Field(default=None, description="folder for the refitted model")
