"""The kit of tables: rows of named columns; every column of numbers is a property."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from zsteer.core.batch import Batch
from zsteer.core.goal import Term, Trail
from zsteer.core.objective import Part, Target
from zsteer.core.options import Options
from zsteer.core.property import Property
from zsteer.domains.tables import files
from zsteer.domains.tables.space import Columns, TableSpace
from zsteer.errors import CapabilityError, InputError
from zsteer.kits.base import NOTHING, Samples, Subject
from zsteer.kits.common import found_property, note_reading, numeric_target, results_of
from zsteer.kits.tables.options import OPTIONS

__all__ = ["TableKit"]


class TableKit:
    """What rows of a table offer a user."""

    domain: str = "tables"
    options: Options = OPTIONS

    def space(self, description: Mapping[str, Any]) -> TableSpace:
        """Rows of the model's columns.

        Raises:
            CapabilityError: if the description is of something else.
        """
        if description.get("name") != "tables":
            raise CapabilityError(f"the model keeps no description of a table (it says {description.get('name')!r})")
        return TableSpace.of(description)

    def read(self, path: Path, subject: Subject | None = None, *, skip_invalid: bool = False) -> Samples:
        """Read a table by the file's ending; columns that a model knows are what they were in its training.

        Raises:
            InputError: if a cell is missing or wrong; file and line are named.
        """
        kinds: dict[str, str] = {}
        if subject is not None:
            columns = self.space(subject.model.space).columns
            kinds = {column.name: "category" if column.kind == "category" else "number" for column in columns}
        found = files.read(path, files.Reading(skip_invalid=skip_invalid, kinds=kinds))
        note_reading(path, found.notes, found.skipped)
        return Samples("rows", found.columns, skipped=found.skipped, source=str(path), count=len(found))

    def take(self, things: object, subject: Subject) -> Samples:
        """Columns by name, or a batch of the model, as samples.

        Raises:
            InputError: if they are something else.
        """
        columns = self.things(subject, things) if isinstance(things, Batch) else things
        if not isinstance(columns, Mapping):
            raise InputError(f"expected columns by name, or a file, got {type(things).__name__}")
        plain = {str(name): np.asarray(values) for name, values in columns.items()}
        return Samples("rows", plain, count=len(next(iter(plain.values()))))

    def write(self, path: Path, samples: Samples, *, overwrite: bool) -> None:
        """Write rows by the file's ending."""
        files.write(path, samples.items, overwrite=overwrite)

    def check_ending(self, path: Path) -> None:
        """Refuse an ending that cannot be written, before any work is done."""
        files.check_ending(path)

    def encode(self, samples: Samples, subject: Subject) -> Batch:
        """Rows as the model holds them."""
        return self.space(subject.model.space).encode(samples.items)

    def things(self, subject: Subject, x: Batch) -> Columns:
        """Columns by name."""
        return self.space(subject.model.space).decode(x.to("cpu"))

    def things_of(self, samples: Samples) -> Columns:
        """Columns of a file by name."""
        return dict(samples.items)

    def adapt(self, things: Columns) -> Any:
        """What a property of one's own takes: columns by name."""
        return dict(things)

    def properties(self, subject: Subject) -> Mapping[str, Property]:
        """The columns of numbers, and the user's own."""
        space, found, start = self.space(subject.model.space), dict[str, Property](), 0
        for column in space.columns:
            if column.kind != "category":
                standard = column.kind != "binary"
                sd, mean = (column.sd, column.mean) if standard else (1.0, 0.0)
                found[column.name] = Property(
                    column.name,
                    lambda things, name=column.name: things[name],
                    _measure(start, sd, mean),
                    spread=sd,
                    low=0.0 if column.kind == "binary" else column.low if column.kind == "whole" else None,
                    high=1.0 if column.kind == "binary" else column.high if column.kind == "whole" else None,
                    reach=None if column.low is None or column.high is None else (column.low, column.high),
                    tolerance=0.1 * sd,
                    help="a column of the table",
                )
            start += column.width
        return {**found, **subject.properties}

    def targets(self, subject: Subject, terms: Sequence[Term]) -> tuple[Target, ...]:
        """Numbers of columns.

        Raises:
            InputError: if there is no such column, or it holds categories.
        """
        known = self.properties(subject)
        return tuple(numeric_target(term, found_property(term, known)) for term in terms)

    def parts(self, subject: Subject, keep: Mapping[str, object], start: Samples | None) -> tuple[Part, ...]:
        """None: a column is held as a property."""
        del subject, start
        self.options.parse("keep", keep)
        return ()

    def problems(self, subject: Subject, x: Batch) -> Sequence[str] | None:
        """Every row is one."""
        del subject, x
        return None

    def samples(
        self, subject: Subject, x: Batch, facts: Mapping[str, Any], given: Mapping[str, object] = NOTHING
    ) -> Samples:
        """What a model made, as columns."""
        del given
        columns = self.things(subject, x)
        cells = [files.texts_of(values) for values in columns.values()]
        lines = [",".join(row) for row in (list(columns), *zip(*cells, strict=True))]
        return Samples("rows", columns, facts=dict(facts), lines=lines, batch=x.to("cpu"), count=len(x))

    def results(self, subject: Subject, trail: Trail, start: Samples | None, targets: Sequence[Target]) -> Samples:
        """What a steer found, with each property wanted."""
        return results_of(self, subject, trail, start, targets)


def _measure(place: int, sd: float, mean: float) -> Any:
    def measure(rows: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        return rows[:, place] * sd + mean

    return measure
