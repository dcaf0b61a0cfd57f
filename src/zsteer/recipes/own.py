"""``OwnFile``: how a recipe of images or tables reads the user's own file. Imports no torch."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["OwnFile"]


@dataclass(frozen=True)
class OwnFile:
    """How the user's own file or folder is read.

    Args:
        skip_invalid: leave out rows and pictures that cannot be used, and count them.
        categorical: columns of a table that are categories.
        leave_out: columns of a table that are not learnt.
        resize: edge that pictures are brought to, the shorter one first, then cut to a square. [pixels]
        crop: edge of the square that is cut out of the middle of pictures. [pixels]
        color: grey or rgb for all pictures; auto takes them as they are.
    """

    skip_invalid: bool = False
    categorical: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()
    resize: int | None = None
    crop: int | None = None
    color: Literal["auto", "grey", "rgb"] = "auto"

    @property
    def of_pictures(self) -> bool:
        """Whether something is wanted that only pictures have."""
        return self.resize is not None or self.crop is not None or self.color != "auto"
