"""``zsteer bench classical --part ratings``: the machine for ratings beside bias and matrix factorisation.

Settings of the machine and of the matrix factorisation are chosen on a tenth of the training part; the test part is
read once, at the end. Five trainings differ in the seed of the first weights. Seconds are CPU time of one fit.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zsteer.bench.peers import ROOT
from zsteer.domains.ratings.data import Split, split, split_at
from zsteer.domains.ratings.metrics import figures
from zsteer.domains.ratings.space import Ratings
from zsteer.evaluate.report import Table, Value
from zsteer.kits.ratings.tables import BLEND, Judged, judge, predictions
from zsteer.kits.ratings.tables import tables as judged_tables
from zsteer.models.ratings.baselines import Baselines, fit_baselines
from zsteer.models.ratings.rating_rbm import RatingRBM
from zsteer.recipes.ratings.build import experiment, load_ratings
from zsteer.recipes.ratings.settings import RatingRecipe

__all__ = ["tables"]

SEEDS = 5
MACHINES: Sequence[Mapping[str, float]] = tuple(
    {"decay": decay, "bias_decay": bias} for decay in (60.0, 140.0, 220.0) for bias in (1.0, 3.0)
)
FACTORS: Sequence[Mapping[str, Any]] = tuple(
    {"decay": decay, "biases": biases}
    for decay in (10.0, 15.0, 20.0)
    for biases in ((5.0, 3.0), (3.0, 3.0), (3.0, 1.0))
)
SETS: Mapping[str, Mapping[str, Any]] = {
    "ml-latest-small": {"dataset": "ml-latest-small"},
    "MovieTweetings, 10-core": {"dataset": "movietweetings", "core": 10},
    # The spread of usage was chosen on the validation part as well, by hand: 0.5 against 0.25.
    "MovieTweetings, whole": {"dataset": "movietweetings", "usage": 0.5},
}


@dataclass(frozen=True)
class _Fitted:
    model: RatingRBM
    seconds: float


def _numpy_rows(n: int, seed: int) -> Tensor | None:
    """Test rows of the published split, or None outside a checkout."""
    script = ROOT / "benchmarks" / "peers" / "numpy_split.py"
    if not script.is_file():
        return None
    done = subprocess.run([sys.executable, str(script), str(n), str(seed)], capture_output=True, text=True, check=True)
    return torch.tensor(json.loads(done.stdout)["rows"])


def _parts(name: str, ratings: Ratings, *, valid: float) -> tuple[Split, str]:
    """A split and what it is; the one that the field's figures are from where there is one."""
    rows = _numpy_rows(len(ratings), 0) if name == "ml-latest-small" else None
    if rows is None:
        return split(ratings, 0, valid=valid), "random tenth, seed 0"
    return split_at(ratings, ratings.row.argsort()[rows], 0, valid=valid), "random tenth, NumPy's generator, seed 0"


def _train(recipe: RatingRecipe, parts: Split) -> _Fitted:
    started = time.process_time()
    made = experiment(recipe, parts, torch.device("cpu"))
    trained = made.train(seed=recipe.seed)
    return _Fitted(trained, time.process_time() - started)


def _log_loss(log_p: Tensor, test: Ratings, values: Tensor) -> tuple[float, float]:
    each = figures(log_p, test.level, values)
    return float(each["squared error"].mean().sqrt()), float(each["log-loss"].mean())


def _choose(recipe: RatingRecipe, parts: Split, options: Sequence[Mapping[str, float]]) -> RatingRecipe:
    """The machine with the lowest RMSE on the validation part."""
    if len(options) == 1:
        return recipe.model_copy(update=dict(options[0]))
    found: list[tuple[float, RatingRecipe]] = []
    for option in options:
        each = recipe.model_copy(update=dict(option))
        model = _train(each, parts).model
        found.append((_log_loss(predictions(model, parts.train, parts.valid), parts.valid, model.values)[0], each))
    return min(found, key=lambda pair: pair[0])[1]


