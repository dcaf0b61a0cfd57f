"""Options of the methods ``search`` and ``rerank``; no torch is imported here."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["RerankOptions", "SearchOptions"]


class SearchOptions(BaseModel):
    """Options of ``search``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    algorithm: Literal["greedy", "genetic", "tree", "random"] = Field(
        default="greedy", description="what to try next; tree needs moves that can be listed (substitutions)"
    )
    rounds: int = Field(default=20, ge=1, description="most rounds: steps of greedy, generations of genetic")
    proposals: int = Field(
        default=16, ge=4, description="proposals of a model for each start and round; population of genetic"
    )
    proposal_strength: float = Field(default=0.3, gt=0, le=1, description="of a model's proposals: 1 makes new samples")
    moves: Literal["auto", "substitutions", "proposals"] = Field(
        default="auto", description="how things change: auto takes substitutions where things are sequences"
    )
    mutations: float = Field(default=1.0, gt=0, description="expected substitutions of a child of genetic")
    explore: float = Field(default=10.0, gt=0, description="weight of what tree search has seldom tried")
    stop: float | None = Field(default=None, description="score at which greedy is done with a start; 0 is reached")


class RerankOptions(BaseModel):
    """Options of ``rerank``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    candidates: int = Field(default=16, ge=1, description="samples drawn for each wanted result")
    proposal_strength: float = Field(default=0.3, gt=0, le=1, description="of changes of a start: 1 makes new samples")
