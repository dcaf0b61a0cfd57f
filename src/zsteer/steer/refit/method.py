r"""``Refit``: draw, measure, weigh, learn anew, until the generator itself makes what is wanted.

The lecture's Algorithm 1 with three mends of what breaks it at its own sizes (docs/design.md has figures): weights
count every draw so far and not the last hundred; the threshold rises as far as enough effective draws remain; and what
was measured once is not drawn again. The answer is the weighted set, the prior given the goal, and the refitted model.
"""

import math
import time
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.core.artifact import Origin, Pretrained, write_artifact
from zsteer.core.batch import Batch
from zsteer.core.files import check_free
from zsteer.core.goal import Budget, Trail
from zsteer.core.objective import Constraint, Objective
from zsteer.core.protocols import Refittable
from zsteer.core.rng import Streams
from zsteer.errors import CapabilityError, InputError
from zsteer.maths.importance import effective_sample_size
from zsteer.steer.refit.options import RefitOptions
from zsteer.steer.refit.pool import Pool, thing
from zsteer.steer.refit.rules import RULES, Weighted, conditioned
from zsteer.steer.search.method import unmeasured

__all__ = ["Outcome", "Refit"]

TRIES = 8
"""Draws for each that is wanted new."""
ORDINARY = 0.05
"""Share of the prior's own draws that are less probable than what counts as in distribution."""
ASTRAY = 0.25
"""Share in distribution below which a rising score is no progress."""


@dataclass(frozen=True)
class Outcome:
    """Where a refit ended.

    Args:
        pool: everything that was drawn.
        model: the refitted model.
        log_weights: of all draws, for the prior given the set of ``level``. [nats]
        level: of the last round.
        history: figures of each round.
    """

    pool: Pool
    model: Refittable
    log_weights: Float[Tensor, " n"]
    level: float
    history: list[dict[str, float]]


