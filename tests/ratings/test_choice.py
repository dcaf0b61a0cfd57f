"""The prior of the machine and the penalty of the factors are chosen on ratings set aside, and judged in words."""

import torch

from zsteer.core.rng import Streams
from zsteer.domains.ratings.data import split
from zsteer.domains.ratings.metrics import bootstrap
from zsteer.domains.ratings.space import table
from zsteer.kits.ratings.tables import judge, verdict
from zsteer.models.ratings.baselines import best_of, fit_baselines
from zsteer.recipes.ratings.build import experiment
from zsteer.recipes.ratings.settings import RatingRecipe


def low_rank(seed, users=50, items=24):
    """Ratings 1 ... 5 of rank 2 with a little noise, half of the pairs."""
    rng = Streams.of(seed, 1)
    u = rng.normal("u", (users, 2), dtype=torch.float64)[0]
    v = rng.normal("v", (items, 2), dtype=torch.float64)[0]
    noise = 0.3 * rng.normal("noise", (users, items), dtype=torch.float64)[0]
    level = (3 + u @ v.T + noise).round().clamp(1, 5).int()
    shown = rng.uniform("shown", (users, items))[0] < 0.5
    pairs = shown.nonzero().tolist()
    columns = [f"u{a}" for a, _ in pairs], [f"i{b}" for _, b in pairs], [int(level[a, b]) for a, b in pairs]
    return split(table(*columns), seed, test=0.15, valid=0.0)


def test_a_set_of_low_rank_is_learnt_by_default(seed):
    parts = low_rank(seed)
    model = experiment(RatingRecipe(size="xs"), parts, torch.device("cpu")).train(seed=0).eval()
    assert model.settings.decay < 140
    baselines = fit_baselines(parts.train)
    judged = {entry.name: entry for entry in judge(model, baselines, parts.train, parts.test)}
    bias = judged["user + item bias"].rmse.value
    assert judged["RBM"].rmse.value < 0.8 * bias
    assert judged["matrix factorisation (ALS)"].rmse.value < 0.8 * bias
    assert "below" in verdict(list(judged.values()))
    assert "NO BETTER" in verdict([judged["user + item bias"]])


def test_a_decay_that_is_given_is_kept():
    made = experiment(RatingRecipe(size="xs", decay=7.0, steps=1), low_rank(0), torch.device("cpu"))
    assert made.model.settings.decay == 7.0


def test_the_choice_stops_where_lighter_penalties_are_clearly_worse():
    errors = {8.0: 1.0, 4.0: 1.001, 2.0: 0.5, 1.0: 0.6, 0.5: 0.1}
    asked = []

    def error(option):
        asked.append(option)
        return errors[option]

    assert best_of(list(errors), error) == 2.0
    assert asked == [8.0, 4.0, 2.0, 1.0]


def test_one_user_gives_no_interval():
    found = bootstrap(torch.tensor([1.0, 4.0]), torch.tensor([3, 3]), root=True)
    assert "one user" in found.range
    assert found.value == (2.5) ** 0.5
