"""Pictures of a report on receptors: a logo, where edits were made, and how scores are spread."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from zsteer.core.alphabet import PROTEIN
from zsteer.domains.sequences.draw import align
from zsteer.domains.sequences.logo import edit_map, logo
from zsteer.domains.sequences.space import SequenceSpace
from zsteer.evaluate.curves import histogram
from zsteer.evaluate.report import Block

__all__ = ["pictures", "spread_of"]

ALIGNED = 2000
"""Designs, the first ones, that are put in line with their templates."""


def pictures(tokens: Tensor, templates: Tensor | None = None) -> list[Block]:
    """The logo of receptors, and of their templates with where the two differ.

    Args:
        tokens: of the receptors, ``(b, n)``.
        templates: of the template of each, padding where there is none.
    """
    texts = _texts(tokens)
    blocks = [Block("Sequence logo", _caption(f"{len(texts):,} sequences") + logo(texts).to_svg())]
    there = torch.zeros(len(tokens), dtype=torch.bool) if templates is None else PROTEIN.lengths(templates) > 0
    if templates is None or not bool(there.any()):
        return blocks
    before, after = _texts(templates[there]), [text for text, has in zip(texts, there.tolist(), strict=True) if has]
    blocks.append(Block("Sequence logo of the templates", logo(before).to_svg()))
    lines = [align(a, b) for a, b in zip(before[:ALIGNED], after[:ALIGNED], strict=True)]
    first = f"the first {len(lines):,}" if len(lines) < len(before) else f"all {len(lines):,}"
    what = f"{first} designs beside their templates: the residue that was put at each place; the darker, the more"
    blocks.append(Block("Edits by position", _caption(what) + edit_map([(x.before, x.after) for x in lines]).to_svg()))
    return blocks


def spread_of(groups: Mapping[str, Tensor], across: str, marks: Mapping[str, float], about: str = "") -> Block:
    """How scores of several sets of receptors are spread.

    Args:
        groups: scores of each set.
        across: what the scores are.
        marks: scores that mean something, by name.
        about: what a reader must know.
    """
    values = {name: scores.tolist() for name, scores in groups.items() if len(scores)}
    return Block(f"Histogram: {across}", _caption(about) + histogram(values, across=across, marks=marks))


def _texts(tokens: Tensor) -> Sequence[str]:
    return SequenceSpace().decode(PROTEIN.batch(tokens.long()))


def _caption(text: str) -> str:
    return f"<p class=quiet>{text}</p>" if text else ""
