"""Images from and to files: .npz, .npy, IDX (.gz too), .png and other pictures, and folders of pictures."""

import gzip
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from zsteer.core.files import new_file, new_folder
from zsteer.domains.images.draw import grid
from zsteer.errors import InputError, OutputError, nearest

__all__ = ["PICTURES", "Pixels", "check_ending", "read", "write"]

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
KEYS = ("x", "images", "x_train", "data")
IDX = ("-ubyte", "-ubyte.gz", ".idx", ".idx.gz")
MAGIC = {0x803: 3, 0x801: 1, 0x804: 4}


@dataclass(frozen=True)
class Pixels:
    """Images of a file.

    Args:
        pixels: 0 ... 255, shape ``(b, h, w)`` or ``(b, h, w, 3)``.
        skipped: why files of a folder were left out, by name.
    """

    pixels: NDArray[np.uint8]
    skipped: Sequence[str] = ()


def read(path: Path, *, key: str | None = None, skip_invalid: bool = False) -> Pixels:
    """Read images by the ending of the path.

    Args:
        path: a file, or a folder of pictures (read in the order of their names).
        key: name of the array in an .npz; x, images, x_train or data when None.
        skip_invalid: leave out pictures of a folder that cannot be read, or are of another size than the first.

    Raises:
        InputError: if the path does not exist, is damaged, or holds no images.
    """
    if path.is_dir():
        return _folder(path, skip_invalid=skip_invalid)
    if not path.is_file():
        raise InputError(f"there is no file or folder {path}")
    name = path.name.lower()
    if name.endswith((".npz", ".npy")):
        return Pixels(_shaped(_array(path, key), path))
    if name.endswith(IDX):
        return Pixels(_shaped(_idx(path), path))
    if path.suffix.lower() in PICTURES:
        return Pixels(_picture(path)[None])
    raise InputError(f"{path}: {nearest(path.suffix, ('.npz', '.npy', '-ubyte', *PICTURES), what='ending')}")


def _array(path: Path, key: str | None) -> NDArray[np.generic]:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            names = [key] if key is not None else [name for name in KEYS if name in loaded.files]
            if not names or names[0] not in loaded.files:
                raise InputError(f"{path} has no array {key or ' or '.join(KEYS)}; it has {', '.join(loaded.files)}")
            return loaded[names[0]]
    except (OSError, ValueError, BadZipFile, zlib.error, EOFError) as error:
        raise InputError(f"{path} cannot be read as numpy arrays: {' '.join(str(error).split())[:120]}") from error


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
    if values.ndim not in {3, 4} or (values.ndim == 4 and values.shape[-1] not in {1, 3}) or not len(values):
        raise InputError(f"{path}: expected images of shape (b, h, w) or (b, h, w, 1 or 3), got {values.shape}")
    if values.dtype == np.uint8:
        pixels = values.astype(np.uint8)
    elif values.dtype == np.bool_:
        pixels = values.astype(np.uint8) * np.uint8(255)
    elif np.issubdtype(values.dtype, np.floating):
        if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
            raise InputError(f"{path}: expected numbers in [0, 1], got {values.min():g} ... {values.max():g}")
        pixels = (values.astype(np.float64) * 255).round().astype(np.uint8)
    else:
        if values.min() < 0 or values.max() > 255:
            raise InputError(f"{path}: expected pixels 0 ... 255, got {values.min()} ... {values.max()}")
        pixels = values.astype(np.uint8)
    return pixels[..., 0] if pixels.ndim == 4 and pixels.shape[-1] == 1 else pixels


def _picture(path: Path) -> NDArray[np.uint8]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("L" if image.mode in {"1", "L", "I", "I;16"} else "RGB"), dtype=np.uint8)
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a picture: {' '.join(str(error).split())[:120]}") from error


def _folder(path: Path, *, skip_invalid: bool) -> Pixels:
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in PICTURES)
    if not files:
        raise InputError(f"{path} holds no pictures ({', '.join(PICTURES)})")
    kept: list[NDArray[np.uint8]] = []
    skipped: list[str] = []
    for file in files:
        try:
            kept.append(_alike(file, kept))
        except InputError as problem:
            if not skip_invalid:
                raise InputError(f"{problem}; make them alike, or pass --skip-invalid to leave it out") from None
            skipped.append(str(problem))
    if not kept:
        raise InputError(f"no picture of {path} can be read: {skipped[0]}")
    return Pixels(np.stack(kept), skipped)


def _alike(file: Path, kept: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    found = _picture(file)
    if kept and found.shape != kept[0].shape:
        raise InputError(f"{file}: shape {found.shape} differs from {kept[0].shape} of the first picture")
    return found


def check_ending(path: Path) -> None:
    """Refuse an ending that cannot be written, before any work is done.

    Raises:
        OutputError: if the ending is not one of .npz, .npy, .png, or none (a folder).
    """
    if path.suffix.lower() not in {".npz", ".npy", ".png", ""}:
        raise OutputError(f"cannot write images to {path}: expected .npz, .npy, .png (one grid) or a folder")


def write(path: Path, pixels: NDArray[np.uint8], *, overwrite: bool) -> None:
    """Write images by the ending: .npz (array ``x``), .npy, .png (one grid), or a folder of pictures.

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
            np.savez_compressed(partial, x=pixels)
        elif ending == ".npy":
            np.save(partial, pixels)
        else:
            from PIL import Image

            Image.fromarray(grid(pixels)).save(partial)
