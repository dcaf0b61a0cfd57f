r"""Baselines of ratings, fitted in one call: mean, item mean, user and item bias, Gaussian matrix factorisation.

.. math:: r_{ui} \approx \mu + a_u + b_i + p_u \cdot q_i, \quad
          \min \sum (r_{ui} - \mu - a_u - b_i - p_u \cdot q_i)^2 + \lambda_a |a|^2 + \lambda_b |b|^2
          + \lambda \left( |P|^2 + |Q|^2 \right)

The biases are a ridge regression, solved to the end by turns; the factors fit its residual by alternating least
squares.
A prediction m becomes a distribution over levels by a normal density of one width, cut at the middle between levels:
:math:`p(k) = \Phi((e_{k+1} - m) / \sigma) - \Phi((e_k - m) / \sigma)`, with sigma from held-out ratings.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zsteer.core.rng import Streams
from zsteer.domains.ratings.space import Ratings
from zsteer.errors import InputError

__all__ = ["PENALTIES", "Baselines", "best_of", "blend", "fit_baselines", "levels_of_normal", "ridge_biases"]

PENALTIES = (50.0, 15.0, 5.0, 1.5, 0.5)
"""Penalties of the factors that are tried."""
CLEARLY = 0.005
"""Relative error beyond the best so far at which lighter penalties are given up."""
TINY = 1e-10
"""Probability that every level has at least: a normal density forgets far levels altogether."""


def ridge_biases(
    value: Float[Tensor, " r"],
    user: Int[Tensor, " r"],
    item: Int[Tensor, " r"],
    sizes: tuple[int, int],
    decay: tuple[float, float],
) -> tuple[Float[Tensor, " u"], Float[Tensor, " i"]]:
    """Biases that minimise the squared error of ``value`` with ridge penalties, users and items by turns.

    Args:
        value: ratings less their mean.
        user: user of each.
        item: item of each.
        sizes: numbers of users and items.
        decay: penalties of users and items.
    """
    a, b = (value.new_zeros(size) for size in sizes)
    n_a, n_b = (torch.bincount(x, minlength=size).to(value) for x, size in zip((user, item), sizes, strict=True))
    for _ in range(200):
        b = torch.zeros_like(b).index_add(0, item, value - a[user]) / (n_b + decay[1])
        new = torch.zeros_like(a).index_add(0, user, value - b[item]) / (n_a + decay[0])
        change, a = float((new - a).abs().max()), new
        # Ratings are of order 1; a change of 1e-9 is far below what a figure can show.
        if change < 1e-9:
            break
    return a, b


def _solve(
    value: Float[Tensor, " r"], of: Int[Tensor, " r"], by: Float[Tensor, "r f"], size: int, decay: float
) -> Float[Tensor, "n f"]:
    """Ridge regression of one side given the other's factors, all rows at once."""
    gram = by.new_zeros(size, by.shape[1], by.shape[1]).index_add(0, of, by[:, :, None] * by[:, None, :])
    right = by.new_zeros(size, by.shape[1]).index_add(0, of, value[:, None] * by)
    return torch.linalg.solve(gram + decay * torch.eye(by.shape[1], dtype=by.dtype), right)


def levels_of_normal(
    mean: Float[Tensor, " q"], sigma: Float[Tensor, ""] | float, values: Float[Tensor, " k"]
) -> Float[Tensor, "q k"]:
    r"""Log-probability of each level under :math:`N(m, \sigma^2)` cut at the middle between neighbouring levels."""
    edges = (values[1:] + values[:-1]) / 2
    below = torch.special.ndtr((edges[None, :] - mean[:, None]) / sigma)
    ends = torch.cat([torch.zeros_like(below[:, :1]), below, torch.ones_like(below[:, :1])], 1)
    return torch.log(ends.diff(dim=1).clamp(min=0.0) + TINY).log_softmax(1)


@dataclass(frozen=True)
class Baselines:
    """Fitted baselines.

    Args:
        values: what the levels are worth.
        mean: mu.
        item_mean: smoothed mean of each item, less mu.
        a: biases of users.
        b: biases of items.
        p: factors of users.
        q: factors of items.
        sigma: width of the normal density for each baseline, in the order of ``names``.
    """

    values: Float[Tensor, " k"]
    mean: float
    item_mean: Float[Tensor, " i"]
    a: Float[Tensor, " u"]
    b: Float[Tensor, " i"]
    p: Float[Tensor, "u f"]
    q: Float[Tensor, "i f"]
    sigma: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)

    names = ("global mean", "item mean", "user + item bias", "matrix factorisation (ALS)")

    def expect(self, name: str, user: Int[Tensor, " q"], item: Int[Tensor, " q"]) -> Float[Tensor, " q"]:
        """Predicted rating of each pair, within the scale.

        Raises:
            InputError: if there is no such baseline.
        """
        if name not in self.names:
            raise InputError(f"unknown baseline {name!r}; expected one of {', '.join(self.names)}")
        kind = self.names.index(name)
        value = torch.full((len(user),), self.mean, dtype=self.values.dtype)
        if kind == 1:
            value = value + self.item_mean[item]
        if kind >= 2:
            value = value + self.a[user] + self.b[item]
        if kind == 3:
            value = value + (self.p[user] * self.q[item]).sum(1)
        return value.clamp(float(self.values[0]), float(self.values[-1]))

    def predict(self, name: str, user: Int[Tensor, " q"], item: Int[Tensor, " q"]) -> Float[Tensor, "q k"]:
        """Log-probability of each level of each pair."""
        return levels_of_normal(self.expect(name, user, item), self.sigma[self.names.index(name)], self.values)


