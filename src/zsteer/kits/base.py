"""What each kind of model knows to do for a user: its kit (sample, steer, evaluate, read, write).

A kit belongs to a domain and job; the command line and ``zsteer.load`` find it by the kind of the artifact.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from pydantic import BaseModel

from zsteer.core.catalog import load_name
from zsteer.core.goal import Budget, Goal
from zsteer.core.rng import Streams
from zsteer.errors import CapabilityError, InputError, nearest
from zsteer.evaluate.report import Report

__all__ = ["KITS", "PROTOCOLS", "Ask", "Designs", "Kit", "kit_of", "protocol_of"]

KITS: Mapping[str, str] = MappingProxyType(
    {
        "autoregressive": "zsteer.kits.sequences.kit:ReceptorKit",
        "ddpm": "zsteer.kits.images.diffusion:DiffusionKit",
        "dwae": "zsteer.kits.sequences.kit:ReceptorKit",
        "edm": "zsteer.kits.molecules.kit:MoleculeKit",
        "gan": "zsteer.kits.images.kit:VectorKit",
        "multinomial": "zsteer.kits.sequences.diffusion:kit",
        "rbm": "zsteer.kits.sequences.rbm:kit",
        "rbm-ratings": "zsteer.kits.ratings.kit:RatingKit",
        "vae": "zsteer.kits.images.kit:VectorKit",
        "wae": "zsteer.kits.images.kit:VectorKit",
    }
)
"""Kind of model -> its kit."""

PROTOCOLS: Mapping[str, str] = MappingProxyType(
    {
        "edm-2022": "zsteer.kits.molecules.protocols:by_lookup",
        "geom-revisited": "zsteer.kits.molecules.protocols:revisited",
        "likelihood": "zsteer.kits.images.likelihood:LikelihoodKit",
        "posebusters": "zsteer.kits.molecules.protocols:busters",
        "posebusters-fast": "zsteer.kits.molecules.protocols:busters_fast",
        "ratings": "zsteer.kits.ratings.kit:RatingKit",
        "strain": "zsteer.kits.molecules.protocols:by_strain",
        "tcr": "zsteer.kits.sequences.kit:ReceptorKit",
        "two-sample": "zsteer.kits.images.two_sample:TwoSampleKit",
    }
)
"""Name of an evaluation protocol -> the kit that runs it."""


@dataclass(frozen=True)
class Ask:
    """What ``evaluate`` is asked.

    Args:
        goal: what the samples should be.
        reference: file or folder of real samples to compare with.
        pgen: add the share above a generation probability.
        seed: of every random choice.
    """

    goal: Goal = field(default_factory=lambda: Goal(toward={}))
    reference: Path | None = None
    pgen: bool = False
    seed: int = 0


class Designs(Protocol):
    """Results ready to be written, or to be shown one a line under their ``noun`` (sequences, rows, images)."""

    @property
    def noun(self) -> str: ...
    @property
    def lines(self) -> Sequence[str]: ...
    @property
    def facts(self) -> Mapping[str, Any]: ...
    def __len__(self) -> int: ...


class Kit(Protocol):
    """What a domain offers for its models."""

    def read(self, path: Path, *, skip_invalid: bool) -> Any: ...
    def write(self, path: Path, designs: Any, *, overwrite: bool) -> None: ...
    def check_ending(self, path: Path) -> None: ...
    def sample(self, n: int, given: Mapping[str, object], rng: Streams) -> Any: ...
    def steer(self, start: Any, goal: Goal, budget: Budget, knobs: BaseModel, rng: Streams) -> Any: ...
    def evaluate(self, samples: Any, ask: Ask) -> Report: ...


def kit_of(kind: str) -> Any:
    """The kit class for a kind of model.

    Raises:
        CapabilityError: if such models are only parts of others.
    """
    if kind not in KITS:
        raise CapabilityError(f"a model of kind {kind!r} neither samples nor steers; models that do: {', '.join(KITS)}")
    return load_name(KITS[kind])


def protocol_of(name: str) -> Any:
    """The kit class that runs an evaluation protocol.

    Raises:
        InputError: if there is no such protocol.
    """
    if name not in PROTOCOLS:
        raise InputError(nearest(name, PROTOCOLS, what="protocol"))
    return load_name(PROTOCOLS[name])
