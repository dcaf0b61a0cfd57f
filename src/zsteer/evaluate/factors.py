r"""Disentanglement with known factors: does each number of a code hold one factor, and each factor one number?

With I(z_j; v_k) the mutual information of code j (in 20 bins) and factor k, and P the importance of codes for factors:

.. math:: \text{MIG} = \frac1K \sum_k \frac{I_{(1)k} - I_{(2)k}}{H(v_k)}, \qquad
          \text{SAP} = \frac1K \sum_k S_{(1)k} - S_{(2)k}, \qquad
          D = \sum_j \rho_j \left( 1 - H_K(P_{j \cdot}) \right),

where (1) and (2) are the two codes that tell most of a factor, S is how well one code alone tells it, and rho_j the
share of code j in all importance. Completeness C is D with codes and factors exchanged. Importances are gains of
boosted trees (LightGBM); figures from other learners differ, so its name stands with them.

Source: Chen et al., NeurIPS 2018 (MIG); Kumar et al., ICLR 2018 (SAP); Eastwood and Williams, ICLR 2018 (DCI).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from zsteer.errors import InputError, MissingExtraError
from zsteer.evaluate.report import Table

__all__ = ["Dci", "dci", "factor_table", "mutual_information", "mutual_information_gap", "separated"]

BINS = 20
ROUNDS = 50


def _check(codes: Tensor, factors: Tensor) -> None:
    if codes.ndim != 2 or factors.ndim != 2 or len(codes) != len(factors) or codes.shape[1] < 2:
        raise InputError(
            f"expected codes (n, d) with d >= 2 and factors (n, k) of the same samples, got {tuple(codes.shape)} and "
            f"{tuple(factors.shape)}"
        )
    for k in range(factors.shape[1]):
        if bool((factors[:, k] == factors[0, k]).all()):
            raise InputError(f"factor {k + 1} is constant, so that no code can tell it; leave it out")


def _binned(codes: Float[Tensor, "n d"], bins: int) -> Int[Tensor, "n d"]:
    low, high = codes.amin(0), codes.amax(0)
    place = (codes - low) / (high - low).clamp(min=1e-12) * bins
    return place.long().clamp(0, bins - 1)


def _one_hot(values: Int[Tensor, "n d"]) -> list[Tensor]:
    """0/1 columns for the values of each column, float64: a product of two counts pairs."""
    return [
        torch.nn.functional.one_hot(torch.unique(column, return_inverse=True)[1]).double()
        for column in values.unbind(1)
    ]


def _entropy(p: Float[Tensor, "..."]) -> Float[Tensor, ""]:
    return -torch.xlogy(p, p).sum()


def mutual_information(
    codes: Float[Tensor, "n d"], factors: Int[Tensor, "n k"], bins: int = BINS
) -> tuple[Float[Tensor, "d k"], Float[Tensor, " k"]]:
    """Mutual information of every code with every factor, and the entropy of every factor. [nats]

    Args:
        codes: numbers; each is cut into equal bins between its extremes.
        factors: classes.
        bins: number of bins.

    Raises:
        InputError: if shapes do not fit, or a factor is constant.
    """
    _check(codes, factors)
    left, right = _one_hot(_binned(codes, bins)), _one_hot(factors)
    # All tables of counts at once: one product of stacked 0/1 columns.
    counts = torch.cat(left, 1).T @ torch.cat(right, 1) / len(codes)
    tables = [row.split([r.shape[1] for r in right], 1) for row in counts.split([c.shape[1] for c in left], 0)]
    heights = torch.stack([_entropy(r.mean(0)) for r in right])
    widths = torch.stack([_entropy(c.mean(0)) for c in left])
    joint = torch.stack([torch.stack([_entropy(table) for table in row]) for row in tables])
    return (widths[:, None] + heights[None, :] - joint).clamp(min=0), heights


def _gap(scores: Float[Tensor, "d k"]) -> Float[Tensor, " k"]:
    best = scores.topk(2, dim=0).values
    return best[0] - best[1]


def mutual_information_gap(codes: Float[Tensor, "n d"], factors: Int[Tensor, "n k"], bins: int = BINS) -> float:
    """MIG: 1 when each factor is known from one code alone and wholly, 0 when two codes know it alike.

    Raises:
        InputError: if shapes do not fit, or a factor is constant.
    """
    information, entropy = mutual_information(codes, factors, bins)
    return float((_gap(information) / entropy).mean())


def _told_by_one(codes: Tensor, classes: Tensor) -> Float[Tensor, " d"]:
    """Mean over classes of the share named rightly on the second half by the nearest class mean of each code alone."""
    half = len(codes) // 2
    names, inverse = torch.unique(classes, return_inverse=True)
    hot = torch.nn.functional.one_hot(inverse, len(names)).to(codes.dtype)
    means = hot[:half].T @ codes[:half] / hot[:half].sum(0).clamp(min=1)[:, None]
    seen = hot[:half].sum(0) > 0
    apart = (codes[half:, :, None] - means.T[None]).abs().masked_fill(~seen, float("inf"))
    right = (apart.argmin(2) == inverse[half:, None]).to(codes.dtype)
    counts = hot[half:].sum(0)
    shares = hot[half:].T @ right / counts.clamp(min=1)[:, None]
    return shares[counts > 0].mean(0)


def separated(codes: Float[Tensor, "n d"], factors: Tensor) -> float:
    """SAP: the gap between the two codes that alone tell a factor best, averaged over factors.

    With classes it cannot exceed 1 - 1/c for c classes, since a code that knows nothing is right by chance.

    Args:
        codes: numbers, in random order: the second half judges what the first teaches.
        factors: classes ``(n, k)``, predicted by the nearest class mean (balanced accuracy); or real numbers, by R^2.

    Raises:
        InputError: if shapes do not fit, or a factor is constant.
    """
    _check(codes, factors)
    if factors.is_floating_point():
        x, y = codes - codes.mean(0), factors.to(codes.dtype) - factors.to(codes.dtype).mean(0)
        scores = (x.T @ y).square() / (x.square().sum(0)[:, None] * y.square().sum(0)[None, :]).clamp(min=1e-12)
    else:
        scores = torch.stack([_told_by_one(codes, factors[:, k]) for k in range(factors.shape[1])], 1)
    return float(_gap(scores).mean())


@dataclass(frozen=True)
class Dci:
    """Disentanglement, completeness and informativeness, each in [0, 1]; 1 is best.

    Args:
        disentanglement: each code serves one factor.
        completeness: each factor is served by one code.
        informativeness: share of factors named rightly on held-out samples.
        importance: gains of the trees, codes by factors, each column summing to 1.
    """

    disentanglement: float
    completeness: float
    informativeness: float
    importance: Float[Tensor, "d k"]


def _one_sided(importance: Float[Tensor, "a b"]) -> float:
    """1 less the normalised entropy of each row, weighted by the row's share."""
    rows = importance.sum(1)
    p = importance / rows.clamp(min=1e-12)[:, None]
    spread = -torch.xlogy(p, p).sum(1) / torch.tensor(float(importance.shape[1])).log().clamp(min=1e-12)
    return float(((1 - spread) * rows).sum() / rows.sum().clamp(min=1e-12))


