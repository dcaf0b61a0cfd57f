"""The recipe of the machine for ratings. Imports no torch."""

from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field

from zsteer.recipes.base import Recipe

__all__ = ["RatingRecipe"]


class RatingRecipe(Recipe):
    """One RBM for each user with shared parameters; distributions over rating levels."""

    name: ClassVar[str] = "rbm-ratings"
    summary: ClassVar[str] = "RBM for ratings: a distribution over levels for every user and item"
    builder: ClassVar[str] = "zsteer.recipes.ratings.build:machine"

    dataset: str = Field(
        default="auto",
        description="ml-latest-small, movietweetings, or own: --data is your file or folder; auto: own, or the first "
        "of these that the folder --data has",
    )
    skip_invalid: bool = Field(
        default=False, description="leave out rows that cannot be used, a pair that comes again among them; count them"
    )
    core: int = Field(default=0, ge=0, description="keep users and items with at least this many ratings of each other")
    levels: str | None = Field(default=None, description="levels from the worst to the best, with commas between")
    test: float = Field(default=0.1, ge=0, lt=1, description="share of the ratings set aside and reported on")
    hidden: Literal["gaussian", "bernoulli"] = Field(
        default="gaussian", description="hidden units: gaussian (default) or bernoulli (as published in 2007)"
    )
    tie: Literal["ordinal", "free", "factored"] = Field(
        default="ordinal", description="levels of an item tied by a score, free, or of low rank (bernoulli only)"
    )
    factors: int = Field(default=8, ge=1, description="hidden units that couple items")
    conditional: bool = Field(default=False, description="condition on which items were rated (implicit feedback)")
    usage: float = Field(default=0.25, ge=0, description="spread of how users fill the scale; 0 for users alike")
    decay: float | None = Field(
        default=None,
        ge=0,
        description="prior precision of an item's weights; chosen on a tenth of the ratings if absent",
    )
    bias_decay: float = Field(default=3.0, ge=0, description="prior precision of an item's bias")
    negative: Literal["auto", "closed", "chain"] = Field(
        default="auto", description="negative phase: closed form (gaussian) or a growing mean-field chain"
    )
    keep: bool = Field(default=True, description="keep users' training ratings with the model, to answer for them")

    def resolve(self, data: Path | None) -> Self:
        """The recipe with the name of the set that its data are."""
        from zsteer.domains.ratings.data import dataset_of

        return self.model_copy(update={"dataset": dataset_of(self.dataset, data)})
