r"""Where an edit of a disentangled model goes: the goal's z_f, and the model's own opinion of a result.

Psi is linear in z_f, so the shortest move to a wanted logit y* is in closed form,

.. math:: z_f' = z_f + s \omega, \quad s = \frac{y^* - b - \omega \cdot z_f}{\omega \cdot \omega} .
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from zsteer.core.batch import Batch
from zsteer.core.protocols import Belief
from zsteer.core.rng import Streams
from zsteer.domains.sequences.panel import Panel
from zsteer.errors import InputError
from zsteer.nets.embeddings import PeptideEmbedding

__all__ = ["Aim", "Function", "Functional", "LeftOut", "PsiOracle", "Resemblance", "functional_code"]

Function = Literal["mean", "best", "random", "null", "interpolated", "gradient"]
"""Where an edit's z_f comes from: the binders' mean, the best or a random binder, the prior, a point between the
template's own and the binders' mean, or the template's own moved until Psi gives a wanted logit."""


@dataclass(frozen=True)
class Aim:
    """Where an edit goes.

    Args:
        peptide: what the result should bind; None with ``like``.
        like: examples of what the result should resemble, binders of anything; their mean z_f is the goal.
        function: where z_f comes from.
        amount: how far an interpolated z_f goes towards the binders' mean; for ``gradient``, the logit of Psi to reach.
        scale: strength of guidance by (z_f, u); 1 is none.
        structure: factor on the template's z_s; 0 leaves the template to the edit budget alone.
    """

    peptide: str | None = None
    like: Batch | None = None
    function: Function = "mean"
    amount: float = 1.0
    scale: float = 3.0
    structure: float = 1.0

    def __post_init__(self) -> None:
        if (self.peptide is None) == (self.like is None):
            raise InputError("expected one goal: a peptide to bind, or examples to resemble (like)")
        if self.function not in _SOURCES or (self.function in {"best", "gradient"} and self.peptide is None):
            known = ", ".join(_SOURCES)
            raise InputError(f"expected z_f from {known} (best and gradient need a peptide), got {self.function!r}")


@runtime_checkable
class Functional(Protocol):
    """A model with a functional code that remembers its binders: ``dwae.DisentangledWAE``."""

    bank: Tensor
    mean: Tensor
    typical: Tensor
    bias: nn.Parameter
    omega: PeptideEmbedding

    @property
    def panel(self) -> Panel: ...
    def functional(self, x: Batch) -> Tensor: ...
    def psi(self, z_f: Tensor) -> Tensor: ...


def functional_code(model: Functional, own: Float[Tensor, "b f"], aim: Aim, rng: Streams) -> Float[Tensor, "b f"]:
    """The z_f that each template shall get.

    Args:
        model: which remembers its binders.
        own: z_f of the templates.
        aim: the goal.
        rng: one stream for each template.
    """
    return _SOURCES[aim.function](model, own, aim, rng)


def _binders(model: Functional, aim: Aim) -> Float[Tensor, "k f"]:
    """z_f of examples of the goal, best first where the goal is a peptide."""
    if aim.like is not None:
        return model.functional(aim.like)
    return model.bank[model.panel.index(str(aim.peptide))]


def _mean(model: Functional, own: Tensor, aim: Aim, rng: Streams) -> Tensor:
    del rng
    if aim.like is not None:
        return _binders(model, aim).mean(0).expand_as(own)
    return model.mean[model.panel.index(str(aim.peptide))].expand_as(own)


def _best(model: Functional, own: Tensor, aim: Aim, rng: Streams) -> Tensor:
    del rng
    return _binders(model, aim)[0].expand_as(own)


def _random(model: Functional, own: Tensor, aim: Aim, rng: Streams) -> Tensor:
    known = _binders(model, aim)
    return known[rng.integers("binder", len(known))].to(own.dtype)


def _null(model: Functional, own: Tensor, aim: Aim, rng: Streams) -> Tensor:
    del model, aim
    return rng.normal("null", (own.shape[1],)).to(own.dtype)


