"""What ``--toward`` and ``--keep`` take for rows of a table; the columns are the properties. Imports no torch."""

from collections.abc import Mapping, Sequence
from typing import Any

from zsteer.core.options import Option, Options

__all__ = ["OPTIONS", "column_options"]

OPTIONS = Options("rows", ".csv, .tsv, .npy or .npz")


def column_options(description: Mapping[str, Any], offers: Sequence[str] = ()) -> tuple[Option, ...]:
    """A table's columns of numbers, from the description of its space, whatever the kind of model offers."""
    del offers
    return tuple(
        Option(str(column["name"]), "toward", "number", "a column of the table")
        for column in description.get("columns", ())
        if column["kind"] != "category"
    )
