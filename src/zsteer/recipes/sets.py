"""``load_set``: training, validation and test samples of a named set or of the user's own file.

``dataset`` is a public set of images (read from the data folder), a generated mixture, or ``own``: then ``data`` is the
user's file, a table (.csv, .tsv, .xlsx, .parquet, .npy, .npz with two axes) or images (.npz with three or four axes,
IDX, a folder). Subfolders of pictures are classes, and so are whole numbers or words under y beside the images of an
.npz. The user's rows are split 80 : 10 : 10 by nothing but their number and class, so that a second call splits them
alike.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
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
from zsteer.recipes.own import OwnFile

__all__ = ["NAMES", "Sets", "dataset_of", "load_set"]

NAMES = ("auto", *images.SETS, *MIXTURES, "own")
TOY_SIZES = (100_000, 10_000, 10_000)
SHOWN = 20
"""Pictures and rows left out that a card lists; the rest are counted."""


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
        lines: what was read of the user's own data, in words.
    """

    train: Batch
    valid: Batch
    test: Batch
    datum: SampleSpec
    origin: Mapping[str, Any]
    classes: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()


def dataset_of(dataset: str, data: Path | None) -> str:
    """The name of the set that a recipe's ``dataset`` and data path stand for.

    Args:
        dataset: one of ``NAMES``; a data path that is a file, or a folder of pictures, is always the user's own.
        data: the data folder, or the user's own file or folder.

    Raises:
        InputError: if the path does not exist.
        SettingsError: if there is no such set.
    """
    if dataset not in NAMES:
        raise SettingsError(nearest(dataset, NAMES, what="dataset"))
    if data is not None and not data.exists():
        raise InputError(f"there is no file or folder {data}")
    if data is not None and (data.is_file() or image_files.holds_pictures(data)):
        return "own"
    if dataset != "auto":
        return dataset
    if data is None:
        return "fashion-mnist"
    # A folder that the user names is a public data folder if it has a public set, and otherwise the user's own.
    return next((name for name in images.SETS if images.place(name, data) is not None), "own")


def load_set(dataset: str, data: Path | None, *, binary: bool = False, own: OwnFile | None = None) -> Sets:
    """Read a set.

    Args:
        dataset: one of ``NAMES``, as ``dataset_of`` understands it.
        data: the data folder, or the user's own file or folder.
        binary: cut images at the middle into 0 and 1.
        own: how the user's own file is read; the origin lists what was left out.

    Raises:
        InputError: if the data are not there, or cannot be used.
        SettingsError: if there is no such set, or ``own`` asks for what the data cannot have.
    """
    name, how = dataset_of(dataset, data), own or OwnFile()
    if name == "own":
        if data is None:
            raise InputError("dataset own needs --data FILE: a table (.csv, .npy) or images (.npz, IDX, a folder)")
        return _own(data, how, binary=binary)
    if how != OwnFile():
        changed = [key for key, value in asdict(how).items() if value != getattr(OwnFile(), key)]
        raise SettingsError(f"{', '.join(changed)}: for data of your own, and the dataset is {name}")
    return _mixture(name) if name in MIXTURES else _public(name, data, binary=binary)


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


def _own(path: Path, how: OwnFile, *, binary: bool) -> Sets:
    return _pictures(path, how, binary=binary) if image_files.is_images(path) else _table(path, how)


