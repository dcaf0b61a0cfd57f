"""Pictures through Pillow: one file, a folder of them, a folder of classes, and animations.

What makes a set is that its pictures are alike: one size, and all grey or all colour. What is not alike, or cannot be
read, is named; it is left out only when that is asked for.
"""

import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsteer.errors import InputError

__all__ = ["PICTURES", "Folder", "frames", "holds_pictures", "one", "read_folder", "write_animation"]

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
GREY = {"1", "L", "LA", "I", "I;16", "I;16B", "I;16L"}
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Folder:
    """The pictures of a folder.

    Args:
        pixels: 0 ... 255, shape ``(b, h, w)`` or ``(b, h, w, 3)``.
        labels: index of the class of each; None in a flat folder.
        classes: names of the classes, those of the class folders.
        skipped: what was left out, and why.
    """

    pixels: Pixels
    labels: NDArray[np.int64] | None
    classes: tuple[str, ...]
    skipped: Sequence[str]


def one(path: Path) -> Pixels:
    """Read a picture that stands alone in its file.

    Returns:
        Shape ``(h, w)`` if the file says it is grey, else ``(h, w, 3)``. Transparency is laid on white, 16 bits are
        brought to 8.

    Raises:
        InputError: if it is damaged, no picture, or an animation.
    """
    found = frames(path)
    if len(found) > 1:
        raise InputError(f"{path} holds {len(found)} frames where one picture is expected")
    return found[0]


def frames(path: Path) -> Pixels:
    """Read all frames of a file: one of most, several of an animated .gif.

    Returns:
        Shape ``(f, h, w)`` or ``(f, h, w, 3)``.

    Raises:
        InputError: if it is damaged or no picture.
    """
    from PIL import Image, ImageSequence

    try:
        with Image.open(path) as image:
            mode = image.mode  # of the first frame; reading further ones changes it
            if mode in GREY and getattr(image, "n_frames", 1) == 1:
                return _eight_bits(np.asarray(_on_white(image, "L")), path)[None]
            shown = np.stack([np.asarray(_on_white(frame, "RGB")) for frame in ImageSequence.Iterator(image)])
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError) as error:
        raise InputError(f"{path} cannot be read as a picture: {' '.join(str(error).split())[:120]}") from error
    # A palette does not say whether it is grey; its colours do.
    grey = mode not in {"RGB", "RGBA"} and bool((shown == shown[..., :1]).all())
    return np.ascontiguousarray(shown[..., 0] if grey else shown)


def _on_white(image: Any, mode: str) -> Any:
    """A picture in a mode, with what is transparent laid on white."""
    from PIL import Image

    if image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info:
        seen = image.convert("RGBA")
        white = Image.new("RGBA", seen.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, seen).convert(mode)
    return image if image.mode.startswith("I") else image.convert(mode)


def _eight_bits(values: NDArray[np.generic], path: Path) -> Pixels:
    if values.dtype == np.uint8:
        return np.array(values, dtype=np.uint8)
    numbers = values.astype(np.int64)
    if numbers.min() < 0 or numbers.max() > 65535:
        raise InputError(f"{path}: expected grey of 8 or 16 bits, got {numbers.min()} ... {numbers.max()}")
    return ((numbers + 128) // 257).astype(np.uint8)


def _pictures(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in PICTURES and file.name[0] != ".")


def _classes(folder: Path) -> list[Path]:
    return sorted(place for place in folder.iterdir() if place.is_dir() and place.name[0] != ".")


def holds_pictures(folder: Path) -> bool:
    """Whether a folder is a set of pictures: it holds some, or all its subfolders do."""
    inside = _classes(folder)
    return bool(_pictures(folder)) or (bool(inside) and all(_pictures(place) for place in inside))


def read_folder(folder: Path, *, skip_invalid: bool) -> Folder:
    """Read a folder of pictures, or one whose subfolders are the classes; both in the order of their names.

    Args:
        folder: with pictures, or with subfolders of pictures.
        skip_invalid: leave out what cannot be read or differs from most, instead of refusing it.

    Raises:
        InputError: naming what cannot be read or differs, or that there is nothing to read.
    """
    flat, groups = _pictures(folder), [place for place in _classes(folder) if _pictures(place)]
    if flat and groups:
        raise InputError(
            f"{folder} holds pictures ({flat[0].name}) beside folders of pictures ({groups[0].name}); make it one or "
            f"the other: pictures alone, or one folder for each class"
        )
    empty = [] if flat else [place for place in _classes(folder) if place not in groups]
    if not flat and not groups:
        raise InputError(f"{folder} holds no pictures ({', '.join(PICTURES)}) and no folders of pictures")
    problems = {place: f"{place} holds no pictures" for place in empty}
    files = [(file, 0) for file in flat] or [(file, i) for i, place in enumerate(groups) for file in _pictures(place)]
    read: list[tuple[Path, int, Pixels]] = []
    for file, label in files:
        try:
            read.append((file, label, one(file)))
        except InputError as problem:
            problems[file] = str(problem)
    if not read:
        raise InputError(f"no picture of {folder} can be read: {next(iter(problems.values()))}")
    usual, count = Counter(pixels.shape for _, _, pixels in read).most_common(1)[0]
    for file, _, pixels in read:
        if pixels.shape != usual:
            problems[file] = f"{file} is {_told(pixels.shape)}, but {count} of {len(read)} are {_told(usual)}"
    if problems and not skip_invalid:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise InputError(
            f"{next(iter(problems.values()))}{more}; mend or remove it, or pass --skip-invalid to leave such out"
        )
    kept = [(label, pixels) for _, label, pixels in read if pixels.shape == usual]
    # One folder inside another is no choice of classes.
    names = tuple(place.name for place in groups) if len(groups) > 1 else ()
    labels = np.array([label for label, _ in kept], dtype=np.int64) if names else None
    return Folder(np.stack([pixels for _, pixels in kept]), labels, names, tuple(problems.values()))


def _told(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[0]} {'colour' if len(shape) == 3 else 'grey'}"


def write_animation(path: Path, pixels: Pixels, *, seconds: float) -> None:
    """Write an endless .gif, one image a frame; the last stands as long as a third of the rest.

    Args:
        path: where to.
        pixels: shape ``(f, h, w)`` or ``(f, h, w, 3)``; colours are brought to 256 a frame, as the format asks.
        seconds: how long all frames but the last stand together.
    """
    from PIL import Image

    # The format counts in hundredths of a second, and programs take less than two of them for a mistake.
    each = max(20, round(1000 * seconds / max(1, len(pixels) - 1)))
    stand = [each] * (len(pixels) - 1) + [max(each, round(1000 * seconds / 3))]
    first, *rest = [Image.fromarray(one) for one in pixels]
    first.save(path, format="GIF", save_all=True, append_images=rest, duration=stand, loop=0, disposal=1)
