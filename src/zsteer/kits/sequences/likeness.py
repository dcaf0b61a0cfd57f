"""How much receptors resemble examples, and how far that can be trusted: each example scored by a fit on the others."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.core.batch import Batch
from zsteer.core.rng import Streams
from zsteer.errors import InputError
from zsteer.evaluate.intervals import Draws
from zsteer.evaluate.report import Interval
from zsteer.kits.sequences.companions import Family
from zsteer.kits.sequences.editors import CodeEditor
from zsteer.kits.sequences.scores import numbers
from zsteer.models.dwae.target import LeftOut, Resemblance

__all__ = ["Likeness"]

HIGH = 0.95
"""Share of drawn receptors that a score must lie above to count as telling."""


@dataclass(frozen=True)
class Likeness:
    """The resemblance of receptors to examples by the code of what they bind.

    Args:
        model: whose code.
        family: whose language model draws the receptors that stand for the background.
        examples: as the model holds them.
    """

    model: CodeEditor
    family: Family
    examples: Batch

    def scores(self, x: Batch) -> Float[Tensor, " b"]:
        """Of receptors."""
        return self._resemblance(x).mean.cpu()

    @cached_property
    def background(self) -> Float[Tensor, " m"]:
        """Scores of the drawn receptors, sorted."""
        return self.scores(self.family.drawn.to(self.examples.device)).sort().values

    @cached_property
    def left_out(self) -> LeftOut | None:
        """Each distinct example by a fit on the others; None where there is only one."""
        try:
            found = self._resemblance.leave_one_out(self.family.drawn.to(self.examples.device))
        except InputError:
            return None
        return LeftOut(found.score.cpu(), found.below.cpu())

    @cached_property
    def area(self) -> Interval | None:
        """Area under the curve of the examples left out, against the drawn receptors, with its bootstrap interval."""
        if self.left_out is None:
            return None
        below = self.left_out.below.numpy().astype(np.float64)
        return Draws.of(len(below), Streams.of(0, 1).child("leave one out")).mean(below)

    @cached_property
    def line(self) -> str:
        """What leaving one out says, in one line."""
        if self.area is None or self.left_out is None:
            return "not known: it takes two distinct examples at least"
        above = float((self.left_out.below >= HIGH).double().mean())
        return (
            f"AUC {self.area} (n = {self.area.n} examples, each scored by a fit on the others, against "
            f"{len(self.background):,} receptors drawn from the language model); {above:.0%} of them score above "
            f"{HIGH:.0%} of these"
        )

    def columns(self, x: Batch) -> Mapping[str, list[str]]:
        """As text columns of a file: score, share of drawn receptors below it, and the area under the curve."""
        score = self.scores(x)
        above = torch.searchsorted(self.background, score) / len(self.background)
        area = "" if self.area is None else f"{self.area.value:.3f}"
        return {"like_score": numbers(score), "like_above": numbers(above), "leave_one_out_auc": [area] * len(score)}

    @cached_property
    def _resemblance(self) -> Resemblance:
        return self.model.resembles(self.examples)
