"""Every score of receptors for one peptide, side by side: both oracles, plausibility, validity, copies.

The design oracle may have chosen the sequences; the judge never has. A share that passes is read beside the share of
real held-out binders that pass. Where there is no judge, nothing is said of passing it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from zsteer.core.alphabet import PROTEIN
from zsteer.core.batch import Batch
from zsteer.domains.sequences.metrics import nearest_distance
from zsteer.domains.sequences.space import SequenceSpace
from zsteer.errors import InputError
from zsteer.kits.sequences.companions import Family

__all__ = ["NO_JUDGE", "Look", "Nearest", "Scores", "look", "marks", "nearest_of", "score"]

CHUNK = 1024
"""Receptors that are scored at once; features of the judge take 100 kB each."""
NO_JUDGE = "no judge"


def numbers(x: Tensor) -> list[str]:
    """Numbers as cells of a table; empty for NaN."""
    return ["" if value != value else f"{value:.3f}" for value in x.tolist()]  # noqa: PLR0124 - NaN


def marks(x: Tensor) -> list[str]:
    """Truth values as cells of a table."""
    return ["T" if value else "F" for value in x.tolist()]


def share(x: Tensor) -> float:
    """Share of what is true."""
    return round(float(x.float().mean()), 3)


@dataclass(frozen=True)
class Look:
    """What can be said of ``b`` receptors without a peptide.

    Args:
        plausible: log-probability above the floor of the language model. [nats]
        valid: whether the published score holds it for a receptor.
        copied: whether it is a receptor that the design models learned from.
    """

    plausible: Float[Tensor, " b"]
    valid: Bool[Tensor, " b"]
    copied: Bool[Tensor, " b"]

    def columns(self) -> dict[str, list[str]]:
        """As text columns of a file."""
        return {
            "plausibility": numbers(self.plausible),
            "plausible": marks(self.plausible >= 0),
            "valid": marks(self.valid),
            "copied": marks(self.copied),
        }

    def shares(self) -> dict[str, object]:
        """Share of each."""
        return {"plausible": share(self.plausible >= 0), "valid": share(self.valid), "copied": share(self.copied)}


@dataclass(frozen=True)
class Scores:
    """Scores of ``b`` sequences for one peptide.

    Args:
        peptide: the peptide.
        design: mean logit of the design oracle.
        design_pass: whether it reaches the threshold of 1 % false positives.
        judge: the judge's score, -log10 of the share of background above; NaN without a judge.
        judge_pass: whether it reaches its threshold; false without a judge.
        judged: whether there is a judge.
        look: what can be said without the peptide.
    """

    peptide: str
    design: Float[Tensor, " b"]
    design_pass: Bool[Tensor, " b"]
    judge: Float[Tensor, " b"]
    judge_pass: Bool[Tensor, " b"]
    judged: bool
    look: Look

    @property
    def plausible(self) -> Float[Tensor, " b"]:
        """Log-probability above the floor of the language model. [nats]"""
        return self.look.plausible

    @property
    def valid(self) -> Bool[Tensor, " b"]:
        """Whether the published score holds it for a receptor."""
        return self.look.valid

    @property
    def copied(self) -> Bool[Tensor, " b"]:
        """Whether it is a receptor that the design models learned from."""
        return self.look.copied

    @property
    def best(self) -> Float[Tensor, " b"]:
        """What designs and templates are compared by: the judge's score, the design oracle's where there is none."""
        return self.judge if self.judged else self.design

    def columns(self) -> dict[str, list[str]]:
        """The scores as text columns of a file; nothing stands where there is no judge."""
        return {
            "design_score": numbers(self.design),
            "design_pass": marks(self.design_pass),
            "judge_score": numbers(self.judge),
            "judge_pass": marks(self.judge_pass) if self.judged else [""] * len(self.design),
            **self.look.columns(),
        }

    def shares(self) -> dict[str, object]:
        """Share that passes each."""
        passed = share(self.judge_pass) if self.judged else f"{NO_JUDGE} for {self.peptide}"
        return {"design_pass": share(self.design_pass), "judge_pass": passed, **self.look.shares()}


@torch.no_grad()
def look(family: Family, x: Batch) -> Look:
    """What can be said of receptors without a peptide.

    Args:
        family: where the models are.
        x: ``tokens`` with the mask.
    """
    parts = [PROTEIN.batch(piece["tokens"].cpu()) for piece in x.chunks(CHUNK)] or [PROTEIN.batch(x["tokens"].cpu())]
    return Look(
        torch.cat([family.language.plausible(part) for part in parts]),
        torch.cat([family.validity.valid(part) for part in parts]),
        torch.cat([family.oracle.copied(part) for part in parts]),
    )


@torch.no_grad()
def score(family: Family, x: Batch, peptide: str, judge_scores: Float[Tensor, " b"] | None = None) -> Scores:
    """Score receptors for a peptide.

    Args:
        family: where the models are.
        x: ``tokens`` with the mask.
        peptide: the peptide that they should bind.
        judge_scores: scores of the judge, where they are there already.

    Raises:
        InputError: if the design oracle does not know the peptide.
    """
    oracle, judge = family.oracle, family.judge
    if peptide not in oracle.cards:
        raise InputError(f"{peptide}: the design oracle has too few test binders to set a threshold for it")
    binds, judged = oracle.binds(peptide), peptide in judge.cards
    parts = [PROTEIN.batch(piece["tokens"].cpu()) for piece in x.chunks(CHUNK)] or [PROTEIN.batch(x["tokens"].cpu())]
    design = torch.cat([binds(part).mean for part in parts])
    passed = torch.zeros_like(design, dtype=torch.bool)
    if not judged:
        judge_scores = torch.full_like(design, torch.nan)
    elif judge_scores is None:
        judge_scores = torch.cat([judge.oracle(peptide)(part).mean for part in parts])
    if judged:
        passed = judge_scores >= judge.card(peptide).threshold
    return Scores(
        peptide,
        design,
        design >= oracle.cards[peptide].threshold,
        judge_scores,
        passed,
        judged=judged,
        look=look(family, x),
    )


@dataclass(frozen=True)
class Nearest:
    """The nearest of some examples to each of ``b`` receptors.

    Args:
        examples: as texts.
        edits: from each receptor to the nearest.
        index: which one that is.
    """

    examples: Sequence[str]
    edits: Tensor
    index: Tensor

    def columns(self) -> dict[str, list[str]]:
        """As text columns of a file."""
        return {
            "nearest_example": [str(self.examples[int(k)]) for k in self.index],
            "example_edits": [str(k) for k in self.edits.tolist()],
        }

    def shares(self) -> dict[str, object]:
        """Mean distance, and the share of copies of an example."""
        mean = round(float(self.edits.double().mean()), 2)
        return {"examples": len(self.examples), "mean_example_edits": mean, "is_example": share(self.edits == 0)}


def nearest_of(x: Batch, examples: Sequence[str]) -> Nearest:
    """The nearest of some examples to each receptor.

    Args:
        x: ``tokens`` with the mask.
        examples: as texts.
    """
    distinct = list(dict.fromkeys(examples))
    edits, index = nearest_distance(x["tokens"].cpu(), SequenceSpace().encode(distinct)["tokens"])
    return Nearest(distinct, edits, index)
