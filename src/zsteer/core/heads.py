r"""``Heads``: what several linear heads read off one code, and where codes lie.

A head is one property as :math:`y = w \cdot z + b` with how well it reads; the set of heads keeps the mean and the
covariance of the codes, and the length beyond which a code is off their manifold. Both turn into flat tensors and JSON
and back, so that they can be stored beside a model. ``zsteer.steer.heads`` fits them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.errors import ArtifactError, InputError, nearest

__all__ = ["Head", "Heads"]

_PREFIX = "heads."


@dataclass(frozen=True)
class Head:
    """One property, read off a code.

    Args:
        name: of the property.
        part: of the code that it reads; several are joined by ``+``.
        w: its direction.
        b: its offset.
        n: examples that it was fitted on.
        quality: R^2 of a number, area under the curve of positives against others; on rows that a fit left out.
        low: lower end of the 95 % bootstrap interval of the quality.
        high: upper end.
        measure: which of the two the quality is.
        unit: of the property.
    """

    name: str
    part: str
    w: Float[Tensor, " d"]
    b: float
    n: int
    quality: float
    low: float
    high: float
    measure: Literal["r2", "auc"] = "r2"
    unit: str = ""

    @property
    def signal(self) -> bool:
        """Whether it reads anything: the interval of its quality lies above chance."""
        return self.low > (0.0 if self.measure == "r2" else 0.5)

    @property
    def text(self) -> str:
        """Its quality in a line."""
        kind = "R^2" if self.measure == "r2" else "AUC"
        return f"{self.name}: {kind} {self.quality:.3f} [{self.low:.3f}, {self.high:.3f}] on {self.n} examples"


@dataclass(frozen=True)
class Heads:
    """Several heads on one code.

    Args:
        parts: parts of the code in the order in which they are joined.
        heads: one for each property.
        mean: of the codes.
        covariance: of the codes, positive definite.
        radius: length that the share ``within`` of the codes stays below, in the metric of the covariance.
        within: that share.

    Raises:
        InputError: if widths differ, or two heads have one name.
    """

    parts: tuple[str, ...]
    heads: tuple[Head, ...]
    mean: Float[Tensor, " d"]
    covariance: Float[Tensor, "d d"]
    radius: float
    within: float = 0.99

    def __post_init__(self) -> None:
        width = len(self.mean)
        for head in self.heads:
            if len(head.w) != width:
                raise InputError(f"head {head.name}: expected a direction of {width} numbers, got {len(head.w)}")
        if len(set(self.names)) < len(self.heads):
            raise InputError(f"expected one head for each property, got {', '.join(self.names)}")

    @property
    def names(self) -> tuple[str, ...]:
        """Properties that have a head."""
        return tuple(head.name for head in self.heads)

    def __getitem__(self, name: str) -> Head:
        for head in self.heads:
            if head.name == name:
                return head
        raise InputError(nearest(name, self.names, what="head"))

    def directions(self, names: Sequence[str]) -> Float[Tensor, "k d"]:
        """The directions of some heads, one a row."""
        return torch.stack([self[name].w for name in names]) if names else self.mean.new_zeros(0, len(self.mean))

    def to_tensors(self) -> dict[str, Tensor]:
        """Flat tensors, float64; names begin with ``heads.``."""
        return {
            f"{_PREFIX}w": self.directions(self.names).double(),
            f"{_PREFIX}mean": self.mean.double(),
            f"{_PREFIX}covariance": self.covariance.double(),
        }

    def to_settings(self) -> dict[str, Any]:
        """What the tensors do not hold, for JSON."""
        names = ("name", "part", "b", "n", "quality", "low", "high", "measure", "unit")
        rows = [{name: getattr(head, name) for name in names} for head in self.heads]
        return {"parts": list(self.parts), "radius": self.radius, "within": self.within, "heads": rows}

    @staticmethod
    def from_tensors(tensors: Mapping[str, Tensor], settings: Mapping[str, Any]) -> "Heads":
        """Heads as ``to_tensors`` and ``to_settings`` gave them; other tensors are ignored.

        Raises:
            ArtifactError: if something is missing or does not fit.
        """
        try:
            w = tensors[f"{_PREFIX}w"]
            heads = tuple(Head(w=row, **values) for row, values in zip(w, settings["heads"], strict=True))
            mean, covariance = tensors[f"{_PREFIX}mean"], tensors[f"{_PREFIX}covariance"]
            return Heads(
                tuple(settings["parts"]), heads, mean, covariance, settings["radius"], settings.get("within", 0.99)
            )
        except (KeyError, TypeError, ValueError, InputError) as error:
            raise ArtifactError(f"stored heads cannot be read ({error}); fit them again") from error
