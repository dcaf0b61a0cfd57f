"""The keys that every recipe of images and tables has. Imports no torch."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field

from zsteer.recipes.base import Recipe
from zsteer.recipes.own import OwnFile

__all__ = ["VectorRecipe"]


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


class VectorRecipe(Recipe):
    """Keys of every recipe of images and tables."""

    dataset: str = Field(
        default="auto",
        description="fashion-mnist, mnist, grid-25, ring-8, or own: --data is your file; auto: own, or fashion-mnist "
        "where --data is a folder that has it",
    )
    skip_invalid: bool = Field(
        default=False, description="leave out pictures and rows of your data that cannot be used, count and list them"
    )
    categorical: str = Field(default="", description="columns of your table that are categories, with commas between")
    leave_out: str = Field(default="", description="columns of your table that are not learnt, with commas between")
    resize: int | None = Field(
        default=None, ge=1, description="bring your pictures to squares of this edge: the shorter edge, then the middle"
    )
    crop: int | None = Field(default=None, ge=1, description="cut squares of this edge out of the middle of pictures")
    color: Literal["auto", "grey", "rgb"] = Field(
        default="auto", description="make all your pictures grey or rgb; auto: they must be alike"
    )

    def resolve(self, data: Path | None) -> Self:
        """The recipe with the name of the set that its data are."""
        from zsteer.recipes.sets import dataset_of

        return self.model_copy(update={"dataset": dataset_of(self.dataset, data)})

    @property
    def own(self) -> OwnFile:
        """How the user's own file is read."""
        return OwnFile(
            self.skip_invalid, _names(self.categorical), _names(self.leave_out), self.resize, self.crop, self.color
        )
