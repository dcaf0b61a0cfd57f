r"""Frechet distance between sets in the features of a net: W2 between the normals that fit them.

.. math:: \|\mu_1 - \mu_2\|^2 + \text{tr} \left( S_1 + S_2 - 2 (S_1^{1/2} S_2 S_1^{1/2})^{1/2} \right)

The figure depends on the net. Ours is small and trained here, so the name of the figure carries the first digits of the
hash of its weights, ``FFD-1a2b3c4d``: figures under one name compare, others do not, and none is a standard FID. It
falls with the number of samples, so sets are compared at one size and beside their null.
"""

import hashlib
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.errors import InputError
from zsteer.maths.gaussian import wasserstein2_squared

__all__ = ["feature_hash", "frechet", "frechet_name", "moments"]


def moments(x: Float[Tensor, "n d"]) -> tuple[Float[Tensor, " d"], Float[Tensor, "d d"]]:
    """Mean and covariance of features, in float64.

    Raises:
        InputError: if there are fewer than two rows, or a number is not finite.
    """
    if len(x) < 2 or not bool(torch.isfinite(x).all()):
        raise InputError(f"expected at least 2 rows of finite features, got shape {tuple(x.shape)}")
    rows = x.double()
    mu = rows.mean(0)
    return mu, (rows - mu).T @ (rows - mu) / (len(x) - 1)


def frechet(a: Float[Tensor, "n d"], b: Float[Tensor, "m e"]) -> Float[Tensor, ""]:
    """Frechet distance between two sets of features, squared as is usual.

    Args:
        a: features.
        b: features of the same net.

    Raises:
        InputError: if the widths differ, or a set has fewer than two rows.
    """
    if a.shape[1] != b.shape[1]:
        raise InputError(f"expected features of one net, got {a.shape[1]} and {b.shape[1]} columns")
    return wasserstein2_squared(*moments(a), *moments(b))


def feature_hash(tensors: Mapping[str, Tensor]) -> str:
    """Eight hexadecimal digits that name a net by its weights."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        digest.update(name.encode() + str(tuple(value.shape)).encode() + value.float().numpy().tobytes())
    return digest.hexdigest()[:8]


def frechet_name(tensors: Mapping[str, Tensor]) -> str:
    """Name of the Frechet distance in the features of a net."""
    return f"FFD-{feature_hash(tensors)}"
