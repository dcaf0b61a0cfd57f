"""Pictures cut into segments: every pixel one of a few grey levels, chosen by k-means of the training pixels.

A cut is described by the grey of each level; a pixel belongs to the nearest. Levels written back are those greys.
"""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from zsteer.core.batch import Batch
from zsteer.domains.images.pictures import Shaping
from zsteer.domains.images.space import ImageSpace, plain_shaping, shaping_of
from zsteer.errors import InputError

__all__ = ["Cut"]

ROUNDS = 100


@dataclass(frozen=True)
class Cut:
    """Grey levels of pictures of one size.

    Args:
        greys: grey of each level in [0, 1], rising.
        height: [pixels]
        width: [pixels]
        shrink: pixels along an edge that were averaged before the cut.
        shaping: what made the pictures of a training alike, before all that.
    """

    greys: tuple[float, ...]
    height: int
    width: int
    shrink: int = 1
    shaping: Shaping = field(default_factory=Shaping)

    @staticmethod
    def learn(x: Float[Tensor, "b c h w"], levels: int, *, shrink: int = 1) -> "Cut":
        """K-means of the grey of all pixels, from the even quantiles of those that are not black.

        Raises:
            InputError: if the pictures are in colour, or have fewer greys than levels.
        """
        small = _shrunk(x, shrink)
        values, counts = torch.unique((small * 255).round(), return_counts=True)
        if len(values) < levels:
            raise InputError(f"expected at least {levels} greys to cut into levels, got {len(values)}")
        weight = counts.double()
        # The middle of each of `levels` parts of equal mass of the pixels that are not black; black begins at its own.
        mass = torch.where(values > 0, weight, 0.0).cumsum(0) / weight[values > 0].sum()
        wanted = (torch.arange(levels - 1, dtype=torch.float64) + 0.5) / (levels - 1)
        centres = torch.cat([values[:1].double(), values[torch.searchsorted(mass, wanted)].double()]).unique()
        if len(centres) < levels:
            centres = torch.linspace(float(values[0]), float(values[-1]), levels, dtype=torch.float64)
        for _ in range(ROUNDS):
            nearest = (values[:, None].double() - centres).abs().argmin(1)
            total = torch.zeros_like(centres).index_add_(0, nearest, weight)
            mean = torch.zeros_like(centres).index_add_(0, nearest, weight * values.double()) / total.clamp(min=1)
            moved = torch.where(total > 0, mean, centres)
            if torch.equal(moved, centres):
                break
            centres = moved
        greys = tuple(round(float(grey) / 255, 4) for grey in centres)
        return Cut(greys, small.shape[-2], small.shape[-1], shrink)

    @staticmethod
    def of(settings: dict[str, Any]) -> "Cut":
        """The cut of a description that ``settings`` gave."""
        greys = tuple(float(grey) for grey in settings["greys"])
        return Cut(greys, settings["height"], settings["width"], settings["shrink"], shaping_of(settings))

    def settings(self) -> dict[str, Any]:
        """A description that JSON can hold."""
        return {"name": "segments", **plain_shaping(asdict(self))}

    @property
    def reading(self) -> Shaping:
        """What makes pictures of any size those of the training, before the cut; pictures of that size stay."""
        return replace(self.shaping, size=(self.height * self.shrink, self.width * self.shrink))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one cut picture."""
        return (1, self.height, self.width)

    @property
    def space(self) -> ImageSpace:
        """The space that written pictures have."""
        return ImageSpace(*self.shape)

    @property
    def name(self) -> str:
        """Name of the space."""
        return "segments"

    def encode(self, items: NDArray[np.uint8]) -> Batch:
        """Grey pixels 0 ... 255, before shrinking, as levels.

        Raises:
            InputError: if they are of another size, or in colour.
        """
        whole = ImageSpace(1, self.height * self.shrink, self.width * self.shrink)
        return self.cut(whole.encode(items))

    def decode(self, x: Batch) -> NDArray[np.uint8]:
        """Levels as pixels of their greys."""
        return self.space.decode(self.paint(x))

    def cut(self, x: Batch) -> Batch:
        """Pictures as levels 0 ... K - 1; further fields stay."""
        small = _shrunk(x["x"], self.shrink)
        if tuple(small.shape[1:]) != self.shape:
            raise InputError(f"expected pictures that shrink to {self.shape}, got {tuple(small.shape[1:])}")
        greys = torch.tensor(self.greys, device=small.device)
        middles = (greys[1:] + greys[:-1]) / 2
        return x.with_fields(x=torch.bucketize(small, middles, right=True).float())

    def paint(self, x: Batch) -> Batch:
        """Levels as pictures of their greys."""
        greys = torch.tensor(self.greys, device=x.device)
        return Batch({"x": greys[x["x"].long()]})


def _shrunk(x: Float[Tensor, "b c h w"], shrink: int) -> Float[Tensor, "b c i j"]:
    if x.ndim != 4 or x.shape[1] != 1:
        raise InputError(f"expected grey pictures (b, 1, h, w), got {tuple(x.shape)}; segments have no colour")
    return torch.nn.functional.avg_pool2d(x, shrink) if shrink > 1 else x
