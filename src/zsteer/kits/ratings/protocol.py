"""The protocol ``ratings``: how well a model predicts ratings that it has not seen, with the baselines beside it."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from zsteer.core.catalog import load_model
from zsteer.domains.ratings import files
from zsteer.domains.ratings.space import Known, Ratings, Skipped
from zsteer.errors import CapabilityError, InputError
from zsteer.evaluate.report import Report
from zsteer.kits.common import note_reading
from zsteer.kits.protocols import EvaluationRequest
from zsteer.kits.ratings.kit import scale_of
from zsteer.kits.ratings.tables import judge, tables, verdict
from zsteer.models.ratings.baselines import fit_baselines
from zsteer.models.ratings.rating_rbm import RatingRBM

__all__ = ["RatingProtocol", "ratings"]


@dataclass(frozen=True)
class RatingProtocol:
    """Predictions of a model.

    Args:
        model: that keeps the ratings of its users.
    """

    model: RatingRBM

    def read(self, path: Path, *, skip_invalid: bool) -> Ratings:
        """Read ratings of the model's users and items, beyond its training.

        Raises:
            InputError: if a level, item or user is unknown; file and row are named.
        """
        against = Known(self.model.items, scale_of(self.model))
        found = files.read(path, against=against, skip_invalid=skip_invalid)
        number = {name: k for k, name in enumerate(self.model.users)}
        known = self.kept()
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
        note_reading(path, found.notes, [f"row {one.row}: {one.reason}" for one in skipped])
        order = torch.argsort(torch.tensor(who), stable=True)
        part = found.take(torch.tensor(kept))
        columns = {name: getattr(part, name)[order] for name in ("item", "level", "row")}
        user = torch.tensor(who)[order]
        return replace(part, users=self.model.users, user=user, skipped=skipped, **columns)

    def kept(self) -> Ratings:
        """The ratings that the model keeps."""
        m = self.model
        user = torch.repeat_interleave(torch.arange(len(m.users)), m.known_start.cpu().diff())
        item, level = m.known_item.cpu(), m.known_level.cpu()
        return Ratings(m.users, m.items, scale_of(m), user, item, level, torch.zeros_like(user), "kept ratings")

    def evaluate(self, samples: Ratings, request: EvaluationRequest) -> Report:
        """Errors and calibration of the model, the baselines and a blend."""
        kept = self.kept()
        judged = judge(self.model, fit_baselines(kept), kept, samples, seed=request.seed)
        first = judged[0]
        summary = [
            f"{verdict(judged)}; on {len(samples):,} ratings, middle 95 % of draws {first.rmse.range}.",
            f"Log-loss {first.log_loss} nats a rating; baselines were fitted to the ratings that the model keeps.",
        ]
        if samples.skipped:
            one = samples.skipped[0]
            summary.append(f"{len(samples.skipped)} rows were left out; row {one.row}: {one.reason}")
        facts = {"model": self.model.kind, "data": samples.source, "seed": request.seed}
        return Report("Predicted ratings", summary, tables(judged), facts=facts)


def ratings(models: Path | None) -> RatingProtocol:
    """The protocol for a trained model.

    Raises:
        InputError: if no model is named, or it is of another kind.
        CapabilityError: if the model keeps no ratings.
    """
    if models is None:
        raise InputError("the ratings protocol needs --models MODEL: a run folder or an artifact")
    model: RatingRBM = load_model(models, kind=RatingRBM.kind, hint="the ratings protocol asks an rbm-ratings")
    if not model.users:
        raise CapabilityError(f"{models} keeps no ratings of its users; train it with --keep to evaluate it")
    return RatingProtocol(model)