def _interpolated(model: Functional, own: Tensor, aim: Aim, rng: Streams) -> Tensor:
    return own + aim.amount * (_mean(model, own, aim, rng) - own)


def _gradient(model: Functional, own: Tensor, aim: Aim, rng: Streams) -> Tensor:
    del rng
    index = torch.tensor([model.panel.index(str(aim.peptide))], device=own.device)
    omega = model.omega(index)[0]
    step = (aim.amount - model.bias[index] - own @ omega) / omega.square().sum()
    # Only towards binding: a template that Psi already likes more stays where it is.
    return own + step.clamp(min=0)[:, None] * omega


_SOURCES: Mapping[str, Callable[[Functional, Tensor, Aim, Streams], Tensor]] = MappingProxyType(
    {
        "mean": _mean,
        "best": _best,
        "random": _random,
        "null": _null,
        "interpolated": _interpolated,
        "gradient": _gradient,
    }
)


@dataclass(frozen=True)
class PsiOracle:
    """Psi of one peptide as an oracle.

    Args:
        model: whose Psi.
        index: of the peptide in its panel.
    """

    model: Functional
    index: int

    @torch.no_grad()
    def __call__(self, x: Batch) -> Belief:
        """Logit of each row; the spread of a single net is not known and given as zero."""
        mean = torch.cat([self.model.psi(self.model.functional(piece))[:, self.index] for piece in x.chunks(1024)])
        return Belief(mean, torch.zeros_like(mean))


@dataclass(frozen=True)
class Resemblance:
    r"""How much a receptor's z_f resembles that of examples, as an oracle.

    .. math:: \sum_j \frac{(g_j - m_j) (z_{f,j} - m_j)}{\sigma_j^2}

    with g the examples' mean z_f, and mean m and spread sigma of background receptors: the direction that tells two
    normals of equal spread apart.

    Args:
        model: which remembers what is typical.
        examples: z_f of each, a copy of an example included.
        names: equal for equal sequences.
    """

    model: Functional
    examples: Float[Tensor, "k f"]
    names: Int[Tensor, " k"]

    @torch.no_grad()
    def __call__(self, x: Batch) -> Belief:
        """Resemblance of each row."""
        score = self._apart(x) @ self._direction(self.examples.mean(0))
        return Belief(score, torch.zeros_like(score))

    @torch.no_grad()
    def leave_one_out(self, others: Batch) -> "LeftOut":
        """Score each distinct example by the others, its copies left out with it, beside receptors of another kind.

        Args:
            others: receptors that are no examples, for example draws of a language model.

        Raises:
            InputError: if there are fewer than two distinct examples.
        """
        distinct, group, count = self.names.unique(return_inverse=True, return_counts=True)
        if len(distinct) < 2:
            raise InputError(f"leaving one out takes two distinct examples at least, got {len(distinct)}")
        sums = self.examples.new_zeros(len(distinct), self.examples.shape[1]).index_add(0, group, self.examples)
        rest = (self.examples.sum(0) - sums) / (len(group) - count)[:, None]
        directions = self._direction(rest)
        own = ((sums / count[:, None] - self.model.typical[0]) * directions).sum(1)
        found = self._apart(others) @ directions.T
        below = (found < own).double() + 0.5 * (found == own).double()
        return LeftOut(own, below.mean(0))

    def _apart(self, x: Batch) -> Float[Tensor, "b f"]:
        """z_f of receptors less what is typical."""
        return torch.cat([self.model.functional(piece) for piece in x.chunks(1024)]) - self.model.typical[0]

    def _direction(self, goal: Float[Tensor, "*k f"]) -> Float[Tensor, "*k f"]:
        mean, spread = self.model.typical
        return (goal - mean) / spread.clamp(min=1e-3).square()


@dataclass(frozen=True)
class LeftOut:
    """What the fit without an example says of it, for each distinct example.

    Args:
        score: resemblance to the others.
        below: share of other receptors that the same fit scores lower; their mean is the area under the curve.
    """

    score: Float[Tensor, " k"]
    below: Float[Tensor, " k"]
