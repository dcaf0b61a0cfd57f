"""Evaluation protocols by name: how good samples are, over sets of them or by a model; apart from kits.

A protocol is made for the folder of its judges or the model that is asked (``--models``), reads a file, and reports.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

from zsteer.core.catalog import load_name
from zsteer.core.goal import Goal
from zsteer.core.property import Function, Property
from zsteer.errors import InputError, SettingsError, nearest
from zsteer.evaluate.report import Report
from zsteer.kits.contents import content_of

__all__ = [
    "DEFAULTS",
    "PROTOCOLS",
    "EvaluatesFiles",
    "EvaluationProtocol",
    "EvaluationRequest",
    "default_protocol",
    "protocol_of",
]

PROTOCOLS: Mapping[str, str] = MappingProxyType(
    {
        "edm-2022": "zsteer.kits.molecules.protocols:by_lookup",
        "geom-revisited": "zsteer.kits.molecules.protocols:revisited",
        "likelihood": "zsteer.kits.images.likelihood:likelihood",
        "posebusters": "zsteer.kits.molecules.protocols:busters",
        "posebusters-fast": "zsteer.kits.molecules.protocols:busters_fast",
        "properties": "zsteer.kits.properties:properties",
        "ratings": "zsteer.kits.ratings.protocol:ratings",
        "strain": "zsteer.kits.molecules.protocols:by_strain",
        "tcr": "zsteer.kits.sequences.protocol:receptors",
        "two-sample": "zsteer.kits.images.two_sample:two_sample",
        "validity": "zsteer.kits.molecules.validity:validity",
    }
)
"""Name -> ``module:function`` that makes the protocol for judges or a model, or None."""

DEFAULTS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "images": {"property": "properties", "reference": "two-sample", "models": "likelihood", "": "properties"},
        "molecules": {"property": "properties", "": "validity"},
        "ratings": {"": "ratings"},
        "sequences": {"property": "properties", "toward": "tcr", "models": "likelihood", "": "properties"},
        "tables": {"property": "properties", "reference": "two-sample", "models": "likelihood", "": "properties"},
    }
)
"""Domain -> what is given beside a file -> the protocol that is taken where none is named."""


@dataclass(frozen=True)
class EvaluationRequest:
    """What ``evaluate`` is asked for.

    Args:
        goal: what the samples should be.
        reference: file or folder of real samples to compare with.
        pgen: add the share above a generation probability.
        seed: of every random choice.
        properties: the user's own, by name: ``module:function``, a function or a ``Property``.
        reading: how files that the goal names are read: keywords of the protocol's ``read``.
        watch: called with progress, by protocols that take long.
    """

    goal: Goal = field(default_factory=lambda: Goal(toward={}))
    reference: Path | None = None
    pgen: bool = False
    seed: int = 0
    properties: Mapping[str, str | Function | Property] = field(default_factory=dict)
    reading: Mapping[str, Any] = field(default_factory=dict[str, Any])
    watch: Callable[[dict[str, Any]], None] = lambda _: None


@runtime_checkable
class EvaluationProtocol(Protocol):
    """A way to judge samples."""

    def read(self, path: Path, *, skip_invalid: bool) -> Any: ...
    def evaluate(self, samples: Any, request: EvaluationRequest) -> Report: ...


@runtime_checkable
class EvaluatesFiles(Protocol):
    """A way to judge a file without holding it whole."""

    def evaluate_file(self, path: Path, request: EvaluationRequest) -> Report: ...


def default_protocol(path: Path, given: Collection[str], column: str | None = None) -> tuple[str, str]:
    """The protocol of a file where none is named, by what it holds and what is given beside it.

    Args:
        path: the file.
        given: of ``property``, ``toward``, ``reference`` and ``models``, those that are there.
        column: that is named of the file.

    Returns:
        Its name, and a line that says why.

    Raises:
        InputError: if the file is not recognised.
        SettingsError: if what is given beside it belongs to several protocols.
    """
    content = content_of(path, column)
    rules = DEFAULTS[content.domain]
    # A property of one's own is measured beside a reference as well.
    words = {"property"} & set(given) & set(rules) or set(given)
    fits = [name for word, name in rules.items() if word in words]
    if len(fits) > 1:
        raise SettingsError(f"{path} holds {content.domain} ({content.words}); say --protocol {' or '.join(fits)}")
    name = fits[0] if fits else rules[""]
    others = [other for other in dict.fromkeys(rules.values()) if other != name]
    also = f" (also: {', '.join(others)})" if others else ""
    return name, f"{path} holds {content.domain} ({content.words}): --protocol {name} is taken{also}"


def protocol_of(name: str) -> Callable[[Path | None], EvaluationProtocol]:
    """What makes a protocol for judges or a model.

    Raises:
        InputError: if there is no such protocol.
    """
    if name not in PROTOCOLS:
        raise InputError(nearest(name, PROTOCOLS, what="protocol"))
    return load_name(PROTOCOLS[name])
