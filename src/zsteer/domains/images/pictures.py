"""Pictures through Pillow: one file, a folder of them, a folder of classes, and animations.

What makes a set is that its pictures are alike: one size, and all grey or all colour; ``Shaping`` makes them so.
What is not alike, or cannot be read, is named; it is left out only on request. Pictures are turned as
viewers do (EXIF). Grey of more than 8 bits is brought to 8 by the largest value of the whole set, so that pictures of
10, 12 or 14 bits in files of 16 keep their light.
"""

import struct
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from zsteer.errors import InputError

__all__ = [
    "PICTURES",
    "Folder",
    "Shaping",
    "frames",
    "has_pictures",
    "holds_pictures",
    "light_of",
    "read_folder",
    "write_animation",
]

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
GREY = {"1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "F"}
Pixels = NDArray[np.uint8]
BITS = (8, 10, 12, 14, 16)
DARK = 32
"""Brightest pixel of a set up to which it is called nearly black, and mirrored nearly white."""


@dataclass(frozen=True)
class Shaping:
    """What makes pictures alike.

    Args:
        resize: bring the shorter edge to this, then cut a square of it out of the middle. [pixels]
        crop: cut a square of this edge out of the middle, after ``resize``. [pixels]
        color: grey or rgb for all; auto leaves them as they are.
        size: (height, width) of pictures that are neither resized nor cut, since they are made already; None for none.

    Raises:
        InputError: when a picture is smaller than the cut.
    """

    resize: int | None = None
    crop: int | None = None
    color: Literal["auto", "grey", "rgb"] = "auto"
    size: tuple[int, int] | None = None

    @property
    def words(self) -> str:
        """As the command line writes it."""
        chosen = {"resize": self.resize, "crop": self.crop, "color": None if self.color == "auto" else self.color}
        return " ".join(f"--{name} {value}" for name, value in chosen.items() if value is not None)

    def __call__(self, pixels: Pixels, where: str) -> Pixels:
        """A picture made like the others, ``(h, w)`` or ``(h, w, 3)``."""
        if self == Shaping():
            return pixels
        from PIL import Image, ImageOps

        image = Image.fromarray(pixels)
        if self.color != "auto":
            image = image.convert("L" if self.color == "grey" else "RGB")
        if (image.height, image.width) == self.size:
            return np.array(image, dtype=np.uint8)
        if self.resize is not None:
            image = ImageOps.fit(image, (self.resize, self.resize), Image.Resampling.LANCZOS)
        if self.crop is not None:
            if min(image.size) < self.crop:
                raise InputError(
                    f"{where} is {image.width} x {image.height}, smaller than --crop {self.crop}; pass --resize"
                )
            left, top = (image.width - self.crop) // 2, (image.height - self.crop) // 2
            image = image.crop((left, top, left + self.crop, top + self.crop))
        return np.array(image, dtype=np.uint8)


@dataclass(frozen=True)
class Folder:
    """The pictures of a folder.

    Args:
        pixels: 0 ... 255, shape ``(b, h, w)`` or ``(b, h, w, 3)``.
        labels: index of the class of each; None in a flat folder.
        classes: names of the classes, those of the class folders.
        skipped: what was left out, and why.
        notes: what was assumed.
    """

    pixels: Pixels
    labels: NDArray[np.int64] | None
    classes: tuple[str, ...]
    skipped: Sequence[str]
    notes: tuple[str, ...] = ()


def _one(path: Path) -> NDArray[Any]:
    """The picture that stands alone in its file, as ``_frames`` reads it.

    Raises:
        InputError: if it is damaged, no picture, or an animation.
    """
    found = _frames(path)
    if len(found) > 1:
        raise InputError(f"{path} holds {len(found)} frames where one picture is expected")
    return found[0]


MOST_PIXELS = 300_000_000
"""Of all frames of one file."""


def frames(path: Path) -> Pixels:
    """Read all frames of a file: one of most, several of an animated .gif.

    Returns:
        Shape ``(f, h, w)`` if the file says it is grey, else ``(f, h, w, 3)``. Transparency is laid on white.

    Raises:
        InputError: if it is damaged or no picture.
    """
    found = _frames(path)
    return _eight_bits([found])[0][0]


def _frames(path: Path) -> NDArray[Any]:
    """Frames as ``frames`` gives them, but grey of more than 8 bits as it stands: uint16, or float64 in [0, 1]."""
    from PIL import Image, ImageOps, ImageSequence

    try:
        with Image.open(path) as image:
            mode = image.mode  # of the first frame; reading further ones changes it
            if mode in GREY and getattr(image, "n_frames", 1) == 1:
                return _grey(np.asarray(_on_white(ImageOps.exif_transpose(image), "L")), path)[None]
            if image.width * image.height * getattr(image, "n_frames", 1) > MOST_PIXELS:
                raise ValueError(f"more than {MOST_PIXELS:,} pixels in all its frames")
            shown = np.stack(
                [
                    np.asarray(_on_white(ImageOps.exif_transpose(frame), "RGB"))
                    for frame in ImageSequence.Iterator(image)
                ]
            )
    except (
        *(OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, KeyError, OverflowError, MemoryError),
        *(struct.error, zlib.error, Image.DecompressionBombError),
    ) as error:
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
    return image if image.mode[0] in "IF" else image.convert(mode)


def _grey(values: NDArray[Any], path: Path) -> NDArray[Any]:
    """Grey of 8 bits, of up to 16 as uint16, or of [0, 1].

    Raises:
        InputError: if it is none of these.
    """
    if values.dtype == np.uint8:
        return np.array(values, dtype=np.uint8)
    low, high = (float(values.min()), float(values.max())) if np.isfinite(values).all() else (np.nan, np.nan)
    if values.dtype.kind == "f":
        if not (low >= 0 and high <= 1):
            raise InputError(f"{path}: expected grey in [0, 1] of floating-point pixels, got {low:g} ... {high:g}")
        return values.astype(np.float64)
    if low < 0 or high > 65535:
        raise InputError(f"{path}: expected grey of 8 to 16 bits, got {low:g} ... {high:g}")
    return values.astype(np.uint16)


def _eight_bits(found: Sequence[NDArray[Any]]) -> tuple[list[Pixels], tuple[str, ...]]:
    """Pictures of a set brought to 8 bits, and how: the largest value says how many bits it has."""
    high = max((int(one.max()) for one in found if one.dtype == np.uint16), default=0)
    if not high and all(one.dtype == np.uint8 for one in found):
        return list(found), ()
    bits = next(bits for bits in BITS if high < 1 << bits)
    made = [
        one if one.dtype == np.uint8 else _scaled(one, 1 if one.dtype.kind == "f" else (1 << bits) - 1) for one in found
    ]
    deep = sum(one.dtype != np.uint8 for one in found)
    way = f"{bits}-bit grey (largest value {high})" if high else "floating-point grey in [0, 1]"
    return made, (f"{deep} pictures of {way} were brought to 8 bits",)


def _scaled(values: NDArray[Any], top: int) -> Pixels:
    return (values.astype(np.float64) * (255 / top)).round().astype(np.uint8)


def light_of(pixels: Pixels) -> tuple[str, ...]:
    """A warning where a set is nearly black or nearly white."""
    low, high = int(pixels.min()), int(pixels.max())
    if high < DARK:
        return (f"warning: the pictures are nearly black: no pixel is above {high} of 255",)
    if low > 255 - DARK:
        return (f"warning: the pictures are nearly white: no pixel is below {low} of 255",)
    return ()


def _pictures(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in PICTURES and file.name[0] != ".")


def _classes(folder: Path) -> list[Path]:
    return sorted(place for place in folder.iterdir() if place.is_dir() and place.name[0] != ".")


def holds_pictures(folder: Path) -> bool:
    """Whether a folder is a set of pictures: it holds some, or all its subfolders do."""
    inside = _classes(folder)
    return bool(_pictures(folder)) or (bool(inside) and all(_pictures(place) for place in inside))


def has_pictures(folder: Path) -> bool:
    """Whether there is a picture in a folder or in one of its subfolders, whatever else is there."""
    return bool(_pictures(folder)) or any(_pictures(place) for place in _classes(folder))


def read_folder(folder: Path, *, skip_invalid: bool, shaping: Shaping | None = None) -> Folder:
    """Read a folder of pictures, or one whose subfolders are the classes; both in the order of their names.

    Args:
        folder: with pictures, or with subfolders of pictures.
        skip_invalid: leave out what cannot be read or differs from most, instead of refusing it.
        shaping: makes the pictures alike; None leaves them as they are.

    Raises:
        InputError: naming what cannot be read or differs, or that there is nothing to read.
    """
    files, names, problems = _listed(folder)
    found: list[tuple[Path, int, NDArray[Any]]] = []
    for file, label in files:
        try:
            found.append((file, label, _one(file)))
        except InputError as problem:
            problems[file] = str(problem)
    if not found:
        raise InputError(f"no picture of {folder} can be read: {next(iter(problems.values()))}")
    plain, notes = _eight_bits([values for _, _, values in found])
    read: list[tuple[Path, int, Pixels]] = []
    for (file, label, _), values in zip(found, plain, strict=True):
        try:
            read.append((file, label, (shaping or Shaping())(values, str(file))))
        except InputError as problem:
            problems[file] = str(problem)
    shapes = Counter(pixels.shape for _, _, pixels in read).most_common()
    usual = shapes[0][0] if shapes else ()
    for file, _, pixels in read:
        if pixels.shape != usual:
            problems[file] = (
                f"{file} is {_told(pixels.shape)}, but {shapes[0][1]} of {len(read)} are {_told(usual)}"
                f"{_way_out(pixels.shape, usual)}"
            )
    kept = [(label, pixels) for _, label, pixels in read if pixels.shape == usual]
    if problems and (not skip_invalid or not kept):
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise InputError(
            f"{next(iter(problems.values()))}{more}; mend or remove it, or pass --skip-invalid to leave such out"
        )
    labels = np.array([label for label, _ in kept], dtype=np.int64) if names else None
    pixels = np.stack([one for _, one in kept])
    return Folder(pixels, labels, names, tuple(problems.values()), (*notes, *light_of(pixels)))


def _listed(folder: Path) -> tuple[list[tuple[Path, int]], tuple[str, ...], dict[Path, str]]:
    """Pictures with the number of their class, names of the classes, and class folders without a picture."""
    flat, groups = _pictures(folder), [place for place in _classes(folder) if _pictures(place)]
    if flat and groups:
        raise InputError(
            f"{folder} holds pictures ({flat[0].name}) beside folders of pictures ({groups[0].name}); make it one or "
            f"the other: pictures alone, or one folder for each class"
        )
    empty = [] if flat else [place for place in _classes(folder) if place not in groups]
    if not flat and not groups:
        raise InputError(f"{folder} holds no pictures ({', '.join(PICTURES)}) and no folders of pictures")
    files = [(file, 0) for file in flat] or [(file, i) for i, place in enumerate(groups) for file in _pictures(place)]
    # One folder inside another is no choice of classes.
    names = tuple(place.name for place in groups) if len(groups) > 1 else ()
    return files, names, {place: f"{place} holds no pictures" for place in empty}


def _way_out(shape: tuple[int, ...], usual: tuple[int, ...]) -> str:
    """What would make a picture like the others, in words."""
    if shape[:2] != usual[:2]:
        return "; --resize N makes all of them N x N"
    return "; --color rgb or --color grey makes them alike"


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
