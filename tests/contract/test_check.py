"""The contract suite itself: good toys pass, each kind of broken toy is caught by the check that should catch it."""

import pytest
import torch
from tests.toy import Duel, Line, LineSettings, table
from torch import nn

import zsteer
from zsteer.contract import CHECKS
from zsteer.errors import ContractError


@pytest.mark.parametrize("kind", [Line, Duel])
def test_good_models_pass(kind):
    verdicts = zsteer.check(kind(LineSettings()), table(8))
    assert [v.state for v in verdicts if v.state == "failed"] == []
    assert sum(v.state == "ok" for v in verdicts) >= 7
    assert len(verdicts) == len(CHECKS)


class Averaged(Line):
    def losses(self, x, player, rng):
        return {"error": super().losses(x, player, rng)["error"].mean()}


class Idle(Line):
    def __init__(self, settings):
        super().__init__(settings)
        self.spare = nn.Linear(2, 2)


class GlobalNoise(Line):
    def losses(self, x, player, rng):
        return {"error": super().losses(x, player, rng)["error"] + torch.randn(len(x))}  # noqa: TID251 - what the check is to find


class OrderMatters(Line):
    def losses(self, x, player, rng):
        return {"error": super().losses(x, player, rng)["error"] * torch.arange(1, len(x) + 1)}


class Forgetful(Line):
    def tensors(self):
        return {name: value + 1 for name, value in super().tensors().items()}


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Averaged, "losses_are_per_sample"),
        (Idle, "every_weight_learns"),
        (GlobalNoise, "same_seed_same_losses"),
        (OrderMatters, "order_does_not_matter"),
        (Forgetful, "save_and_load"),
    ],
)
def test_broken_models_are_caught(kind, message):
    with pytest.raises(ContractError, match=message):
        zsteer.check(kind(LineSettings()), table(8))


def test_nothing_declared_is_caught():
    with pytest.raises(ContractError, match="declares_something"):
        zsteer.check(nn.Linear(2, 2), table(8))
