"""Options of recommendation. Imports no torch."""

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["RatingKnobs"]


class RatingKnobs(BaseModel):
    """Knobs of recommendation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    user: str | None = Field(default=None, description="a known user; one in --input is taken by name as well")
    support: int = Field(default=5, ge=0, description="ratings that an item must have in the training data")
