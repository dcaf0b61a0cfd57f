"""``Card``: how far an oracle can be trusted, kept with it and shown beside every score.

A threshold is the score that 1 % of background sequences reach; the share of real binders that reach it is the scale
for any design method: one that passes far more often is over-optimistic, not better than nature.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.domains.sequences.oracles import area_error, area_under_curve
from zsteer.errors import ArtifactError, InputError, RefusedError, nearest

__all__ = ["LEAST_AREA", "Card", "card_of", "cards_from", "cards_text", "require"]

LEAST_AREA = 0.75
"""An oracle below this area under the curve cannot tell good designs from bad ones."""


@dataclass(frozen=True)
class Card:
    """Figures of an oracle for one property, measured on data that it has not seen.

    Args:
        peptide: the peptide whose binding is judged.
        area: area under the curve, negatives half swapped and half background.
        area_error: its standard error.
        area_swap: the same against swapped negatives of the same host alone.
        threshold: score that 1 % of the background reaches.
        real_pass: share of recorded held-out binders that reach it.
        trained_on: recorded binders that the oracle learned from.
        tested_on: recorded binders behind ``area`` and ``real_pass``.
    """

    peptide: str
    area: float
    area_error: float
    area_swap: float
    threshold: float
    real_pass: float
    trained_on: int
    tested_on: int


def card_of(
    peptide: str,
    binders: Float[Tensor, " a"],
    swapped: Float[Tensor, " s"],
    background: Float[Tensor, " m"],
    *,
    trained_on: int,
) -> Card:
    """Measure an oracle on held-out scores.

    Args:
        peptide: the peptide whose binding is judged.
        binders: scores of recorded binders.
        swapped: scores of recorded binders of other peptides of the same host.
        background: scores of background sequences, at least as many as ``swapped``.
        trained_on: recorded binders that the oracle learned from.

    Raises:
        InputError: if there are fewer than 5 binders.
    """
    if len(binders) < 5:
        raise InputError(f"{peptide}: expected at least 5 held-out binders to test an oracle, got {len(binders)}")
    threshold = float(torch.quantile(background.double(), 0.99))
    both = torch.cat([swapped, background[: len(swapped)]])
    area = area_under_curve(binders, both)
    return Card(
        peptide=peptide,
        area=area,
        area_error=area_error(area, len(binders), len(both)),
        area_swap=area_under_curve(binders, swapped),
        threshold=threshold,
        real_pass=float((binders >= threshold).float().mean()),
        trained_on=trained_on,
        tested_on=len(binders),
    )


def cards_text(cards: Mapping[str, Card]) -> str:
    """Cards as JSON text."""
    return json.dumps({name: asdict(card) for name, card in cards.items()}, indent=1, sort_keys=True) + "\n"


def cards_from(text: str, *, where: str) -> dict[str, Card]:
    """Cards from JSON text.

    Raises:
        ArtifactError: if the text does not hold cards.
    """
    try:
        return {name: Card(**values) for name, values in json.loads(text).items()}
    except (TypeError, ValueError, AttributeError) as error:
        raise ArtifactError(f"{where} cannot be read ({error}); fetch or train it again") from None


def require(cards: Mapping[str, Card], peptide: str, *, force: bool = False) -> Card:
    """The card of a peptide, if its oracle is worth asking.

    Raises:
        InputError: if there is no card for the peptide; the nearest one is named.
        RefusedError: if its area under the curve is below 0.75 and ``force`` is false.
    """
    if peptide not in cards:
        raise InputError(nearest(peptide, cards, what="peptide"))
    card = cards[peptide]
    if card.area < LEAST_AREA and not force:
        raise RefusedError(
            f"{peptide}: the judge tells binders from others with an area under the curve of only {card.area:.2f} "
            f"(needed: {LEAST_AREA}), so a result would mean little; pass --force to go on all the same"
        )
    return card
