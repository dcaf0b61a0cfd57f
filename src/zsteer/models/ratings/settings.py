"""Settings of the machine for ratings, and the ratings of a batch as a flat list.

A batch pads every user to the longest; what is computed runs over the rated pairs only, as one list with the user of
each. Sums by user are ``index_add``: nothing of the size users x items is ever made.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int, Shaped
from pydantic import Field
from torch import Tensor

from zsteer.core.artifact import Settings
from zsteer.core.batch import Batch
from zsteer.errors import InputError

__all__ = ["Rated", "RatingSettings"]


class RatingSettings(Settings):
    """What a ``RatingRBM`` is built from."""

    items: int = Field(ge=1, description="items that can be rated")
    levels: tuple[str, ...] = Field(min_length=2, description="names of the levels, worst first")
    values: tuple[float, ...] = Field(min_length=2, description="what the levels are worth in an expectation")
    users: int = Field(default=0, ge=0, description="users whose ratings are kept with the model")
    kept: int = Field(default=0, ge=0, description="ratings that are kept with the model")
    hidden: Literal["gaussian", "bernoulli"] = Field(default="gaussian", description="kind of the hidden units")
    factors: int = Field(default=8, ge=1, description="hidden units that couple items")
    tie: Literal["ordinal", "free", "factored"] = Field(
        default="ordinal",
        description="weights of the levels of an item: one for all by an ordinal score, free, or of low rank",
    )
    rank: int = Field(default=4, ge=1, description="rank of factored weights")
    conditional: bool = Field(default=False, description="let which items are rated speak too, whatever the level")
    usage: float = Field(default=0.25, ge=0, description="spread of how users fill the scale; 0 for users alike")
    negative: Literal["closed", "chain"] = Field(
        default="closed", description="negative phase: in closed form (Gaussian hidden) or a mean-field chain (CD-T)"
    )
    decay: float = Field(default=140.0, ge=0, description="prior precision of an item's weights")
    bias_decay: float = Field(default=3.0, ge=0, description="prior precision of an item's bias")
    steps: int = Field(default=1, ge=1, description="updates that the chain's length grows over (CD-T)")
    seed: int = Field(default=0, description="seed of the initial weights")


@dataclass(frozen=True)
class Rated:
    """Rated pairs of ``users`` users as one list.

    Args:
        user: row of the batch, shape ``(r,)``.
        item: shape ``(r,)``.
        level: shape ``(r,)``.
        users: how many users there are; some may have rated nothing.
    """

    user: Int[Tensor, " r"]
    item: Int[Tensor, " r"]
    level: Int[Tensor, " r"]
    users: int

    @staticmethod
    def of(x: Batch, settings: RatingSettings) -> "Rated":
        """The rated pairs of a batch with fields items, levels and the mask.

        Raises:
            InputError: if a rated item or level does not exist.
        """
        items, levels = x["items"], x["levels"]
        mask = x.mask if x.mask is not None else torch.ones_like(items, dtype=torch.bool)
        at = mask.nonzero()
        found = Rated(at[:, 0], items[mask], levels[mask], len(x))
        for name, value, count in (
            ("item", found.item, settings.items),
            ("level", found.level, len(settings.levels)),
        ):
            if len(value) and not 0 <= int(value.min()) <= int(value.max()) < count:
                wrong = int(((value < 0) | (value >= count)).nonzero()[0])
                raise InputError(
                    f"user {int(found.user[wrong])} of the batch: expected a {name} of 0 ... {count - 1}, "
                    f"got {int(value[wrong])}"
                )
        return found

    def join(self, other: "Rated") -> "Rated":
        """Both lists, over the same users."""
        item, level = torch.cat([self.item, other.item]), torch.cat([self.level, other.level])
        return Rated(torch.cat([self.user, other.user]), item, level, self.users)

    def total(self, values: Shaped[Tensor, "r ..."]) -> Shaped[Tensor, "b ..."]:
        """Sum of a value over each user's ratings."""
        return torch.zeros(self.users, *values.shape[1:], dtype=values.dtype, device=values.device).index_add(
            0, self.user, values
        )

    def chosen(self, levels: int, like: Tensor) -> Float[Tensor, "r k"]:
        """The ratings as indicators of their levels."""
        return torch.nn.functional.one_hot(self.level, levels).to(like.dtype)
