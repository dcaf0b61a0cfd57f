"""The contracts that the rest of zsteer is written against.

Each protocol has at least two implementations in the tree; attributes are read-only properties so that a plain
attribute satisfies them. A class says what it can do by implementing a protocol, never by a flag.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import Parameter

from zsteer.core.batch import Batch
from zsteer.core.goal import Budget, Goal, Trail
from zsteer.core.objective import Constraint, Objective
from zsteer.core.rng import Streams

__all__ = [
    "Belief",
    "Code",
    "Codec",
    "Committing",
    "Conditional",
    "Denoiser",
    "Expects",
    "Generative",
    "Group",
    "Grouped",
    "Likelihood",
    "Method",
    "Noise",
    "NoisyPredictor",
    "Observed",
    "Oracle",
    "Prediction",
    "Proposes",
    "ReadsCode",
    "Refittable",
    "SamplingDefaults",
    "Source",
    "Space",
    "Stateful",
    "Steer",
    "SupportsAutoguidance",
    "Trainable",
    "Turn",
    "Windowed",
]

Code = Mapping[str, Tensor]
"""Named parts of a latent code, for example ``{"z_f": ..., "z_s": ...}``; those that heads read are ``(b, d)``."""


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


@dataclass(frozen=True)
class Prediction:
    r"""What a denoiser says at x_t, and how the reverse step follows from it.

    Everything that steers a diffusion model changes a prediction, and every sampler reads one; this is where they meet.
    Predictions of x_0 may be added with weights: values on a line, log-probabilities up to a constant.

    Args:
        x0: the prediction of x_0, shape ``(b, *shape)``: values, or unnormalised log-probabilities over the categories
            in the last axis.
        variance_fraction: share of a learnt variance, from the posterior's (0) to the forward step's (1) on a log
            scale; None where the variance is fixed.
        mean_shift_gradient: gradient g by which the reverse kernel is tilted, p(x_s | x_t) exp(g . x_s); for a normal
            distribution that moves the mean by Sigma g, which is the lecture's classifier guidance. None for none.
    """

    x0: Float[Tensor, "b ..."]
    variance_fraction: Float[Tensor, "b ..."] | None = None
    mean_shift_gradient: Float[Tensor, "b ..."] | None = None


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


@runtime_checkable
class Committing(Protocol):
    """A model that acts after each update of a player: it clips weights, moves its chains, counts."""

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
    """A model that turns data into a code of named parts and back.

    ``parts`` names the parts that heads read and edits move, ``(b, d)`` each; other parts (a stochastic code, codes of
    nodes, flows) have any shape and are carried unchanged.
    """

    @property
    def parts(self) -> Sequence[str]: ...
    def encode(self, x: Batch, rng: Streams) -> Code: ...
    def decode(self, code: Code, rng: Streams) -> Batch: ...


@runtime_checkable
class ReadsCode(Protocol):
    """A codec that gives the parts that heads read without the dearer rest of the code."""

    def read(self, x: Batch, rng: Streams) -> Code: ...


@runtime_checkable
class Windowed(Protocol):
    """A codec whose decoding can be set: its steps, and where an edit of the code is seen, by levels and by times."""

    def within(self, *, calls: int | None, levels: Sequence[int], window: tuple[float, float]) -> Codec: ...


@runtime_checkable
class Proposes(Protocol):
    """A model that changes given samples a little by its own means; row i depends on stream i alone.

    ``strength`` in (0, 1]: 0 would change nothing, 1 makes new samples. A diffusion model noises partly and walks back,
    a codec steps in z, an autoregressive model redraws residues, a Boltzmann machine takes Gibbs steps.
    """

    def propose(self, x: Batch, strength: float, rng: Streams) -> Batch: ...


@runtime_checkable
class Refittable(Protocol):
    """A generator whose draws come with what made them, which scores that, and learns anew from weighted draws.

    A path is a batch: the sample's fields and, where there are any, those of the code that made it (``z``). An exact
    model's path is the sample itself.
    """

    def path(self, n: int, rng: Streams) -> Batch: ...
    def log_prob_of_path(self, x: Batch) -> Float[Tensor, " b"]: ...
    def refit(self, x: Batch, weight: Float[Tensor, " b"], rng: Streams) -> "Refittable": ...


@runtime_checkable
class Noise(Protocol):
    """A process that turns data (t = 0) into noise (t = 1), and one step of the way back."""

    @property
    def steps(self) -> int:
        """T of the discrete chain: its times are i / T."""
        ...

    def log_snr(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """Log signal-to-noise ratio at times in [0, 1]; falls with t."""
        ...

    def prior(self, like: Float[Tensor, "b ..."], rng: Streams) -> Float[Tensor, "b ..."]:
        """Draw x_1: pure noise with the shape, type and device of ``like``."""
        ...

    def corrupt(self, x0: Float[Tensor, "b ..."], t: Float[Tensor, " b"], rng: Streams) -> Float[Tensor, "b ..."]:
        """Draw x_t from q(x_t | x_0)."""
        ...

    def step(
        self, x_t: Float[Tensor, "b ..."], prediction: Prediction, t: float, s: float, *, rng: Streams, eta: float
    ) -> Float[Tensor, "b ..."]:
        """Go from time t to time s: a draw (``eta`` 1), as little chance as can be (``eta`` 0), or between."""
        ...

    def shift(
        self,
        x0: Float[Tensor, "b ..."],
        gradient: Float[Tensor, "b ..."],
        t: Float[Tensor, " b"],
    ) -> Float[Tensor, "b ..."]:
        """The prediction of x_0 once ``gradient`` (with respect to x_t) is added to the score."""
        ...


@runtime_checkable
class Denoiser(Protocol):
    """Predicts x_0 from x_t. Conditions are bound already: one denoiser is for one batch of samples."""

    @property
    def noise(self) -> Noise: ...
    def predict(self, x_t: Float[Tensor, "b ..."], t: Float[Tensor, " b"]) -> Prediction: ...


@dataclass(frozen=True)
class SamplingDefaults:
    """How a diffusion model is sampled where nobody says otherwise.

    Args:
        solver: by name.
        steps: of the trajectory.
        spacing: of the times; the solver's own when None.
    """

    solver: str = "multistep2"
    steps: int = 20
    spacing: str | None = None


@runtime_checkable
class Conditional(Protocol):
    """A diffusion model of one shape, seen from a sampler: binds conditions, and turns states into batches."""

    @property
    def noise(self) -> Noise: ...
    @property
    def classes(self) -> Sequence[str]:
        """Names of the classes of the condition ``class``; empty where there are none."""
        ...

    def denoiser(self, given: Mapping[str, object] | None, n: int) -> Denoiser: ...
    def like(self, n: int, rng: Streams) -> Float[Tensor, "n ..."]: ...
    def finish(self, x: Float[Tensor, "n ..."]) -> Batch: ...


@dataclass(frozen=True)
class Group:
    """Samples of one shape.

    Args:
        model: the model with that shape.
        rows: which of all samples these are, rising, on the processor.
        given: conditions of these rows.
    """

    model: Conditional
    rows: Int[Tensor, " m"]
    given: Mapping[str, object]


@runtime_checkable
class Grouped(Protocol):
    """A diffusion model whose samples have several shapes: sizes of molecules, lengths of sequences."""

    def groups(self, n: int, given: Mapping[str, object], rng: Streams) -> Sequence[Group]:
        """The samples by their shape, the most frequent first; shapes that are not given are drawn."""
        ...

    def join(self, pieces: Sequence[Batch], order: Int[Tensor, " n"]) -> Batch:
        """Pieces of several shapes as one batch, in the order of their rows."""
        ...


@runtime_checkable
class Expects(Protocol):
    """A model that tells what its predictions of x_0 stand for, in a form that properties read and differentiate."""

    def expectation(self, x0: Float[Tensor, "b ..."]) -> Any: ...


@runtime_checkable
class NoisyPredictor(Protocol):
    """What reads noisy samples and says how probable a property's value is: a guide of diffusion models."""

    def check(self, model: object) -> None:
        """Refuse a model whose noisy samples it does not read."""
        ...

    def targets(self, name: str, value: object, n: int) -> Float[Tensor, " n"] | Int[Tensor, " n"]:
        """A property's value of each of ``n`` samples, as ``log_prob_at`` takes it."""
        ...

    def log_prob_at(
        self, model: Conditional, name: str, targets: Float[Tensor, " b"] | Int[Tensor, " b"]
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """(x_t, t) -> log p(target | x_t) of samples of the model's shape, one number each. [nats]"""
        ...


@runtime_checkable
class Stateful(Protocol):
    """A diffusion model that takes data in: the states that its samples walk back to."""

    def states(self, x: Batch) -> Float[Tensor, "b ..."]: ...


@runtime_checkable
class SupportsAutoguidance(Protocol):
    """A diffusion model that can leave a part of itself out: what autoguidance leads away from."""

    def degraded(self, given: Mapping[str, object] | None, n: int) -> Denoiser: ...


@runtime_checkable
class Oracle(Protocol):
    """A property with its uncertainty."""

    def __call__(self, x: Batch) -> Belief: ...


@runtime_checkable
class Method(Protocol):
    """A way to steer: asks a model for protocols, never for its class."""

    @property
    def name(self) -> str: ...
    def fits(self, model: object, objective: Objective, constraint: Constraint) -> str:
        """Empty if the method can do this with this model, else the reason why not."""
        ...

    def run(
        self,
        model: object,
        start: Batch | None,
        objective: Objective,
        constraint: Constraint,
        budget: Budget,
        rng: Streams,
    ) -> Trail: ...


@runtime_checkable
class Steer(Protocol):
    """From a start and a goal to better samples, within a budget."""

    def __call__(self, start: Batch | None, goal: Goal, budget: Budget, rng: Streams) -> Trail: ...
