"""What the recipes make of sets that they were not tuned on, with their defaults at size xs, beside a baseline each.

Rows and pictures: how well a logistic reader tells samples from the data (AUC, 0.5 is chance), beside the same for
independent numbers, drawn each from its own column; the worst ratio of a column's spread to the data's; and the nats
above independent numbers where a model has a likelihood. Ratings: RMSE beside user + item bias. Molecules: validity and
novelty beside molecules by chance. Digits, wine and breast cancer are scikit-learn's; where it is not installed they
are named as not there. The other sets are generated here.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zsteer.bench.molecules import own
from zsteer.core.catalog import load_name
from zsteer.core.rng import Streams
from zsteer.domains.ratings import files as ratings
from zsteer.domains.tables import files as tables
from zsteer.domains.tables.space import Columns
from zsteer.errors import SettingsError, ZsteerError
from zsteer.evaluate.classify import classifier_two_sample_test
from zsteer.evaluate.report import Cell, Report, Table
from zsteer.evaluate.two_sample import independent_numbers
from zsteer.recipes.base import recipe_class
from zsteer.recipes.sets import Sets, load_set

__all__ = ["bench", "generated_ratings", "generated_table"]

ROWS = ("vae", "wae-mmd", "wgan", "rbm", "ddpm")
PICTURES = ("vae", "wae-mmd", "wgan", "rbm", "ddpm")
QUICK_ROWS, QUICK_PICTURES = ("vae", "rbm", "ddpm"), ("vae", "ddpm")
SAMPLES = 1000
COLUMNS = ["set", "recipe", "AUC of samples", "AUC of independent numbers", "spread, worst", "nats above", "seconds"]

Watch = Callable[[dict[str, Any]], None]


def generated_table(n: int = 2000) -> Columns:
    """A category, two numbers that follow it, a flag that follows them, and a count."""
    rng = Streams.of(11, n)
    z = rng.normal("z", (3,), dtype=torch.float64).numpy()
    u = rng.uniform("u", (2,), dtype=torch.float64).numpy()
    town = np.array(["Paris", "Rome", "Oslo"])[np.searchsorted([0.6, 0.9], u[:, 0])]
    x = np.select([town == "Paris", town == "Rome"], [0.0, 3.0], -3.0) + z[:, 0]
    flag = (u[:, 1] < 1 / (1 + np.exp(-x))).astype(float)
    count = np.floor(np.exp(0.8 + 0.2 * x + 0.3 * z[:, 2]))
    return {"town": town, "x": x.round(4), "y": (x + 0.4 * z[:, 1]).round(4), "flag": flag, "count": count}


def generated_ratings(users: int = 80, items: int = 40) -> Mapping[str, Sequence[object]]:
    """Ratings 1 ... 5 of rank 3 with some noise, two of five pairs."""
    rng = Streams.of(12, 1)
    taste = rng.normal("users", (users, 3), dtype=torch.float64)[0] @ rng.normal("items", (3, items)).double()[0]
    noise = 0.4 * rng.normal("noise", (users, items), dtype=torch.float64)[0]
    level = (3 + 0.7 * taste + noise).round().clamp(1, 5).int()
    pairs = (rng.uniform("shown", (users, items))[0] < 0.4).nonzero().tolist()
    names = [f"user {a}" for a, _ in pairs], [f"item {b}" for _, b in pairs]
    return {"user": names[0], "item": names[1], "rating": [int(level[a, b]) for a, b in pairs]}


def bench(*, quick: bool = False, data: Path | None = None, watch: Watch | None = None) -> Report:
    """Train every recipe of rows, pictures and ratings at size xs.

    Args:
        quick: fewer recipes and sets, three minutes at most.
        data: not needed; the sets come with scikit-learn or are generated.
        watch: called with progress.
    """
    del data
    tell = watch or (lambda _: None)
    rows: list[list[Cell]] = []
    with TemporaryDirectory() as place:
        paths, missing = _written(Path(place))
        for name, path in paths.items():
            pictures = path.suffix == ".npz"
            recipes = (QUICK_PICTURES if quick else PICTURES) if pictures else QUICK_ROWS if quick else ROWS
            if quick and name == "breast cancer":
                continue
            for recipe in recipes:
                tell({"doing": f"{recipe} of {name}"})
                rows.append([name, recipe, *_row(recipe, path)])
        rated = _ratings(Path(place) / "ratings.csv")
        tell({"doing": "molecules of 500 SMILES"})
        smiles = own.table(Path(place))
    notes = [f"defaults, --size xs, {SAMPLES} samples; CPU seconds of training and measuring; {missing}".rstrip("; ")]
    notes.append("spread: a column's standard deviation in samples over the data's, the ratio farthest from 1")
    found = [Table("Rows and pictures that nothing was tuned on", COLUMNS, rows, notes), rated, smiles]
    worse = [f"{row[1]} of {row[0]}" for row in rows if isinstance(row[5], float) and row[5] <= 0]
    line = f"No better than independent numbers: {', '.join(worse)}." if worse else "Every likelihood beats its floor."
    return Report("Defaults on sets that they were not made for", [line], found)


def _written(place: Path) -> tuple[dict[str, Path], str]:
    """Files of the sets by name, and what is not there."""
    paths = {"generated table": place / "mixed.csv"}
    tables.write(paths["generated table"], generated_table(), overwrite=True)
    try:
        names = ("digits", "wine", "breast_cancer")
        digits, wine, cancer = (load_name(f"sklearn.datasets:load_{name}")() for name in names)
    except SettingsError:
        return paths, "digits, wine and breast cancer are not there: pip install scikit-learn"
    for name, loaded in (("wine", wine), ("breast cancer", cancer)):
        columns = {str(word).replace(",", " "): loaded.data[:, k] for k, word in enumerate(loaded.feature_names)}
        paths[name] = place / f"{name}.csv"
        tables.write(paths[name], columns | {"class": np.array([f"c{k}" for k in loaded.target])}, overwrite=True)
    paths["digits"] = place / "digits.npz"
    np.savez(paths["digits"], x=(digits.images * (255 / 16)).round().astype(np.uint8), y=digits.target)
    return paths, ""


def _row(name: str, path: Path) -> list[Cell]:
    """Figures of one recipe on one set."""
    started = time.process_time()
    recipe = recipe_class(name)(size="xs").resolve(path)
    try:
        experiment = recipe.build(path, torch.device("cpu"))
        model = experiment.finish(experiment.train(seed=recipe.seed))
    except ZsteerError as error:
        return [f"refused: {error}"[:80], "", "", "", ""]
    sets = load_set("own", path, binary=name == "rbm")
    real = torch.cat([sets.datum.flat(part) for part in (sets.train, sets.test)])
    given = {"class": "all"} if getattr(model, "classes", ()) else None
    made = _looked_at(sets, sets.datum.flat(model.sample(SAMPLES, given=given, rng=Streams.of(1, SAMPLES)).to("cpu")))
    apart = independent_numbers(real, Streams.of(2, 1))
    areas = [classifier_two_sample_test(one, real, Streams.of(3, 1)) for one in (made, apart)]
    metrics = model.origin.metrics
    nats = metrics.get("log_prob", metrics.get("log_prob_k50", math.nan))
    if "bits_per_dim" in metrics:
        nats = -metrics["bits_per_dim"] * sets.datum.size * math.log(2)
    above: Cell = round(nats - metrics["independent"], 2) if "independent" in metrics and math.isfinite(nats) else ""
    ratio = made.std(0) / real.std(0).clamp(min=1e-6)
    ratio = ratio[real.std(0) > 0.05]
    worst = float(ratio[int(ratio.log().abs().argmax())])
    cells: list[Cell] = [f"{one.area:.2f} +- {one.error:.2f}" for one in areas]
    return [*cells, round(worst, 2), above, round(time.process_time() - started, 1)]


def _looked_at(sets: Sets, rows: Tensor) -> Tensor:
    """Samples as a user sees them: written and read again, so that flags, counts and categories are what they are."""
    if sets.datum.space.get("name") != "tables":
        return rows
    from zsteer.domains.tables.space import TableSpace

    space = TableSpace.of(sets.datum.space)
    return space.encode(space.decode(sets.datum.batch(rows)))["x"]


def _ratings(path: Path) -> Table:
    ratings.write(path, dict(generated_ratings()), overwrite=True)
    started = time.process_time()
    recipe = recipe_class("rbm-ratings")(size="xs").resolve(path)
    experiment = recipe.build(path, torch.device("cpu"))
    metrics = experiment.finish(experiment.train(seed=recipe.seed)).origin.metrics
    names = ("rbm", "matrix_factorisation", "user_item_bias")
    rows: list[list[Cell]] = [[name.replace("_", " "), metrics[f"{name}_rmse"]] for name in names]
    notes = [f"{metrics['verdict']}; decay {metrics['decay']:g}; {time.process_time() - started:.1f} CPU seconds"]
    return Table("Generated ratings of rank 3", ["predictor", "RMSE"], rows, notes)
