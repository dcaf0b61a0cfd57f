r"""What a part of a code knows: a fresh probe, trained on codes alone.

An adversary's own loss misleads: it can look flat while another reader still finds the label. So a new network is
trained on one set of codes and judged on another by the area under the curve,

.. math:: \text{AUC} = P(s(\text{binder}) > s(\text{other})) + \tfrac12 P(s(\text{binder}) = s(\text{other})) .
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from zsteer.core.rng import Streams, initialised
from zsteer.errors import InputError
from zsteer.maths.ranks import area_under_curve
from zsteer.nets.mlp import MLP

__all__ = ["ProbeSettings", "fresh_probe", "probe_scores"]


@dataclass(frozen=True)
class ProbeSettings:
    """How the probe learns.

    Args:
        hidden: width of its hidden layer; 0 makes it linear.
        steps: updates.
        size: positives and negatives in each update, half and half.
        lr: learning rate.
        decay: AdamW's decay of the weights.
        seed: of its initial weights and its draws.
    """

    hidden: int = 64
    steps: int = 300
    size: int = 256
    lr: float = 3e-3
    decay: float = 1e-2
    seed: int = 0


def probe_scores(
    learn: tuple[Float[Tensor, "a d"], Bool[Tensor, " a"]],
    judge: Float[Tensor, "c d"],
    settings: ProbeSettings | None = None,
) -> Float[Tensor, " c"]:
    """Train a new reader of a label, and let it score other rows.

    Args:
        learn: rows and labels to learn from.
        judge: rows to score.
        settings: how it learns.

    Returns:
        Logit of the label at each row of ``judge``.

    Raises:
        InputError: if ``learn`` lacks positives or negatives.
    """
    s = settings or ProbeSettings()
    codes, label = learn
    if not bool(label.any()) or bool(label.all()):
        raise InputError("expected positives and negatives to learn from, got only one of them")
    centre, spread = codes.mean(0), codes.std(0)
    # A number that is constant here may move there: it keeps its own scale instead of a huge one.
    spread = torch.where(spread > 1e-6, spread, 1.0)
    x = (codes - centre) / spread
    with initialised(s.seed):
        probe = MLP([x.shape[1], s.hidden, 1] if s.hidden else [x.shape[1], 1]).to(x.device, x.dtype)
    optimiser = torch.optim.AdamW(probe.parameters(), lr=s.lr, weight_decay=s.decay)
    rows = (label.nonzero()[:, 0], (~label).nonzero()[:, 0])
    target = torch.cat([torch.ones(s.size), torch.zeros(s.size)]).to(x.device, x.dtype)
    for step in range(s.steps):
        rng = Streams.of(s.seed, s.size, device=x.device).at(step)
        chosen = [own[rng.integers(f"class {k}", len(own))] for k, own in enumerate(rows)]
        logit = probe(x[torch.cat(chosen)])[:, 0]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logit, target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        return probe((judge - centre) / spread)[:, 0]


def fresh_probe(
    learn: tuple[Float[Tensor, "a d"], Bool[Tensor, " a"]],
    judge: tuple[Float[Tensor, "c d"], Bool[Tensor, " c"]],
    settings: ProbeSettings | None = None,
) -> float:
    """Train a new reader of a label on codes, and judge it on other codes.

    Args:
        learn: codes and labels to learn from.
        judge: codes and labels of samples that share no cluster with those.
        settings: how it learns.

    Returns:
        Area under the curve on ``judge``: 0.5 means that the code does not tell.

    Raises:
        InputError: if a set lacks positives or negatives.
    """
    scores = probe_scores(learn, judge[0], settings)
    return area_under_curve(scores[judge[1]], scores[~judge[1]])
