r"""Budgeted whole-sequence beam: the most likely sequences within k edits of a template.

There is one beam set for each number of edits e = 0 ... k (and, where one insertion or deletion is allowed, for each
of: none yet, inserted, deleted), so that a hypothesis competes only with those that spent as much. Reading the template
from left to right, a hypothesis keeps its residue (e stays) or, outside the frozen ends, puts another (e + 1), skips it
(e + 1, once) or puts one before it (e + 1, once). What is ranked is the score of the whole sequence, stop included:

.. math:: S(x) = \sum_i s(x_i | x_{<i}), \quad \text{Levenshtein}(x, \text{template}) \le e .

All templates and all beam sets advance together, one call of the decoder for each place.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from zsteer.core.alphabet import PROTEIN, Alphabet
from zsteer.core.batch import Batch
from zsteer.errors import InputError, SettingsError
from zsteer.sample.sequences import Stepwise

__all__ = ["BeamSettings", "Proposals", "edit_beam", "sequence_hash"]

NEVER = -1e9
"""Score of an empty place in a beam."""

KEPT, INSERTED, DELETED = 0, 1, 2
"""Beam groups: no length change yet, one residue inserted, one deleted."""


@dataclass(frozen=True)
class BeamSettings:
    """How far to look and what to leave alone.

    Args:
        edits: largest number of edits, k.
        width: hypotheses in each beam set.
        keep_start: residues at the start that stay.
        keep_end: residues at the end that stay.
        indel: allow one insertion or deletion.
        alphabet: what the symbols mean.

    Raises:
        SettingsError: if a number is out of range.
    """

    edits: int = 4
    width: int = 6
    keep_start: int = 3
    keep_end: int = 3
    indel: bool = True
    alphabet: Alphabet = PROTEIN

    def __post_init__(self) -> None:
        lowest = {"edits": 0, "width": 1, "keep_start": 0, "keep_end": 0}
        for name, low in lowest.items():
            if getattr(self, name) < low:
                raise SettingsError(f"expected {name} >= {low}, got {getattr(self, name)}")


@dataclass(frozen=True)
class Proposals:
    """What a beam found for each template; best first, no sequence twice, the template itself among them.

    Args:
        tokens: proposed sequences, ``s`` for each template.
        scores: score of each whole sequence; -1e9 where there is none.
        edits: edits spent, an upper bound of the Levenshtein distance to the template.
        alphabet: what the symbols mean.
    """

    tokens: Int[Tensor, "b s n"]
    scores: Float[Tensor, "b s"]
    edits: Int[Tensor, "b s"]
    alphabet: Alphabet = PROTEIN

    @property
    def exists(self) -> Bool[Tensor, "b s"]:
        """Where there is a proposal."""
        return self.scores > NEVER / 2

    def top(self, count: int) -> "Proposals":
        """The best ``count`` of each template."""
        return replace(self, tokens=self.tokens[:, :count], scores=self.scores[:, :count], edits=self.edits[:, :count])

    def batch(self) -> Batch:
        """All proposals in one batch of ``b * s`` rows, template by template."""
        tokens = self.tokens.flatten(0, 1)
        fields = {"tokens": tokens, "score": self.scores.flatten(), "edits": self.edits.flatten()}
        return Batch(fields, mask=self.alphabet.real(tokens))

    def best(self, scores: Float[Tensor, "b s"], count: int = 1) -> "Proposals":
        """The ``count`` best of each template by other scores, for example an oracle's; empty places come last."""
        order = torch.where(self.exists, scores, 2 * NEVER).argsort(dim=1, descending=True, stable=True)[:, :count]
        return _reorder(self, order)


@torch.no_grad()
def edit_beam(decoder: Stepwise, templates: Batch, settings: BeamSettings | None = None) -> Proposals:
    """Search the most likely edits of each template.

    Args:
        decoder: one row for each template.
        templates: fields ``tokens``, with the mask.
        settings: budget, width and what to leave alone.

    Returns:
        Proposals of each template: at most ``(1 or 3) * (edits + 1) * width``.

    Raises:
        InputError: if the templates have no mask, or the decoder has another number of rows.
    """
    chosen = settings or BeamSettings()
    if templates.mask is None:
        raise InputError("expected templates with a mask (true on residues), got none; encode them with their space")
    scores, state = decoder.begin()
    if len(scores) != len(templates):
        raise InputError(f"expected one row of the decoder for each template, got {len(scores)} and {len(templates)}")
    beam = _Beam(decoder, templates["tokens"], templates.mask, chosen)
    beam.start(scores, state)
    for place in range(int(beam.lengths.max()) + 1):
        if chosen.indel and chosen.edits > 0:
            beam.insert(place)
        beam.read(place)
    return beam.finish()


