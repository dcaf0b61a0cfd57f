"""Several blanks of a user together: drawn by Gibbs sampling, or all their states enumerated where they are few."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zsteer.core.batch import Batch
from zsteer.core.rng import Streams
from zsteer.errors import InputError
from zsteer.models.ratings import bernoulli as binary
from zsteer.models.ratings import gaussian
from zsteer.models.ratings.settings import Rated, RatingSettings

__all__ = ["MOST_STATES", "Filler", "exact"]

MOST_STATES = 2**16
"""States of the blanks that are enumerated at most."""


@runtime_checkable
class Machine(Protocol):
    """What filling in reads of a machine of ratings."""

    @property
    def settings(self) -> RatingSettings: ...
    @property
    def w(self) -> Tensor: ...
    def biases(self, item: Int[Tensor, " r"]) -> Float[Tensor, "r k"]: ...
    def weights(self, item: Int[Tensor, " r"]) -> Float[Tensor, "r k f"]: ...
    def shared(self) -> Float[Tensor, "k u"]: ...
    def score(self) -> Float[Tensor, " k"]: ...
    def implicit(self, rated: Rated) -> Float[Tensor, "b f"]: ...
    def hidden_field(self, rated: Rated) -> Float[Tensor, "b f"]: ...


class Filler:
    """One chain for each user over the blanks; what the user has rated stays.

    Args:
        model: the machine.
        x: what the users have rated.
        blanks: items to fill in, ``(b, m)``.
    """

    def __init__(self, model: Machine, x: Batch, blanks: Int[Tensor, "b m"]) -> None:
        if len(x) != len(blanks):
            raise InputError(f"expected blanks for each of {len(x)} users, got {len(blanks)} rows")
        self.model, self.shape = model, blanks.shape
        self.levels = len(model.settings.levels)
        self.known = Rated.of(x, model.settings)
        row = torch.arange(len(x), device=blanks.device)[:, None].expand_as(blanks).flatten()
        self.blank = Rated(row, blanks.flatten(), torch.zeros_like(row), len(x))
        both = self.known.join(self.blank)
        self.both, self.bias = both, model.biases(both.item)
        point = gaussian.user_point(self.bias[: len(self.known.item)], model.shared(), self.known)
        self.point = point
        self.weights = model.weights(self.blank.item)
        c = self.bias[len(self.known.item) :] + (point @ model.shared().T)[row]
        self.log_p = c.log_softmax(1)

    def run(self, rng: Streams, sweeps: int) -> Int[Tensor, "b m"]:
        """The last state of each chain."""
        level = self._draw(self.log_p, rng.at(0))
        for sweep in range(1, sweeps + 1):
            hidden = self._gaussian if self.model.settings.hidden == "gaussian" else self._binary
            level = self._draw(hidden(level, rng.at(sweep)), rng.at(sweep))
        return level

    def _draw(self, logits: Float[Tensor, "r k"], rng: Streams) -> Int[Tensor, "b m"]:
        noise = rng.gumbel("level", (self.shape[1], self.levels)).to(logits.dtype)
        return (logits.reshape(*self.shape, self.levels) + noise).argmax(-1)

    def _states(self, level: Int[Tensor, "b m"]) -> Float[Tensor, "r k"]:
        whole = torch.cat([self.known.level, level.flatten()])
        return torch.nn.functional.one_hot(whole, self.levels).to(self.bias.dtype)

    def _gaussian(self, level: Int[Tensor, "b m"], rng: Streams) -> Float[Tensor, "r k"]:
        """Logits of the blanks given hidden units drawn from N(Lambda^-1 pull, Lambda^-1)."""
        model = self.model
        loads = gaussian.Loads(model.shared(), model.score(), model.w[self.both.item])
        now = gaussian.posterior(
            self.bias, loads, self.both, model.implicit(self.known), point=self.point, v=self._states(level)
        )
        root = now.root()
        noise = rng.normal("hidden", (root.shape[1],)).to(root.dtype)
        spread = torch.linalg.solve_triangular(root.transpose(1, 2), noise[:, :, None], upper=True)[:, :, 0]
        shift, own = (now.mean() + spread).split([loads.shared.shape[1], model.settings.factors], 1)
        row = self.blank.user
        return self.log_p + (shift @ loads.shared.T)[row] + torch.einsum("rkf,rf->rk", self.weights, own[row])

    def _binary(self, level: Int[Tensor, "b m"], rng: Streams) -> Float[Tensor, "r k"]:
        """Logits of the blanks given hidden units drawn from their Bernoulli distributions."""
        model = self.model
        pulled = torch.einsum("rk,rkf->rf", self._states(level), model.weights(self.both.item))
        x = self.both.total(pulled) + model.hidden_field(self.known)
        u = rng.uniform("hidden", (x.shape[1],)).to(x.dtype)
        h = (u < torch.sigmoid(x)).to(x.dtype)
        return self.log_p + torch.einsum("rkf,rf->rk", self.weights, h[self.blank.user])


@torch.no_grad()
def exact(model: Machine, x: Batch, blanks: Int[Tensor, " m"]) -> tuple[Int[Tensor, "s m"], Float[Tensor, " s"]]:
    """The exact distribution of one user's blanks given the ratings, hidden units summed out, by enumeration.

    Args:
        model: the machine.
        x: what the user has rated.
        blanks: items to fill in.

    Returns:
        Every state of the blanks as levels, and the log-probability of each.

    Raises:
        InputError: if there is more than one user, or there are more than 2^16 states.
    """
    k, m = len(model.settings.levels), len(blanks)
    if len(x) != 1 or k**m > MOST_STATES:
        raise InputError(f"expected one user and at most {MOST_STATES} states, got {len(x)} users, {k}^{m} states")
    place = torch.arange(k**m, device=blanks.device)[:, None]
    states = place // k ** torch.arange(m - 1, -1, -1, device=blanks.device) % k
    known = Rated.of(x, model.settings)
    n, size = len(states), len(known.item) + m
    item = torch.cat([known.item, blanks]).repeat(n)
    level = torch.cat([known.level.expand(n, -1), states], 1).flatten()
    rated = Rated(torch.arange(n, device=blanks.device).repeat_interleave(size), item, level, n)
    point = gaussian.user_point(model.biases(known.item), model.shared(), known).expand(n, -1)
    c, implicit = model.biases(item), model.implicit(known).expand(n, -1)
    v = rated.chosen(k, c)
    if model.settings.hidden == "gaussian":
        loads = gaussian.Loads(model.shared(), model.score(), model.w[item])
        believed = gaussian.posterior(c, loads, rated, implicit, point=point, v=v)
        return states, believed.minus_free_energy(normalised=False).log_softmax(0)
    c = (c + (point @ model.shared().T)[rated.user]).log_softmax(1)
    field = binary.field(model.weights(item), rated, v, model.hidden_field(known).expand(n, -1))
    return states, binary.minus_free_energy(c, field, rated, v).log_softmax(0)