@dataclass(frozen=True)
class Refit:
    """Conditioning by adaptive sampling, or a sibling.

    Args:
        options: the rule of the weights, rounds and draws.

    Lecture: cbas.loop
    """

    options: RefitOptions = field(default_factory=RefitOptions)
    name: str = field(default="refit", init=False)

    def fits(self, model: object, objective: Objective, constraint: Constraint) -> str:
        """Empty if this model can be refitted to this objective, else the reason why not."""
        missing = unmeasured(objective, constraint)
        if missing:
            return missing
        if not isinstance(model, Refittable):
            return f"{type(model).__name__} does not score the path of its own draws, so that they cannot be weighed"
        if objective.relative:
            return "a change counts from a start, and refit makes new samples; give a value"
        if constraint:
            return "refit makes new samples; there is no start of which anything is kept"
        if any(target.sign for target in objective.targets) and len(objective.targets) > 1:
            return "a direction (up, down) and other targets have no common level; give each a value or a range"
        return ""

    def run(
        self,
        model: object,
        start: Batch | None,
        objective: Objective,
        constraint: Constraint,
        budget: Budget,
        rng: Streams,
    ) -> Trail:
        """Refit, and return as many distinct designs as there are streams times ``budget.top``.

        They are drawn without replacement by their weight; where fewer reach the goal, the nearest follow.

        Raises:
            CapabilityError: if the method does not fit, or there are starts.
            InputError: if nothing that was drawn has a value.
        """
        reason = self.fits(model, objective, constraint)
        if reason:
            raise CapabilityError(f"refit: {reason}")
        if start is not None and len(start):
            raise CapabilityError("refit makes new samples and changes none; leave --input away, or use --by search")
        if not isinstance(model, Refittable):
            raise CapabilityError(f"refit: {type(model).__name__} does not score its own draws")
        if self.options.model_out is not None:
            if not isinstance(model, Pretrained):
                raise CapabilityError(f"--model-out: a {type(model).__name__} is not stored as an artifact; omit it")
            check_free(self.options.model_out, overwrite=False)
        began = time.perf_counter()
        most = None if budget.calls is None else budget.calls * len(rng)
        found = self.search(model, objective, rng, most=most)
        if self.options.model_out is not None and isinstance(found.model, Pretrained):
            found.model.origin = _origin(found, model, objective)
            write_artifact(self.options.model_out, found.model.artifact())
        return self._trail(found, len(rng) * budget.top, rng, time.perf_counter() - began)

    def search(self, model: Refittable, objective: Objective, rng: Streams, *, most: int | None = None) -> Outcome:
        """The loop itself.

        Args:
            model: the prior; it is not changed.
            objective: what is measured, and where it should lie.
            rng: its seed and path count, whatever its length.
            most: distinct things that may be measured.

        Raises:
            InputError: if nothing that was drawn has a value.
        """
        chosen, goal = self.options, math.inf if objective.targets[0].sign else 0.0
        pool = Pool(model, objective, chosen.error, most)
        history: list[dict[str, float]] = []
        present, weighted = model, Weighted(torch.zeros(0), -math.inf)
        replay = model.path(chosen.draws, self._streams(rng, "replay", chosen.draws))
        least = torch.quantile(model.log_prob_of_path(replay).double(), ORDINARY)
        for number in range(chosen.generations):
            path = self._draw(pool, present, self._streams(rng, "draws", TRIES * chosen.draws).at(number))
            if not len(path):
                break
            pool.add(path, present)
            weighted = RULES[chosen.weights](pool, chosen, weighted.level, goal)
            size = _effective(weighted.log_weights)
            history.append(self._figures(pool, weighted.level, size, float(least), number))
            if size:
                present = self._learn(pool, present, weighted.log_weights, size, replay, rng.at(number))
        if not len(pool) or not bool((pool.levels() > -torch.inf).any()):
            raise InputError(f"the goal has no value (NaN) for any of the {pool.calls} things that were measured")
        return Outcome(pool, present, conditioned(pool, weighted.level), weighted.level, history)

    def _streams(self, rng: Streams, name: str, count: int) -> Streams:
        return Streams(rng.seed, torch.arange(count, device=rng.ids.device), rng.path, rng.step).child(f"refit {name}")

    def _draw(self, pool: Pool, present: Refittable, streams: Streams) -> Batch:
        """A round's draws: those that are new, as many as the budget allows; with their repeats in the other rules."""
        n = self.options.draws if pool.left is None else min(self.options.draws, pool.left)
        if self.options.weights != "cbas" or not pool.exact:
            return present.path(n, streams.take(slice(0, n)))
        kept: list[Batch] = []
        for k in range(TRIES):
            piece = slice(k * self.options.draws, (k + 1) * self.options.draws)
            path = present.path(self.options.draws, streams.take(piece))
            kept.append(path)
            every = Batch.cat(kept)
            fresh = every.take(pool.new(every))
            if len(fresh) >= n:
                return fresh.take(slice(0, n))
            kept = [fresh]
        return kept[0]

    def _learn(
        self,
        pool: Pool,
        present: Refittable,
        log_weights: Float[Tensor, " n"],
        size: float,
        replay: Batch,
        rng: Streams,
    ) -> Refittable:
        """The present model refitted to weighted draws; their weights sum to the effective number of draws."""
        weight = size * torch.softmax(log_weights, 0)
        used = weight > 0
        path, weight = pool.everything().take(used), weight[used]
        if self.options.replay and self.options.weights in {"cbas", "fb"}:
            path = Batch.cat([path, replay])
            share = torch.full((len(replay),), self.options.replay / len(replay), dtype=torch.float64)
            weight = torch.cat([weight, share])
        return present.refit(path, weight, self._streams(rng, "learn", len(path)))

    def _figures(self, pool: Pool, level: float, size: float, least: float, number: int) -> dict[str, float]:
        """What a round shows."""
        last, reached = pool.last(), pool.levels()
        own = reached[last]
        own = own[own > -torch.inf]
        return {
            "round": float(number),
            "level": level,
            "effective": size,
            "mean": float(own.mean()) if len(own) else math.nan,
            "best": float(reached.max()),
            "inside": float((reached[pool.first()] >= 0).sum()),
            "calls": float(pool.calls),
            "in_distribution": float((pool.log_prior[last] >= least).double().mean()),
        }

    def _trail(self, found: Outcome, n: int, rng: Streams, seconds: float) -> Trail:
        pool, level = found.pool, pool_level(found)
        log_weights = conditioned(pool, level)
        noise = self._streams(rng, "choice", len(pool)).gumbel("weight").double()
        # The nearest to the goal follow those that lie in it.
        order = torch.where(log_weights > -torch.inf, log_weights + noise, pool.levels() - 1e6)
        order = torch.where(pool.first() & (pool.levels() > -torch.inf), order, -torch.inf)
        rows = order.argsort(descending=True)[: min(n, int((order > -torch.inf).sum()))]
        values = {name: value[rows] for name, value in pool.values().items()}
        weights = torch.softmax(log_weights, 0)[rows]
        scores = {**values, "score": pool.levels()[rows], "weight": weights}
        batch = thing(pool.everything().take(rows))
        facts: dict[str, object] = {
            "weights": self.options.weights,
            "rounds": len(found.history),
            "effective": round(found.history[-1]["effective"], 1),
            "in_distribution": round(found.history[-1]["in_distribution"], 3),
            "reached": int(found.history[-1]["inside"]),
        }
        warning = astray(found.history)
        if warning:
            facts["warning"] = warning
        return Trail(batch, torch.full((len(rows),), -1), scores, pool.calls, seconds, tuple(found.history), facts)


def _origin(found: Outcome, prior: object, objective: Objective) -> Origin:
    """Where a refitted model comes from: the prior's recipe and data, and no figure that was measured on the prior."""
    before = getattr(prior, "origin", Origin())
    goal = " ".join(target.text for target in objective.targets)
    last = found.history[-1]
    metrics = {name: round(last[name], 3) for name in ("effective", "mean", "in_distribution")}
    metrics |= {"calls": int(last["calls"]), "reached": int(last["inside"]), "rounds": len(found.history)}
    limits = f"refitted to {goal}, and not measured since; figures of the model that it comes from do not hold"
    return Origin(before.recipe, before.data, metrics, limits=limits)


def pool_level(found: Outcome) -> float:
    """The level of the designs that are returned: the goal's where anything reached it, else the last round's."""
    best = float(found.pool.levels().max())
    return 0.0 if best >= 0 and not found.pool.objective.targets[0].sign else found.level


def astray(history: list[dict[str, float]]) -> str:
    """Why a run's score is not to be believed; empty if nothing is wrong.

    The score rises while what is drawn leaves the prior's distribution: the oracle is asked about what it never saw.
    """
    for figures in history:
        share = figures["in_distribution"]
        if share < ASTRAY and figures["mean"] > history[0]["mean"]:
            return (
                f"from round {int(figures['round']) + 1} on the score rose while {1 - share:.0%} of the draws left the "
                "model's own distribution; an oracle that learned from such things is not to be believed there"
            )
    return ""


def _effective(log_weights: Float[Tensor, " n"]) -> float:
    """Effective draws; 0 where nothing has a weight."""
    there = log_weights[log_weights > -torch.inf]
    return float(effective_sample_size(there[None])) if len(there) else 0.0