class _Beam:
    """All hypotheses of all templates; slot (g, e, w) is the w-th best of group g with e edits."""

    def __init__(self, decoder: Stepwise, tokens: Tensor, mask: Tensor, settings: BeamSettings) -> None:
        self.decoder, self.settings = decoder, settings
        self.template, self.lengths = tokens, mask.sum(1)
        self.shape = (len(tokens), 3 if settings.indel else 1, settings.edits + 1, settings.width)
        b, g, e, w = self.shape
        device = tokens.device
        self.slots = g * e * w
        self.first_row = (torch.arange(b, device=device) * self.slots)[:, None, None, None]
        self.group = torch.arange(g, device=device)[None, :, None, None]
        self.spent = torch.arange(e, device=device)[None, None, :, None]
        self.score = torch.full(self.shape, NEVER, device=device)
        self.score[:, KEPT, 0, 0] = 0.0
        self.tokens = torch.full((b * self.slots, tokens.shape[1]), settings.alphabet.pad, device=device)
        self.written = torch.zeros(b * self.slots, dtype=torch.long, device=device)

    def start(self, scores: Tensor, state: tuple[Tensor, ...]) -> None:
        rows = torch.arange(len(scores), device=scores.device).repeat_interleave(self.slots)
        self.next = scores[rows]
        self.state = tuple(part[rows] for part in state)

    def _view(self, x: Tensor) -> Tensor:
        return x.view(*self.shape, *x.shape[1:])

    def _core(self, place: int, *, after: int = 0) -> Tensor:
        """Templates whose ``place`` may change; ``after=1`` counts the gap behind the last such residue too."""
        start, end = self.settings.keep_start, self.settings.keep_end
        return (self.lengths - end + after > place) & (place >= start) & (self.lengths > start + end - after)

    def _inherit(self, parent: Tensor) -> None:
        """Every slot takes over the hypothesis of slot ``parent`` of the same template."""
        # An empty slot may name a parent before the first; what it holds is never read.
        rows = (parent + self.first_row).flatten().clamp(min=0)
        self.state = tuple(part.index_select(0, rows) for part in self.state)
        self.tokens, self.written = self.tokens.index_select(0, rows), self.written.index_select(0, rows)
        self.next = self.next.index_select(0, rows)

    def _write(self, where: Tensor, symbols: Tensor) -> None:
        """Append a symbol to the hypotheses ``where`` and ask the decoder for what may follow."""
        rows = where.flatten().nonzero()[:, 0]
        if len(rows) == 0:
            return
        chosen = symbols.flatten()[rows]
        following, state = self.decoder.advance(tuple(part.index_select(0, rows) for part in self.state), chosen)
        # Every tensor of the beam is its own: what a slot held is not needed again.
        for part, new in zip(self.state, state, strict=True):
            part.index_copy_(0, rows, new)
        self.next.index_copy_(0, rows, following)
        self.tokens[rows, self.written[rows]] = chosen
        self.written[rows] += 1

    def insert(self, place: int) -> None:
        """Hypotheses without a length change may put a residue before ``place``."""
        allowed = self._core(place, after=1) & (self.lengths < self.template.shape[1])
        if not bool(allowed.any()):
            return
        b, _, e, w = self.shape
        k = self.settings.alphabet.size
        # Putting x before an x equals putting it behind: only the last place in a row of equals counts.
        same = torch.nn.functional.one_hot(self._residue(place), k).bool() & self._core(place)[:, None]
        barred = (~allowed[:, None] | same)[:, None, None]
        made = self.score[:, KEPT, :-1, :, None] + self._view(self.next)[:, KEPT, :-1, :, :k]
        made = made.masked_fill(barred, NEVER).reshape(b, e - 1, w * k)
        top, index = torch.cat([self.score[:, INSERTED, 1:], made], -1).topk(w, -1)
        new = index >= w
        spent = self.spent[:, 0, 1:]
        own = INSERTED * e * w + spent * w + index
        parent = torch.arange(self.slots, device=top.device).view(1, *self.shape[1:]).repeat(b, 1, 1, 1)
        parent[:, INSERTED, 1:] = torch.where(new, (spent - 1) * w + (index - w) // k, own)
        self._inherit(parent)
        self.score[:, INSERTED, 1:] = top.clamp(min=NEVER)
        where = torch.zeros(self.shape, dtype=torch.bool, device=top.device)
        where[:, INSERTED, 1:] = new & (top > NEVER / 2)
        symbols = torch.zeros(self.shape, dtype=torch.long, device=top.device)
        symbols[:, INSERTED, 1:] = (index - w) % k
        self._write(where, symbols)

    def _residue(self, place: int) -> Tensor:
        last = self.template.shape[1] - 1
        return self.template[:, min(place, last)].clamp(max=self.settings.alphabet.size - 1)

    def read(self, place: int) -> None:
        """Every hypothesis keeps, replaces or skips the template's residue at ``place``."""
        active = (place < self.lengths)[:, None, None, None]
        if not bool(active.any()):
            return
        b, g, e, w = self.shape
        k = self.settings.alphabet.size
        x = self._residue(place)[:, None, None, None]
        kept = self.score + self._view(self.next).gather(-1, x[..., None].expand(b, g, e, w, 1))[..., 0]
        core = self._core(place)
        if not bool(core.any()) or e == 1:
            self.score = torch.where(active, kept, self.score).clamp(min=NEVER)
            self._write(active & (self.score > NEVER / 2), x.expand(self.shape))
            return
        top, index = torch.cat([kept, self._replaced(x, core), self._skipped(place, core)], -1).topk(w, -1)
        replaced, skipped = (index >= w) & (index < w + w * k), index >= w + w * k
        parent = torch.where(replaced, self.group * e * w + (self.spent - 1) * w + (index - w) // k, 0)
        parent = torch.where(skipped, (self.spent - 1) * w + index - w - w * k, parent)
        parent = torch.where(replaced | skipped, parent, self.group * e * w + self.spent * w + index)
        rest = torch.arange(self.slots, device=x.device).view(1, g, e, w)
        self._inherit(torch.where(active, parent, rest))
        self.score = torch.where(active, top, self.score).clamp(min=NEVER)
        symbols = torch.where(replaced, (index - w) % k, x.expand(self.shape))
        self._write(active & ~skipped & (self.score > NEVER / 2), symbols)

    def _replaced(self, x: Tensor, core: Tensor) -> Tensor:
        """Scores of putting another residue, by the edits afterwards; shape (b, g, e, w * k)."""
        b, g, e, w = self.shape
        k = self.settings.alphabet.size
        made = self.score[:, :, :-1, :, None] + self._view(self.next)[:, :, :-1, :, :k]
        same = torch.nn.functional.one_hot(x, k).bool()
        made = made.masked_fill(same | ~core[:, None, None, None, None], NEVER).reshape(b, g, e - 1, w * k)
        return torch.nn.functional.pad(made, (0, 0, 1, 0), value=NEVER)

    def _skipped(self, place: int, core: Tensor) -> Tensor:
        """Scores of skipping the template's residue, by the edits afterwards; shape (b, g, e, w)."""
        made = torch.full(self.shape, NEVER, device=core.device)
        if self.settings.indel:
            # Of a run of equal residues only the last is skipped; the results would be the same.
            repeats = (self._residue(place) == self._residue(place + 1)) & self._core(place + 1)
            made[:, DELETED, 1:] = self.score[:, KEPT, :-1].masked_fill(~(core & ~repeats)[:, None, None], NEVER)
        return made

    def finish(self) -> Proposals:
        """Add the stop, drop doubles, and put the best first."""
        b = self.shape[0]
        stop = self._view(self.next)[..., self.settings.alphabet.end]
        score = torch.where(self.score > NEVER / 2, self.score + stop, NEVER).view(b, -1)
        edits = self.spent.expand(self.shape).reshape(b, -1)
        # An empty slot still holds what it inherited; it must not count as an earlier copy of a sequence.
        tokens = self.tokens.view(b, self.slots, -1).masked_fill(
            (score == NEVER)[..., None], self.settings.alphabet.pad
        )
        found = Proposals(tokens, score, edits, self.settings.alphabet)
        # Among equal sequences the one that spent least stands first and stays.
        found = _reorder(found, torch.argsort(edits, dim=1, stable=True))
        found = replace(found, scores=found.scores.masked_fill(_repeated(found.tokens), NEVER))
        return _reorder(found, found.scores.argsort(dim=1, descending=True, stable=True))


def _reorder(found: Proposals, order: Tensor) -> Proposals:
    tokens = found.tokens.gather(1, order[..., None].expand(-1, -1, found.tokens.shape[-1]))
    return replace(found, tokens=tokens, scores=found.scores.gather(1, order), edits=found.edits.gather(1, order))


def sequence_hash(tokens: Int[Tensor, "*b n"]) -> Int[Tensor, "*b"]:
    """A 64-bit polynomial hash of each sequence (odd multiplier, wraps around).

    Two of some hundred thousand different sequences collide with a probability below 1e-8.
    """
    powers = torch.ones(tokens.shape[-1], dtype=torch.long, device=tokens.device)
    for place in range(1, len(powers)):
        powers[place] = powers[place - 1] * 6364136223846793005
    return ((tokens.long() + 1) * powers).sum(-1)


def _repeated(tokens: Int[Tensor, "b s n"]) -> Bool[Tensor, "b s"]:
    """Where the same sequence stands earlier in the row."""
    ordered, index = sequence_hash(tokens).sort(dim=1, stable=True)
    again = torch.zeros_like(ordered, dtype=torch.bool)
    again[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    return torch.zeros_like(again).scatter(1, index, again)
