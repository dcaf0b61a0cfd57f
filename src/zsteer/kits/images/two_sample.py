"""The protocol ``two-sample``: samples of a file against the real rows or images of another, with nulls and baselines.

``zsteer evaluate samples.npz --protocol two-sample --reference data.npz``: images or tables, in any form that is read.
Images are also compared in the features of a net: that of ``--models``, or the shipped one where the size fits.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zsteer.core.batch import Batch
from zsteer.core.catalog import load_model
from zsteer.core.rng import Streams
from zsteer.domains.images import files as image_files
from zsteer.domains.images.space import ImageSpace
from zsteer.domains.tables import files as table_files
from zsteer.domains.tables.space import Columns, TableSpace
from zsteer.errors import InputError
from zsteer.evaluate.features import frechet_name
from zsteer.evaluate.report import Report
from zsteer.evaluate.two_sample import Sample, two_sample_report
from zsteer.kits.base import Samples
from zsteer.kits.images.kit import shipped_features
from zsteer.kits.protocols import EvaluationRequest
from zsteer.predictors.image_classifier import ImageClassifier

__all__ = ["Found", "TwoSampleProtocol", "two_sample"]


@dataclass(frozen=True)
class Found:
    """What a file holds, before its space is known.

    Args:
        where: the file.
        pixels: of images, or None.
        columns: of a table, or None.
        skipped: why pictures of a folder or rows were left out.
        notes: what was assumed to read it.
        label: class of each image, where the file or folder has them.
    """

    where: str
    pixels: NDArray[np.uint8] | None = None
    columns: Columns | None = None
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    label: Tensor | None = None


class TwoSampleProtocol:
    """Compares samples with a reference.

    Args:
        net: the net whose features images are compared in, or None.
    """

    def __init__(self, net: ImageClassifier | None) -> None:
        self.net = net

    def read(self, path: Path, *, skip_invalid: bool) -> Found:
        """Read images or a table; their space is learned from the reference later."""
        if not path.exists():
            raise InputError(f"there is no file or folder {path}")
        if image_files.is_images(path):
            images = image_files.read(path, skip_invalid=skip_invalid)
            label = None if images.labels is None else torch.from_numpy(images.labels)
            return Found(str(path), images.pixels, None, tuple(images.skipped), tuple(images.notes), label)
        table = table_files.read(path, table_files.Reading(skip_invalid=skip_invalid))
        return Found(str(path), columns=table.columns, skipped=table.skipped, notes=table.notes)

    def evaluate(self, samples: Any, request: EvaluationRequest) -> Report:
        """The report.

        Args:
            samples: what ``read`` gave, or designs of a model of images or tables.
            request: with the reference.

        Raises:
            InputError: if there is no reference, a goal is given, or one file holds images and the other a table.
        """
        if request.reference is None:
            raise InputError("the two-sample protocol needs --reference FILE: real samples to compare with")
        if request.goal.toward:
            raise InputError("the two-sample protocol takes no --toward")
        own = _found(samples)
        other = self.read(request.reference, skip_invalid=False)
        made, real, label = _encoded(own, other)
        title = f"{Path(own.where).name} against {Path(other.where).name}"
        report = two_sample_report(
            Sample(made["x"].flatten(1), features=self._features(made)),
            Sample(real["x"].flatten(1), label, self._features(real)),
            Streams.of(request.seed, 1),
            title=title,
        )
        noun = "rows" if own.pixels is None else "pictures"
        left = [f"{len(own.skipped)} {noun} were left out: {'; '.join(own.skipped[:3])}"] if own.skipped else []
        left += [f"{one.where}: {note}" for one in (own, other) for note in one.notes]
        return Report(report.title, [*report.summary, *left], report.tables, (), report.facts)

    def _features(self, x: Batch) -> dict[str, Tensor]:
        """Features of images that the net can read; none else."""
        if self.net is None or x["x"].shape[1:] != self.net.settings.datum.shape:
            return {}
        return {frechet_name(self.net.tensors()): self.net.features(x)}


def _found(samples: Any) -> Found:
    if isinstance(samples, Found):
        return samples
    if isinstance(samples, Samples) and isinstance(samples.items, np.ndarray):
        return Found("the samples", samples.items)
    if isinstance(samples, Samples) and isinstance(samples.items, Mapping):
        return Found("the samples", columns=samples.items)
    raise InputError(f"expected a file, or samples of a model of images or tables, got {type(samples).__name__}")


def _encoded(own: Found, other: Found) -> tuple[Batch, Batch, Tensor | None]:
    """Both sets in the space of the reference, with the classes of the reference where its file has them."""
    if own.pixels is not None and other.pixels is not None:
        height, width = other.pixels.shape[1:3]
        space = ImageSpace(3 if other.pixels.ndim == 4 else 1, height, width)
        return space.encode(own.pixels), space.encode(other.pixels), other.label
    if own.columns is not None and other.columns is not None:
        _check_columns(own, other)
        table = TableSpace.learn(other.columns, where=other.where)
        return table.encode(own.columns), table.encode(other.columns), None
    kinds = ["images" if found.pixels is not None else "a table" for found in (own, other)]
    raise InputError(f"{own.where} holds {kinds[0]} and {other.where} {kinds[1]}; compare like with like")


def _check_columns(own: Found, other: Found) -> None:
    """Refuse tables whose columns differ, naming the column and both files."""
    for first, second in ((own, other), (other, own)):
        extra = [name for name in first.columns or () if name not in (second.columns or ())]
        if extra:
            raise InputError(
                f"{first.where} has the column {extra[0]!r}, and {second.where} has none of that name "
                f"(it has {', '.join(second.columns or ())}); compare tables with the same columns"
            )


def two_sample(models: Path | None) -> TwoSampleProtocol:
    """With the feature net of a folder, or the shipped one where there is one.

    Raises:
        InputError: if the folder holds another kind of model.
    """
    if models is None:
        return TwoSampleProtocol(shipped_features())
    hint = "the two-sample protocol compares in a feature net; train one: zsteer train image-features"
    return TwoSampleProtocol(load_model(models, kind=ImageClassifier.kind, hint=hint))
