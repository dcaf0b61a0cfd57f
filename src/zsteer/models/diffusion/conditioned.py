"""Conditions of a diffusion model: classes by name, bound to one batch of samples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zsteer.core.options import Option
from zsteer.core.protocols import Noise, Prediction
from zsteer.errors import CapabilityError, InputError, nearest

__all__ = ["Conditioned", "Predicts", "class_indices", "class_option", "given_classes"]


def class_option(classes: Sequence[str]) -> tuple[Option, ...]:
    """The condition ``class``; none where there are no classes."""
    if not classes:
        return ()
    text = "a class, or all: each in turn"
    return (Option("class", "given", "text", text, choices=tuple(classes)),)


@runtime_checkable
class Predicts(Protocol):
    """A model that predicts x_0 from noisy samples and their classes (-1 for none)."""

    @property
    def noise(self) -> Noise: ...
    def predict(
        self, x_t: Float[Tensor, "b ..."], t: Float[Tensor, " b"], y: Int[Tensor, " b"] | None
    ) -> Prediction: ...


@dataclass(frozen=True)
class Conditioned:
    """A model's denoiser with the classes of one batch bound.

    Args:
        model: the model.
        y: class of each sample, -1 for none; None for none at all.
    """

    model: Predicts
    y: Int[Tensor, " b"] | None

    @property
    def noise(self) -> Noise:
        """The model's noise."""
        return self.model.noise

    def predict(self, x_t: Float[Tensor, "b ..."], t: Float[Tensor, " b"]) -> Prediction:
        """What the model says of x_0 under these classes."""
        return self.model.predict(x_t, t, self.y)


def given_classes(
    given: Mapping[str, object] | None, n: int, classes: Sequence[str], *, null: bool
) -> Int[Tensor, " n"] | None:
    """The classes that the conditions name.

    Args:
        given: ``class``, as ``class_indices`` takes it, or nothing.
        n: number of samples.
        classes: names of the model's classes.
        null: whether the model has learned to do without a class.

    Raises:
        CapabilityError: if no class is given and the model has not learned to do without.
        InputError: if there is another condition.
    """
    for name in given or {}:
        if name != "class":
            raise InputError("--given: " + nearest(name, ["class"], what="condition"))
    if given:
        return class_indices(classes, given["class"], n)
    if classes and not null:
        raise CapabilityError(
            "the model was trained with drop=0 and has no null class: give a class, and leave scale away"
        )
    return None


def class_indices(classes: Sequence[str], wanted: object, n: int) -> Int[Tensor, " n"]:
    """Index of the class of each sample.

    Args:
        classes: names of the classes.
        wanted: a name, an index, ``all`` (the classes in turn), or one of these for each sample.
        n: number of samples.

    Raises:
        CapabilityError: if there are no classes.
        InputError: if there is no such class, or not as many as samples.
    """
    if not classes:
        raise CapabilityError("the model was trained without classes; leave --given class away")
    if isinstance(wanted, Tensor):
        wanted = wanted.tolist()
    if isinstance(wanted, (list, tuple)):
        if len(wanted) != n:
            raise InputError(f"expected one class for each of {n} samples, got {len(wanted)}")
        return torch.cat([class_indices(classes, one, 1) for one in wanted])
    word = str(wanted).strip()
    if word.lower() == "all":
        return torch.arange(n) % len(classes)
    # What a shell makes awkward is forgiven: ankle-boot or ankle_boot for "Ankle boot".
    plain = {_plain(name): index for index, name in enumerate(classes)}
    ends = [index for name, index in plain.items() if name.split()[-1] == _plain(word)]
    if _plain(word) in plain:
        index = plain[_plain(word)]
    elif word.isdecimal() and int(word) < len(classes):
        index = int(word)
    elif len(ends) == 1:
        index = ends[0]
    else:
        raise InputError("--given class: " + nearest(word, list(classes), what="class"))
    return torch.full((n,), index)


def _plain(name: str) -> str:
    return " ".join(name.lower().replace("-", " ").replace("_", " ").split())