def _choose_factors(parts: Split, options: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The matrix factorisation with the lowest RMSE on the validation part."""
    if len(options) == 1:
        return options[0]
    name, held = Baselines.names[-1], parts.valid
    found: list[tuple[float, Mapping[str, Any]]] = []
    for option in options:
        made = fit_baselines(parts.train, **option)
        found.append((_log_loss(made.predict(name, held.user, held.item), held, made.values)[0], option))
    return min(found, key=lambda pair: pair[0])[1]


def _rows(judged: Sequence[Sequence[Judged]], seconds: Mapping[str, Sequence[float]]) -> list[list[Any]]:
    rows: list[list[Any]] = []
    for k, first in enumerate(judged[0]):
        each = [run[k] for run in judged]
        values = [Value.of([getattr(run, part).value for run in each]) for part in ("rmse", "mae", "log_loss")]
        cells = [f"{value.mean:.4f} +- {value.sd or 0.0:.4f}" for value in values]
        spent = Value.of(seconds[first.name]) if first.name in seconds else ""
        gap = Value.of([run.calibration_error for run in each]).mean
        rows.append([first.name, *cells, f"[{first.rmse.low:.4f}, {first.rmse.high:.4f}]", f"{gap:.4f}", spent])
    return rows


def _tables(name: str, data: Path, *, quick: bool, watch: Callable[[dict[str, Any]], None]) -> list[Table]:
    recipe = RatingRecipe(**SETS[name])
    ratings, _ = load_ratings(recipe, data)
    parts, how = _parts(name, ratings, valid=0.1)
    watch({"part": name, "doing": "choosing settings"})
    chosen = _choose(recipe, parts, MACHINES[-1:] if quick else MACHINES)
    factors = _choose_factors(parts, FACTORS[:1] if quick else FACTORS)
    final, _ = _parts(name, ratings, valid=0.0)
    runs: list[list[Judged]] = []
    seconds: dict[str, list[float]] = {"RBM": [], Baselines.names[-1]: []}
    for seed in range(1 if quick else SEEDS):
        watch({"part": name, "doing": "training", "seed": seed})
        fitted = _train(chosen.model_copy(update={"seed": seed}), final)
        started = time.process_time()
        baselines = fit_baselines(final.train, seed=seed, **factors)
        seconds[Baselines.names[-1]].append(time.process_time() - started)
        seconds["RBM"].append(fitted.seconds)
        runs.append(judge(fitted.model, baselines, final.train, final.test, seed=seed))
    notes = [
        (
            f"{len(ratings):,} ratings, {len(ratings.users):,} users, {len(ratings.items):,} items; test: {how}, "
            f"{len(final.test):,} ratings; mean +- sd of {len(runs)} seeds of the first weights on this one split"
        ),
        (
            f"chosen on a tenth of the training part: RBM decay {chosen.decay:g}, bias decay {chosen.bias_decay:g} (of "
            f"{len(MACHINES)}); ALS {factors} (of {len(FACTORS)}), 8 factors each"
        ),
        f"interval: middle 95 % of 1,000 bootstrap draws of users, first seed; {BLEND}: an equal mixture, not the RBM",
        "seconds: CPU time of one fit; of ALS with its widths, which takes two",
    ]
    columns = ["predictor", "RMSE", "MAE", "log-loss [nats]", "95 % of RMSE", "calibration error", "seconds"]
    table = Table(f"Ratings: {name}", columns, _rows(runs, seconds), notes)
    return [table, judged_tables(runs[0])[1]]


def tables(*, data: Path, quick: bool, watch: Callable[[dict[str, Any]], None]) -> Sequence[Table]:
    """Tables of every public set; with ``quick`` of the smallest alone, with settings as they are.

    Args:
        data: the data folder.
        quick: one set, one seed, nothing chosen.
        watch: called with progress.
    """
    found: list[Table] = []
    for name in ["MovieTweetings, 10-core"] if quick else SETS:
        found += _tables(name, data, quick=quick, watch=watch)
    return found
