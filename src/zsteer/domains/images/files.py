"""Images from and to files by their ending: .npz, .npy, IDX (.gz too), pictures, animations, folders of pictures."""

import gzip
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsteer.core.arrays import ALONE, array_shapes, read_arrays
from zsteer.core.files import new_file, new_folder
from zsteer.core.reading import Inventory, left_out
from zsteer.domains.images.draw import labelled_grid
from zsteer.domains.images.pictures import (
    PICTURES,
    Shaping,
    frames,
    has_pictures,
    holds_pictures,
    light_of,
    read_folder,
    write_animation,
)
from zsteer.domains.images.space import ImageSpace
from zsteer.errors import InputError, OutputError, nearest

__all__ = [
    "FEW",
    "IDX",
    "KEYS",
    "PICTURES",
    "Pixels",
    "Shaping",
    "check_ending",
    "holds_pictures",
    "is_images",
    "read",
    "recognises",
    "report",
    "write",
]

KEYS = {"x": "y", "images": "labels", "x_train": "y_train", "data": "labels"}
"""Array of the images in an .npz -> array of their classes, which need not be there."""
IDX = ("-ubyte", "-ubyte.gz", ".idx", ".idx.gz")
FEW = 3
"""Pictures from which a class has some for validation and tests."""
MAGIC = {0x803: 3, 0x801: 1, 0x804: 4}


@dataclass(frozen=True)
class Pixels:
    """Images of a file.

    Args:
        pixels: 0 ... 255, shape ``(b, h, w)`` or ``(b, h, w, 3)``.
        skipped: why files of a folder were left out, by name.
        labels: index of the class of each, or None.
        classes: names of the classes; empty where there are none.
        notes: what was assumed, and warnings.
    """

    pixels: NDArray[np.uint8]
    skipped: Sequence[str] = ()
    labels: NDArray[np.int64] | None = None
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def class_words(self) -> list[str]:
        """Counts of the classes, and a warning of those that are too small to be held out."""
        if self.labels is None or len(self.classes) < 2:
            return []
        counts = np.bincount(self.labels, minlength=len(self.classes)).tolist()
        pairs = list(zip(self.classes, counts, strict=True))
        lines = ["classes: " + ", ".join(f"{name} {count}" for name, count in pairs)]
        small = [name for name, count in pairs if count < FEW]
        if small:
            lines.append(f"warning: fewer than {FEW} pictures, none of them held out, in class {', '.join(small)}")
        return lines


def read(path: Path, *, key: str | None = None, skip_invalid: bool = False, shaping: Shaping | None = None) -> Pixels:
    """Read images by the ending of the path.

    Args:
        path: a file, a folder of pictures, or a folder whose subfolders are the classes (all in the order of their
            names); a .gif gives its frames.
        key: name of the array in an .npz; x, images, x_train or data when None.
        skip_invalid: leave out pictures of a folder that cannot be read, or differ from most in size or colour.
        shaping: makes the pictures alike in size and colour; None leaves them as they are.

    Raises:
        InputError: if the path does not exist, is damaged, or holds no images.
    """
    if path.is_dir():
        folder = read_folder(path, skip_invalid=skip_invalid, shaping=shaping)
        return Pixels(folder.pixels, folder.skipped, folder.labels, folder.classes, folder.notes)
    if not path.is_file():
        raise InputError(f"there is no file or folder {path}")
    name = path.name.lower()
    if name.endswith((".npz", ".npy")):
        found = _arrays(path, key)
    elif name.endswith(IDX):
        found = Pixels(_shaped(_idx(path), path))
    elif path.suffix.lower() in PICTURES:
        found = Pixels(frames(path))
    else:
        raise InputError(f"{path}: {nearest(path.suffix, ('.npz', '.npy', '-ubyte', *PICTURES), what='ending')}")
    pixels = found.pixels
    if shaping is not None and shaping != Shaping():
        pixels = np.stack([shaping(one, f"{path}, picture {k + 1}") for k, one in enumerate(pixels)])
    return replace(found, pixels=pixels, notes=(*found.notes, *light_of(pixels)))


