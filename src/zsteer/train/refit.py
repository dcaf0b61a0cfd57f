"""``refit_net``: a copy of a net that learns on from weighted samples."""

import copy
from typing import TypeVar

from jaxtyping import Float
from torch import Tensor, nn

from zsteer.core.batch import Batch
from zsteer.core.rng import Streams
from zsteer.train.loop import Optim, Plan, fit
from zsteer.train.weighted import Resampled

__all__ = ["refit_net"]

N = TypeVar("N", bound=nn.Module)
STEPS, ROWS, RATE = 100, 64, 2e-3
"""Updates of a refit, rows of each, and the rate of learning: a round moves a net a little."""


def refit_net(model: N, x: Batch, weight: Float[Tensor, " b"], rng: Streams) -> N:
    """A copy of a net after some updates on rows drawn by their weights.

    Args:
        model: where learning starts; it is not changed.
        x: samples, with the fields that its losses read.
        weight: of each sample.
        rng: its seed, path and step decide the order of the rows.
    """
    made = copy.deepcopy(model)
    plan = Plan(steps=STEPS, optim=Optim(lr=RATE, warmup=2), ema=None, log_every=STEPS, checkpoint_every=STEPS)
    seed = int(rng.bulk("refit").initial_seed() % 2**31)
    return fit(made, Resampled(x, weight, ROWS), plan, seed=seed)
