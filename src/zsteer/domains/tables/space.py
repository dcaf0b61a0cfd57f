"""``TableSpace``: what a row of a table is, as numbers that a model can learn.

A batch holds ``x`` of shape ``(b, d)``. Columns of numbers are standardised with mean and deviation of the training
rows; a column of categories takes one place for each category (1 at its own, 0 elsewhere). When every column holds 0
and 1 only, the space is binary and nothing is changed. What comes back keeps what its column is: 0 or 1, whole
numbers in the range of the data, numbers with as many digits after the point as the data have.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter

from zsteer.core.batch import Batch
from zsteer.core.numerals import decimals_of
from zsteer.errors import ArtifactError, InputError, nearest

__all__ = ["Column", "Columns", "TableSpace"]

Columns = Mapping[str, NDArray[Any]]
"""Columns by name: float64 numbers, or text."""


@dataclass(frozen=True)
class Column:
    """One column.

    Args:
        name: heading.
        kind: ``real``, ``whole``, ``binary`` or ``category``.
        mean: of the training rows, for numbers.
        sd: standard deviation of the training rows, for numbers.
        categories: in order, for categories.
        low: least number of the data; None where it is not known.
        high: largest number of the data; None where it is not known.
        decimals: digits after the point of real numbers; None leaves them all.
    """

    name: str
    kind: Literal["real", "whole", "binary", "category"]
    mean: float = 0.0
    sd: float = 1.0
    categories: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    decimals: int | None = None

    @property
    def width(self) -> int:
        """Places that the column takes."""
        return len(self.categories) if self.kind == "category" else 1


_COLUMN = TypeAdapter(Column)


@dataclass(frozen=True)
class TableSpace:
    """Rows with the same columns.

    Args:
        columns: in order.
    """

    columns: tuple[Column, ...]

    @property
    def name(self) -> str:
        """Name of the space."""
        return "tables"

    @property
    def shape(self) -> tuple[int]:
        """Shape of one row."""
        return (sum(column.width for column in self.columns),)

    @property
    def values(self) -> Literal["binary", "real"]:
        """What a number can be."""
        return "binary" if all(column.kind == "binary" for column in self.columns) else "real"

    def settings(self) -> dict[str, Any]:
        """A description that JSON can hold; ``TableSpace.of`` takes it back."""
        return {"name": self.name, "columns": [asdict(column) for column in self.columns]}

    @staticmethod
    def of(settings: Mapping[str, Any]) -> "TableSpace":
        """The space of a description.

        Raises:
            ArtifactError: if the description is none.
        """
        try:
            return TableSpace(tuple(_COLUMN.validate_python(dict(column)) for column in settings["columns"]))
        except (KeyError, TypeError, ValueError) as error:
            line = " ".join(str(error).split())[:160]
            raise ArtifactError(
                f"the description of the columns is damaged ({line}); fetch or train it again"
            ) from None

    @staticmethod
    def learn(table: Columns, *, where: str, whole: Columns | None = None) -> "TableSpace":
        """The space of a training table.

        Args:
            table: columns by name; means and deviations are theirs.
            where: the file, for messages.
            whole: the table with the held-out rows, for the names of the categories; ``table`` when None.

        Raises:
            InputError: if there are fewer than two rows, or a column is constant.
        """
        names = table if whole is None else whole
        return TableSpace(tuple(_column(name, values, names[name], where) for name, values in table.items()))

    def encode(self, items: Columns) -> Batch:
        """Turn columns into a batch.

        Raises:
            InputError: if a column is missing, a number is not finite, or a category is unknown; rows count from 1.
        """
        parts = [self._encode(column, items) for column in self.columns]
        return Batch({"x": torch.from_numpy(np.concatenate(parts, 1).astype(np.float32))})

    def _encode(self, column: Column, items: Columns) -> NDArray[np.float64]:
        if column.name not in items:
            raise InputError("the table: " + nearest(column.name, items, what="column"))
        values = items[column.name]
        if column.kind == "category":
            places = {category: i for i, category in enumerate(column.categories)}
            index = np.array([places.get(str(value), -1) for value in values], dtype=np.int64)
            if (index < 0).any():
                row = int(np.flatnonzero(index < 0)[0])
                problem = nearest(str(values[row]), column.categories, what="category")
                raise InputError(f"row {row + 1}, column {column.name!r}: {problem}")
            return np.eye(len(places))[index]
        if values.dtype.kind not in "fiu":
            raise InputError(f"column {column.name!r} should hold numbers, got text such as {values[0]!r}")
        finite = np.isfinite(values.astype(np.float64))
        if not finite.all():
            row = int(np.flatnonzero(~finite)[0])
            raise InputError(f"row {row + 1}, column {column.name!r}: expected a finite number, got {values[row]}")
        return ((values.astype(np.float64) - column.mean) / column.sd)[:, None]

    def decode(self, x: Batch) -> dict[str, NDArray[Any]]:
        """Turn a batch back into columns: numbers on their own scale, the most likely category."""
        rows = x["x"].detach().double().cpu().numpy()
        found: dict[str, NDArray[Any]] = {}
        start = 0
        for column in self.columns:
            part = rows[:, start : start + column.width]
            start += column.width
            if column.kind == "category":
                found[column.name] = np.array(column.categories)[part.argmax(1)]
            elif column.kind == "binary":
                found[column.name] = part[:, 0].clip(0, 1).round()
            else:
                found[column.name] = _kept(column, part[:, 0] * column.sd + column.mean)
        return found

    def words(self, table: Columns) -> str:
        """What the columns are: their names by kind, categories with their counts in a table."""
        kinds: dict[str, list[str]] = {}
        for column in self.columns:
            text = column.name
            if column.kind == "category":
                names, counts = np.unique(table[column.name], return_counts=True)
                order = np.argsort(-counts, kind="stable")
                text += f" ({_some([f'{names[k]} {counts[k]}' for k in order])})"
            kinds.setdefault(_WORDS[column.kind], []).append(text)
        return "; ".join(f"{word}: {_some(names)}" for word, names in kinds.items())


_WORDS = {"real": "numbers", "whole": "whole numbers", "binary": "0 or 1", "category": "categories"}


def _some(words: Sequence[str], most: int = 10) -> str:
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more


def _kept(column: Column, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Numbers as their column has them."""
    if column.kind == "whole" and column.low is not None and column.high is not None:
        return values.clip(column.low, column.high).round()
    return values if column.decimals is None else values.round(column.decimals)


