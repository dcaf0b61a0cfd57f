"""The kit of ratings: fill in a user's blanks, recommend, and say how well ratings are predicted."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zsteer.core import catalog
from zsteer.core.artifact import read_artifact
from zsteer.core.batch import Batch
from zsteer.core.goal import Budget, Goal
from zsteer.core.rng import Streams
from zsteer.domains.ratings import files
from zsteer.domains.ratings.space import Known, Ratings, Scale, Skipped
from zsteer.errors import CapabilityError, InputError, SettingsError, nearest
from zsteer.evaluate.report import Report
from zsteer.kits.base import Ask
from zsteer.kits.ratings.options import RatingKnobs
from zsteer.kits.ratings.tables import judge, tables
from zsteer.models.ratings.baselines import fit_baselines
from zsteer.models.ratings.rating_rbm import RatingRBM

__all__ = ["RatingDesigns", "RatingKit"]

BLANKS = 50
"""Blanks that are filled in when none are named: those of the most rated items."""


@dataclass(frozen=True)
class RatingDesigns:
    """Filled-in ratings or recommendations.

    Args:
        columns: by name, one entry for each row.
        facts: figures of the whole set.
    """

    columns: Mapping[str, Sequence[object]]
    facts: Mapping[str, Any] = field(default_factory=dict)
    noun = "ratings"

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    @property
    def lines(self) -> Sequence[str]:
        """Rows as comma-separated text under their heading."""
        text = io.StringIO()
        text.write(",".join(self.columns) + "\n")
        for row in zip(*self.columns.values(), strict=True):
            text.write(",".join(str(cell) for cell in row) + "\n")
        return text.getvalue().splitlines()


class RatingKit:
    """What ratings offer for a model.

    Args:
        model: a ``RatingRBM``.
        folder: the artifact folder that it came from.
        device: where it is.
    """

    def __init__(self, model: RatingRBM, folder: Path | None, device: torch.device, *, judging: bool = False) -> None:
        del folder
        self.model, self.device, self.asks = model, device, judging
        s = model.settings
        self.scale = Scale(tuple(s.levels), tuple(s.values))

    @classmethod
    def judging(cls, models: Path | None) -> "RatingKit":
        """The kit that evaluates a trained model.

        Raises:
            InputError: if no model is named.
            CapabilityError: if the model does not predict ratings.
        """
        if models is None:
            raise InputError("the ratings protocol needs --models MODEL: a run folder or an artifact")
        folder = catalog.resolve(models)
        artifact = read_artifact(folder)
        if artifact.kind != RatingRBM.kind:
            raise CapabilityError(f"{folder} holds a {artifact.kind!r}; the ratings protocol asks an rbm-ratings")
        model = RatingRBM.from_artifact(artifact, where=str(folder))
        if not model.users:
            raise CapabilityError(f"{folder} keeps no ratings of its users; train it with --keep to evaluate it")
        return cls(model, folder, torch.device("cpu"), judging=True)

    def read(self, path: Path, *, skip_invalid: bool) -> Ratings:
        """Read ratings of the model's items on its scale; to evaluate, of its users and beyond its training.

        Raises:
            InputError: if a level, item or (to evaluate) user is unknown; file and row are named.
        """
        against = Known(self.model.items, self.scale)
        found = files.read(path, against=against, skip_invalid=skip_invalid)
        return self._asked(found, skip_invalid=skip_invalid) if self.asks else found

    def _asked(self, found: Ratings, *, skip_invalid: bool) -> Ratings:
        """The same ratings by the numbers of the model's users; only such as it has not seen."""
        number = {name: k for k, name in enumerate(self.model.users)}
        known = self._kept()
        seen = set(zip(known.user.tolist(), known.item.tolist(), strict=True))
        who, kept, skipped = [], [], list(found.skipped)
        for k, (user, item) in enumerate(zip(found.user.tolist(), found.item.tolist(), strict=True)):
            name, row = str(found.users[user]), int(found.row[k])
            reason = ""
            if name not in number:
                reason = f"the user {name!r} is unknown to the model; --skip-invalid leaves such rows out"
            elif (number[name], item) in seen:
                reason = f"the model was trained on the rating of {self.model.items[item]!r} by {name!r}"
            if reason and not skip_invalid:
                raise InputError(f"{found.source}, row {row}: {reason}")
            if reason:
                skipped.append(Skipped(row, reason))
                continue
            who.append(number[name])
            kept.append(k)
        if not kept:
            raise InputError(f"{found.source}: no rating is left to judge by; the first: {skipped[0].reason}")
        order = torch.argsort(torch.tensor(who), stable=True)
        part = found.take(torch.tensor(kept))
        columns = {name: getattr(part, name)[order] for name in ("item", "level", "row")}
        user = torch.tensor(who)[order]
        return replace(part, users=self.model.users, user=user, skipped=skipped, **columns)

    def _kept(self) -> Ratings:
        """The ratings that the model keeps."""
        m = self.model
        user = torch.repeat_interleave(torch.arange(len(m.users)), m.known_start.cpu().diff())
        item, level = m.known_item.cpu(), m.known_level.cpu()
        return Ratings(m.users, m.items, self.scale, user, item, level, torch.zeros_like(user), "kept ratings")

    def write(self, path: Path, designs: RatingDesigns, *, overwrite: bool) -> None:
        """Write rows by the file's ending."""
        files.write(path, dict(designs.columns), overwrite=overwrite)

    def check_ending(self, path: Path) -> None:
        """Refuse an ending that cannot be written, before any work is done."""
        files.check_ending(path)

    def sample(self, n: int, given: Mapping[str, object], rng: Streams) -> RatingDesigns:
        """Fill in blanks, all of one row together: of a known user, or of a new one.

        Args:
            n: how many times.
            given: ``user`` by name, ``items`` by name with commas between; the user's blanks among the most rated
                items when absent.
            rng: one stream for each.

        Raises:
            InputError: if there is another condition, or a name is unknown.
        """
        for key in given:
            if key not in {"user", "items"}:
                raise InputError("--given: " + nearest(key, ("user", "items"), what="condition"))
        user = str(given["user"]) if "user" in given else None
        x = self.model.nobody() if user is None else self.model.known(user)
        blanks = self._blanks(x, given.get("items"))
        rows = torch.zeros(n, dtype=torch.long, device=self.device)
        with torch.no_grad():
            levels = self.model.fill(x.take(rows), blanks.expand(n, -1), rng)
            log_p = self.model.predict(x, torch.zeros_like(blanks), blanks)
        item = [self.model.items[k] for k in blanks.tolist()]
        names, m = self.scale.names, len(item)
        columns: dict[str, Sequence[object]] = {
            "fill": [k + 1 for k in range(n) for _ in range(m)],
            "user": [user or "new user"] * (n * m),
            "item": item * n,
            "rating": [names[k] for row in levels.tolist() for k in row],
            **self._spread(log_p, n),
        }
        facts: dict[str, Any] = {"user": user or "new user", "rated": int(self._mask(x).sum()), "blanks": m}
        return RatingDesigns(columns, facts)

    def _mask(self, x: Batch) -> Tensor:
        return torch.ones_like(x["items"], dtype=torch.bool) if x.mask is None else x.mask

    def _blanks(self, x: Batch, named: object) -> Int[Tensor, " m"]:
        seen = set(x["items"][self._mask(x)].tolist())
        if named is not None:
            chosen = [self._item(name.strip()) for name in str(named).split(",")]
            known = [self.model.items[k] for k in chosen if k in seen]
            if known:
                raise InputError(f"{known[0]!r} is no blank: the user has rated it")
        else:
            often = self.model.count.argsort(descending=True, stable=True).tolist()
            chosen = [k for k in often if k not in seen][:BLANKS]
            if not chosen:
                raise InputError("there is no blank to fill in: the user has rated every item")
        return torch.tensor(chosen, device=self.device)

    def _item(self, name: str) -> int:
        if name not in self.model.items:
            raise InputError(nearest(name, self.model.items, what="item"))
        return self.model.items.index(name)

    def _spread(self, log_p: Float[Tensor, "m k"], times: int = 1) -> dict[str, Sequence[object]]:
        """Columns of the distribution: the expectation and the probability of each level."""
        p = log_p.exp().double().cpu()
        values = self.model.values.double().cpu()
        columns: dict[str, Sequence[object]] = {"expected": [f"{x:.3f}" for x in (p @ values).tolist()] * times}
        for k, name in enumerate(self.scale.names):
            columns[f"p({name})"] = [f"{x:.4f}" for x in p[:, k].tolist()] * times
        return columns

    def steer(self, start: Any, goal: Goal, budget: Budget, knobs: RatingKnobs, rng: Streams) -> RatingDesigns:
        """Recommend: items that a user has not rated, best first.

        Args:
            start: ratings of the users that are asked about (known users keep what the model knows of them), the name
                of a known user, or None with the knob ``user``.
            goal: ``rating=high``, ``rating=low``, or ``rating=LEVEL`` for the most probable of a level.
            budget: ``top`` items for each user.
            knobs: support.
            rng: not used; nothing is drawn.

        Raises:
            InputError: if no user is named, or there is nothing to recommend.
            SettingsError: if the goal is another.
        """
        del rng
        if goal.given:
            raise SettingsError(f"recommendation takes no --given, got {', '.join(goal.given)}")
        users = self._starts(start if start is not None else knobs.user)
        weight, title = self._aim(goal)
        columns: dict[str, list[object]] = {"user": [], "rank": [], "item": [], "support": [], title: []}
        said: list[Tensor] = []
        for name, x in users:
            free = self.model.count >= knobs.support
            free[x["items"][self._mask(x)]] = False
            items = free.nonzero()[:, 0]
            if len(items) == 0:
                raise InputError(f"there is nothing to recommend to {name!r}; lower --support (now {knobs.support})")
            log_p = self.model.predict(x, torch.zeros_like(items), items)
            value = log_p.exp() @ weight.to(log_p)
            best = value.argsort(descending=True, stable=True)[: budget.top]
            said.append(log_p[best])
            columns["user"] += [name] * len(best)
            columns["rank"] += list(range(1, len(best) + 1))
            columns["item"] += [self.model.items[k] for k in items[best].tolist()]
            columns["support"] += [int(k) for k in self.model.count[items[best]].tolist()]
            columns[title] += [f"{v:.3f}" for v in value[best].tolist()]
        spread = self._spread(torch.cat(said))
        if title == "expected":
            del columns[title]
        return RatingDesigns({**columns, **spread}, {"users": len(users), "support": knobs.support})

    def _aim(self, goal: Goal) -> tuple[Float[Tensor, " k"], str]:
        if set(goal.toward) != {"rating"} or goal.keep:
            raise SettingsError("recommendations take --toward rating=high, rating=low or rating=LEVEL, and no --keep")
        wanted = str(goal.toward["rating"])
        values = self.model.values
        if wanted in {"high", "low"} and self.scale.index(wanted) < 0:
            return (values, "expected") if wanted == "high" else (-values, "minus expected")
        level = self.scale.index(wanted)
        if level < 0:
            raise SettingsError("--toward rating: " + nearest(wanted, [*self.scale.names, "high", "low"], what="level"))
        return torch.nn.functional.one_hot(torch.tensor(level), len(values)).to(values), f"wanted p({wanted})"

    def _starts(self, start: Any) -> list[tuple[str, Batch]]:
        """Users by name with all that is known of them."""
        if start is None:
            raise InputError("there is no user to recommend to: pass --input FILE with ratings, or --user NAME")
        if isinstance(start, str):
            return [(start, self.model.known(start).to(self.device))]
        found: list[tuple[str, Batch]] = []
        for k, name in enumerate(start.users):
            x = start.batch(torch.tensor([k]))
            own = {int(i): int(v) for i, v in zip(x["items"][0], x["levels"][0], strict=True)}
            if name in self.model.users:
                old = self.model.known(name).to("cpu")
                mask = self._mask(old)
                own = dict(zip(old["items"][mask].tolist(), old["levels"][mask].tolist(), strict=True)) | own
            both = torch.tensor([list(own), list(own.values())])
            fields = {"items": both[:1], "levels": both[1:]}
            found.append((name, Batch(fields, mask=torch.ones_like(both[:1], dtype=torch.bool)).to(self.device)))
        return found

    def evaluate(self, samples: Ratings, ask: Ask) -> Report:
        """How well the model predicts ratings that it has not seen, with the baselines beside it."""
        kept = self._kept()
        judged = judge(self.model, fit_baselines(kept), kept, samples, seed=ask.seed)
        first, bias = judged[0], judged[3]
        better = "below" if first.rmse.value < bias.rmse.value else "not below"
        summary = [
            f"RMSE {first.rmse} on {len(samples):,} ratings, {better} user + item bias ({bias.rmse.value:.4f}).",
            f"Log-loss {first.log_loss} nats a rating; baselines were fitted to the ratings that the model keeps.",
        ]
        if samples.skipped:
            one = samples.skipped[0]
            summary.append(f"{len(samples.skipped)} rows were left out; row {one.row}: {one.reason}")
        facts = {"model": self.model.kind, "data": samples.source, "seed": ask.seed}
        return Report("Predicted ratings", summary, tables(judged), facts=facts)
