"""The peptides that a model knows, and what counts as a negative for each of them.

A binder of one peptide is a negative for another only if both peptides' receptors come from the same species (else
telling mouse from human would pass for telling binders apart) and the peptides do not overlap (nested or near-identical
peptides share binders).
"""

from typing import Self

import torch
from jaxtyping import Bool, Float, Int
from pydantic import model_validator
from torch import Tensor

from zsteer.core.artifact import Settings
from zsteer.core.batch import Batch
from zsteer.domains.sequences.epitopes import related
from zsteer.errors import InputError, nearest

__all__ = ["Panel", "binding_loss", "negative_weights", "rates_of", "rivals"]


class Panel(Settings):
    """Peptides in the order of their indices.

    Args:
        peptides: one-letter residues.
        hosts: species of each peptide's receptors; empty means human throughout.
    """

    peptides: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.hosts and len(self.hosts) != len(self.peptides):
            raise ValueError(f"expected one host for each of {len(self.peptides)} peptides, got {len(self.hosts)}")
        if len(set(self.peptides)) != len(self.peptides):
            raise ValueError("expected every peptide once, got one twice")
        return self

    def index(self, peptide: str) -> int:
        """Index of a peptide.

        Raises:
            InputError: if the model does not know it; the message names the nearest one.
        """
        if peptide not in self.peptides:
            raise InputError(nearest(peptide, self.peptides, what="peptide"))
        return self.peptides.index(peptide)


def rivals(panel: Panel) -> Bool[Tensor, "p p"]:
    """Entry (i, j): whether binders of peptide i are negatives for peptide j."""
    hosts = panel.hosts or ("human",) * len(panel.peptides)
    names = panel.peptides
    rows = [
        [hosts[i] == hosts[j] and not related(names[i], names[j]) for j in range(len(names))] for i in range(len(names))
    ]
    return torch.tensor(rows, dtype=torch.bool).reshape(len(names), len(names))


def rates_of(table: Batch, peptides: int, power: float) -> Float[Tensor, " p"]:
    """Share of each peptide among the binders of a batch, when peptides are drawn with weight count^power.

    Args:
        table: binders, with field ``peptide``.
        peptides: number of peptides.
        power: 1 draws rows alike, 0 draws peptides alike.

    Raises:
        InputError: if a peptide has no row.
    """
    counts = torch.bincount(table["peptide"], minlength=peptides).double()
    if bool((counts == 0).any()):
        raise InputError(f"expected at least one binder of every peptide, got none of number {int(counts.argmin())}")
    weight = counts**power
    return (weight / weight.sum()).float()


def negative_weights(
    allowed: Bool[Tensor, "p p"], rates: Float[Tensor, " p"], background: float
) -> tuple[Float[Tensor, "p p"], Float[Tensor, " p"]]:
    r"""Weights that give every peptide, in expectation, negatives of the same total weight as its positives.

    Half of it falls on rivals' binders and half on background: with r the rates of binders in a batch,

    .. math:: W_{pq} = \frac{r_q}{2} \frac{A_{pq}}{\sum_{p'} r_{p'} A_{p'q}}, \quad
              V_q = \frac{r_q}{2} \frac{1}{r_{\text{background}}}

    Args:
        allowed: A, from ``rivals``.
        rates: share of each peptide's binders in a batch; they sum to 1 - background.
        background: share of background rows in a batch; 0 puts all the weight on rivals.

    Returns:
        W, weight of a binder of p in the loss of q, and V, weight of a background row in the loss of q.
    """
    mass = (rates[:, None] * allowed).sum(0).clamp(min=1e-9)
    half = 0.5 if background > 0 else 1.0
    swap = half * rates[None, :] * allowed / mass[None, :]
    return swap, (rates * (1 - half) / background if background > 0 else torch.zeros_like(rates))


def binding_loss(
    logits: Float[Tensor, "b p"],
    peptide: Int[Tensor, " b"],
    label: Int[Tensor, " b"],
    weights: tuple[Float[Tensor, "p p"], Float[Tensor, " p"]],
) -> Float[Tensor, " b"]:
    r"""Weighted binary cross-entropy of every row against every peptide, summed over peptides.

    Args:
        logits: of binding each peptide.
        peptide: the row's own peptide; -1 for background.
        label: 1 if the row binds its own peptide; 0 with a peptide is a negative for that peptide alone.
        weights: from ``negative_weights``.
    """
    swap, against = weights
    own = torch.nn.functional.one_hot(peptide.clamp(min=0), logits.shape[1]).to(logits.dtype)
    known, binds = (peptide >= 0)[:, None], (label == 1)[:, None]
    weight = torch.where(known, torch.where(binds, own + swap[peptide.clamp(min=0)], own), against[None, :])
    target = own * (known & binds)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return 2.0 * (loss * weight).sum(1)
