"""``Context``: what a method may need to know beside its options; the front door fills it in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel

from zsteer.core.batch import Batch
from zsteer.core.goal import Goal
from zsteer.core.property import Property
from zsteer.kits.base import Kit, Samples, Subject

OptionsT = TypeVar("OptionsT", bound=BaseModel)

__all__ = ["Context"]


@dataclass(frozen=True)
class Context:
    """What a method may need to know beside its options.

    Args:
        kit: of the domain.
        subject: the model.
        goal: as it was written.
        given: conditions, parsed.
        start: what to start from, or None.
        number: new samples, where there is no start.
        examples: labelled examples of the user, or None.
        options: parsed, by their class.
    """

    kit: Kit
    subject: Subject
    goal: Goal
    given: Mapping[str, object]
    start: Samples | None
    number: int
    examples: Samples | None
    options: Mapping[type[BaseModel], BaseModel]

    def option(self, cls: type[OptionsT]) -> OptionsT:
        """Options of a class."""
        found = self.options.get(cls)
        return found if isinstance(found, cls) else cls()

    def problems(self, x: Batch) -> list[str]:
        """What is wrong with each sample; nothing where the domain knows nothing invalid."""
        return list(self.kit.problems(self.subject, x) or [""] * len(x))

    def properties(self) -> list[Property]:
        """Properties that have a function."""
        return [each for each in self.kit.properties(self.subject).values() if each.function is not None]
