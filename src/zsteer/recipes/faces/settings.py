"""Recipes of the diffusion autoencoder and of the reader of factors. Imports no torch."""

from pathlib import Path
from typing import ClassVar, Self

from pydantic import Field

from zsteer.recipes.settings import VectorRecipe

__all__ = ["DiffAERecipe", "FacesRecipe", "ReaderRecipe"]


class FacesRecipe(VectorRecipe):
    """Keys of the recipes of faces: drawn ones, or pictures of one's own."""

    dataset: str = Field(default="faces", description="faces: drawn from the seed; own: --data is your file or folder")

    def resolve(self, data: Path | None) -> Self:
        """Drawn faces, unless the data are pictures of one's own: a file, or a folder that holds pictures."""
        from zsteer.domains.images.files import holds_pictures

        own = data is not None and (data.is_file() or (data.is_dir() and holds_pictures(data)))
        return self.model_copy(update={"dataset": "own"}) if own else self


class DiffAERecipe(FacesRecipe):
    """The diffusion autoencoder."""

    name: ClassVar[str] = "faces-diffae"
    summary: ClassVar[str] = "diffusion autoencoder: a code of drawn faces, or of your pictures, to edit"
    builder: ClassVar[str] = "zsteer.recipes.faces.build:diffae"
    headline: ClassVar[str] = "ssim"

    semantic: int = Field(default=64, ge=1, description="width of the semantic code")
    width: int | None = Field(default=None, ge=2, description="channels of the U-Net; default depends on --size")
    reader: str = Field(
        default="faces-reader", description="model that measures the attributes of drawn faces; none: heads read them"
    )


class ReaderRecipe(FacesRecipe):
    """The reader of factors."""

    name: ClassVar[str] = "faces-reader"
    summary: ClassVar[str] = "reader of the twelve factors of drawn faces, with its error"
    builder: ClassVar[str] = "zsteer.recipes.faces.build:reader"
    headline: ClassVar[str] = "error"
