"""Strength of guidance for each peptide, chosen on held-out background with the design oracle; the judge is not asked.

For each strength the editor edits the same templates; the one whose plausible best proposals pass the design oracle
most often is kept. Peptides without a card, or with a weak one, keep 3.
"""

import torch

from zsteer.core import catalog
from zsteer.core.alphabet import PROTEIN
from zsteer.core.batch import Batch
from zsteer.core.goal import Budget, Goal
from zsteer.core.rng import Streams
from zsteer.domains.sequences.epitopes import PANELS
from zsteer.kits.sequences.companions import Family
from zsteer.kits.sequences.editors import EditRequest, make_editor
from zsteer.kits.sequences.options import EditorOptions
from zsteer.models.autoregressive import Autoregressive
from zsteer.scoring.card import LEAST_AREA

__all__ = ["choose_scales"]

STRENGTHS = (1.0, 2.0, 3.0, 4.0, 6.0)
USUAL = 3.0


def choose_scales(model: Autoregressive, oracle: str, background: Batch, *, templates: int = 100) -> tuple[float, ...]:
    """Strength of guidance for every peptide of an editor.

    Args:
        model: the editor.
        oracle: name or folder of the design oracle; the language model is looked for beside it.
        background: held-out receptors; the first ``templates`` in a seeded order are edited.
        templates: how many.
    """
    family = Family.beside(catalog.resolve(oracle))
    cards = family.oracle.cards
    order = Streams.of(0, 1).permutation("guidance", len(background))[0][:templates]
    starts = PROTEIN.batch(background["tokens"][order])
    chosen = []
    for peptide in model.settings.panel.peptides:
        worth = any(peptide in panel for panel in PANELS.values()) and peptide in cards
        if not worth or cards[peptide].area < LEAST_AREA:
            chosen.append(USUAL)
            continue
        passed = [_passed(model, family, peptide, scale, starts) for scale in STRENGTHS]
        chosen.append(STRENGTHS[int(torch.tensor(passed).argmax())])
    return tuple(chosen)


def _passed(model: Autoregressive, family: Family, peptide: str, scale: float, starts: Batch) -> float:
    options = EditorOptions(scale=scale)
    steer = make_editor(model, family, EditRequest(peptide, None, Budget(edits=4), options, 3, indels=True))
    trail = steer(starts, Goal(), Budget(edits=4), Streams.of(0, len(starts)))
    good = trail.scores["oracle"] >= family.oracle.cards[peptide].threshold
    return float((good & (family.language.plausible(trail.batch) >= 0)).float().mean())
