r"""``SequenceJudge``: the evaluation oracle for binding; it grades designs and is never optimised against.

For each peptide three models of different kinds are fitted on the eval split (``domains.sequences.oracles``): a
logistic regression on k-mers, similarity to the nearest binders, boosted trees. With t_m the tail of model m among
held-out background receptors,
.. math:: score = \tfrac{1}{3} \sum_m t_m, \qquad t_m = -\log_{10} P_{background}(s_m \geq s_m(x)) .

The threshold is the score that 1 % of the test background reaches; the area under the curve and the share of real
binders that pass come from the test split. What learns from train + valid has never seen any of these receptors.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from zsteer.core.artifact import Pretrained
from zsteer.core.artifact import Settings as BaseSettings
from zsteer.core.batch import Batch
from zsteer.core.protocols import Belief
from zsteer.core.rng import Streams
from zsteer.domains.sequences import oracles
from zsteer.domains.sequences.data import CALIBRATION, JUDGE, TcrData
from zsteer.errors import ArtifactError, InputError, nearest
from zsteer.maths.trees import Trees
from zsteer.scoring.card import Card, card_of, cards_from, cards_text, require

__all__ = ["JudgeOracle", "SequenceJudge"]

_CARDS = "cards.json"


class SequenceJudge(Pretrained):
    """Evaluation oracles for a list of peptides; see the module."""

    kind = "sequence-judge"

    class Settings(BaseSettings):
        """What a judge is built from.

        Args:
            peptides: peptides it can judge.
            dims: length of a descriptor.
            references: most binders kept as descriptors for one peptide.
            trees: boosted trees for one peptide.
            ridge: penalty of the logistic regression.
            negatives: negatives for each binder in the fit, at most 6,000 in all.
        """

        peptides: tuple[str, ...]
        dims: int = 96
        references: int = 1500
        trees: int = 150
        ridge: float = 3.0
        negatives: int = 10

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.cards: dict[str, Card] = {}
        self._state: dict[str, Tensor] = {}
        self._trees: dict[str, Trees] = {}
        self._projection = oracles.projection(settings.dims)

    def tensors(self) -> dict[str, Tensor]:
        """Weights, descriptors (8-bit), tail tables and trees; no sequence among them."""
        trees = [tree.tensors(f"trees-{name}") for name, tree in self._trees.items()]
        return {**self._state, **{key: value for part in trees for key, value in part.items()}}

    def texts(self) -> dict[str, str]:
        """The cards."""
        return {_CARDS: cards_text(self.cards)}

    def restore(self, tensors: Mapping[str, Tensor], texts: Mapping[str, str]) -> None:
        """Take back what ``tensors`` and ``texts`` gave.

        Raises:
            ArtifactError: if a peptide of the settings lacks something.
        """
        needed = {f"{part}-{name}" for name in self.settings.peptides for part in ("logistic", "binders", "tails")}
        missing = sorted((needed | {"centre", "others"}) - set(tensors))
        missing += sorted({_CARDS} - set(texts))
        if missing:
            raise ArtifactError(f"the judge lacks {', '.join(missing[:3])}; fetch or train it again")
        self._state = {name: value for name, value in tensors.items() if not name.startswith("trees-")}
        self._trees = {name: Trees.read(tensors, f"trees-{name}") for name in self.settings.peptides}
        self.cards = cards_from(texts[_CARDS], where=f"{_CARDS} of the judge")

    @classmethod
    def fitted(
        cls, settings: Settings, data: TcrData, rng: Streams, *, report: Callable[[Card], object] = lambda _: None
    ) -> Self:
        """Fit, calibrate and test a judge.

        Args:
            settings: peptides and sizes.
            data: receptors; the eval split, the judge's background, the test split and the rest of the background.
            rng: gives the seed of every choice.
            report: called with each peptide's card as soon as it is known.

        Raises:
            InputError: if a peptide has fewer than 20 binders to fit on, or 5 to test on.
        """
        judge = cls(settings)
        judge.fit(data, rng, report=report)
        return judge

    def fit(self, data: TcrData, rng: Streams, *, report: Callable[[Card], object] = lambda _: None) -> None:
        """Fit, calibrate and test every peptide of the settings; ``fitted`` says what it takes.

        Args:
            data: receptors.
            rng: gives the seed of every choice.
            report: called with each peptide's card as soon as it is known.
        """
        self._fit_common(data, rng)
        for name in self.settings.peptides:
            self._fit(name, data, rng.child(name))
            self.cards[name] = self._test(name, data, rng.child(name))
            report(self.cards[name])

    def _fit_common(self, data: TcrData, rng: Streams) -> None:
        others = data.background_tokens[_some(data.background_rows("judge"), 2000, rng.child("others"))].long()
        zero = torch.zeros(self.settings.dims)
        flat = oracles.descriptors(others, zero, self._projection)
        centre = flat.mean(0)
        self._state["centre"] = centre
        self._state["others"] = _packed(oracles.descriptors(others, centre, self._projection))

    def _fit(self, name: str, data: TcrData, rng: Streams) -> None:
        rows = data.rows(name, JUDGE)
        if len(rows) < 20:
            raise InputError(f"{name}: expected at least 20 binders in the eval split to fit a judge, got {len(rows)}")
        wanted = min(self.settings.negatives * len(rows), 6000) // 2
        swapped = data.tokens[_some(data.swaps(name, JUDGE), wanted, rng.child("swap"))]
        back = data.background_tokens[_some(data.background_rows("judge"), wanted, rng.child("background"))]
        tokens = torch.cat([data.tokens[torch.from_numpy(rows)], swapped, back]).long()
        y = np.concatenate([np.ones(len(rows)), np.zeros(len(swapped) + len(back))])
        weight, bias = oracles.fit_logistic(oracles.kmer_features(tokens), y, ridge=self.settings.ridge)
        self._state[f"logistic-{name}"] = torch.tensor([*weight, bias], dtype=torch.float32)
        kept = data.tokens[_some(rows, self.settings.references, rng.child("references"))]
        self._state[f"binders-{name}"] = _packed(self._descriptors(kept.long()))
        self._trees[name] = oracles.fit_trees(oracles.tree_features(tokens), y, trees=self.settings.trees)
        held_out = data.background_tokens[torch.from_numpy(data.background_rows("valid"))].long()
        raw = self._raw(held_out, [name])[:, 0]
        self._state[f"tails-{name}"] = torch.stack([oracles.tail_table(raw[:, m]) for m in range(3)])

    def _test(self, name: str, data: TcrData, rng: Streams) -> Card:
        rows = data.rows(name, CALIBRATION)
        swaps = _some(data.swaps(name, CALIBRATION), max(5 * len(rows), 500), rng.child("test swap"))
        back = data.background_tokens[torch.from_numpy(data.background_rows("test"))].long()
        of_back = self.beliefs(back, [name])[0][:, 0]
        of_swap = self.beliefs(data.tokens[swaps].long(), [name])[0][:, 0]
        of_binders = self.beliefs(data.tokens[torch.from_numpy(rows)].long(), [name])[0][:, 0]
        return card_of(name, of_binders, of_swap, of_back, trained_on=len(data.rows(name, JUDGE)))

    def card(self, peptide: str) -> Card:
        """How far the judge of a peptide can be trusted.

        Raises:
            InputError: if it does not know the peptide; names the nearest one that it knows.
        """
        if peptide not in self.cards:
            raise InputError(nearest(peptide, self.cards, what="peptide"))
        return self.cards[peptide]

    def require(self, peptide: str, *, force: bool = False) -> Card:
        """The card of a peptide, if its judge is worth asking.

        Raises:
            InputError: if it does not know the peptide.
            RefusedError: if its area under the curve is below 0.75 and ``force`` is false.
        """
        return require(self.cards, peptide, force=force)

    def oracle(self, peptide: str) -> "JudgeOracle":
        """The oracle of one peptide.

        Raises:
            InputError: if it does not know the peptide.
        """
        return JudgeOracle(self, self.card(peptide).peptide)

    def scores(self, x: Batch, peptides: Sequence[str] | None = None) -> Float[Tensor, "b p"]:
        """Scores of every sequence for several peptides, all of the judge's by default."""
        names = [self.card(name).peptide for name in peptides or self.settings.peptides]
        return self.beliefs(x["tokens"], names)[0]

    def beliefs(
        self, tokens: Int[Tensor, "b n"], names: Sequence[str]
    ) -> tuple[Float[Tensor, "b p"], Float[Tensor, "b p"]]:
        """Mean tail of the three models for each peptide, and the standard error of that mean."""
        if not len(tokens):
            empty = torch.zeros(0, len(names))
            return empty, empty
        raw = self._raw(tokens, names)
        tails = torch.zeros_like(raw)
        for p, name in enumerate(names):
            for m in range(3):
                tails[:, p, m] = oracles.tail(raw[:, p, m], self._state[f"tails-{name}"][m])
        return tails.mean(-1), tails.std(-1) / 3**0.5

    def _raw(self, tokens: Int[Tensor, "b n"], names: Sequence[str]) -> Float[Tensor, "b p 3"]:
        """Scores of the three models before calibration."""
        weights = torch.stack([self._state[f"logistic-{name}"] for name in names]).double().numpy()
        logistic = torch.from_numpy(oracles.kmer_features(tokens) @ weights[:, :-1].T + weights[:, -1]).float()
        z, others = self._descriptors(tokens), _unpacked(self._state["others"])
        near = [oracles.nearest_similarity(z, _unpacked(self._state[f"binders-{name}"]), others) for name in names]
        table = oracles.tree_features(tokens)
        table = torch.from_numpy(table)
        trees = torch.stack([self._trees[name](table) for name in names], 1).float()
        return torch.stack([logistic, torch.stack(near, 1), trees], -1)

    def _descriptors(self, tokens: Int[Tensor, "b n"]) -> Float[Tensor, "b dims"]:
        return oracles.descriptors(tokens, self._state["centre"], self._projection)


