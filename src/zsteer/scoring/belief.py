r"""Functions on ``Belief``, the normal distribution that an oracle holds about each sample.

.. math:: P(y \geq \gamma) = \Phi\!\left(\frac{\mu - \gamma}{\sigma}\right)

A belief without spread is certain: the probability is 1 or 0. The logarithm is computed as such, so that far tails
keep their order instead of becoming 0.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from zsteer.core.batch import Batch
from zsteer.core.protocols import Belief
from zsteer.errors import InputError

__all__ = ["PlainOracle", "certain", "join", "log_prob_ge", "ok", "prob_ge", "take"]


def log_prob_ge(belief: Belief, gamma: float) -> Float[Tensor, " b"]:
    """Log-probability that the property reaches ``gamma``. [nats]"""
    sharp = belief.std <= 0
    z = (belief.mean - gamma) / torch.where(sharp, 1.0, belief.std)
    step = torch.where(belief.mean >= gamma, 0.0, -torch.inf)
    return torch.where(sharp, step.to(z.dtype), torch.special.log_ndtr(z))


def prob_ge(belief: Belief, gamma: float) -> Float[Tensor, " b"]:
    """Probability that the property reaches ``gamma``."""
    return log_prob_ge(belief, gamma).exp()


def certain(values: Float[Tensor, " b"]) -> Belief:
    """The belief that the property has exactly these values."""
    return Belief(values, torch.zeros_like(values))


def ok(belief: Belief) -> Bool[Tensor, " b"]:
    """Which samples could be scored."""
    if not belief.status:
        return torch.ones(len(belief.mean), dtype=torch.bool, device=belief.mean.device)
    return torch.tensor([status == "ok" for status in belief.status], device=belief.mean.device)


def take(belief: Belief, index: Tensor) -> Belief:
    """Select samples, in the order of ``index``."""
    status = [belief.status[int(i)] for i in index] if belief.status else ()
    return Belief(belief.mean[index], belief.std[index], status)


def join(beliefs: Sequence[Belief]) -> Belief:
    """Beliefs about several batches, one after the other.

    Raises:
        InputError: if there is none.
    """
    if not beliefs:
        raise InputError("expected at least one belief to join, got none")
    status: list[str] = []
    if any(belief.status for belief in beliefs):
        for belief in beliefs:
            status += belief.status or ["ok"] * len(belief.mean)
    mean, std = torch.cat([b.mean for b in beliefs]), torch.cat([b.std for b in beliefs])
    return Belief(mean, std, tuple(status))


@dataclass(frozen=True)
class PlainOracle:
    """An exact property as an ``Oracle``.

    Args:
        function: batch -> one value for each sample, ``(b,)``.
    """

    function: Callable[[Batch], Float[Tensor, " b"]]

    def __call__(self, x: Batch) -> Belief:
        """Values without doubt."""
        return certain(self.function(x))
