"""``SampleSpec``: what one sample of plain numbers is to a model, checked wherever numbers come in.

Every model of images or tables has one in its settings. How such a sample is read, written and drawn is the business
of its space (``domains.images``, ``domains.tables``), whose description travels along in ``space``.
"""

import math
from typing import Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from zsteer.core.artifact import Settings
from zsteer.core.batch import Batch
from zsteer.errors import InputError

__all__ = ["SampleSpec"]


MOST = 2**40
"""Numbers in one sample: beyond any machine."""


class SampleSpec(Settings):
    """Shape and kind of values of one sample."""

    shape: tuple[int, ...] = Field(description="shape of one sample: (784,) or (1, 28, 28)", min_length=1)
    values: Literal["binary", "unit", "real", "levels"] = Field(
        description="{0, 1}, [0, 1], standardised reals, or integers 0 ... levels - 1"
    )
    levels: int = Field(default=0, ge=0, description="number of levels, for values=levels")
    space: dict[str, Any] = Field(default_factory=dict, description="how samples are read and written")

    @model_validator(mode="after")
    def _fits(self) -> "SampleSpec":
        if any(extent < 1 for extent in self.shape):
            raise ValueError(f"expected positive extents, got {self.shape}")
        if math.prod(self.shape) > MOST:
            raise ValueError(f"expected at most {MOST:,} numbers in a sample, got {self.shape}")
        if (self.values == "levels") != (self.levels >= 2):
            raise ValueError(f"levels >= 2 belong to values=levels, got values={self.values}, levels={self.levels}")
        return self

    @property
    def size(self) -> int:
        """Numbers in one sample."""
        return math.prod(self.shape)

    def flat(self, x: Batch) -> Float[Tensor, "b size"]:
        """The numbers of each sample in a row, checked.

        Raises:
            InputError: if the shape, a NaN, or a value outside the declared range is found.
        """
        found = x["x"]
        if found.shape[1:] != self.shape:
            raise InputError(f"expected samples of shape {self.shape}, got {tuple(found.shape[1:])}")
        rows = found.reshape(len(found), self.size)
        rows = rows if rows.is_floating_point() else rows.float()
        self.check(rows)
        return rows

    def check(self, rows: Float[Tensor, "b size"]) -> None:
        """Refuse numbers that are not what the datum declares.

        Raises:
            InputError: naming the first sample and position that does not fit.
        """
        if self._whole(rows):
            return
        self._name(rows, ~torch.isfinite(rows), "a finite number")
        low, high = 0.0, float(self.levels - 1 if self.values == "levels" else 1)
        self._name(rows, (rows < low) | (rows > high), f"a value in [{low:g}, {high:g}]")
        whole = "0 or 1" if self.values == "binary" else f"an integer 0 ... {self.levels - 1}"
        self._name(rows, rows != rows.round(), whole)

    def _whole(self, rows: Float[Tensor, "b size"]) -> bool:
        """Whether all numbers fit, in one or two passes: this runs at every step of training. NaN fits nowhere."""
        rows = rows.detach()
        if not rows.numel():
            return True
        if self.values == "binary":
            return torch.equal(rows * rows, rows) and math.isfinite(float(rows.sum()))
        if self.values == "real":
            return math.isfinite(float(rows.sum())) or bool(torch.isfinite(rows).all())
        least, most = (float(value) for value in torch.aminmax(rows))
        if not (least >= 0 and most <= (1 if self.values == "unit" else self.levels - 1)):
            return False
        return self.values == "unit" or torch.equal(rows.round(), rows)

    def _name(self, rows: Tensor, broken: Tensor, expected: str) -> None:
        places = broken.nonzero()
        if not len(places):
            return
        row, column = (int(i) for i in places[0])
        raise InputError(
            f"expected {expected} at sample {row + 1}, position {column + 1}, got {float(rows[row, column]):g}; "
            f"the model takes values={self.values}"
        )

    @property
    def resolution(self) -> int:
        """Levels that a value can have: 256 of images of 8 bits, 2 of binary ones; 0 of reals, which have none."""
        return {"unit": 256, "binary": 2, "levels": self.levels, "real": 0}[self.values]

    def centred(self, x: Batch) -> Float[Tensor, "b size"]:
        """The numbers of each sample in a row, with 0 in the middle: [0, 1] and levels in [-1, 1], reals as they are.

        Raises:
            InputError: as ``flat``.
        """
        rows = self.flat(x)
        return rows if self.values == "real" else rows * (2 / max(self.levels - 1, 1)) - 1

    def uncentred(self, rows: Float[Tensor, "b size"]) -> Batch:
        """Centred numbers as samples: cut to the range, and rounded where values are whole."""
        if self.values == "real":
            return self.batch(rows)
        top = max(self.levels - 1, 1)
        found = ((rows + 1) / 2).clamp(0, 1) * top
        return self.batch(found if self.values == "unit" else found.round())

    def batch(self, flat: Float[Tensor, "b size"]) -> Batch:
        """Rows of numbers as a batch of samples."""
        return Batch({"x": flat.reshape(len(flat), *self.shape)})
