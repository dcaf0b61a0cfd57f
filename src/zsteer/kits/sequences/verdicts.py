"""What judges say of receptors, row by row: plain arrays of a block, that are kept, joined and reported on as one.

A row needs some hundred bytes, so that the verdicts of a large file are held whole while the file itself never is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zsteer.core.alphabet import PROTEIN
from zsteer.core.batch import Batch
from zsteer.domains.sequences.metrics import edits, nearest_distance
from zsteer.domains.sequences.space import SequenceSpace
from zsteer.kits.sequences.companions import Family, judged
from zsteer.kits.sequences.likeness import Likeness
from zsteer.kits.sequences.scores import CHUNK, Scores, look, score
from zsteer.scoring.olga import log10_generation

__all__ = ["CODES", "Examples", "Peptide", "Receptors", "Rows", "joined", "tensors"]

Rows = Mapping[str, NDArray[Any]]
"""Verdicts by name, one row a receptor."""


@dataclass(frozen=True)
class Receptors:
    """Some receptors, with the template of each where there are templates.

    Args:
        sequences: as texts.
        templates: as texts, or None.
    """

    sequences: Sequence[str]
    templates: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.sequences)

    def chunks(self, size: int) -> Sequence["Receptors"]:
        """Cut into pieces of at most ``size``."""
        places = range(0, len(self), size)
        cut = self.templates
        return [Receptors(self.sequences[k : k + size], None if cut is None else cut[k : k + size]) for k in places]


@dataclass(frozen=True)
class Peptide:
    """Whether receptors bind a peptide, by judges that no method saw.

    Args:
        family: where the judges are.
        peptide: the peptide.
        pgen: ask for the generation probability too.
        known: receptors that bind it, to compare with.
    """

    family: Family
    peptide: str
    pgen: bool = False
    known: Sequence[str] = ()

    @property
    def names(self) -> Sequence[str]:
        """Names of the verdicts."""
        more = ("pgen",) if self.pgen else ()
        return (*_ALWAYS, "design", "judge", "other", "template", "edits", "template_judge", *more)

    def verdicts(self, receptors: Receptors) -> Rows:
        """Scores of both oracles, whether the judge of another peptide passes, and the same of the templates."""
        family, peptide = self.family, self.peptide
        x = SequenceSpace().encode(receptors.sequences)
        able = judged(family)
        first = [peptide] if peptide in family.judge.cards else []
        names = [*first, *(name for name in able if name not in first)]
        judges = torch.cat(
            [torch.zeros(0, len(names)), *(family.judge.scores(part, names) for part in x.chunks(CHUNK))]
        )
        found = score(family, x, peptide, judges[:, 0] if first else None)
        passes = [judges[:, k] >= family.judge.card(name).threshold for k, name in enumerate(names) if name in able]
        others = [hits for name, hits in zip([n for n in names if n in able], passes, strict=True) if name != peptide]
        rows = {
            **_looks(x, found.look),
            "design": found.design,
            "judge": found.judge,
            "other": torch.stack(others).any(0) if others else torch.zeros(len(x), dtype=torch.bool),
            **self._templates(x, receptors.templates),
        }
        if self.pgen:
            rows["pgen"] = log10_generation(list(receptors.sequences)).double()
        return {name: value.numpy() for name, value in rows.items()}

    @cached_property
    def others(self) -> Mapping[str, Scores]:
        """Scores of receptors that are no designs: drawn from the language model, and known to bind."""
        found = {"drawn background": score(self.family, self.family.drawn, self.peptide)}
        if self.known:
            found["known binders"] = score(self.family, SequenceSpace().encode(self.known), self.peptide)
        return found

    def _templates(self, x: Batch, templates: Sequence[str] | None) -> dict[str, Tensor]:
        """Tokens of the templates, edits and the judge's score; padding, -1 and NaN where there is none."""
        space, n = SequenceSpace(), len(x)
        tokens = torch.full((n, space.max_length), PROTEIN.pad, dtype=torch.uint8)
        changed, judge = torch.full((n,), -1, dtype=torch.int16), torch.full((n,), torch.nan)
        texts: Sequence[str] = [] if templates is None else templates
        good = torch.tensor([k for k, text in enumerate(texts) if space.problem(text) is None], dtype=torch.int64)
        if len(good):
            before = space.encode([texts[int(k)] for k in good])
            tokens[good] = before["tokens"].to(torch.uint8)
            changed[good] = edits(x.take(good)["tokens"], before["tokens"]).to(torch.int16)
            if self.peptide in self.family.judge.cards:
                oracle = self.family.judge.oracle(self.peptide)
                judge[good] = torch.cat([oracle(part).mean for part in before.chunks(CHUNK)])
        return {"template": tokens, "edits": changed, "template_judge": judge}


@dataclass(frozen=True)
class Examples:
    """How near receptors come to examples.

    Args:
        family: where the models are.
        examples: as texts.
    """

    family: Family
    examples: Sequence[str]

    @property
    def names(self) -> Sequence[str]:
        """Names of the verdicts."""
        return (*_ALWAYS, "example_edits", "likeness")

    @cached_property
    def distinct(self) -> Sequence[str]:
        """The examples, each once."""
        return tuple(dict.fromkeys(self.examples))

    @cached_property
    def likeness(self) -> Likeness:
        """How much receptors resemble them."""
        return Likeness(self.family.part(CODES), self.family, SequenceSpace().encode(self.examples))

    def verdicts(self, receptors: Receptors) -> Rows:
        """Edits to the nearest example, likeness, and what can be said without a peptide."""
        x = SequenceSpace().encode(receptors.sequences)
        near, _ = nearest_distance(x["tokens"], SequenceSpace().encode(self.distinct)["tokens"])
        rows = {**_looks(x, look(self.family, x)), "example_edits": near.to(torch.int16)}
        rows["likeness"] = self.likeness.scores(x)
        return {name: value.numpy() for name, value in rows.items()}


CODES = "tcr-dwae"
"""The model whose code says what a receptor resembles."""
_ALWAYS = ("tokens", "plausible", "valid", "copied")


def _looks(x: Batch, seen: Any) -> dict[str, Tensor]:
    tokens = x["tokens"].to(torch.uint8)
    return {"tokens": tokens, "plausible": seen.plausible, "valid": seen.valid, "copied": seen.copied}


def joined(parts: Sequence[Rows]) -> Rows:
    """The verdicts of several blocks as one."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}


def tensors(rows: Rows) -> Mapping[str, Tensor]:
    """Verdicts as tensors; tokens, which are kept as bytes, as whole numbers with a sign."""
    plain = {name: torch.from_numpy(value) for name, value in rows.items()}
    return {name: value.to(torch.int16) if value.dtype == torch.uint8 else value for name, value in plain.items()}