def _fit(ratings: Ratings, factors: int, decay: float, biases: tuple[float, float], seed: int) -> Baselines:
    values = torch.tensor(ratings.scale.values, dtype=torch.float64)
    user, item, value = ratings.user, ratings.item, values[ratings.level]
    mean = float(value.mean())
    sizes = (len(ratings.users), len(ratings.items))
    count = torch.bincount(item, minlength=sizes[1])
    item_mean = torch.zeros(sizes[1], dtype=value.dtype).index_add(0, item, value - mean) / (count + biases[1])
    a, b = ridge_biases(value - mean, user, item, sizes, biases)
    left = value - mean - a[user] - b[item]
    q = 0.1 * Streams.of(seed, sizes[1]).child("baseline").normal("q", (factors,), dtype=torch.float64)
    p = torch.zeros(sizes[0], factors, dtype=value.dtype)
    for _ in range(12):
        p = _solve(left, user, q[item], sizes[0], decay)
        q = _solve(left, item, p[user], sizes[1], decay)
    return Baselines(values, mean, item_mean, a, b, p, q)


def best_of(options: Sequence[float], error: Callable[[float], float]) -> float:
    """The option with the least error, of penalties from the heaviest down; stops where lighter ones are clearly worse.

    Args:
        options: penalties, falling.
        error: of a penalty, on ratings that its fit has not seen.
    """
    found: dict[float, float] = {}
    for option in options:
        found[option] = error(option)
        if found[option] > (1 + CLEARLY) * min(found.values()):
            break
    return min(found, key=lambda option: found[option])


def fit_baselines(
    ratings: Ratings,
    *,
    factors: int = 8,
    decay: float | None = None,
    biases: tuple[float, float] = (5.0, 3.0),
    seed: int = 0,
) -> Baselines:
    """Fit all baselines; the widths, and the penalty of the factors, come from a tenth that a first fit leaves out.

    Args:
        ratings: what to learn from.
        factors: F.
        decay: penalty of the factors; the best of ``PENALTIES`` on that tenth when None.
        biases: penalties of the biases of users and items.
        seed: of the first factors and of the tenth.

    Raises:
        InputError: if there is no rating.
    """
    if len(ratings) == 0:
        raise InputError("there is no rating to fit the baselines to")
    order = Streams.of(seed, 1).child("baseline").permutation("held out", len(ratings))[0]
    aside = order[: max(1, len(ratings) // 10)]
    rest = torch.ones(len(ratings), dtype=torch.bool)
    rest[aside] = False
    if not bool(rest.any()):
        return _fit(ratings, factors, PENALTIES[0] if decay is None else decay, biases, seed)
    learnt, held = ratings.take(rest), ratings.take(aside)
    truth = torch.tensor(ratings.scale.values, dtype=torch.float64)[held.level]
    fits: dict[float, Baselines] = {}

    def error(penalty: float) -> float:
        fits[penalty] = _fit(learnt, factors, penalty, biases, seed)
        found = fits[penalty].expect(Baselines.names[-1], held.user, held.item)
        return float((truth - found).square().mean().sqrt())

    chosen = best_of(PENALTIES if decay is None else [decay], error)
    part = fits[chosen]
    whole = _fit(ratings, factors, chosen, biases, seed)
    errors = [truth - part.expect(name, held.user, held.item) for name in Baselines.names]
    # A handful of ratings can be met exactly; a tenth of a level keeps the density a density.
    least = 0.1 * float((whole.values[1:] - whole.values[:-1]).min())
    return replace(whole, sigma=tuple(max(float(error.square().mean().sqrt()), least) for error in errors))


def blend(parts: list[Float[Tensor, "q k"]]) -> Float[Tensor, "q k"]:
    """Equal mixture of distributions over levels: its expectation is the mean of the expectations."""
    return torch.logsumexp(torch.stack([part.double() for part in parts]), 0).log_softmax(1)
