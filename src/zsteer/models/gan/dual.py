r"""``Dual``: the Wasserstein distance of two sets of samples by its dual, with no generator.

.. math:: W_1(P, Q) = \max_{\|f\|_L \le 1} \; \mathbb{E}_P f(x) - \mathbb{E}_Q f(y)

A critic of the WGAN trained on both sets to the end. A penalty of weight w lets the slope L exceed 1 as long as that
pays: the largest L W - w (L - 1)^2 lies at L = 1 + W / 2w, where the gap is W (1 + W / 2w). Solved for W,

.. math:: W_1 = w \left( \sqrt{1 + 2 \, \text{gap} / w} - 1 \right) .

Where exact assignment is too dear (its time grows with the cube of the number of samples) this goes on, at the price
of a figure that is only as good as the critic.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zsteer.core.batch import Batch
from zsteer.core.protocols import Turn
from zsteer.core.rng import Streams, initialised
from zsteer.maths.adversarial import critic_loss, gradient_penalty
from zsteer.models.gan.critic import Critic, Gap

__all__ = ["Dual"]


class Dual(nn.Module):
    """A critic between the fields ``x`` and ``made`` of a batch, both ``(b, d)``.

    Args:
        size: d, numbers in a sample.
        width: of the hidden layers.
        depth: hidden layers.
        frequencies: octaves of sines and cosines of the input.
        penalty: weight of the one-sided gradient penalty.
        seed: of the initial weights.
    """

    turns: Sequence[Turn] = (Turn("critic"),)

    def __init__(
        self, size: int, *, width: int = 96, depth: int = 3, frequencies: int = 0, penalty: float = 30.0, seed: int = 0
    ) -> None:
        super().__init__()
        self.penalty = penalty
        with initialised(seed):
            self.critic = Critic((size,), width, depth, "penalty", frequencies=frequencies)

    def players(self) -> Mapping[str, Iterable[nn.Parameter]]:
        """All weights are the critic's."""
        return {"critic": list(self.critic.parameters())}

    def losses(self, x: Batch, player: str, rng: Streams) -> Mapping[str, Float[Tensor, " b"]]:
        """Minus the gap, and the penalty of slopes above 1."""
        del player
        on_x, on_made = self.critic(torch.cat([x["x"], x["made"]])).chunk(2)
        slope = self.critic.slopes(x["x"], x["made"], rng)
        return {"loss": critic_loss(on_x, on_made), "penalty": self.penalty * gradient_penalty(slope, one_sided=True)}

    def gap(self, x: Batch, rng: Streams) -> Gap:
        """Gap and slope on a batch with both fields."""
        return self.critic.gap(x["x"], x["made"], rng)

    def wasserstein(self, gap: float) -> float:
        """The distance that a gap stands for, at the slope that the penalty allows."""
        return self.penalty * (math.sqrt(max(1 + 2 * gap / self.penalty, 0.0)) - 1)
