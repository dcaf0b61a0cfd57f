r"""``Autoregressive``: a language model of sequences, with or without a peptide they should bind.

.. math:: \log p(x | u) = \sum_i \log p(x_i | x_{<i}, u), \quad
          S_w(x) = \log p(x) + w \left( \log p(x | u) - \log p(x) \right)

With no peptides it is the language model that judges plausibility. With peptides it is the z-free editor: the null
class, trained by dropping u at random, gives guidance of strength w, and the budgeted beam ranks edits by S_w.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from zsteer.core.alphabet import PROTEIN
from zsteer.core.artifact import Pretrained, Settings
from zsteer.core.batch import Batch
from zsteer.core.options import Option
from zsteer.core.protocols import Turn
from zsteer.core.rng import Streams, initialised
from zsteer.domains.sequences.panel import Panel
from zsteer.errors import CapabilityError, InputError
from zsteer.nets.embeddings import PeptideEmbedding
from zsteer.nets.recurrent import ConditionalDecoder
from zsteer.sample.beam import BeamSettings, Proposals, edit_beam
from zsteer.sample.sequences import Guided, Stepwise, Wish, draw, sequence_options
from zsteer.train.refit import refit_net

__all__ = ["Autoregressive", "AutoregressiveSettings"]


class AutoregressiveSettings(Settings):
    """What the model is built from.

    Args:
        panel: peptides it knows as conditions; empty for a plain language model.
        hidden: width of each recurrent layer.
        layers: number of layers.
        cell: gru or lstm.
        embed: width of residue and position embeddings.
        condition: width of the peptide's vector.
        blosum: add a map of the peptide's mean BLOSUM50 row to its learned vector.
        dropout: share of hidden features dropped in training.
        forget: share of training rows whose peptide is hidden, which trains the null class.
        scales: strength of guidance that edits use for each peptide; empty means 3 for all.
        length: longest sequence.
        seed: of the initial weights.
    """

    panel: Panel = Panel()
    hidden: int = Field(default=128, ge=1)
    layers: int = Field(default=1, ge=1)
    cell: Literal["gru", "lstm"] = "gru"
    embed: int = Field(default=32, ge=1)
    condition: int = Field(default=32, ge=1)
    blosum: bool = False
    dropout: float = Field(default=0.2, ge=0, lt=1)
    forget: float = Field(default=0.1, ge=0, le=1)
    scales: tuple[float, ...] = ()
    length: int = Field(default=30, ge=1)
    seed: int = 0


class Autoregressive(Pretrained, nn.Module):
    """Language model of sequences given a peptide or none.

    Fields of a batch: ``tokens`` (b, n) with the mask; ``peptide`` (b,), index into the panel or -1 for none; without
    that field there is no condition.
    """

    kind = "autoregressive"
    Settings = AutoregressiveSettings
    bound: Literal["exact"] = "exact"

    def __init__(self, settings: AutoregressiveSettings) -> None:
        super().__init__()
        self.settings = settings
        self.floor: Tensor
        self.register_buffer("floor", torch.tensor(-torch.inf))
        s = settings
        with initialised(s.seed):
            self.peptide = PeptideEmbedding(s.panel.peptides, s.condition, blosum=s.blosum)
            self.decoder = ConditionalDecoder(
                condition=s.condition,
                hidden=s.hidden,
                layers=s.layers,
                cell=s.cell,
                embed=s.embed,
                length=s.length,
                dropout=s.dropout,
            )

    @property
    def space(self) -> Mapping[str, Any]:
        """Amino-acid sequences."""
        return {"name": "sequences"}

    @property
    def options(self) -> tuple[Option, ...]:
        """The peptide as a condition; strength of guidance and temperature as flags of sampling."""
        return sequence_options(self.settings.panel.peptides)

    @property
    def turns(self) -> Sequence[Turn]:
        """One player."""
        return (Turn("model"),)

    def players(self) -> Mapping[str, Iterable[nn.Parameter]]:
        """All weights."""
        return {"model": list(self.parameters())}

    def losses(self, x: Batch, player: str, rng: Streams) -> Mapping[str, Float[Tensor, " b"]]:
        """Negative log-likelihood of each sequence, stop included. [nats]"""
        del player
        peptide = self._peptide(x)
        hidden = rng.uniform("forget") < self.settings.forget
        peptide = torch.where(hidden, -1, peptide)
        log_p = self.decoder(x["tokens"], _mask(x), self.peptide(peptide), rng.child("decoder"))
        return {"negative_log_likelihood": -log_p.sum(1)}

    def _peptide(self, x: Batch) -> Int[Tensor, " b"]:
        none = torch.full((len(x),), -1, device=x.device)
        # A row with label 0 is no binder of its peptide, so it must not teach what binders look like.
        given = x["peptide"] if "peptide" in x and self.settings.panel.peptides else none
        return torch.where(x["label"] == 1, given, none) if "label" in x else given

    def residue_log_probs(self, x: Batch) -> Float[Tensor, "b m"]:
        """Log-probability of each residue and the stop; zero on padding. [nats]"""
        return self.decoder(x["tokens"], _mask(x), self.peptide(self._peptide(x)))

    @torch.no_grad()
    def log_prob(self, x: Batch, rng: Streams) -> Float[Tensor, " b"]:
        """Log-probability of each sequence. [nats]"""
        del rng
        return self.residue_log_probs(x).sum(1)

    def plausible(self, x: Batch) -> Float[Tensor, " b"]:
        """Log-probability less the floor, which 95 % of held-out sequences exceed; negative is implausible. [nats]"""
        with torch.no_grad():
            plain = Batch({"tokens": x["tokens"]}, mask=x.mask)
            return torch.cat([self.residue_log_probs(piece).sum(1) for piece in plain.chunks(2048)]) - self.floor

    def steps(self, peptide: Int[Tensor, " b"], *, scale: float = 1.0) -> Stepwise:
        """The model one symbol at a time, guided towards each row's peptide.

        Args:
            peptide: index of each row's peptide; -1 for none.
            scale: strength of guidance; 1 is the conditional model.
        """
        conditional = self.decoder.steps(self.peptide(peptide))
        if bool((peptide < 0).all()):
            return conditional
        return Guided.of(self.decoder.steps(self.peptide(torch.full_like(peptide, -1))), conditional, scale)

    def index(self, peptide: str) -> int:
        """Index of a peptide.

        Raises:
            CapabilityError: if this is a plain language model.
            InputError: if the peptide is unknown.
        """
        if not self.settings.panel.peptides:
            raise CapabilityError("this language model knows no peptides; use an editor, for example tcr-editor")
        return self.settings.panel.index(peptide)

    def scale_of(self, peptide: str) -> float:
        """Strength of guidance that edits towards a peptide use by default."""
        index = self.index(peptide)
        return self.settings.scales[index] if self.settings.scales else 3.0

    @torch.no_grad()
    def sample(self, n: int, *, given: Mapping[str, object] | None = None, rng: Streams) -> Batch:
        """Draw sequences.

        Args:
            n: how many.
            given: ``peptide`` (one of the panel), ``scale`` of guidance, ``temperature``.
            rng: one stream for each.

        Raises:
            InputError: if there is another condition, or the number of streams differs.
        """
        wish = Wish.of(given, n, rng)
        index = -1 if wish.peptide is None else self.index(wish.peptide)
        decoder = self.steps(torch.full((n,), index, device=rng.ids.device), scale=wish.scale)
        return draw(decoder, rng.child("sample"), temperature=wish.temperature, longest=self.settings.length)

    def path(self, n: int, rng: Streams) -> Batch:
        """Draw sequences without a condition; nothing beside them made them."""
        made = self.sample(n, rng=rng)
        return PROTEIN.batch(made["tokens"])

    def log_prob_of_path(self, x: Batch) -> Float[Tensor, " b"]:
        """Log-probability of each sequence. [nats]"""
        with torch.no_grad():
            return torch.cat([self.residue_log_probs(piece).sum(1) for piece in x.chunks(2048)])

    def refit(self, x: Batch, weight: Float[Tensor, " b"], rng: Streams) -> "Autoregressive":
        """A copy that learns on from weighted sequences.

        Args:
            x: sequences.
            weight: of each.
            rng: decides the order of the rows.
        """
        return refit_net(self, x, weight, rng)

    @torch.no_grad()
    def propose(self, x: Batch, strength: float, rng: Streams) -> Batch:
        r"""Redraw a share of the residues, at least one, never the first or the last; lengths stay.

        Each is drawn given all others, :math:`p(x_i | x_{-i}, u) \propto p(x | u)` over the letters: a Gibbs step of
        the model, one random place after the other.

        Args:
            x: sequences; their ``peptide``, where they have one, is the condition u.
            strength: share of the residues between the first and the last, in (0, 1].
            rng: one stream for each.

        Raises:
            InputError: if the strength is out of range, or there is no mask.
        """
        if not 0 < strength <= 1:
            raise InputError(f"expected a strength in (0, 1], got {strength:g}")
        own, tokens, peptide = rng.child("propose"), x["tokens"], self._peptide(x)
        length = _mask(x).sum(1, keepdim=True)
        place = torch.arange(tokens.shape[1], device=tokens.device)
        inner = (place > 0) & (place < length - 1)
        order = torch.where(inner, own.uniform("place", (tokens.shape[1],)), 2.0).argsort(1)
        count = torch.minimum((strength * inner.sum(1)).ceil().clamp(min=1), inner.sum(1))
        for k in range(int(count.max())):
            letter = self._conditional_draw(tokens, order[:, k], peptide, own.at(k))
            chosen = (place == order[:, k, None]) & (k < count)[:, None]
            tokens = torch.where(chosen, letter[:, None], tokens)
        made = PROTEIN.batch(tokens)
        return made.with_fields(peptide=peptide) if "peptide" in x else made

    def _conditional_draw(
        self, tokens: Int[Tensor, "b n"], place: Int[Tensor, " b"], peptide: Int[Tensor, " b"], rng: Streams
    ) -> Int[Tensor, " b"]:
        """A letter for one place of each row, given all others."""
        k, rows = PROTEIN.size, torch.arange(len(tokens), device=tokens.device)
        variants = tokens.repeat_interleave(k, 0).reshape(len(tokens), k, -1)
        variants[rows, :, place] = torch.arange(k, device=tokens.device)
        whole = Batch(
            {"tokens": variants.flatten(0, 1), "peptide": peptide.repeat_interleave(k)},
            PROTEIN.real(variants.flatten(0, 1)),
        )
        log_p = torch.cat([self.residue_log_probs(piece).sum(1) for piece in whole.chunks(2048)])
        return (log_p.reshape(len(tokens), k) + rng.gumbel("residue", (k,))).argmax(1)

    @torch.no_grad()
    def propose_edits(
        self, templates: Batch, peptide: str, *, scale: float = 3.0, beam: BeamSettings | None = None
    ) -> Proposals:
        """Edits of each template that the guided model finds most likely.

        Args:
            templates: sequences to edit.
            peptide: what they should bind.
            scale: strength of guidance.
            beam: budget, width and what to leave alone.
        """
        rows = torch.full((len(templates),), self.index(peptide), device=templates.device)
        return edit_beam(self.steps(rows, scale=scale), templates, beam)


def _mask(x: Batch) -> Tensor:
    if x.mask is None:
        raise InputError("expected sequences with a mask (true on residues), got none; encode them with their space")
    return x.mask