def report(path: Path, *, skip_invalid: bool = False, shaping: Shaping | None = None) -> Inventory:
    """What is read of a path: pictures and their size, classes with counts, what was assumed and left out.

    Args:
        path: a file or a folder.
        skip_invalid: leave out pictures of a folder that cannot be read, or differ from most.
        shaping: makes the pictures alike.

    Raises:
        InputError: as ``read``.
    """
    found = read(path, skip_invalid=skip_invalid, shaping=shaping)
    space = ImageSpace(3 if found.pixels.ndim == 4 else 1, *found.pixels.shape[1:3])
    lines = (f"{len(found.pixels):,} pictures; {space.words}", *found.class_words)
    return Inventory(lines, (*found.notes, *left_out("pictures", found.skipped)))


def recognises(path: Path) -> str:
    """What kind of images a path may be, by its ending, the shape of its array or what a folder has; empty for none."""
    if path.is_dir():
        return "a folder of pictures" if has_pictures(path) else ""
    if not is_images(path):
        return ""
    return "an array of images" if path.name.lower().endswith((".npz", ".npy")) else "a file of images"


def _arrays(path: Path, key: str | None) -> Pixels:
    there = array_shapes(path)
    if ALONE in there:
        return Pixels(_shaped(read_arrays(path)[ALONE], path))
    names = [key] if key is not None else [name for name in KEYS if name in there]
    if not names or names[0] not in there:
        raise InputError(f"{path} has no array {key or ' or '.join(KEYS)}; it has {', '.join(there)}")
    beside = next((word for word in (KEYS.get(names[0], ""), "y") if word in there), None)
    found = read_arrays(path, {names[0], "classes", *([] if beside is None else [beside])})
    pixels = _shaped(found[names[0]], path)
    if beside is None:
        return Pixels(pixels)
    given = tuple(str(word) for word in found["classes"].ravel()) if "classes" in found else ()
    return _labelled(pixels, found[beside], given, f"{path}, array {beside}")


def _labelled(pixels: NDArray[np.uint8], values: NDArray[Any], given: tuple[str, ...], where: str) -> Pixels:
    """Images with the classes beside them: words, or numbers 0, 1, ...; anything else is no class, and named."""
    n = len(pixels)
    if values.ndim != 1 or values.dtype.kind not in "iubUS":
        note = f"{where}: {values.dtype} of shape {values.shape} is no class of each picture, so it was not read"
        return Pixels(pixels, notes=(note,))
    if len(values) != n:
        raise InputError(f"{where}: expected a class for each of {n} images, got {len(values)} values")
    if values.dtype.kind in "bUS":
        words = [word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word) for word in values.tolist()]
        names = given or tuple(sorted(set(words)))
        unknown = sorted(set(words) - set(names))
        if unknown:
            raise InputError(f"{where}: {nearest(unknown[0], names, what='class')}")
        return Pixels(pixels, (), np.array([names.index(word) for word in words], dtype=np.int64), names)
    if values.min() < 0 or values.max() >= n:
        raise InputError(
            f"{where}: expected a class 0, 1, ... for each of {n} images, got {len(values)} values from "
            f"{values.min()} to {values.max()}"
        )
    count = int(values.max()) + 1
    if given and len(given) < count:
        raise InputError(f"{where}: its labels go up to {count - 1}, but the array classes names {len(given)} classes")
    return Pixels(pixels, (), values.astype(np.int64), given or tuple(str(i) for i in range(count)))


