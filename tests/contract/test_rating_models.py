"""The machine for ratings keeps the public contracts, in every variant."""

import pytest
import torch

import zsteer
from zsteer.core.batch import Batch
from zsteer.core.rng import Streams
from zsteer.errors import InputError, SettingsError
from zsteer.models.ratings.rating_rbm import RatingRBM, RatingSettings

SMALL = {"items": 9, "levels": ("1", "2", "3"), "values": (1.0, 2.0, 3.0), "factors": 3, "decay": 2.0}
VARIANTS = {
    "gaussian": {},
    "gaussian, chain": {"negative": "chain"},
    "gaussian, conditional, users alike": {"conditional": True, "usage": 0.0},
    "bernoulli": {"hidden": "bernoulli", "negative": "chain"},
    "bernoulli, free": {"hidden": "bernoulli", "negative": "chain", "tie": "free", "conditional": True},
    "bernoulli, factored": {"hidden": "bernoulli", "negative": "chain", "tie": "factored", "rank": 2},
}


def people(n=7, seed=0):
    rng = Streams.of(seed, n)
    items = rng.permutation("items", 9)[:, :6]
    count = 2 + rng.integers("count", 5)
    mask = torch.arange(6) < count[:, None]
    levels = torch.where(mask, rng.integers("level", 3, (6,)), 0)
    return Batch({"items": torch.where(mask, items, 0), "levels": levels}, mask=mask)


def machine(**variant):
    model = RatingRBM(RatingSettings(**SMALL, **variant))
    model.prepare(people())
    return model


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_machine_keeps_the_contracts(variant):
    # Frequencies other than 1/3 of each level, and weights away from 0, so that every gradient is at work.
    model = machine(**VARIANTS[variant])
    verdicts = {v.name: v.state for v in zsteer.check(model.eval(), people())}
    assert "failed" not in verdicts.values()
    assert {name for name, state in verdicts.items() if state == "ok"} >= {
        "losses_are_per_sample",
        "every_weight_learns",
        "padding_is_ignored",
        "samples_do_not_depend_on_the_batch",
        "save_and_load",
    }


def test_settings_that_exclude_each_other_are_refused():
    with pytest.raises(SettingsError, match="tie=free is for hidden=bernoulli"):
        machine(tie="free")
    with pytest.raises(SettingsError, match="negative=closed is for hidden=gaussian"):
        machine(hidden="bernoulli")
    with pytest.raises(SettingsError, match="one rising value for each of 3 levels"):
        RatingRBM(RatingSettings(**{**SMALL, "values": (1.0, 3.0, 2.0)}))


def test_a_level_that_does_not_exist_is_named():
    x = people()
    wrong = x.with_fields(levels=torch.where(torch.arange(6) == 1, 3, x["levels"]))
    with pytest.raises(InputError, match=r"user 0 of the batch: expected a level of 0 \.\.\. 2, got 3"):
        machine().losses(wrong, "machine", Streams.of(0, len(x)))
