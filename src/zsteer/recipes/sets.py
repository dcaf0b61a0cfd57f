"""``load_set``: training, validation and test samples of a named set or of the user's own file.

``dataset`` is a public set of images (read from the data folder), a generated mixture, or ``own``: then ``data`` is the
user's file, a table (.csv, .tsv, .npy, .npz with two axes) or images (.npz with three or four axes, IDX, a folder).
Subfolders of pictures are classes, and so are whole numbers under y beside the images of an .npz. The user's rows are
split 80 : 10 : 10 by a hash of nothing but their number, so that a second call splits them alike.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zsteer.core.batch import Batch
from zsteer.core.rng import Streams
from zsteer.core.sample_spec import SampleSpec
from zsteer.domains.images import data as images
from zsteer.domains.images import files as image_files
from zsteer.domains.images.space import ImageSpace
from zsteer.domains.tables import files as table_files
from zsteer.domains.tables.space import Columns, TableSpace
from zsteer.domains.tables.toys import MIXTURES
from zsteer.errors import InputError, SettingsError, nearest

__all__ = ["NAMES", "Sets", "load_set"]

NAMES = (*images.SETS, *MIXTURES, "own")
TOY_SIZES = (100_000, 10_000, 10_000)
SHOWN = 20
"""Pictures left out that a card lists by name; the rest are counted."""


@dataclass(frozen=True)
class Sets:
    """The parts of a set.

    Args:
        train: to learn from; field x, and y (index of the class) where there are classes.
        valid: to choose settings and stop by.
        test: for the metrics.
        datum: what one sample is.
        origin: name, rows, SHA-256 and licence, for the card.
        classes: names of the classes.
    """

    train: Batch
    valid: Batch
    test: Batch
    datum: SampleSpec
    origin: Mapping[str, Any]
    classes: tuple[str, ...] = ()


def load_set(dataset: str, data: Path | None, *, binary: bool = False, skip_invalid: bool = False) -> Sets:
    """Read a set.

    Args:
        dataset: one of ``NAMES``; a data path that is a file, or a folder of pictures, is always the user's own.
        data: the data folder, or the user's own file.
        binary: cut images at the middle into 0 and 1.
        skip_invalid: leave out pictures of a folder that cannot be read or differ from most; the origin lists them.

    Raises:
        InputError: if the data are not there, or cannot be used.
        SettingsError: if there is no such set.
    """
    if dataset not in NAMES:
        raise SettingsError(nearest(dataset, NAMES, what="dataset"))
    if data is not None and (dataset == "own" or data.is_file() or _pictures(data)):
        return _own(data, binary=binary, skip_invalid=skip_invalid)
    if skip_invalid:
        raise SettingsError(f"skip_invalid is for a folder of your own pictures, and the dataset is {dataset}")
    if dataset == "own":
        raise InputError("dataset own needs --data FILE: a table (.csv, .npy) or images (.npz, IDX, a folder)")
    if dataset in MIXTURES:
        return _mixture(dataset)
    return _public(dataset, data, binary=binary)


def _pictures(path: Path) -> bool:
    return path.is_dir() and image_files.holds_pictures(path)


def _public(name: str, data: Path | None, *, binary: bool) -> Sets:
    found = images.load(name, data)
    height, width = found.train.shape[1:]
    space = ImageSpace(1, height, width, binary=binary)
    held = len(found.train) // 12  # 5,000 of 60,000
    whole = space.encode(found.train).with_fields(y=torch.from_numpy(found.train_labels))
    test = space.encode(found.test).with_fields(y=torch.from_numpy(found.test_labels))
    known = images.SETS[name]
    origin = {
        "name": name,
        "source": known.source,
        "licence": known.licence,
        "rows": f"{len(whole) - held} train, {held} validation, {len(test)} test",
        "sha256": found.sha256,
    }
    if binary:
        origin["pixels"] = "1 above 127, else 0"
    return Sets(whole.take(slice(held, None)), whole.take(slice(held)), test, _datum(space), origin, found.classes)


def _mixture(name: str) -> Sets:
    mixture = MIXTURES[name]
    parts: list[tuple[Tensor, Tensor]] = []
    start = 0
    for size in TOY_SIZES:
        parts.append(mixture.sample(Streams.of(0, size, start=start).child(name)))
        start += size
    space = TableSpace.learn(_columns(parts[0][0]), where=name)
    made = [space.encode(_columns(points)).with_fields(y=mode) for points, mode in parts]
    origin = {"name": name, "source": "generated", "licence": "none needed", "rows": str(TOY_SIZES)}
    return Sets(made[0], made[1], made[2], _datum(space), origin, tuple(str(c) for c in mixture.centres))


def _columns(points: Tensor) -> Columns:
    return {"x": points[:, 0].double().numpy(), "y": points[:, 1].double().numpy()}


def _own(path: Path, *, binary: bool, skip_invalid: bool) -> Sets:
    if not path.exists():
        raise InputError(f"there is no file or folder {path}")
    if skip_invalid and not path.is_dir():
        raise SettingsError(f"skip_invalid is for folders of pictures, and {path} is none; mend the file instead")
    space: ImageSpace | TableSpace
    found = image_files.read(path, skip_invalid=skip_invalid) if image_files.is_images(path) else None
    if found is not None:
        pixels = found.pixels
        train, valid, test = _split(len(pixels), path)
        space = ImageSpace(3 if pixels.ndim == 4 else 1, pixels.shape[1], pixels.shape[2], binary=binary)
        parts = [space.encode(pixels[rows]) for rows in (train, valid, test)]
        if found.labels is not None and len(found.classes) > 1:
            y = torch.from_numpy(found.labels)
            parts = [part.with_fields(y=y[rows]) for part, rows in zip(parts, (train, valid, test), strict=True)]
    else:
        table = table_files.read(path)
        train, valid, test = _split(len(next(iter(table.values()))), path)
        learnt = {name: values[train] for name, values in table.items()}
        space = TableSpace.learn(learnt, where=str(path), whole=table)
        parts = [space.encode({name: v[rows] for name, v in table.items()}) for rows in (train, valid, test)]
    origin: dict[str, Any] = {"name": path.name, "licence": "the user's own", "rows": str([len(x) for x in parts])}
    if path.is_file():
        origin["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    if found is not None and found.skipped:
        reasons = "; ".join(found.skipped[:SHOWN]).replace(f"{path}{os.sep}", "")
        origin["left_out"] = f"{len(found.skipped)} pictures: {reasons}"
    classes = found.classes if "y" in parts[0] and found is not None else ()
    return Sets(parts[0], parts[1], parts[2], _datum(space), origin, classes)


def _split(n: int, path: Path) -> tuple[Any, Any, Any]:
    if n < 20:
        raise InputError(f"{path} has {n} rows; at least 20 are needed to split off validation and test rows")
    order = Streams.of(0, 1).child("split").permutation("rows", n)[0].numpy()
    return np.sort(order[n // 5 :]), np.sort(order[: n // 10]), np.sort(order[n // 10 : n // 5])


def _datum(space: ImageSpace | TableSpace) -> SampleSpec:
    return SampleSpec(shape=space.shape, values=space.values, space=space.settings())