def _idx(path: Path) -> NDArray[np.generic]:
    try:
        raw = gzip.decompress(path.read_bytes()) if path.name.endswith(".gz") else path.read_bytes()
    except (OSError, zlib.error, EOFError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    magic = struct.unpack(">I", raw[:4])[0] if len(raw) >= 4 else -1
    if magic not in MAGIC:
        raise InputError(f"{path} is no IDX file of bytes: it starts with {raw[:4]!r}")
    axes = MAGIC[magic]
    head = 4 + 4 * axes
    shape = struct.unpack(f">{axes}I", raw[4:head]) if len(raw) >= head else ()
    if not shape or len(raw) - head != int(np.prod(shape)):
        raise InputError(f"{path} is truncated: expected {shape or 'a header'}, got {max(len(raw) - head, 0)} bytes")
    return np.frombuffer(raw, np.uint8, offset=head).reshape(shape)


def _shaped(values: NDArray[np.generic], path: Path) -> NDArray[np.uint8]:
    if values.ndim not in {3, 4} or (values.ndim == 4 and values.shape[-1] not in {1, 3}) or not values.size:
        raise InputError(
            f"{path}: expected images of shape (b, h, w) or (b, h, w, 1 or 3), got {values.shape}{_axes_hint(values)}"
        )
    if values.dtype == np.uint8:
        pixels = values.astype(np.uint8)
    elif values.dtype == np.bool_:
        pixels = values.astype(np.uint8) * np.uint8(255)
    elif np.issubdtype(values.dtype, np.floating):
        if not np.isfinite(values).all():
            first = int(np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(1))[0])
            raise InputError(
                f"{path}: expected numbers in [0, 1], but picture {first + 1} holds one that is not finite"
            )
        if values.min() < 0 or values.max() > 1:
            raise InputError(f"{path}: expected numbers in [0, 1], got {values.min():g} ... {values.max():g}")
        pixels = (values.astype(np.float64) * 255).round().astype(np.uint8)
    else:
        if values.min() < 0 or values.max() > 255:
            raise InputError(f"{path}: expected pixels 0 ... 255, got {values.min()} ... {values.max()}; scale them")
        pixels = values.astype(np.uint8)
    return pixels[..., 0] if pixels.ndim == 4 and pixels.shape[-1] == 1 else pixels


def _axes_hint(values: NDArray[Any]) -> str:
    if values.ndim == 4 and values.shape[1] in {1, 3}:
        return "; the channels come first: transpose(0, 2, 3, 1)"
    return "; leave the transparency out: x[..., :3]" if values.ndim == 4 and values.shape[-1] == 4 else ""


def check_ending(path: Path) -> None:
    """Refuse an ending that cannot be written, before any work is done.

    Raises:
        OutputError: if the ending is not one of .npz, .npy, .png, .gif, or none (a folder).
    """
    if path.suffix.lower() not in {".npz", ".npy", ".png", ".gif", ""}:
        raise OutputError(
            f"cannot write images to {path}: expected .npz, .npy, .png (one grid), .gif (an image a frame) or a folder"
        )


def write(
    path: Path, pixels: NDArray[np.uint8], *, overwrite: bool, seconds: float = 3.0, labels: Sequence[str] = ()
) -> None:
    """Write images by the ending: .npz (array ``x``), .npy, .png (one grid), .gif (frames), or a folder of pictures.

    Args:
        path: where to.
        pixels: shape ``(b, h, w)`` or ``(b, h, w, 3)``; for a .gif b are the frames (``draw.animation`` makes them).
        overwrite: replace what exists.
        seconds: length of a .gif.
        labels: class of each image, written below it in a grid and beside it in an .npz; empty for none.

    Raises:
        OutputError: if the ending is unknown, or the path exists and ``overwrite`` is false.
    """
    check_ending(path)
    ending = path.suffix.lower()
    if not ending:
        from PIL import Image

        with new_folder(path, overwrite=overwrite) as partial:
            for number, one in enumerate(pixels):
                Image.fromarray(one).save(partial / f"{number:05d}.png")
        return
    with new_file(path, overwrite=overwrite) as partial:
        if ending == ".npz":
            arrays: dict[str, Any] = {"x": pixels, "y": np.array(labels)} if labels else {"x": pixels}
            np.savez_compressed(partial, **arrays)
        elif ending == ".npy":
            np.save(partial, pixels)
        elif ending == ".gif":
            write_animation(partial, pixels, seconds=seconds)
        else:
            from PIL import Image

            Image.fromarray(labelled_grid(pixels, labels)).save(partial)


def is_images(path: Path) -> bool:
    """Whether a path holds images rather than a table."""
    name = path.name.lower()
    if path.is_dir() or name.endswith(IDX) or path.suffix.lower() in PICTURES:
        return True
    if not name.endswith((".npz", ".npy")):
        return False
    try:
        shapes = array_shapes(path)
    except InputError:
        return False  # the reader of tables says what is wrong
    return any(len(shapes[key]) > 2 for key in (ALONE, *KEYS) if key in shapes)
