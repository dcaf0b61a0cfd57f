"""Pictures with numbers about each: a table that names files beside it, or a folder with a folder for each class.

A table (.csv, .tsv, .xlsx ...) has a column of file names (``file``, ``image``, ``picture``, ``name``) and a column of
numbers for each attribute; an empty cell is not known. A folder of classes gives an attribute for each class, 1 for its
pictures and 0 for the others. What cannot be learnt from is refused by name: an attribute of one value, fewer labels
than attributes, a file that is not there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zsteer.core.cells import SHEETS, TEXTS, Cells, read_cells
from zsteer.core.numerals import numbers_of
from zsteer.domains.images.files import read
from zsteer.domains.images.pictures import Shaping, frames
from zsteer.errors import InputError, nearest

__all__ = ["FILES", "Labelled", "is_labels", "read_labels"]

FILES = ("file", "filename", "file_name", "image", "picture", "path", "name")
"""Names of the column that says which picture a row is about, in this order."""


@dataclass(frozen=True)
class Labelled:
    """Pictures with attributes.

    Args:
        pixels: 0 ... 255, shape ``(b, h, w)`` or ``(b, h, w, 3)``.
        values: attribute -> a number for each picture, NaN where it is not known.
        notes: what was assumed.
        skipped: what was left out, a line each.
    """

    pixels: NDArray[np.uint8]
    values: Mapping[str, NDArray[np.float64]]
    notes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()


def is_labels(path: Path) -> bool:
    """Whether a path has the ending of a table."""
    return path.name.lower().endswith((*TEXTS, *SHEETS))


def read_labels(path: Path, *, skip_invalid: bool = False, shaping: Shaping | None = None) -> Labelled:
    """Pictures with their attributes.

    Args:
        path: a table beside the pictures, or a folder of a folder for each class.
        skip_invalid: leave out rows whose picture or number cannot be read.
        shaping: what makes the pictures alike; None leaves them.

    Raises:
        InputError: if there are no attributes, one has a single value, labels are fewer than attributes, or names do
            not match the files; table and row are named.
    """
    reader = _table if is_labels(path) else _classes
    found = reader(path, skip_invalid=skip_invalid, shaping=shaping)
    for name, values in found.values.items():
        known = values[np.isfinite(values)]
        if len(np.unique(known)) < 2:
            only = f"only {known[0]:g}" if len(known) else "no number at all"
            raise InputError(
                f"{path}: the attribute {name!r} has {only} in {len(known)} pictures, so that nothing can be learnt of "
                f"it; label pictures that differ in it, or take the column out"
            )
        if len(known) < len(found.values):
            raise InputError(
                f"{path}: {len(known)} pictures with a number for {name!r} are fewer than the {len(found.values)} "
                f"attributes; label more pictures, or keep only the columns that you steer by"
            )
    return found


def _classes(path: Path, *, skip_invalid: bool, shaping: Shaping | None) -> Labelled:
    found = read(path, skip_invalid=skip_invalid, shaping=shaping)
    if found.labels is None or len(found.classes) < 2:
        raise InputError(
            f"{path} has pictures and no attributes; give a table that names them (file,smile,...), or a folder with a "
            f"folder of pictures for each class"
        )
    values = {name: (found.labels == k).astype(np.float64) for k, name in enumerate(found.classes)}
    return Labelled(found.pixels, values, found.notes, tuple(found.skipped))


def _table(path: Path, *, skip_invalid: bool, shaping: Shaping | None) -> Labelled:
    cells = read_cells(path)
    plain = [name.strip().casefold() for name in cells.names]
    column = next((plain.index(name) for name in FILES if name in plain), None)
    if column is None:
        raise InputError(
            f"{path}: no column names the pictures; expected one called {', '.join(FILES)}, got "
            f"{', '.join(cells.names)}"
        )
    values, problems = _numbers(cells, column)
    pictures: list[NDArray[np.uint8] | None] = []
    for row, text in enumerate(cells.columns[column]):
        try:
            found = _picture(path, text)
            pictures.append(found if shaping is None else shaping(found, cells.place(row)))
        except InputError as problem:
            problems.setdefault(row, str(problem))
            pictures.append(None)
    _check_alike(pictures, problems)
    if problems and (not skip_invalid or len(problems) == len(cells)):
        first = min(problems)
        more = f" (and {len(problems) - 1} more rows)" if len(problems) > 1 else ""
        raise InputError(f"{cells.place(first)}: {problems[first]}{more}; mend the row, or pass --skip-invalid")
    kept = [row for row in range(len(cells)) if row not in problems]
    pixels = np.stack([one for row in kept for one in [pictures[row]] if one is not None])
    skipped = [f"{cells.place(row)}: {problems[row]}" for row in sorted(problems)]
    return Labelled(pixels, {name: column[kept] for name, column in values.items()}, cells.notes, tuple(skipped))


def _numbers(cells: Cells, column: int) -> tuple[dict[str, NDArray[np.float64]], dict[int, str]]:
    """The attributes of a table, and what is wrong in which row."""
    values, problems = dict[str, NDArray[np.float64]](), dict[int, str]()
    for k, (name, texts) in enumerate(zip(cells.names, cells.columns, strict=True)):
        if k == column:
            continue
        found = numbers_of(texts, comma=cells.separator == ";")
        for row in np.flatnonzero(found.wrong | np.isinf(found.values)).tolist():
            problems.setdefault(row, f"attribute {name!r}: expected a number, got {texts[row]!r}")
        values[name.strip()] = found.values
    if not values:
        raise InputError(f"{cells.where}: there is no attribute beside the names of the files")
    return values, problems


def _picture(table: Path, text: str) -> NDArray[np.uint8]:
    """The picture that a cell names, beside the table."""
    place = table.parent / text
    if not text or not place.is_file():
        there = sorted(one.name for one in place.parent.iterdir()) if place.parent.is_dir() else []
        raise InputError(
            f"there is no picture {text!r} beside the table: " + nearest(Path(text).name, there, what="file")
        )
    found = frames(place)
    if len(found) > 1:
        raise InputError(f"{text} holds {len(found)} frames where one picture is expected")
    return found[0]


def _check_alike(pictures: Sequence[NDArray[np.uint8] | None], problems: dict[int, str]) -> None:
    """Name pictures that differ in size or colour from the first."""
    first = next((one for one in pictures if one is not None), None)
    for row, one in enumerate(pictures):
        if one is not None and first is not None and one.shape != first.shape:
            problems.setdefault(
                row, f"the picture is of shape {one.shape}, the first of {first.shape}; make them alike"
            )
