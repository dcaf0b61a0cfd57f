r"""A distance between samples and a reference that can be read: beside its real-vs-real null, with a p-value.

Between finite samples no distance is 0, and most grow with the dimension and fall with n. So each is taken several
times on parts of one size k: between samples and a part of the reference (estimate), and between two parts of the
reference that share no sample (null). For kernel distances a permutation test says how often chance alone parts the
pooled samples as far.

Source: Gretton et al., "A kernel two-sample test", JMLR 2012.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.core.rng import Streams
from zsteer.errors import InputError
from zsteer.evaluate.report import Table, Value
from zsteer.maths.distances import energy_distance, sliced_wasserstein, unit_directions, wasserstein
from zsteer.maths.kernels import (
    distance_kernel,
    gaussian_kernel,
    median_square,
    mmd_of_gram,
    multiquadric_kernel,
    p_value,
)
from zsteer.maths.sinkhorn import sinkhorn_divergence

__all__ = ["Compared", "Distance", "Kernel", "compare", "distance_table", "permutation_test", "usual_distances"]

Distance = Callable[[Tensor, Tensor], Tensor]
Kernel = Callable[[Tensor, Tensor], Tensor]
PERMUTATIONS = 500


@dataclass(frozen=True)
class Compared:
    """One distance, beside what it is between two parts of the reference.

    Args:
        name: of the distance.
        estimate: samples against reference, over repeats.
        null: reference against reference, over the same number of repeats.
        n: samples on each side.
        p: share of permutations that part the pooled samples as far, or None.
    """

    name: str
    estimate: Value
    null: Value
    n: int
    p: float | None = None

    @property
    def excess(self) -> float:
        """The estimate less its null: what is left when the bias of finite samples is taken away."""
        return self.estimate.mean - self.null.mean

    @property
    def z(self) -> float:
        """The excess in standard deviations of the null."""
        return self.excess / max(self.null.sd or 0.0, 1e-12)


def _parts(n: int, k: int, rng: Streams, repeat: int, purpose: str) -> tuple[Tensor, Tensor]:
    """Two sets of k of n samples that share none, as far as n allows."""
    order = rng.at(repeat).permutation(purpose, n)[0]
    return order[:k], order[k : 2 * k]


def _checked(samples: Tensor, reference: Tensor, most: int) -> int:
    for name, x in (("samples", samples), ("reference", reference)):
        if x.ndim != 2 or not bool(torch.isfinite(x).all()):
            raise InputError(f"expected {name} as finite rows of numbers, got shape {tuple(x.shape)}; flatten them")
    if samples.shape[1] != reference.shape[1]:
        raise InputError(
            f"samples have {samples.shape[1]} numbers each and the reference {reference.shape[1]}; "
            f"bring both into one form"
        )
    k = min(len(samples), len(reference) // 2, most)
    if k < 2:
        raise InputError(
            f"expected at least 2 samples and 4 of the reference (its null takes two halves), got {len(samples)} and "
            f"{len(reference)}"
        )
    return k


def compare(
    name: str,
    distance: Distance,
    samples: Float[Tensor, "n d"],
    reference: Float[Tensor, "m e"],
    rng: Streams,
    *,
    repeats: int = 10,
    most: int = 1000,
) -> Compared:
    """Take a distance with its null.

    Args:
        name: of the distance.
        distance: of two sets of rows, as one number.
        samples: rows of numbers.
        reference: rows of numbers of the real thing; at least twice as many as are compared.
        rng: streams, of which the first is used.
        repeats: parts to take.
        most: largest part; a part has as many samples as there are, or half of the reference.

    Raises:
        InputError: if there are too few rows, or the widths differ.
    """
    k = _checked(samples, reference, most)
    one = rng.take(slice(0, 1)).child(name)
    found: list[float] = []
    null: list[float] = []
    for repeat in range(repeats):
        left, right = _parts(len(reference), k, one, repeat, "reference")
        own, _ = _parts(len(samples), k, one, repeat, "samples")
        found.append(float(distance(samples[own], reference[left])))
        null.append(float(distance(reference[right], reference[left])))
    return Compared(name, Value.of(found), Value.of(null), k)


def permutation_test(
    kernel: Kernel,
    samples: Float[Tensor, "n d"],
    reference: Float[Tensor, "m e"],
    rng: Streams,
    *,
    permutations: int = PERMUTATIONS,
    most: int = 1000,
) -> tuple[float, float]:
    """Squared MMD (unbiased) and its p-value; the Gram matrix is computed once for all permutations.

    Args:
        kernel: of two sets of rows.
        samples: rows of numbers.
        reference: rows of numbers.
        rng: streams, of which the first is used.
        permutations: ways to part the pooled samples.
        most: rows taken of each side.

    Raises:
        InputError: if there are too few rows, or the widths differ.
    """
    _checked(samples, reference, most)
    one = rng.take(slice(0, 1)).child("permutation test")
    n, m = min(len(samples), most), min(len(reference), most)
    own = one.permutation("samples", len(samples))[0, :n]
    other = one.permutation("reference", len(reference))[0, :m]
    pooled = torch.cat([samples[own], reference[other]])
    gram = kernel(pooled, pooled)
    # Each permutation is a stream of its own: the k-th is the same however many there are.
    shuffles = Streams.of(one.seed, permutations, device=pooled.device).child("shuffle")
    order = torch.cat([torch.arange(n + m, device=pooled.device)[None], shuffles.permutation("order", n + m)])
    values = mmd_of_gram(gram, order < n)
    return float(values[0]), p_value(values[0], values[1:])


def _kernels(pooled: Tensor) -> Mapping[str, Kernel]:
    """Kernels with their widths from the pooled samples, so that permutations do not change them."""
    square = median_square(pooled[:2000])
    return {
        "energy distance": distance_kernel,
        "MMD^2, Gaussian at the median": lambda a, b: gaussian_kernel(a, b, square),
        "MMD^2, multiquadric": lambda a, b: multiquadric_kernel(a, b, square),
    }


def usual_distances(
    samples: Float[Tensor, "n d"],
    reference: Float[Tensor, "m e"],
    rng: Streams,
    *,
    repeats: int = 10,
    most: int = 1000,
) -> list[Compared]:
    """W1 by assignment, sliced W2, Sinkhorn divergence, energy and two MMD, each with its null.

    Args:
        samples: rows of numbers.
        reference: rows of numbers.
        rng: streams, of which the first is used.
        repeats: parts to take for estimate and null.
        most: largest part.

    Raises:
        InputError: if there are too few rows, or the widths differ.
    """
    k = _checked(samples, reference, most)
    one = rng.take(slice(0, 1))
    normals = Streams.of(one.seed, 100, device=samples.device).child("slices")
    directions = unit_directions(normals.normal("direction", (samples.shape[1],)).to(samples.dtype))
    mixed = torch.cat([samples[:k], reference[:k]])
    # A twentieth of the mean cost: small enough to see shapes, large enough to converge at once.
    epsilon = 0.05 * float(median_square(mixed))
    plain: dict[str, Distance] = {
        "W1, exact assignment": wasserstein,
        "sliced W2, 100 directions": lambda a, b: sliced_wasserstein(a, b, directions),
        "Sinkhorn divergence": lambda a, b: sinkhorn_divergence(a, b, epsilon),
    }
    found = [compare(name, d, samples, reference, one, repeats=repeats, most=most) for name, d in plain.items()]
    for name, kernel in _kernels(mixed).items():
        size = compare(name, _statistic(kernel), samples, reference, one, repeats=repeats, most=most)
        p = permutation_test(kernel, samples, reference, one.child(name), most=most)[1]
        found.append(Compared(name, size.estimate, size.null, size.n, p))
    return found


def _statistic(kernel: Kernel) -> Distance:
    if kernel is distance_kernel:
        return energy_distance

    def squared(a: Tensor, b: Tensor) -> Tensor:
        pooled = torch.cat([a, b])
        first = torch.arange(len(pooled), device=a.device)[None] < len(a)
        return mmd_of_gram(kernel(pooled, pooled), first)[0]

    return squared


def distance_table(title: str, rows: Sequence[Compared], notes: Sequence[str] = ()) -> Table:
    """A table of distances beside their nulls."""
    cells = [
        [
            row.name,
            _fine(row.estimate),
            _fine(row.null),
            f"{row.z:+.1f}",
            "-" if row.p is None else f"{row.p:.3f}",
            row.n,
        ]
        for row in rows
    ]
    lines = [
        "null: the same distance between two parts of the reference; a figure near it means no difference was found",
        "z: (estimate - null) / sd of the null; p: permutation test on the pooled samples",
    ]
    return Table(title, ["distance", "estimate", "real vs real", "z", "p", "n"], cells, [*lines, *notes])


def _fine(value: Value) -> str:
    """Mean and spread with three digits that count, since distances have any size."""
    return f"{value.mean:.3g}" if value.sd is None else f"{value.mean:.3g} +- {value.sd:.1g}"
