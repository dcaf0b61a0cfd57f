"""The kit of ratings: fill in a user's blanks, and recommend what a user has not rated."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zsteer.core.batch import Batch
from zsteer.core.goal import Term, Trail
from zsteer.core.objective import Part, Target
from zsteer.core.options import Options
from zsteer.core.property import Property
from zsteer.domains.ratings import files
from zsteer.domains.ratings.space import Known, Ratings, Scale
from zsteer.errors import InputError, SettingsError, nearest
from zsteer.kits.base import NOTHING, Samples, Subject
from zsteer.kits.common import note_reading
from zsteer.kits.ratings.options import OPTIONS

__all__ = ["RatingKit", "RatingModel", "table_of"]


@runtime_checkable
class RatingModel(Protocol):
    """A model of ratings with names of users and items."""

    @property
    def users(self) -> Sequence[str]: ...
    @property
    def items(self) -> Sequence[str]: ...
    @property
    def values(self) -> Tensor: ...
    @property
    def count(self) -> Tensor: ...
    @property
    def settings(self) -> Any: ...
    def known(self, name: str) -> Batch: ...
    def predict(self, x: Batch, user: Int[Tensor, " q"], item: Int[Tensor, " q"]) -> Float[Tensor, "q k"]: ...


def scale_of(model: RatingModel) -> Scale:
    """The levels of a model."""
    return Scale(tuple(model.settings.levels), tuple(model.settings.values))


def table_of(columns: Mapping[str, Sequence[object]], facts: Mapping[str, Any]) -> Samples:
    """Rows of a table as samples."""
    text = io.StringIO()
    text.write(",".join(columns) + "\n")
    for row in zip(*columns.values(), strict=True):
        text.write(",".join(str(cell) for cell in row) + "\n")
    count = len(next(iter(columns.values())))
    lines = text.getvalue().splitlines()
    return Samples("ratings", dict(columns), dict(columns), dict(facts), lines, count=count)


class RatingKit:
    """What ratings offer a user."""

    domain: str = "ratings"
    options: Options = OPTIONS

    def read(self, path: Path, subject: Subject | None = None, *, skip_invalid: bool = False) -> Samples:
        """Read ratings of the model's items on its scale.

        Raises:
            InputError: if a level or item is unknown; file and row are named.
        """
        against = None
        if subject is not None:
            against = Known(subject.model.items, scale_of(subject.model))
        found = files.read(path, against=against, skip_invalid=skip_invalid)
        skipped = [f"row {entry.row}: {entry.reason}" for entry in found.skipped]
        note_reading(path, found.notes, skipped)
        return Samples("ratings", found, skipped=skipped, source=str(path), count=len(found.users))

    def take(self, things: object, subject: Subject) -> Samples:
        """Ratings that were read, or the name of a known user.

        Raises:
            InputError: if they are something else, or the user is unknown.
        """
        if isinstance(things, str):
            subject.model.known(things)
            return Samples("ratings", things, count=1)
        if not isinstance(things, Ratings):
            raise InputError(f"expected ratings, a file, or the name of a user, got {type(things).__name__}")
        return Samples("ratings", things, count=len(things.users))

    def write(self, path: Path, samples: Samples, *, overwrite: bool) -> None:
        """Write rows by the file's ending."""
        files.write(path, dict(samples.items), overwrite=overwrite)

    def check_ending(self, path: Path) -> None:
        """Refuse an ending that cannot be written, before any work is done."""
        files.check_ending(path)

    def encode(self, samples: Samples, subject: Subject) -> Batch:
        """The users of a file, a row each; known users keep what the model knows of them."""
        if isinstance(samples.items, str):
            return subject.model.known(samples.items).to(subject.device)
        if not isinstance(samples.items, Ratings):
            raise InputError("expected ratings of a file, or the name of a user")
        rows = [self._user(subject.model, samples.items, k, name) for k, name in enumerate(samples.items.users)]
        return Batch.cat(rows).to(subject.device)

    @staticmethod
    def _user(model: RatingModel, found: Ratings, k: int, name: str) -> Batch:
        x = found.batch(torch.tensor([k]))
        own = {int(i): int(v) for i, v in zip(x["items"][0], x["levels"][0], strict=True)}
        if name in model.users:
            old = model.known(name).to("cpu")
            mask = torch.ones_like(old["items"], dtype=torch.bool) if old.mask is None else old.mask
            own = dict(zip(old["items"][mask].tolist(), old["levels"][mask].tolist(), strict=True)) | own
        both = torch.tensor([list(own), list(own.values())])
        return Batch({"items": both[:1], "levels": both[1:]}, mask=torch.ones_like(both[:1], dtype=torch.bool))

    def things(self, subject: Subject, x: Batch) -> Batch:
        """Ratings as the model holds them."""
        del subject
        return x

    def things_of(self, samples: Samples) -> Any:
        """Ratings of a file have no properties.

        Raises:
            InputError: always.
        """
        del samples
        raise InputError("ratings take no property; evaluate them with --protocol ratings")

    def adapt(self, things: Batch) -> Any:
        """What a property of one's own would take.

        Raises:
            InputError: always; recommendations rank by what the model predicts.
        """
        del things
        raise InputError("ratings take no property of your own")

    def properties(self, subject: Subject) -> Mapping[str, Property]:
        """None: what is wanted of a rating is a level."""
        del subject
        return {}

    def targets(self, subject: Subject, terms: Sequence[Term]) -> tuple[Target, ...]:
        """High, low or a level of the scale.

        Raises:
            SettingsError: if the goal is another.
        """
        if [term.name for term in terms] != ["rating"] or terms[0].relation != "is":
            raise SettingsError("recommendations take --toward rating=high, rating=low or rating=LEVEL")
        scale, wanted = scale_of(subject.model), str(terms[0].value)
        argument = wanted
        if wanted not in {"high", "low"} or scale.index(wanted) >= 0:
            level = scale.index(wanted)
            if level < 0:
                known = [*scale.names, "high", "low"]
                raise SettingsError("--toward rating: " + nearest(wanted, known, what="level"))
            argument = str(level)
        return (Target(Property("rating", help="what a user would give an item", argument=argument), sign=1),)

    def parts(self, subject: Subject, keep: Mapping[str, object], start: Samples | None) -> tuple[Part, ...]:
        """None."""
        del subject, start
        self.options.parse("keep", keep)
        return ()

    def problems(self, subject: Subject, x: Batch) -> Sequence[str] | None:
        """Every rating is one."""
        del subject, x
        return None

    def samples(
        self, subject: Subject, x: Batch, facts: Mapping[str, Any], given: Mapping[str, object] = NOTHING
    ) -> Samples:
        """Blanks filled in, all of one row together, with the distribution of each."""
        model, scale = subject.model, scale_of(subject.model)
        user = given.get("user")
        known = model.nobody() if user is None else model.known(str(user))
        blanks = x["items"][0]
        with torch.no_grad():
            log_p = model.predict(known, torch.zeros_like(blanks), blanks)
        n, m = len(x), len(blanks)
        mask = torch.ones_like(known["items"], dtype=torch.bool) if known.mask is None else known.mask
        columns: dict[str, Sequence[object]] = {
            "fill": [k + 1 for k in range(n) for _ in range(m)],
            "user": [user or "new user"] * (n * m),
            "item": [model.items[k] for k in blanks.tolist()] * n,
            "rating": [scale.names[k] for row in x["levels"].tolist() for k in row],
            **_spread(model, scale, log_p, n),
        }
        own = {"user": user or "new user", "rated": int(mask.sum()), "blanks": m}
        return table_of(columns, {**facts, **own})

    def results(self, subject: Subject, trail: Trail, start: Samples | None, targets: Sequence[Target]) -> Samples:
        """Recommendations, best first for each user."""
        model, scale, x = subject.model, scale_of(subject.model), trail.batch
        names = [str(trail.facts.get("user", ""))]
        if start is not None:
            names = [start.items] if isinstance(start.items, str) else list(start.items.users)
        word = targets[0].quantity.argument
        title = {"high": "expected", "low": "minus expected"}.get(word, "")
        title = title or f"wanted p({scale.names[int(word)]})"
        ranks: dict[int, int] = {}
        rank: list[int] = []
        for user in x["user"].tolist():
            ranks[user] = ranks.get(user, 0) + 1
            rank.append(ranks[user])
        columns: dict[str, Sequence[object]] = {
            "user": [names[k] for k in x["user"].tolist()],
            "rank": rank,
            "item": [model.items[k] for k in x["item"].tolist()],
            "support": [int(k) for k in model.count[x["item"].to(model.count.device)].tolist()],
        }
        if title != "expected":
            columns[title] = [f"{v:.3f}" for v in x["value"].tolist()]
        return table_of({**columns, **_spread(model, scale, x["log_p"])}, {"users": len(names), **trail.facts})


def _spread(
    model: RatingModel, scale: Scale, log_p: Float[Tensor, "m k"], times: int = 1
) -> dict[str, Sequence[object]]:
    """Columns of the distribution: the expectation and the probability of each level."""
    p = log_p.exp().double().cpu()
    values = model.values.double().cpu()
    columns: dict[str, Sequence[object]] = {"expected": [f"{x:.3f}" for x in (p @ values).tolist()] * times}
    for k, name in enumerate(scale.names):
        columns[f"p({name})"] = [f"{x:.4f}" for x in p[:, k].tolist()] * times
    return columns