def dci(codes: Float[Tensor, "n d"], factors: Int[Tensor, "n k"], *, rounds: int = ROUNDS, seed: int = 0) -> Dci:
    """Boosted trees predict each factor from all codes; their gains say which codes matter.

    Args:
        codes: numbers, in random order: the second half judges.
        factors: classes, at least two of them.
        rounds: trees for each class.
        seed: of the trees.

    Raises:
        InputError: if shapes do not fit, a factor is constant, or there is one factor only.
        MissingExtraError: if LightGBM is not installed.
    """
    _check(codes, factors)
    if factors.shape[1] < 2:
        raise InputError("DCI compares factors: expected at least 2, got 1; use mutual_information_gap")
    try:
        import lightgbm
    except ImportError:
        raise MissingExtraError("lightgbm", "trees", "DCI, which fits boosted trees,") from None
    half = len(codes) // 2
    x = codes.double().cpu().numpy()
    gains, right = [], []
    for k in range(factors.shape[1]):
        label = torch.unique(factors[:, k], return_inverse=True)[1].cpu().numpy()
        settings = {"objective": "multiclass", "num_class": int(label.max()) + 1, "num_leaves": 15, "seed": seed}
        settings |= {"verbose": -1, "deterministic": True, "force_row_wise": True, "num_threads": 1}
        trees = lightgbm.train(settings, lightgbm.Dataset(x[:half], label[:half]), rounds)
        gains.append(torch.from_numpy(trees.feature_importance("gain").astype(np.float64)))
        right.append(float((np.asarray(trees.predict(x[half:])).argmax(1) == label[half:]).mean()))
    importance = torch.stack(gains, 1)
    importance = importance / importance.sum(0).clamp(min=1e-12)
    return Dci(_one_sided(importance), _one_sided(importance.T), sum(right) / len(right), importance)


def factor_table(codes: Float[Tensor, "n d"], factors: Int[Tensor, "n k"], names: Sequence[str] = ()) -> Table:
    """MIG, SAP and DCI of a code, beside those of the same code mixed by a rotation of all its numbers.

    Args:
        codes: numbers.
        factors: classes.
        names: of the factors.

    Raises:
        InputError: if shapes do not fit, or a factor is constant.
    """
    # The orthonormal cosine transform keeps all information and spreads each number over all.
    d = codes.shape[1]
    place = torch.arange(d, dtype=codes.dtype)
    waves = torch.cos(math.pi / d * (place[:, None] + 0.5) * place[None, :])
    mixing = waves / waves.norm(dim=0)
    scaled = (codes - codes.mean(0)) / codes.std(0).clamp(min=1e-12)
    rows: list[list[str | float | int]] = []
    for title, z in (("this code", codes), ("the same, mixed", scaled @ mixing)):
        found = dci(z, factors)
        rows.append(
            [
                title,
                mutual_information_gap(z, factors),
                separated(z, factors),
                found.disentanglement,
                found.completeness,
                found.informativeness,
            ]
        )
    notes = [
        f"{len(codes)} samples, {d} numbers, factors: {', '.join(names) or factors.shape[1]}; MIG with {BINS} bins",
        "SAP: balanced accuracy of the nearest class mean; DCI: gains of LightGBM; the second half of the rows judges",
    ]
    columns = ["code", "MIG", "SAP", "disentanglement", "completeness", "informativeness"]
    return Table("Disentanglement", columns, rows, notes)
