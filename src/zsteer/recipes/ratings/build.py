"""The recipe of ratings made ready: table, split, machine, plan, and what is measured at the end."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zsteer.core.artifact import Origin, settings_from
from zsteer.core.batch import Batch
from zsteer.core.rng import Streams
from zsteer.domains.ratings.data import Split, core, find, split
from zsteer.domains.ratings.files import read
from zsteer.domains.ratings.metrics import figures
from zsteer.domains.ratings.space import Ratings
from zsteer.kits.ratings.tables import Judged, judge, predictions, verdict
from zsteer.models.ratings.baselines import best_of, fit_baselines
from zsteer.models.ratings.rating_rbm import RatingRBM, RatingSettings
from zsteer.recipes.base import Experiment, Size, by_size
from zsteer.recipes.plans import plan_for
from zsteer.recipes.ratings.settings import RatingRecipe
from zsteer.train.loop import Optim
from zsteer.train.source import Shuffled

__all__ = ["SIZES", "UserSource", "experiment", "load_ratings", "machine"]

SIZES: dict[Size, dict[str, Any]] = {
    "xs": {"steps": 15, "batch": 32768, "lr": 0.1},
    "s": {"steps": 40, "batch": 32768, "lr": 0.05},
    "m": {"steps": 120, "batch": 32768, "lr": 0.03},
    "l": {"steps": 600, "batch": 32768, "lr": 0.02},
}

DECAYS = (140.0, 35.0, 9.0, 2.5, 0.7)
"""Prior precisions that are tried where none is given; 140 is the best on MovieLens."""
SHORT = 15
"""Steps of the trainings that choose."""
FEW = 50
"""Ratings up to which nothing is chosen on a tenth of them, and figures on them say little."""

LIMITS = (
    "Predicts ratings of the kind of people and items that it was trained on, among items that somebody chose to rate; "
    "what nobody rated is not missing at random. Kept ratings of users are part of the model folder."
)


@dataclass(frozen=True)
class UserSource:
    """Batches of users with all their ratings; all users at once when they fit into a batch.

    Args:
        ratings: what to learn from.
        size: users in a batch.
    """

    ratings: Ratings
    size: int
    _users: Shuffled = field(init=False, repr=False)
    _whole: list[Batch] = field(init=False, repr=False, default_factory=list)

    def __post_init__(self) -> None:
        starts = self.ratings.starts
        active = (starts[1:] > starts[:-1]).nonzero()[:, 0]
        object.__setattr__(self, "_users", Shuffled(Batch({"user": active}), min(self.size, max(len(active), 1))))

    @property
    def whole(self) -> bool:
        """Whether every batch holds all users."""
        return self._users.size >= len(self._users.data)

    def everyone(self) -> Batch:
        """All users who have rated anything."""
        if not self._whole:
            self._whole.append(self.ratings.batch(self._users.data["user"]))
        return self._whole[0]

    def batch(self, update: int, rng: Streams) -> Batch:
        """The users of an update."""
        if self.whole:
            # Many optimisers average away what another order would bring; all users at once have no order.
            return self.everyone()
        return self.ratings.batch(self._users.batch(update, rng)["user"])


def load_ratings(recipe: RatingRecipe, data: Path | None) -> tuple[Ratings, dict[str, Any]]:
    """The table that a recipe names, and where it comes from."""
    path, origin = find(recipe.dataset, data)
    levels = None if recipe.levels is None else recipe.levels.split(",")
    ratings = read(path, levels=levels, skip_invalid=recipe.skip_invalid)
    if recipe.core:
        ratings = core(ratings, recipe.core)
    facts: dict[str, Any] = {
        **origin,
        "ratings": len(ratings),
        "users": len(ratings.users),
        "items": len(ratings.items),
    }
    if recipe.core:
        facts["core"] = recipe.core
    if ratings.notes:
        facts["notes"] = "; ".join(ratings.notes)
    if ratings.skipped:
        first = ratings.skipped[0]
        facts["left_out"] = f"{len(ratings.skipped)} rows, the first: row {first.row}: {first.reason}"
    return ratings, facts


def lines_of(ratings: Ratings, parts: Split) -> tuple[str, ...]:
    """What was read, in words: how many of what, levels with their counts, what was assumed and left out."""
    head, *others = ratings.lines
    found = [f"{head} ({len(parts.train):,} to learn from, {len(parts.test):,} held out)", *others]
    if 0 < len(parts.test) < FEW:
        found.append(f"warning: {len(parts.test)} ratings are held out; figures of so few say little")
    return tuple(found)


def machine(recipe: RatingRecipe, data: Path | None, device: torch.device) -> Experiment[RatingRBM]:
    """The machine for ratings, measured on the ratings that were set aside, with the baselines beside it."""
    ratings, origin = load_ratings(recipe, data)
    parts = split(ratings, recipe.seed, test=recipe.test, valid=0.0)
    made = experiment(recipe, parts, device)
    lines = lines_of(ratings, parts)
    origin["read"] = "; ".join(lines)
    return replace(made, measure=lambda trained: replace(made.measure(trained), data=origin), lines=lines)


def chosen_decay(recipe: RatingRecipe, train: Ratings, device: torch.device) -> float:
    """The decay with the least error on a tenth of the training ratings, after short trainings on the others.

    Args:
        recipe: without a decay of its own.
        train: the training ratings.
        device: where the machines are trained.
    """
    if len(train) < FEW:
        return DECAYS[-2]
    parts = split(train, recipe.seed, test=0.0, valid=0.1)
    values = torch.tensor(train.scale.values, dtype=torch.float64)
    steps = min(by_size(recipe, SIZES)["steps"], SHORT)

    def error(decay: float) -> float:
        trial = recipe.model_copy(update={"decay": decay, "steps": steps})
        model = experiment(trial, parts, device).train(seed=recipe.seed).eval().to("cpu")
        log_p = predictions(model, parts.train, parts.valid)
        return float(figures(log_p, parts.valid.level, values)["squared error"].mean().sqrt())

    return best_of(DECAYS, error)


def experiment(recipe: RatingRecipe, parts: Split, device: torch.device) -> Experiment[RatingRBM]:
    """An experiment on a split that is already made.

    Raises:
        SettingsError: if settings exclude each other.
    """
    chosen = by_size(recipe, SIZES)
    train = parts.train
    decay = recipe.decay if recipe.decay is not None else chosen_decay(recipe, train, device)
    closed = recipe.negative == "closed" or (recipe.negative == "auto" and recipe.hidden == "gaussian")
    values = {
        "items": len(train.items),
        "levels": train.scale.names,
        "values": train.scale.values,
        "users": len(train.users) if recipe.keep else 0,
        "kept": len(train) if recipe.keep else 0,
        "negative": "closed" if closed else "chain",
        "steps": chosen["steps"],
        **{
            key: getattr(recipe, key)
            for key in ("hidden", "tie", "factors", "conditional", "usage", "bias_decay", "seed")
        },
        "decay": decay,
    }
    model = RatingRBM(settings_from(RatingSettings, values, where=recipe.name))
    source = UserSource(train, chosen["batch"])
    model.prepare(source.everyone())
    _remember(model, train, keep=recipe.keep)
    steps = chosen["steps"]
    optim = Optim(lr=chosen["lr"], betas=(0.9, 0.99), clip=100.0, decay="cosine")
    # All users at once have no noise to average away.
    memory = None if source.whole else 10
    plan = plan_for(steps, optim, memory=memory, shortest=4, longest=100, bf16=False)
    plan = replace(plan, log_every=max(1, steps // 20))

    def measure(trained: RatingRBM) -> Origin:
        trained.eval().to("cpu")
        metrics: dict[str, Any] = {}
        if len(parts.test):
            judged = judge(trained, fit_baselines(train), train, parts.test, seed=recipe.seed)
            metrics |= {"verdict": verdict(judged), **_figures(judged)}
        metrics |= {"decay": decay, "train_ratings": len(train), "test_ratings": len(parts.test)}
        return Origin(metrics=metrics, limits=LIMITS)

    return Experiment(model.to(device), source, plan, measure)


def _remember(model: RatingRBM, train: Ratings, *, keep: bool) -> None:
    """Names, and the ratings of users who may come back."""
    model.items = tuple(train.items)
    if not keep:
        return
    model.users = tuple(train.users)
    for name, value in (("start", train.starts), ("item", train.item), ("level", train.level)):
        kept: Tensor = getattr(model, f"known_{name}")
        kept.copy_(value)


def _figures(judged: list[Judged]) -> dict[str, Any]:
    """Figures for the card: of the machine in full, of the baselines the two that are compared."""
    found: dict[str, Any] = {}
    for entry in judged:
        short = entry.name.split(" (")[0].replace(" + ", "_").replace(" ", "_").lower()
        found[f"{short}_rmse"] = round(entry.rmse.value, 4)
        found[f"{short}_log_loss"] = round(entry.log_loss.value, 4)
    first = judged[0]
    found["rbm_rmse_interval"] = first.rmse.range
    found["rbm_mae"] = round(first.mae.value, 4)
    found["rbm_calibration_error"] = round(first.calibration_error, 4)
    return found