@dataclass(frozen=True)
class JudgeOracle:
    """The judge of one peptide as an ``Oracle``: mean tail of three models, and how far they disagree."""

    judge: SequenceJudge
    peptide: str

    @property
    def threshold(self) -> float:
        """Score that 1 % of background receptors reach."""
        return self.judge.card(self.peptide).threshold

    def __call__(self, x: Batch) -> Belief:
        """Belief about each sequence, in units of -log10 of the share of background that scores higher."""
        mean, error = self.judge.beliefs(x["tokens"], [self.peptide])
        return Belief(mean[:, 0], error[:, 0])


def _some(rows: Int[np.ndarray, " k"], most: int, rng: Streams) -> Int[Tensor, " m"]:
    """At most ``most`` of the rows, chosen by the seed."""
    one = Streams(rng.seed, torch.zeros(1, dtype=torch.int64), rng.path, rng.step)
    order = one.permutation("some", len(rows))[0]
    return torch.from_numpy(rows)[order[:most]]


def _packed(z: Float[Tensor, "k dims"]) -> Int[Tensor, "k dims"]:
    return (z * 127).round().to(torch.int8)


def _unpacked(z: Int[Tensor, "k dims"]) -> Float[Tensor, "k dims"]:
    return torch.nn.functional.normalize(z.float(), dim=1)
