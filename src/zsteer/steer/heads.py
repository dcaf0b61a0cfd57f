"""Fit heads on the codes of examples: ridge for numbers, logistic for positives against others, with their intervals.

A code is joined into one vector of float64 on the CPU, whatever its parts, and split again into the parts as they were.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from zsteer.core.heads import Head, Heads
from zsteer.core.property import Property
from zsteer.core.protocols import Code
from zsteer.core.rng import Streams
from zsteer.errors import InputError, nearest
from zsteer.maths.directions import area_out_of_bag, logistic, mahalanobis, r_squared_out_of_bag, radius, ridge
from zsteer.steer.latent_options import LatentOptions

__all__ = ["fit_head", "gather", "join", "split"]

LEAST = 10
"""Examples with a value that a head takes at least."""
SHRINK = 1e-4
"""Share of the mean variance added to the covariance of codes: units that never change have a length too."""


def join(code: Code, parts: Sequence[str]) -> Float[Tensor, "b d"]:
    """Parts of a code side by side, float64 on the CPU.

    Raises:
        InputError: if the code has no such part, or a part is not one vector a row.
    """
    for part in parts:
        if part not in code:
            raise InputError(nearest(part, code, what="part of the code"))
        if code[part].ndim != 2:
            raise InputError(f"expected one vector a row in part {part}, got shape {tuple(code[part].shape)}")
    return torch.cat([code[part].detach().cpu().double() for part in parts], 1)


def split(z: Float[Tensor, "b d"], code: Code, parts: Sequence[str]) -> dict[str, Shaped[Tensor, "b ..."]]:
    """The code with the joined parts replaced, in the types and on the devices that they had; the rest unchanged."""
    pieces = z.split([code[part].shape[1] for part in parts], 1)
    return {**code, **{part: piece.to(code[part]) for part, piece in zip(parts, pieces, strict=True)}}


def fit_head(
    z: Float[Tensor, "n d"],
    y: Float[Tensor, " n"] | Bool[Tensor, " n"],
    quantity: Property,
    part: str,
    options: LatentOptions,
) -> Head:
    """The head of one property with the bootstrap interval of its quality.

    Args:
        z: codes.
        y: values, NaN for a row without one; or whether a row is a positive.
        quantity: the property.
        part: name of what is read.
        options: penalty and number of draws.

    Raises:
        InputError: if fewer than ``LEAST`` rows have a value, or there are only positives, or only others.
    """
    known = torch.ones_like(y, dtype=torch.bool) if y.dtype == torch.bool else torch.isfinite(y)
    n = int(known.sum())
    if n < LEAST:
        raise InputError(
            f"the head of {quantity.name} needs {LEAST} examples with a value, got {n}; give more examples"
        )
    z, y = z[known], y[known]
    # A fixed seed: the interval of a head is a fact about its examples, whoever asks.
    rows = Streams.of(0, options.draws).child("heads").integers("bootstrap", n, (n,))
    counts = torch.stack([torch.bincount(row, minlength=n) for row in rows]).double()
    if y.dtype == torch.bool:
        w, b = logistic(z, y, options.ridge)
        found = area_out_of_bag(z, y, counts, options.ridge)
    else:
        w, b = ridge(z, y, options.ridge)
        found = r_squared_out_of_bag(z, y, counts, options.ridge)
    found = found[torch.isfinite(found)]
    if not len(found):  # constant values: nothing to read
        found = torch.zeros(1, dtype=z.dtype)
    low, high = found.quantile(0.025), found.quantile(0.975)
    measure = "auc" if y.dtype == torch.bool else "r2"
    quality = float(found.mean())
    return Head(quantity.name, part, w, float(b), n, quality, float(low), float(high), measure, quantity.unit)


def gather(z: Float[Tensor, "n d"], heads: Sequence[Head], parts: Sequence[str], options: LatentOptions) -> Heads:
    """Heads on one code with where its codes lie.

    Args:
        z: codes of the examples, as ``join`` gives them.
        heads: fitted on such codes.
        parts: that were joined.
        options: which share of the codes counts as on the manifold.
    """
    mean = z.mean(0)
    covariance = (z - mean).T @ (z - mean) / max(len(z) - 1, 1)
    floor = SHRINK * covariance.diagonal().mean() + torch.finfo(z.dtype).eps
    covariance = covariance + floor * torch.eye(z.shape[1], dtype=z.dtype)
    length = radius(mahalanobis(z, mean, covariance), options.within)
    return Heads(tuple(parts), tuple(heads), mean, covariance, length, options.within)
