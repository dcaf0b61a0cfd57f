"""The smallest models that use every part of the spine."""

import torch
from torch import nn

from zsteer.core.artifact import Pretrained, Settings
from zsteer.core.batch import Batch
from zsteer.core.protocols import Turn
from zsteer.core.rng import Streams, initialised


class LineSettings(Settings):
    d: int = 4
    noise: float = 0.1
    poison_from: int = -1


class Line(Pretrained, nn.Module):
    """Regress y on x with noise of its own on x: uses data order, streams, weights, one player."""

    kind = "line"
    Settings = LineSettings

    def __init__(self, settings: LineSettings) -> None:
        super().__init__()
        self.settings = settings
        with initialised(3):
            self.net = nn.Sequential(nn.Linear(settings.d, 8), nn.Tanh(), nn.Linear(8, 1))
        self.calls = 0

    @property
    def turns(self):
        return (Turn("all"),)

    def players(self):
        return {"all": list(self.parameters())}

    def losses(self, x, player, rng):
        del player
        self.calls += 1
        noisy = x["x"] + self.settings.noise * rng.normal("x", (self.settings.d,))
        error = (self.net(noisy)[:, 0] - x["y"]) ** 2
        if 0 <= self.settings.poison_from <= self.calls:
            error = error * float("nan")
        return {"error": error}


class Duel(Line):
    """Two players, five turns of one before one of the other, and clipped weights after each."""

    kind = "duel"

    def __init__(self, settings: LineSettings) -> None:
        super().__init__(settings)
        with initialised(4):
            self.critic = nn.Linear(1, 1, bias=False)

    @property
    def turns(self):
        return (Turn("critic", 5), Turn("generator"))

    def players(self):
        return {"critic": list(self.critic.parameters()), "generator": list(self.net.parameters())}

    def losses(self, x, player, rng):
        made = self.net(x["x"] + 0.1 * rng.normal("x", (self.settings.d,)))
        if player == "critic":
            return {"critic": (self.critic(made.detach()) - self.critic(x["y"][:, None]))[:, 0]}
        return {"generator": -self.critic(made)[:, 0]}

    def after_step(self, player):
        if player == "critic":
            with torch.no_grad():
                for parameter in self.critic.parameters():
                    parameter.clamp_(-0.1, 0.1)


def table(n: int = 50, d: int = 4) -> Batch:
    rng = Streams.of(11, n)
    x = rng.normal("x", (d,))
    return Batch({"x": x, "y": x.sum(1)}, weight=rng.uniform("w") + 0.5)
