r"""``Classifier``: the design oracle, which peptides a receptor binds.

An ensemble of convolutional nets reads the CDR3; every member has one logit for every peptide of the panel,

.. math:: \text{logit}_{mp}(x) = w_{mp} \cdot h_m(x) + b_{mp},

so that a binder of one peptide teaches its rivals as a negative. ``binds(peptide)`` is the oracle of one peptide; its
belief is the mean logit over members and their spread.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from zsteer.core.artifact import Pretrained, Settings
from zsteer.core.batch import Batch
from zsteer.core.protocols import Belief, Turn
from zsteer.core.rng import Streams, initialised
from zsteer.domains.sequences.panel import Panel, binding_loss, negative_weights, rivals
from zsteer.errors import CapabilityError, InputError
from zsteer.nets.conv import MotifNet
from zsteer.sample.beam import sequence_hash
from zsteer.scoring.card import Card, cards_from, cards_text

__all__ = ["Binding", "Classifier", "ClassifierSettings"]


_CARDS = "cards.json"


class ClassifierSettings(Settings):
    """What the classifier is built from.

    Args:
        panel: peptides it judges.
        rates: share of each peptide among the binders of a training batch (``rates_of``); empty means equal shares.
        background: share of background rows in a training batch.
        members: nets in the ensemble.
        channels: of each convolution.
        width: of the code before the logits.
        dropout: share of channels dropped in training.
        length: longest sequence.
        seed: of the initial weights.
    """

    panel: Panel
    rates: tuple[float, ...] = ()
    background: float = Field(default=0.5, ge=0, lt=1)
    members: int = Field(default=3, ge=1)
    channels: int = Field(default=48, ge=1)
    width: int = Field(default=64, ge=1)
    dropout: float = Field(default=0.3, ge=0, lt=1)
    length: int = Field(default=30, ge=1)
    seed: int = 0


class Classifier(Pretrained, nn.Module):
    """Ensemble that gives the logit of binding each peptide.

    Fields of a batch: ``tokens`` (b, n) with the mask, ``peptide`` (b,), -1 for background, ``label`` (b,).
    """

    kind = "classifier"
    Settings = ClassifierSettings

    def __init__(self, settings: ClassifierSettings) -> None:
        super().__init__()
        self.settings = settings
        s, count = settings, len(settings.panel.peptides)
        if s.rates and len(s.rates) != count:
            raise InputError(f"expected one rate for each of {count} peptides, got {len(s.rates)}")
        rates = torch.tensor(s.rates or [1.0 / max(count, 1)] * count) * (1 - s.background)
        swap, against = negative_weights(rivals(s.panel), rates, s.background)
        self.cards: dict[str, Card] = {}
        self.known: Tensor | None = None
        self.register_buffer("swap", swap, persistent=False)
        self.register_buffer("against", against, persistent=False)
        self.swap: Tensor
        self.against: Tensor
        with initialised(s.seed):
            self.net = MotifNet(
                width=s.width, channels=s.channels, members=s.members, dropout=s.dropout, length=s.length
            )
            self.weight = nn.Parameter(torch.empty(s.members, count, s.width))
            nn.init.normal_(self.weight, std=0.05)
            self.bias = nn.Parameter(torch.zeros(s.members, count))

    @property
    def turns(self) -> Sequence[Turn]:
        """One player."""
        return (Turn("model"),)

    def players(self) -> Mapping[str, Iterable[nn.Parameter]]:
        """All weights."""
        return {"model": list(self.parameters())}

    def losses(self, x: Batch, player: str, rng: Streams) -> Mapping[str, Float[Tensor, " b"]]:
        """Weighted binary cross-entropy, summed over peptides and members."""
        del player
        logits = self.logits(x, rng.child("net"))
        each = [
            binding_loss(logits[:, member], x["peptide"], x["label"], (self.swap, self.against))
            for member in range(self.settings.members)
        ]
        return {"binding": torch.stack(each).sum(0)}

    def codes(self, x: Batch, rng: Streams | None = None) -> Float[Tensor, "b members width"]:
        """What each member sees in each receptor, before the logits."""
        if x.mask is None:
            raise InputError("expected sequences with a mask (true on residues), got none; encode them first")
        return torch.relu(self.net(x["tokens"], x.mask, rng))

    def logits(self, x: Batch, rng: Streams | None = None) -> Float[Tensor, "b members p"]:
        """Logit of binding each peptide, by each member."""
        return torch.einsum("bmw,mpw->bmp", self.codes(x, rng), self.weight) + self.bias

    def texts(self) -> dict[str, str]:
        """How far each peptide's logit can be trusted."""
        return {_CARDS: cards_text(self.cards)} if self.cards else {}

    def tensors(self) -> dict[str, Tensor]:
        """Weights, and hashes of the receptors learned from, where they are known."""
        return dict(self.state_dict()) | ({} if self.known is None else {"known": self.known})

    def restore(self, tensors: Mapping[str, Tensor], texts: Mapping[str, str]) -> None:
        """Take back what ``tensors`` and ``texts`` gave."""
        super().restore({name: value for name, value in tensors.items() if name != "known"}, texts)
        self.known = tensors.get("known")
        self.cards = cards_from(texts[_CARDS], where=_CARDS) if _CARDS in texts else {}

    def remember(self, x: Batch) -> None:
        """Keep a 64-bit hash of each receptor, by which a copy is recognised later; no sequence is kept."""
        self.known = sequence_hash(x["tokens"]).unique()

    def copied(self, x: Batch) -> Bool[Tensor, " b"]:
        """Which sequences are receptors that this model learned from.

        Raises:
            CapabilityError: if the model does not know what it learned from.
        """
        if self.known is None:
            raise CapabilityError("this oracle keeps no hashes of its training receptors; train it by its recipe")
        return torch.isin(sequence_hash(x["tokens"]), self.known)

    def binds(self, peptide: str) -> "Binding":
        """The oracle of one peptide.

        Raises:
            InputError: if the panel has no such peptide.
        """
        return Binding(self, self.settings.panel.index(peptide))

    @torch.no_grad()
    def beliefs(self, x: Batch, *, size: int = 1024) -> tuple[Float[Tensor, "b p"], Float[Tensor, "b p"]]:
        """Mean and spread over members of the logits of all peptides, in pieces of ``size`` rows."""
        logits = torch.cat([self.logits(piece) for piece in x.chunks(size)])
        return logits.mean(1), logits.std(1, unbiased=False)


@dataclass(frozen=True)
class Binding:
    """Oracle: how strongly a classifier believes in binding one peptide.

    Args:
        model: the classifier.
        index: of the peptide in its panel.
    """

    model: Classifier
    index: int

    def __call__(self, x: Batch) -> Belief:
        """Mean logit and spread over members, for each row; rows are judged independently of each other."""
        mean, std = self.model.beliefs(x)
        return Belief(mean[:, self.index], std[:, self.index])
