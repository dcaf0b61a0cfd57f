"""Properties of images, declared: function and gradient are one measure of pixels ``(b, c, h, w)`` in [0, 1]."""

from collections.abc import Mapping
from types import MappingProxyType

from zsteer.core.property import Property, lazy

__all__ = ["PROPERTIES"]


def _declare(name: str, text: str, low: float, high: float, spread: float) -> Property:
    measure = lazy(f"zsteer.domains.images.measures:{name}")
    return Property(name, measure, measure, low=low, high=high, spread=spread, tolerance=0.02, help=text)


PROPERTIES: Mapping[str, Property] = MappingProxyType(
    {
        "brightness": _declare("brightness", "mean of the pixels, 0 black to 1 white", 0, 1, 0.15),
        "contrast": _declare("contrast", "standard deviation of the pixels", 0, 0.5, 0.08),
        "lean": _declare("lean", "where the light is, from left (-1) to right (1)", -1, 1, 0.08),
        "symmetry": _declare("symmetry", "likeness to the own mirror image, 1 for the same", 0, 1, 0.06),
    }
)
"""By name."""
