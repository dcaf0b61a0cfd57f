"""``Kit``: what one domain offers a user, whatever the model; and ``Samples``, what it reads and gives back.

A kit knows no model class. It turns files into things (molecules, sequences, pixels, rows, ratings), things into what a
model holds by the model's space, the words of a goal into an objective and a constraint, and results into a table.
"""

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

import torch

from zsteer.core.artifact import Offer
from zsteer.core.batch import Batch
from zsteer.core.goal import Term, Trail
from zsteer.core.objective import Part, Target
from zsteer.core.options import Options
from zsteer.core.property import Property

__all__ = ["NOTHING", "Careful", "Kit", "Samples", "ScreensStarts", "Streaming", "Subject", "TakesLabels"]

NOTHING: Mapping[str, object] = MappingProxyType({})
"""No conditions."""


@dataclass(frozen=True)
class Subject:
    """A model that is sampled or steered, with what its kit needs to know.

    Args:
        model: the model.
        folder: the artifact folder that it came from; None for one in memory.
        device: where it is.
        properties: the user's own, by name.
        force: go on with a property whose judge is too weak.
        reading: how files that a goal names are read: keywords of the kit's ``read``.
    """

    model: Any
    folder: Path | None
    device: torch.device
    properties: Mapping[str, Property] = field(default_factory=dict)
    force: bool = False
    reading: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def offer(self) -> Offer:
        """What a user may say about the model."""
        return Offer(self.model.space, self.model.options)


@dataclass(frozen=True)
class Samples:
    """Things of a domain with a table about them: read from a file, or made by a model.

    Args:
        noun: what they are, in the plural.
        items: the domain's container: ``Molecules``, a list of sequences, pixels, columns.
        columns: further columns by name, one entry for each.
        facts: figures of the whole set.
        lines: one or more lines of text for a terminal.
        batch: the same as a model holds them, where there is a model.
        skipped: what was left out on reading, a line each.
        source: the file that they came from, or empty.
        count: how many.
    """

    noun: str
    items: Any
    columns: Mapping[str, Sequence[object]] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    lines: Sequence[str] = ()
    batch: Batch | None = None
    skipped: Sequence[str] = ()
    source: str = ""
    count: int = 0

    def __len__(self) -> int:
        return self.count

    @cached_property
    def objects(self) -> Sequence[Any]:
        """The things one by one, as other packages know them: RDKit molecules, texts, arrays, rows.

        Raises:
            InputError: if the domain has no such form.
        """
        found = getattr(self.items, "objects", None)
        if found is not None:
            return found()
        if isinstance(self.items, Mapping):
            names = list(self.items)
            return [dict(zip(names, row, strict=True)) for row in zip(*self.items.values(), strict=True)]
        return list(self.items)

    def _repr_html_(self) -> str:
        """A table for notebooks, the first 50 rows."""
        shown = {"#": [str(k + 1) for k in range(len(self))], **self._text(), **self.columns}
        head = "".join(f"<th>{html.escape(name)}</th>" for name in shown)
        rows = [
            "<tr>" + "".join(f"<td>{html.escape(str(values[k]))}</td>" for values in shown.values()) + "</tr>"
            for k in range(min(len(self), 50))
        ]
        facts = "; ".join(f"{name}: {value}" for name, value in self.facts.items())
        more = f" (the first 50 of {len(self)})" if len(self) > 50 else ""
        return (
            f"<p>{len(self)} {html.escape(self.noun)}{more}. {html.escape(facts)}</p>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        )

    def _text(self) -> dict[str, Sequence[object]]:
        return {self.noun: list(self.lines)} if len(self.lines) == len(self) else {}


@runtime_checkable
class Kit(Protocol):
    """One domain."""

    @property
    def domain(self) -> str: ...
    @property
    def options(self) -> Options:
        """What ``--toward`` and ``--keep`` take here, and the files; the model's own conditions come on top."""
        ...

    def read(self, path: Path, subject: Subject | None = None, *, skip_invalid: bool = False) -> Samples: ...
    def take(self, things: object, subject: Subject) -> Samples:
        """Things as other packages know them, or a batch of the model, as samples."""
        ...

    def write(self, path: Path, samples: Samples, *, overwrite: bool) -> None: ...
    def check_ending(self, path: Path) -> None: ...
    def encode(self, samples: Samples, subject: Subject) -> Batch:
        """Things as the model holds them.

        Raises:
            InputError: if one is no sample of the model's space.
        """
        ...

    def things(self, subject: Subject, x: Batch) -> Any:
        """What properties read: the things of a batch, row for row."""
        ...

    def properties(self, subject: Subject) -> Mapping[str, Property]:
        """Every property of this domain that a number can be wanted of, the user's own among them."""
        ...

    def targets(self, subject: Subject, terms: Sequence[Term]) -> tuple[Target, ...]: ...
    def parts(self, subject: Subject, keep: Mapping[str, object], start: Samples | None) -> tuple[Part, ...]: ...
    def problems(self, subject: Subject, x: Batch) -> Sequence[str] | None:
        """Empty for each valid sample, else what is wrong; None where the domain knows nothing invalid."""
        ...

    def samples(
        self, subject: Subject, x: Batch, facts: Mapping[str, Any], given: Mapping[str, object] = NOTHING
    ) -> Samples:
        """What a model made under conditions, as things."""
        ...

    def things_of(self, samples: Samples) -> Any:
        """What properties read of the samples of a file, without a model."""
        ...

    def adapt(self, things: Any) -> Any:
        """Things as a property of one's own takes them."""
        ...

    def results(self, subject: Subject, trail: Trail, start: Samples | None, targets: Sequence[Target]) -> Samples:
        """What a steer found, as things with a table."""
        ...


@runtime_checkable
class Careful(Protocol):
    """A kit that refuses conditions under which what a model makes could not be judged."""

    def check_given(self, subject: Subject, given: Mapping[str, object]) -> None: ...


@runtime_checkable
class TakesLabels(Protocol):
    """A kit whose examples may carry attributes of the user's own, which heads are fitted on."""

    def read_examples(self, path: Path, subject: Subject) -> Samples: ...
    def labelled(self, examples: Samples) -> Mapping[str, Property]:
        """A property for each attribute; the values stand in the columns of the examples."""
        ...


@runtime_checkable
class Streaming(Protocol):
    """A kit that steers a large file in blocks, keeping what is done beside the output."""

    def steer_file(
        self,
        subject: Subject,
        source: Path,
        out: Path,
        work: Callable[[Samples, int], Samples],
        about: Mapping[str, object],
        *,
        overwrite: bool,
        watch: Callable[[dict[str, Any]], None],
    ) -> Samples:
        """Steer by ``work``, which takes a block and the number of its first thing; the figures of the whole."""
        ...

    def streams(self, count: int) -> bool:
        """Whether a file of so many things is steered in blocks."""
        ...


@runtime_checkable
class ScreensStarts(Protocol):
    """A kit that tells which starts a model cannot use, or nothing of which would stay."""

    def usable(self, subject: Subject, start: Samples, keep: Mapping[str, object]) -> Samples:
        """The others, with a line about each of those in ``skipped``.

        Raises:
            InputError: if none is left.
        """
        ...
