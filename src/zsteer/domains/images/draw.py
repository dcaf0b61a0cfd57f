"""Many images as one picture, and many pictures as an animation."""

import base64
import io
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from zsteer.errors import InputError

__all__ = ["animation", "grid", "inline", "labelled_grid"]

LARGE = 64
"""Longer edge that small images are enlarged to, by whole factors. [pixels]"""
TEXT = 13
"""Height of a label. [pixels]"""
MOST_COLUMNS = 20


def labelled_grid(pixels: NDArray[np.uint8], labels: Sequence[str] = ()) -> NDArray[np.uint8]:
    """Images in rows as people look at them: small ones enlarged, each with the name of its class below.

    Args:
        pixels: shape ``(b, h, w)`` or ``(b, h, w, 3)``.
        labels: of each image; classes that take turns fill a row. Empty for none.

    Returns:
        One picture, shape ``(H, W)`` or ``(H, W, 3)``.
    """
    zoom = max(1, LARGE // max(pixels.shape[1:3]))
    shown = pixels.repeat(zoom, 1).repeat(zoom, 2)
    if not labels:
        return grid(shown)
    from PIL import Image, ImageDraw

    high = np.full((len(shown), shown.shape[1] + TEXT, *shown.shape[2:]), 255, dtype=np.uint8)
    high[:, : shown.shape[1]] = shown
    for k, label in enumerate(labels):
        picture = Image.fromarray(high[k])
        ImageDraw.Draw(picture).text((2, shown.shape[1] + 1), label, fill=0 if picture.mode == "L" else (0, 0, 0))
        high[k] = np.asarray(picture)
    kinds = len(dict.fromkeys(labels))
    turns = 1 < kinds <= MOST_COLUMNS and list(labels[:kinds]) == list(dict.fromkeys(labels))
    return grid(high, columns=kinds if turns else None)


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


def animation(
    steps: Sequence[NDArray[np.uint8]], *, columns: int | None = None, gap: int = 2, zoom: int = 1
) -> NDArray[np.uint8]:
    """The same images at several steps, for example of a denoising walk, as frames of grids.

    Args:
        steps: images at each step, each of shape ``(b, h, w)`` or ``(b, h, w, 3)``.
        columns: images in a row; about as many as rows when None.
        gap: width of the line between images. [pixels]
        zoom: how often every pixel is repeated along both edges.

    Returns:
        Shape ``(f, H, W)`` or ``(f, H, W, 3)``, to be written as a .gif.

    Raises:
        InputError: if there is no step, or the steps are of different shapes.
    """
    shapes = {one.shape for one in steps}
    if len(shapes) != 1:
        raise InputError(f"expected the same images at one step or more, got shapes {sorted(shapes)}")
    frames = np.stack([grid(one, columns=columns, gap=gap) for one in steps])
    return frames.repeat(zoom, 1).repeat(zoom, 2)


def inline(pixels: NDArray[np.uint8], *, columns: int | None = None, zoom: int = 2) -> str:
    """The grid as an ``<img>`` that needs no other file."""
    from PIL import Image

    sheet = Image.fromarray(grid(pixels, columns=columns))
    sheet = sheet.resize((sheet.width * zoom, sheet.height * zoom), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG")
    text = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{len(pixels)} images" width={sheet.width} src="data:image/png;base64,{text}">'