def _column(name: str, values: NDArray[Any], whole: NDArray[Any], where: str) -> Column:
    if len(values) < 2:
        raise InputError(f"{where}: expected at least 2 rows to learn from, got {len(values)}")
    if values.dtype.kind not in "fiu":
        categories: Sequence[str] = sorted({str(value) for value in whole})
        if len(categories) < 2:
            raise InputError(
                f"{where}: column {name!r} is constant ({categories[0]!r}); leave it out: --leave-out {name!r}"
            )
        if len(categories) > max(2, len(whole) // 4):
            raise InputError(
                f"{where}: column {name!r} holds {len(categories)} different texts in {len(whole)} rows, such as "
                f"{str(values[0])!r}: too many for categories; leave it out: --leave-out {name!r}"
            )
        return Column(name, "category", categories=tuple(categories))
    numbers = values.astype(np.float64)
    if not np.isfinite(numbers).all():
        row = int(np.flatnonzero(~np.isfinite(numbers))[0])
        raise InputError(f"{where}, row {row + 1}, column {name!r}: expected a finite number, got {values[row]}")
    with np.errstate(over="ignore", invalid="ignore"):
        mean, sd = float(numbers.mean()), float(numbers.std())
    if not math.isfinite(sd):
        most = float(np.abs(numbers).max())
        raise InputError(f"{where}: column {name!r} holds numbers as large as {most:.0e}; scale it, or leave it out")
    if sd <= 1e-12 * max(1.0, abs(mean)):
        raise InputError(f"{where}: column {name!r} is constant ({numbers[0]:g}); leave it out: --leave-out {name!r}")
    if set(np.unique(whole)) <= {0.0, 1.0}:
        return Column(name, "binary")
    low, high = float(whole.min()), float(whole.max())
    if np.array_equal(whole, np.round(whole)):
        return Column(name, "whole", mean, sd, low=low, high=high)
    # Six digits of the spread are what single precision holds.
    digits = max(0, 6 - math.floor(math.log10(sd)))
    return Column(name, "real", mean, sd, low=low, high=high, decimals=decimals_of(whole.astype(np.float64), digits))
