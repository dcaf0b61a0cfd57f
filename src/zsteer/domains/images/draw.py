"""Many images as one picture."""

import base64
import io
import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["grid", "inline"]


def grid(pixels: NDArray[np.uint8], *, columns: int | None = None, gap: int = 2) -> NDArray[np.uint8]:
    """Lay images out in rows.

    Args:
        pixels: shape ``(b, h, w)`` or ``(b, h, w, 3)``.
        columns: images in a row; about as many as rows when None.
        gap: width of the line between images. [pixels]

    Returns:
        One picture, shape ``(H, W)`` or ``(H, W, 3)``; the lines between the images are mid-grey.
    """
    b, h, w = pixels.shape[:3]
    wide = columns or math.ceil(math.sqrt(b))
    rows = math.ceil(b / wide)
    sheet = np.full((rows * (h + gap) - gap, wide * (w + gap) - gap, *pixels.shape[3:]), 128, dtype=np.uint8)
    for i, one in enumerate(pixels):
        top, left = (i // wide) * (h + gap), (i % wide) * (w + gap)
        sheet[top : top + h, left : left + w] = one
    return sheet


def inline(pixels: NDArray[np.uint8], *, columns: int | None = None, zoom: int = 2) -> str:
    """The grid as an ``<img>`` that needs no other file."""
    from PIL import Image

    sheet = Image.fromarray(grid(pixels, columns=columns))
    sheet = sheet.resize((sheet.width * zoom, sheet.height * zoom), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG")
    text = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{len(pixels)} images" width={sheet.width} src="data:image/png;base64,{text}">'
