"""What ``--toward`` and ``--keep`` take for images, and the files. Imports no torch."""

from zsteer.core.options import Option, Options
from zsteer.domains.images.properties import PROPERTIES

__all__ = ["OPTIONS"]

OPTIONS = Options(
    "images",
    ".png (a grid), .gif, .npz, IDX, or a folder of pictures",
    (
        *(quantity.option for quantity in PROPERTIES.values()),
        Option("class", "toward", "text", "a class, pulled at by a classifier of noisy images (--guide)"),
    ),
)