def _pictures(path: Path, how: OwnFile, *, binary: bool) -> Sets:
    if how.categorical or how.leave_out:
        raise SettingsError(f"categorical and leave_out are for columns of a table, and {path} holds pictures")
    if how.skip_invalid and not path.is_dir():
        raise SettingsError(f"skip_invalid is for folders of pictures and tables, and {path} is neither")
    shaping = image_files.Shaping(how.resize, how.crop, how.color)
    found = image_files.read(path, skip_invalid=how.skip_invalid, shaping=shaping)
    pixels, classes = found.pixels, found.classes if len(found.classes) > 1 else ()
    labels = found.labels if classes else None
    rows = _split(len(pixels), path, "pictures", labels)
    space = ImageSpace(3 if pixels.ndim == 4 else 1, *pixels.shape[1:3], binary=binary, shaping=shaping)
    parts = [space.encode(pixels[part]) for part in rows]
    if labels is not None:
        y = torch.from_numpy(labels)
        parts = [part.with_fields(y=y[which]) for part, which in zip(parts, rows, strict=True)]
    lines = [f"{_sizes(path, parts, 'pictures')}; {space.words}", *found.class_words, *found.notes]
    return _sets(path, parts, space, lines, found.skipped, classes)


def _table(path: Path, how: OwnFile) -> Sets:
    if how.of_pictures:
        raise SettingsError(f"resize, crop and color are for pictures, and {path} is a table")
    reading = table_files.Reading(how.categorical, how.leave_out, skip_invalid=how.skip_invalid)
    table = table_files.read(path, reading)
    rows = _split(len(table), path, "rows", None)
    learnt = {name: values[rows[0]] for name, values in table.columns.items()}
    space = TableSpace.learn(learnt, where=str(path), whole=table.columns)
    parts = [space.encode({name: values[part] for name, values in table.columns.items()}) for part in rows]
    head = f"{_sizes(path, parts, 'rows')}; {len(space.columns)} columns"
    return _sets(path, parts, space, [head, space.words(table.columns), *table.notes], table.skipped, ())


def _sets(
    path: Path,
    parts: Sequence[Batch],
    space: ImageSpace | TableSpace,
    lines: Sequence[str],
    skipped: Sequence[str],
    classes: tuple[str, ...],
) -> Sets:
    """The parts with where they come from, and what was read in words."""
    origin: dict[str, Any] = {"name": path.name, "licence": "the user's own", "rows": str([len(x) for x in parts])}
    if path.is_file():
        origin["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    words = list(lines)
    origin["read"] = "; ".join(words)
    if skipped:
        noun = "pictures" if isinstance(space, ImageSpace) else "rows"
        reasons = "; ".join(skipped[:SHOWN]).replace(f"{path}{os.sep}", "")
        origin["left_out"] = f"{len(skipped)} {noun}: {reasons}"
        words.append(f"left out: {len(skipped)} {noun}, the first: {skipped[0].replace(f'{path}{os.sep}', '')}")
    return Sets(parts[0], parts[1], parts[2], _datum(space), origin, classes, tuple(words))


def _sizes(path: Path, parts: Sequence[Batch], noun: str) -> str:
    train, valid, test = (len(part) for part in parts)
    return f"{path}: {train + valid + test:,} {noun} ({train:,} to learn from, {valid:,} and {test:,} held out)"


def _split(n: int, path: Path, noun: str, labels: NDArray[np.int64] | None) -> tuple[Any, Any, Any]:
    """Rows to learn from, for validation and for tests; of classes in the same shares, small ones are learnt whole."""
    if n < 20:
        raise InputError(f"{path} has {n} {noun}; at least 20 are needed to split off validation and test {noun}")
    order = Streams.of(0, 1).child("split").permutation("rows", n)[0].numpy()
    if labels is None:
        return np.sort(order[n // 5 :]), np.sort(order[: n // 10]), np.sort(order[n // 10 : n // 5])
    large = np.bincount(labels)[labels] >= image_files.FEW
    by_class = order[np.argsort(labels[order], kind="stable")]
    place = np.arange(n) % 10
    free = large[by_class]
    valid, test = by_class[(place == 3) & free], by_class[(place == 7) & free]
    return np.setdiff1d(order, np.concatenate([valid, test])), np.sort(valid), np.sort(test)


def _datum(space: ImageSpace | TableSpace) -> SampleSpec:
    return SampleSpec(shape=space.shape, values=space.values, space=space.settings())
