"""The kit of every model of plain numbers: read, write and sample images or rows of a table.

Which of the two a model was trained on stands in its settings (``datum.space``).
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import BaseModel

from zsteer.core.batch import Batch
from zsteer.core.datum import Datum
from zsteer.core.goal import Budget, Goal
from zsteer.core.protocols import Generative
from zsteer.core.rng import Streams
from zsteer.domains.images import files as image_files
from zsteer.domains.images.space import ImageSpace
from zsteer.domains.tables import files as table_files
from zsteer.domains.tables.space import TableSpace
from zsteer.errors import CapabilityError, InputError
from zsteer.evaluate.report import Report
from zsteer.kits.base import Ask

__all__ = ["SamplesOnly", "VectorDesigns", "VectorKit", "space_of"]


def space_of(datum: Datum) -> ImageSpace | TableSpace:
    """The space that a model was trained on.

    Raises:
        CapabilityError: if the model keeps none, so that its numbers cannot be written as images or rows.
    """
    spaces = {"images": ImageSpace.of, "tables": TableSpace.of}
    name = str(datum.space.get("name", ""))
    if name not in spaces:
        raise CapabilityError(f"the model keeps no description of images or tables (it says {name!r})")
    return spaces[name](datum.space)


@dataclass(frozen=True)
class VectorDesigns:
    """Samples with their space.

    Args:
        batch: the samples, field x.
        space: how they are written.
        facts: figures of the whole set.
    """

    batch: Batch
    space: ImageSpace | TableSpace
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def noun(self) -> str:
        """What the samples are."""
        return "images" if isinstance(self.space, ImageSpace) else "rows"

    @property
    def lines(self) -> Sequence[str]:
        """Rows as comma-separated text under their heading; of images only a remark, a terminal shows none."""
        if isinstance(self.space, ImageSpace):
            size = f"{self.space.height} x {self.space.width}"
            facts = [f"{name}: {value}" for name, value in self.facts.items()]
            return [f"{len(self)} images of {size} pixels; pass --out FILE.png (a grid), .gif or .npz", *facts]
        columns = self.space.decode(self.batch)
        text = io.StringIO()
        text.write(",".join(columns) + "\n")
        for row in zip(*columns.values(), strict=True):
            cells = [f"{float(cell):.6g}" if np.issubdtype(type(cell), np.number) else str(cell) for cell in row]
            text.write(",".join(cells) + "\n")
        return text.getvalue().splitlines()

    def __len__(self) -> int:
        return len(self.batch)


class SamplesOnly:
    """Part of a kit whose models sample and do nothing else.

    Args:
        model: the model.
        device: where it is.
    """

    protocols: ClassVar[str] = "--protocol two-sample or --protocol likelihood"

    def __init__(self, model: Any, device: torch.device) -> None:
        self.model, self.device = model, device

    def steer(self, start: Any, goal: Goal, budget: Budget, knobs: BaseModel, rng: Streams) -> Any:
        """Not for these models.

        Raises:
            CapabilityError: always.
        """
        del start, goal, budget, knobs, rng
        raise CapabilityError(f"a model of kind {self.model.kind!r} does not steer")

    def evaluate(self, samples: Any, ask: Ask) -> Report:
        """Not by the model itself.

        Raises:
            CapabilityError: always.
        """
        del samples, ask
        raise CapabilityError(f"a model does not judge its own samples; evaluate them with {self.protocols}")


class VectorKit(SamplesOnly):
    """What images and tables offer for a model.

    Args:
        model: a model with ``settings.datum``.
        folder: the artifact folder that it came from.
        device: where it is.
    """

    def __init__(self, model: Any, folder: Path | None, device: torch.device) -> None:
        del folder
        super().__init__(model, device)
        self.space = space_of(model.settings.datum)

    def read(self, path: Path, *, skip_invalid: bool) -> Batch:
        """Read samples of the model's own space."""
        if isinstance(self.space, ImageSpace):
            return self.space.encode(image_files.read(path, skip_invalid=skip_invalid).pixels)
        if skip_invalid:
            raise InputError("--skip-invalid is for folders of pictures; mend the table instead")
        return self.space.encode(table_files.read(path))

    def write(self, path: Path, designs: VectorDesigns, *, overwrite: bool) -> None:
        """Write samples by the file's ending."""
        if isinstance(designs.space, ImageSpace):
            image_files.write(path, designs.space.decode(designs.batch), overwrite=overwrite)
        else:
            table_files.write(path, designs.space.decode(designs.batch), overwrite=overwrite)

    def check_ending(self, path: Path) -> None:
        """Refuse an ending that cannot be written, before any work is done."""
        files = image_files if isinstance(self.space, ImageSpace) else table_files
        files.check_ending(path)

    def sample(self, n: int, given: Mapping[str, object], rng: Streams) -> VectorDesigns:
        """New images or rows.

        Raises:
            CapabilityError: if the model makes none.
        """
        if not isinstance(self.model, Generative):
            raise CapabilityError(f"a model of kind {self.model.kind!r} makes no samples")
        with torch.no_grad():
            made = self.model.sample(n, given=given or None, rng=rng)
        return VectorDesigns(made.to("cpu"), self.space)
