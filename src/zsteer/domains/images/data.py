"""The public image sets that zsteer reads from a data folder: names, files, licences, splits."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from zsteer.core.arrays import read_arrays
from zsteer.errors import InputError

__all__ = ["SETS", "ImageSet", "Labelled", "load", "place"]


@dataclass(frozen=True)
class ImageSet:
    """Where a set lies and what one may do with it."""

    file: str
    source: str
    licence: str


@dataclass(frozen=True)
class Labelled:
    """Images with their classes, in the set's own split.

    Args:
        train: pixels, shape ``(n, h, w)``.
        train_labels: class of each, shape ``(n,)``.
        test: pixels of the test part.
        test_labels: class of each.
        classes: names of the classes.
        sha256: of the file.
    """

    train: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test: NDArray[np.uint8]
    test_labels: NDArray[np.int64]
    classes: tuple[str, ...]
    sha256: str


SETS = MappingProxyType(
    {
        "fashion-mnist": ImageSet("images/fashion_mnist.npz", "zalandoresearch/fashion-mnist", "MIT"),
        "mnist": ImageSet("images/mnist.npz", "LeCun, Cortes, Burges", "stated as CC BY-SA 3.0"),
    }
)
"""Sets by name."""


def place(name: str, data: Path) -> Path | None:
    """The file of a set in a data folder, or in a folder that holds the file itself; None where it has none."""
    file = SETS[name].file
    return next((path for path in (data / file, data / Path(file).name) if path.is_file()), None)


def load(name: str, data: Path | None) -> Labelled:
    """Read a public set from the data folder.

    Args:
        name: one of ``SETS``.
        data: the data folder, or one that holds the set's file itself.

    Raises:
        InputError: if there is no folder, or the file is not there or not whole.
    """
    known = SETS[name]
    if data is None:
        raise InputError(f"{name} needs the data folder: pass --data FOLDER or set ZSTEER_DATA")
    path = place(name, data)
    if path is None:
        raise InputError(f"there is no {known.file} in {data}; put {name} ({known.source}) there as one .npz")
    parts = read_arrays(path)
    missing = [key for key in ("x_train", "y_train", "x_test", "y_test") if key not in parts]
    if missing:
        raise InputError(f"{path} has no array {missing[0]}; it needs x_train ... y_test")
    names = tuple(str(word) for word in parts["classes"].ravel()) if "classes" in parts else ()
    classes = names or tuple(str(i) for i in range(int(parts["y_train"].max()) + 1))
    return Labelled(
        parts["x_train"],
        parts["y_train"].astype(np.int64),
        parts["x_test"],
        parts["y_test"].astype(np.int64),
        classes,
        hashlib.sha256(path.read_bytes()).hexdigest(),
    )
