"""Every score of receptors for one peptide, side by side: both oracles, plausibility, validity, copies.

The design oracle may have chosen the sequences; the judge never has. A share that passes is read beside the share of
real held-out binders that pass.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from zsteer.core.alphabet import PROTEIN
from zsteer.core.batch import Batch
from zsteer.errors import InputError
from zsteer.kits.sequences.companions import Family

__all__ = ["Scores", "score"]


@dataclass(frozen=True)
class Scores:
    """Scores of ``b`` sequences for one peptide.

    Args:
        peptide: the peptide.
        design: mean logit of the design oracle.
        design_pass: whether it reaches the threshold of 1 % false positives.
        judge: the judge's score, -log10 of the share of background above; NaN without a judge.
        judge_pass: whether it reaches its threshold; false without a judge.
        plausible: log-probability above the floor of the language model. [nats]
        valid: whether the published score holds it for a receptor.
        copied: whether it is a receptor that the design models learned from.
    """

    peptide: str
    design: Float[Tensor, " b"]
    design_pass: Bool[Tensor, " b"]
    judge: Float[Tensor, " b"]
    judge_pass: Bool[Tensor, " b"]
    plausible: Float[Tensor, " b"]
    valid: Bool[Tensor, " b"]
    copied: Bool[Tensor, " b"]

    def columns(self) -> dict[str, list[str]]:
        """The scores as text columns of a file."""

        def numbers(x: Tensor) -> list[str]:
            return ["" if value != value else f"{value:.3f}" for value in x.tolist()]  # noqa: PLR0124 - NaN

        def marks(x: Tensor) -> list[str]:
            return ["T" if value else "F" for value in x.tolist()]

        return {
            "design_score": numbers(self.design),
            "design_pass": marks(self.design_pass),
            "judge_score": numbers(self.judge),
            "judge_pass": marks(self.judge_pass),
            "plausibility": numbers(self.plausible),
            "plausible": marks(self.plausible >= 0),
            "valid": marks(self.valid),
            "copied": marks(self.copied),
        }


def score(family: Family, x: Batch, peptide: str) -> Scores:
    """Score receptors for a peptide.

    Args:
        family: where the models are.
        x: ``tokens`` with the mask.
        peptide: the peptide that they should bind.

    Raises:
        InputError: if the design oracle does not know the peptide.
    """
    oracle, judge = family.oracle, family.judge
    if peptide not in oracle.cards:
        raise InputError(f"{peptide}: the design oracle has too few test binders to set a threshold for it")
    tokens = x["tokens"].cpu()
    plain = PROTEIN.batch(tokens)
    design = oracle.binds(peptide)(plain).mean
    judged = torch.full_like(design, torch.nan)
    passed = torch.zeros_like(design, dtype=torch.bool)
    if peptide in judge.cards:
        judged = judge.oracle(peptide)(plain).mean
        passed = judged >= judge.card(peptide).threshold
    return Scores(
        peptide,
        design,
        design >= oracle.cards[peptide].threshold,
        judged,
        passed,
        family.language.plausible(plain),
        family.validity.valid(plain),
        oracle.copied(plain),
    )
