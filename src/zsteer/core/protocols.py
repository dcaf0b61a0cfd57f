"""The contracts that the rest of zsteer is written against.

Each protocol has at least two implementations in the tree; attributes are read-only properties so that a plain
attribute satisfies them. A class says what it can do by implementing a protocol, never by a flag.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor
from torch.nn import Parameter

from zsteer.core.batch import Batch
from zsteer.core.goal import Budget, Goal, Trail
from zsteer.core.rng import Streams

__all__ = [
    "Belief",
    "Code",
    "Codec",
    "Generative",
    "Likelihood",
    "Observed",
    "Oracle",
    "Source",
    "Space",
    "Steer",
    "Trainable",
    "Turn",
]

Code = Mapping[str, Tensor]
"""Named parts of a latent code, for example ``{"z_f": ..., "z_s": ...}``, each ``(b, d)``."""


@dataclass(frozen=True)
class Turn:
    """Who updates, and how often in a row: ``Turn("critic", 5)`` before ``Turn("generator")``."""

    player: str
    times: int = 1


@dataclass(frozen=True)
class Belief:
    """What an oracle believes of each sample's property: a normal distribution.

    Args:
        mean: expected value, shape ``(b,)``.
        std: standard deviation of that belief, shape ``(b,)``; zeros when the oracle is certain.
        status: ``"ok"`` or the reason why a sample could not be scored, one for each sample; empty when all are ok.
    """

    mean: Float[Tensor, " b"]
    std: Float[Tensor, " b"]
    status: Sequence[str] = field(default=())


@runtime_checkable
class Space(Protocol):
    """What a datum is, how it is padded, masked and checked."""

    @property
    def name(self) -> str: ...
    def encode(self, items: Any) -> Batch: ...
    def decode(self, x: Batch) -> Any: ...


@runtime_checkable
class Source(Protocol):
    """Training data as a function of the update: the same update gives the same batch, in every run."""

    def batch(self, update: int, rng: Streams) -> Batch: ...


@runtime_checkable
class Trainable(Protocol):
    """A model that the training loop can fit."""

    @property
    def turns(self) -> Sequence[Turn]: ...
    def players(self) -> Mapping[str, Iterable[Parameter]]: ...
    def losses(self, x: Batch, player: str, rng: Streams) -> Mapping[str, Float[Tensor, " b"]]: ...
    def after_step(self, player: str) -> None: ...


@runtime_checkable
class Observed(Protocol):
    """A model that adds figures of its own to the records of the loop: a null band, a diagnosis, a gap."""

    def figures(self, record: Mapping[str, float]) -> Mapping[str, float]: ...


@runtime_checkable
class Generative(Protocol):
    """A model that makes new samples; sample i depends on stream i alone."""

    def sample(self, n: int, *, given: Mapping[str, object] | None = None, rng: Streams) -> Batch: ...


@runtime_checkable
class Likelihood(Protocol):
    """A model that gives the log-probability of data, or says which bound it gives. [nats]"""

    @property
    def bound(self) -> Literal["exact", "lower", "unnormalised"]: ...
    def log_prob(self, x: Batch, rng: Streams) -> Float[Tensor, " b"]: ...


@runtime_checkable
class Codec(Protocol):
    """A model that turns data into a code of named parts and back."""

    def encode(self, x: Batch, rng: Streams) -> Code: ...
    def decode(self, code: Code, rng: Streams) -> Batch: ...


@runtime_checkable
class Oracle(Protocol):
    """A property with its uncertainty."""

    def __call__(self, x: Batch) -> Belief: ...


@runtime_checkable
class Steer(Protocol):
    """From a start and a goal to better samples, within a budget."""

    def __call__(self, start: Batch | None, goal: Goal, budget: Budget, rng: Streams) -> Trail: ...
