"""Properties of images, declared: function and gradient are one measure of pixels ``(b, c, h, w)`` in [0, 1]."""

from collections.abc import Mapping
from types import MappingProxyType

from zsteer.core.property import Property, lazy

__all__ = ["FACES", "PROPERTIES"]


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


def _factor(name: str, low: str, high: str) -> Property:
    return Property(name, low=0.0, high=1.0, spread=0.29, tolerance=0.05, help=f"of a face: 0 {low}, 1 {high}")


FACES: Mapping[str, Property] = MappingProxyType(
    {
        "smile": _factor("smile", "mouth turned down", "turned up"),
        "age": _factor("age", "no wrinkles", "wrinkles and greying hair"),
        "wave": _factor("wave", "straight hair", "waves"),
        "hair_length": _factor("hair_length", "short", "over the shoulders"),
        "head_width": _factor("head_width", "narrow", "wide"),
        "eye_size": _factor("eye_size", "small", "large"),
        "brow": _factor("brow", "low", "raised"),
        "mouth_open": _factor("mouth_open", "closed", "open"),
        "skin": _factor("skin", "light", "dark"),
        "hair_tone": _factor("hair_tone", "dark", "blond"),
        "yaw": _factor("yaw", "turned left", "turned right"),
        "glasses": _factor("glasses", "none", "dark frames"),
    }
)
"""What drawn faces are made of, in the order of their columns; a model tells them, or a reader of pictures."""
