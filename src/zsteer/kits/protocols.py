"""Evaluation protocols by name: how good samples are, over sets of them or by a model; apart from kits.

A protocol is made for the folder of its judges or the model that is asked (``--models``), reads a file, and reports.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

from zsteer.core.catalog import load_name
from zsteer.core.goal import Goal
from zsteer.core.property import Function, Property
from zsteer.errors import InputError, nearest
from zsteer.evaluate.report import Report

__all__ = ["PROTOCOLS", "EvaluatesFiles", "EvaluationProtocol", "EvaluationRequest", "default_protocol", "protocol_of"]

_MOLECULES = (".sdf", ".sd", ".mol", ".xyz", ".extxyz", ".smi", ".smiles")

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


def default_protocol(path: Path) -> str | None:
    """The protocol of a file where none is named: ``validity`` for what only molecules have as their ending."""
    return "validity" if path.name.lower().removesuffix(".gz").endswith(_MOLECULES) else None


def protocol_of(name: str) -> Callable[[Path | None], EvaluationProtocol]:
    """What makes a protocol for judges or a model.

    Raises:
        InputError: if there is no such protocol.
    """
    if name not in PROTOCOLS:
        raise InputError(nearest(name, PROTOCOLS, what="protocol"))
    return load_name(PROTOCOLS[name])
