"""The protocol ``properties``: every property of a file of samples, the user's own among them, beside a reference.

``zsteer evaluate mols.sdf --protocol properties --property rings=mine:rings --reference FILE``. Each property has its
mean with a bootstrap interval and its spread; the reference stands beside it, and the distance between two halves of
the reference is the null of the distance between samples and reference.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from zsteer.core.catalog import load_name
from zsteer.core.property import Property
from zsteer.core.rng import Streams
from zsteer.errors import InputError
from zsteer.evaluate.intervals import Draws
from zsteer.evaluate.report import Cell, Report, Table
from zsteer.kits.base import Samples
from zsteer.kits.common import own_property
from zsteer.kits.contents import content_of
from zsteer.kits.front import kit_of
from zsteer.kits.protocols import EvaluationRequest
from zsteer.maths.distances import on_a_line

__all__ = ["PropertyProtocol", "properties"]

PROPERTIES = {
    "images": "zsteer.domains.images.properties:PROPERTIES",
    "molecules": "zsteer.domains.molecules.properties:PROPERTIES",
    "sequences": "zsteer.domains.sequences.properties:PROPERTIES",
}
"""What a domain declares; the columns of a table are its properties."""


@dataclass(frozen=True)
class PropertyProtocol:
    """Properties of samples."""

    def read(self, path: Path, *, skip_invalid: bool, column: str | None = None) -> Samples:
        """Read samples of the domain that recognises the file.

        Raises:
            InputError: if no domain recognises it, or it cannot be read.
        """
        kit: Any = kit_of(content_of(path, column).domain)
        named = {} if column is None else {"column": column}
        return kit.read(path, skip_invalid=skip_invalid, **named)

    def evaluate(self, samples: Samples, request: EvaluationRequest) -> Report:
        """Each property of the samples, and of the reference where there is one.

        Raises:
            InputError: if a goal is given, there are no samples, or a property fails.
        """
        if request.goal.toward:
            raise InputError("the protocol properties takes no --toward; it shows every property")
        if len(samples) < 2:
            raise InputError(f"expected at least 2 samples for an interval, got {len(samples)}")
        domain = _domain(samples)
        kit = kit_of(domain)
        other = None if request.reference is None else kit.read(request.reference)
        known = _known(domain, samples)
        own = {name: own_property(name, function, kit.adapt) for name, function in request.properties.items()}
        rows: list[list[Cell]] = []
        measured = [each for each in {**known, **own}.values() if each.function is not None]
        things, theirs = kit.things_of(samples), None if other is None else kit.things_of(other)
        for each in measured:
            mine = each.values(things, len(samples))
            real = None if other is None else each.values(theirs, len(other))
            rows.append(_row(each, mine, real, request.seed))
        columns = ["property", "unit", "mean", "low", "high", "sd", "n", "reference", "distance", "null"]
        notes = [
            "interval: bootstrap over samples, 95 %; things without a value are left out; n counts the others",
            "distance: Wasserstein-1 to the reference in the property's unit; null: between halves of the reference",
        ]
        line = f"{len(samples)} {samples.noun}, {len(measured)} properties."
        left = [f"{len(samples.skipped)} were left out; the first: {samples.skipped[0]}"] if samples.skipped else []
        return Report(f"Properties of {samples.noun}", [line, *left], [Table("Properties", columns, rows, notes)])


def _domain(samples: Samples) -> str:
    return {"rows": "tables"}.get(samples.noun, samples.noun)


def _known(domain: str, samples: Samples) -> Mapping[str, Property]:
    """The properties that a domain declares."""
    if domain in PROPERTIES:
        return load_name(PROPERTIES[domain])
    numbers = [name for name, values in samples.items.items() if np.asarray(values).dtype.kind in "fiu"]
    return {name: Property(name, lambda things, name=name: things[name]) for name in numbers}


def _row(quantity: Property, mine: NDArray[np.float64], real: NDArray[np.float64] | None, seed: int) -> list[Cell]:
    """A property of the samples, beside the reference."""
    good = mine[np.isfinite(mine)]
    if len(good) < 2:
        return [quantity.name, quantity.unit, "no value", "", "", "", len(good), "", "", ""]
    mean = Draws.of(len(good), Streams.of(seed, 1)).mean(good)
    cells: list[Cell] = [quantity.name, quantity.unit, mean.value, mean.low, mean.high, float(good.std()), len(good)]
    theirs = np.array([]) if real is None else real[np.isfinite(real)]
    if len(theirs) < 4:
        return [*cells, "", "", ""]
    order = Streams.of(seed, 1).child("halves").permutation("rows", len(theirs))[0].numpy()
    half = len(theirs) // 2
    apart = _distance(good, theirs)
    null = _distance(theirs[order[:half]], theirs[order[half:]])
    return [*cells, float(theirs.mean()), apart, null]


def _distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    def line(values: NDArray[np.float64]) -> Float[Tensor, " n"]:
        return torch.from_numpy(values)

    return float(on_a_line(line(a), line(b)))


def properties(models: Path | None) -> PropertyProtocol:
    """The protocol; it asks no model.

    Raises:
        InputError: if a model is given.
    """
    if models is not None:
        raise InputError("the protocol properties asks no model; omit --models")
    return PropertyProtocol()
