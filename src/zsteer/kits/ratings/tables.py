"""The figures of a machine, of the baselines and of a blend on the same ratings, as values and as tables."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zsteer.domains.ratings.metrics import Interval, bootstrap, calibration, figures, spread_error
from zsteer.domains.ratings.space import Ratings
from zsteer.errors import InputError
from zsteer.evaluate.report import Table
from zsteer.models.ratings.baselines import Baselines, blend
from zsteer.models.ratings.rating_rbm import RatingRBM

__all__ = ["BLEND", "Judged", "judge", "judged_by", "predictions", "tables", "verdict"]

BIAS, BLEND = "user + item bias", "blend of RBM and ALS"


@dataclass(frozen=True)
class Judged:
    """One predictor on a set of ratings.

    Args:
        name: of the predictor.
        rmse: root of the mean squared error.
        mae: mean absolute error.
        log_loss: [nats]
        calibration: promised against observed.
        calibration_error: mean gap of the two.
    """

    name: str
    rmse: Interval
    mae: Interval
    log_loss: Interval
    calibration: list[tuple[float, float, float, int]]
    calibration_error: float


def judged_by(
    name: str, log_p: Float[Tensor, "q k"], test: Ratings, values: Float[Tensor, " k"], *, seed: int = 0
) -> Judged:
    """Figures of distributions, with intervals over users."""
    each = figures(log_p, test.level, values)
    rows = calibration(log_p, test.level)
    return Judged(
        name,
        bootstrap(each["squared error"], test.user, root=True, seed=seed),
        bootstrap(each["absolute error"], test.user, seed=seed),
        bootstrap(each["log-loss"], test.user, seed=seed),
        rows,
        spread_error(rows),
    )


def predictions(model: RatingRBM, known: Ratings, test: Ratings) -> Float[Tensor, "q k"]:
    """What the machine says of the test ratings, given the known ones of the same users."""
    users, row = torch.unique(test.user, return_inverse=True)
    parts: list[Tensor] = []
    where: list[Int[Tensor, " p"]] = []
    # Users in groups: a batch pads every user to the longest.
    for group in torch.arange(len(users)).split(1024):
        inside = ((row >= group[0]) & (row <= group[-1])).nonzero()[:, 0]
        parts.append(model.predict(known.batch(users[group]), row[inside] - group[0], test.item[inside]))
        where.append(inside)
    result = torch.cat(parts)
    return result[torch.argsort(torch.cat(where))]


def judge(model: RatingRBM, baselines: Baselines, known: Ratings, test: Ratings, *, seed: int = 0) -> list[Judged]:
    """The machine first, then the baselines, then the blend.

    Args:
        model: the machine.
        baselines: fitted to ``known``.
        known: what is known of the users.
        test: what is predicted, over the same users and items.
        seed: of the bootstrap.

    Raises:
        InputError: if there is nothing to ask.
    """
    if len(test) == 0:
        raise InputError("there is no rating to judge by: the test part is empty")
    predicted = predictions(model, known, test)
    found = [judged_by("RBM", predicted, test, model.values, seed=seed)]
    for name in Baselines.names:
        log_p = baselines.predict(name, test.user, test.item)
        found.append(judged_by(name, log_p, test, baselines.values, seed=seed))
        if name == Baselines.names[-1]:
            mixed = blend([predicted, log_p])
            found.append(judged_by(BLEND, mixed, test, baselines.values, seed=seed))
    return found


def verdict(judged: Sequence[Judged]) -> str:
    """Whether the first predictor beats the biases of users and items, in words."""
    first, bias = judged[0], next(entry for entry in judged if entry.name == BIAS)
    if first.rmse.value < bias.rmse.value:
        return f"RMSE {first.rmse.value:.4f}, below user + item bias ({bias.rmse.value:.4f})"
    return f"NO BETTER than user + item bias: RMSE {first.rmse.value:.4f} for {bias.rmse.value:.4f}"


def tables(judged: Sequence[Judged]) -> list[Table]:
    """Figures of every predictor, and the calibration of the first."""
    first = judged[0]
    n = first.rmse.n
    rows = [
        [entry.name, str(entry.rmse), str(entry.mae), str(entry.log_loss), f"{entry.calibration_error:.4f}"]
        for entry in judged
    ]
    note = f"{n:,} ratings; in brackets the middle 95 % of 1,000 bootstrap draws of whole users"
    figures_table = Table(
        "Predicted ratings", ["predictor", "RMSE", "MAE", "log-loss [nats]", "calibration error"], rows, [note]
    )
    shown = [
        [f"up to {100 * top:.0f} %", f"{100 * promise:.1f} %", f"{100 * seen:.1f} %", f"{count:,}"]
        for top, promise, seen, count in first.calibration
    ]
    calibrated = Table(
        f"Calibration of the {first.name}",
        ["probability of a level", "promised", "observed", "statements"],
        shown,
        ["every level of every rating is one statement; a calibrated model keeps what it promises"],
    )
    return [figures_table, calibrated]
