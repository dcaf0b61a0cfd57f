r"""Are all pieces of the data there, in their shares? Coverage of modes, or of classes.

A mode is captured when at least a quarter of its fair share of samples falls on it with high quality (within three
standard deviations of a known centre; of classes every sample counts). The reverse KL divergence says how far the
shares are from those of the data,

.. math:: \sum_k \hat p_k \log \frac{\hat p_k}{p_k} \quad \text{[nats]} .

Source: Metz et al., "Unrolled generative adversarial networks", ICLR 2017; Srivastava et al., "VEEGAN", NeurIPS 2017.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from zsteer.errors import InputError
from zsteer.evaluate.steering import Share, share
from zsteer.maths.divergences import kl_divergence
from zsteer.maths.transport import squared_distances

__all__ = ["Modes", "modes", "nearest_class"]

FAIR = 0.25


@dataclass(frozen=True)
class Modes:
    """How samples spread over known modes.

    Args:
        captured: modes with at least a quarter of their fair share of samples.
        total: number of modes.
        high_quality: share of samples that lie on a mode.
        reverse_kl: of the shares of the samples on modes from those of the data. [nats]
    """

    captured: int
    total: int
    high_quality: Share
    reverse_kl: float


def modes(
    mode: Int[Tensor, " n"], good: Bool[Tensor, " n"], fair: Float[Tensor, " k"] | None = None, *, total: int = 0
) -> Modes:
    """Count modes.

    Args:
        mode: of each sample, 0 ... k - 1.
        good: whether the sample lies on its mode.
        fair: share of each mode in the data; equal shares when None.
        total: number of modes, when ``fair`` is None.

    Raises:
        InputError: if there is no sample, or neither ``fair`` nor ``total`` is given.
    """
    if fair is None and total < 1:
        raise InputError("expected the share of each mode, or their number, got neither")
    expected = torch.full((total,), 1 / total).double() if fair is None else fair.double() / fair.double().sum()
    high = share(good)
    counts = torch.bincount(mode[good], minlength=len(expected)).double()
    captured = int((counts >= FAIR * expected * len(mode)).sum())
    found = counts / counts.sum().clamp(min=1)
    divergence = float(kl_divergence(found, expected)) if bool(good.any()) else float("nan")
    return Modes(captured, len(expected), high, divergence)


def nearest_class(
    x: Float[Tensor, "n d"], known: Float[Tensor, "m e"], label: Int[Tensor, " m"], k: int = 5
) -> Int[Tensor, " n"]:
    """Most frequent class among the k nearest known samples; of equals the class with the lowest number.

    Raises:
        InputError: if there are fewer than k known samples, or the widths differ.
    """
    if len(known) < k or x.shape[1] != known.shape[1]:
        raise InputError(
            f"expected at least {k} known rows of one width, got {tuple(known.shape)} for {tuple(x.shape)}"
        )
    centre = known.mean(0)
    shifted = known - centre
    classes = int(label.max()) + 1
    found: list[Tensor] = []
    for start in range(0, len(x), 1024):
        near = squared_distances(x[start : start + 1024] - centre, shifted).topk(k, largest=False).indices
        found.append(torch.nn.functional.one_hot(label[near], classes).sum(1).argmax(1))
    return torch.cat(found)
