"""What ``--toward`` and ``--keep`` take for images, and the files. Imports no torch."""

from collections.abc import Mapping, Sequence
from typing import Any

from zsteer.core.options import Option, Options
from zsteer.domains.images.properties import PROPERTIES

__all__ = ["MEASURED", "OPTIONS", "class_option"]

MEASURED = (1, 28, 28)
"""Shape of the images whose class the shipped feature net tells."""

OPTIONS = Options(
    "images",
    ".png (a grid), .gif, .npz, IDX, a folder of pictures, or a table that names some",
    tuple(quantity.option for quantity in PROPERTIES.values()),
)


def class_option(description: Mapping[str, Any], offers: Sequence[str]) -> tuple[Option, ...]:
    """``--toward class``, where something can pull at a class or measure it, and ``like``, where a code can be moved.

    Args:
        description: of the model's space.
        offers: names of the protocols that its kind declares.
    """
    text = "pictures that have what is wanted: a folder or a file; a head tells them from others"
    like = (Option("like", "toward", "file", text),) if "Codec" in offers else ()
    if "Conditional" in offers:
        text = "a class; a classifier of noisy images pulls (--guide), else the model's own condition"
        return (Option("class", "toward", "text", text), *like)
    shape = tuple(int(description.get(name, 0)) for name in ("channels", "height", "width"))
    if description.get("name") == "images" and shape == MEASURED:
        return (Option("class", "toward", "text", "a class, as a feature net tells it"), *like)
    return like
