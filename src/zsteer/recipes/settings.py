"""The key that every recipe of images and tables has. Imports no torch."""

from pydantic import Field

from zsteer.recipes.base import Recipe

__all__ = ["VectorRecipe"]


class VectorRecipe(Recipe):
    """Keys of every recipe of images and tables."""

    dataset: str = Field(
        default="fashion-mnist", description="fashion-mnist, mnist, grid-25, ring-8, or own: --data is your file"
    )
    skip_invalid: bool = Field(
        default=False, description="leave out pictures of your folder that cannot be read or differ from most"
    )
