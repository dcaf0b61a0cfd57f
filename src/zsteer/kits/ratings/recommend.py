"""``Recommend``: items that a user has not rated, best first, as the method ``rerank`` of ratings."""

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zsteer.core.batch import Batch
from zsteer.core.goal import Budget, Trail
from zsteer.core.objective import Constraint, Objective
from zsteer.core.rng import Streams
from zsteer.errors import CapabilityError, InputError
from zsteer.kits.ratings.options import RecommendOptions

__all__ = ["PredictsRatings", "Recommend"]


@runtime_checkable
class PredictsRatings(Protocol):
    """A model that predicts a user's ratings of items."""

    @property
    def count(self) -> Tensor: ...
    @property
    def values(self) -> Tensor: ...
    def predict(self, x: Batch, user: Int[Tensor, " q"], item: Int[Tensor, " q"]) -> Float[Tensor, "q k"]: ...
    def known(self, name: str) -> Batch: ...


@dataclass(frozen=True)
class Recommend:
    """Every item that a user has not rated, ranked by what the model predicts.

    Args:
        options: the user and the least support.
        names: of the users in the starts, for messages.
        name: of the method.
    """

    options: RecommendOptions = field(default_factory=RecommendOptions)
    names: tuple[str, ...] = ()
    name: str = "rerank"

    def fits(self, model: object, objective: Objective, constraint: Constraint) -> str:
        """Why not, or empty."""
        if not isinstance(model, PredictsRatings):
            return "recommendation needs a model that predicts ratings"
        if [target.quantity.name for target in objective.targets] != ["rating"]:
            return "recommendations take --toward rating=high, rating=low or rating=LEVEL"
        return "recommendations keep nothing; omit --keep" if constraint else ""

    def run(
        self,
        model: object,
        start: Batch | None,
        objective: Objective,
        constraint: Constraint,
        budget: Budget,
        rng: Streams,
    ) -> Trail:
        """Rank items for every user.

        Args:
            model: predicts ratings.
            start: ratings of the users, a row each; None with a user of the options.
            objective: high, low, or a level.
            constraint: none.
            budget: ``top`` items for each user.
            rng: not used; nothing is drawn.

        Raises:
            CapabilityError: if the method does not fit.
            InputError: if no user is named, or nothing is left to recommend.
        """
        del rng
        reason = self.fits(model, objective, constraint)
        if reason or not isinstance(model, PredictsRatings):
            raise CapabilityError(reason)
        names = self.names
        if start is None:
            if self.options.user is None:
                raise InputError("there is no user to recommend to: pass --input FILE with ratings, or --user NAME")
            start, names = model.known(self.options.user), (self.options.user,)
        weight = self._weight(model, objective)
        fields: dict[str, list[Tensor]] = {"user": [], "item": [], "log_p": [], "value": []}
        for row in range(len(start)):
            x = start.take(slice(row, row + 1))
            free = model.count >= self.options.support
            mask = torch.ones_like(x["items"], dtype=torch.bool) if x.mask is None else x.mask
            free[x["items"][mask]] = False
            items = free.nonzero()[:, 0]
            if not len(items):
                name = names[row] if row < len(names) else f"user {row + 1}"
                raise InputError(
                    f"there is nothing to recommend to {name!r}; lower --support (now {self.options.support})"
                )
            log_p = model.predict(x, torch.zeros_like(items), items)
            value = log_p.exp() @ weight.to(log_p)
            best = value.argsort(descending=True, stable=True)[: budget.top]
            fields["user"].append(torch.full((len(best),), row))
            for name, whole in (("item", items), ("log_p", log_p), ("value", value)):
                fields[name].append(whole[best].cpu())
        facts: dict[str, object] = {"support": self.options.support}
        facts |= {} if self.options.user is None else {"user": self.options.user}
        joined = {name: torch.cat(parts) for name, parts in fields.items()}
        return Trail(Batch(joined), joined["user"], {"score": joined["value"].float()}, facts=facts)

    @staticmethod
    def _weight(model: PredictsRatings, objective: Objective) -> Float[Tensor, " k"]:
        target = objective.targets[0]
        word = target.quantity.argument
        if word in {"high", "low"}:
            return model.values if word == "high" else -model.values
        return torch.nn.functional.one_hot(torch.tensor(int(word)), len(model.values)).to(model.values)
