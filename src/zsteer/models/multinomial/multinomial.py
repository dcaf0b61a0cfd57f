r"""Multinomial diffusion: the lecture's diffusion model of categories, for sequences and for pictures of few levels.

The net says what the rest of a sample makes of each position; what a position's own noisy state says of x_0 is known,
so that the prediction is Bayes' rule with only its prior learned,

.. math:: \log p(x_0 | x_t) = f_\theta(x_t, t) + \log q(x_t | x_0) + \text{const} .

Training descends the bound: with t drawn with probability p_t, the loss of a sample is L_{t-1} / p_t,

.. math:: L_{t-1} = \text{KL}[q(x_{t-1} | x_t, x_0) \,\|\, \textstyle\sum_{x_0} q(x_{t-1} | x_t, x_0) p(x_0 | x_t)],

which at t = 1 is L_0 = -log p(x_0 | x_1). p_t is in proportion to the size that L_{t-1} has had. A sequence's length is
drawn first, from how often the training data have it, and its log-probability counts in every bound.
Source: Hoogeboom et al., "Argmax flows and multinomial diffusion", 2021; Nichol, Dhariwal 2021 (importance of t).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import one_hot

from zsteer.core.alphabet import padding
from zsteer.core.artifact import Pretrained
from zsteer.core.batch import Batch
from zsteer.core.options import Option, whole
from zsteer.core.protocols import Denoiser, Group, Prediction, SamplingDefaults, Turn
from zsteer.core.rng import Streams
from zsteer.errors import InputError
from zsteer.maths import categorical
from zsteer.models.diffusion.bound import Bound, strata
from zsteer.models.diffusion.conditioned import Conditioned, class_option, given_classes
from zsteer.models.multinomial.settings import MultinomialSettings, net_of, noise_of
from zsteer.noise.categorical import Categorical
from zsteer.sample.ancestral import ancestral
from zsteer.sample.vary import vary

__all__ = ["CALLS", "Conditioned", "FixedLengthModel", "MultinomialDiffusion"]

SEEN = 10
"""Losses that every t must have before the p_t leave the even ones."""
MEMORY = 0.9
"""Weight of the past in the mean square of L_{t-1}."""
AT_ONCE = 512
"""Samples whose bound is worked out together."""
CALLS = 20
"""Network calls behind ``log_prob``."""
STEPS = 24
"""Steps of a whole walk of ``propose``, which takes those below its strength."""


def _spread(rng: Streams) -> Float[Tensor, " b"]:
    """A uniform number for each sample that neighbours share evenly: their ids times the golden ratio, modulo 1.

    Each is a function of its stream alone, and a batch still covers the t's as a grid would: the loss of a batch varies
    less than with independent draws.
    """
    shift = Streams(rng.seed, torch.zeros(1, dtype=torch.long), rng.path).uniform("t", dtype=torch.float64)
    # 2^64 over the golden ratio, as a signed word; products wrap, and the upper 53 bits are the fraction.
    fraction = ((rng.ids * -7046029254386353131) >> 11) & (2**53 - 1)
    return (fraction.double() * 2.0**-53 + shift.to(rng.ids.device)) % 1.0


class MultinomialDiffusion(Pretrained, nn.Module):
    """A net that predicts categories, the noise's kernel, and how long samples are.

    Args:
        settings: what it is built from.
    """

    kind: ClassVar[str] = "multinomial"
    Settings: ClassVar[type[MultinomialSettings]] = MultinomialSettings
    turns: Sequence[Turn] = (Turn("denoiser"),)
    bound: Literal["exact", "lower", "unnormalised"] = "lower"

    def __init__(self, settings: MultinomialSettings) -> None:
        super().__init__()
        self.settings = settings
        self.noise = noise_of(settings)
        self.net = net_of(settings)
        self.squares: Tensor
        self.seen: Tensor
        self.lengths: Tensor
        self.register_buffer("squares", torch.zeros(settings.steps))
        self.register_buffer("seen", torch.zeros(settings.steps))
        possible = torch.arange(1, settings.datum.size + 1) >= settings.shortest
        self.register_buffer("lengths", possible / possible.sum())
        self._last: tuple[Tensor, Tensor] | None = None

    def begin(self, x: Batch) -> None:
        """Learn how often each length is, from the training data; a length that is not there counts as half a sample.

        Raises:
            InputError: if a sample is no sample of this model.
        """
        if self.settings.variable:
            count = torch.bincount(self.states(x).sum((1, 2)).long(), minlength=len(self.lengths) + 1)[1:] + 0.5
            count[: self.settings.shortest - 1] = 0
            self.lengths.copy_(count / count.sum())

    def players(self) -> Mapping[str, list[nn.Parameter]]:
        """One player owns all weights."""
        return {"denoiser": list(self.parameters())}

    # --- data and states

    def states(self, x: Batch) -> Float[Tensor, "b n k"]:
        """Samples as one-hot rows, zero on padding.

        Raises:
            InputError: if there is no mask where there must be one, or a value is none of the categories.
        """
        datum, weight = self.settings.datum, next(self.parameters())
        if not self.settings.variable:
            return one_hot(datum.flat(x).long(), self.noise.states).to(weight.dtype)
        if x.mask is None or x["tokens"].shape[1:] != datum.shape:
            raise InputError(
                f"expected tokens (b, {datum.size}) with a mask (true on residues), got {tuple(x['tokens'].shape)} and "
                f"{'no' if x.mask is None else 'a'} mask; encode sequences with their space"
            )
        known = torch.where(x.mask, x["tokens"], 0)
        wrong = ((known < 0) | (known >= datum.levels)).any(1) | (x.mask.sum(1) < self.settings.shortest)
        if bool(wrong.any()):
            row = int(wrong.nonzero()[0])
            raise InputError(
                f"expected {self.settings.shortest} or more categories 0 ... {datum.levels - 1} under the mask of each "
                f"sample, got {known[row][x.mask[row]].tolist()} in sample {row + 1}"
            )
        return one_hot(known.long(), self.noise.states).to(weight.dtype) * x.mask[..., None]

    def like(self, n: int, rng: Streams) -> Float[Tensor, "n ..."]:
        """Ones where the positions of ``n`` samples are, zeros on their padding; lengths as the data have them."""
        weight = next(self.parameters())
        whole = torch.ones(n, len(self.lengths), self.noise.states, dtype=weight.dtype, device=weight.device)
        if not self.settings.variable:
            return whole
        u = rng.uniform("length", dtype=torch.float64).to(weight.device)
        length = categorical.draw(categorical.log_of(self.lengths.double()).expand(n, -1), u).argmax(-1) + 1
        return self.of_length(length)

    def of_length(self, length: Int[Tensor, " n"]) -> Float[Tensor, "n ..."]:
        """Ones where the positions of sequences of known lengths are.

        Raises:
            InputError: if a length is none of this model's, or it has none.
        """
        if not self.settings.variable:
            raise InputError("the model's samples have one size; leave the length away")
        if bool((length < self.settings.shortest).any()) or bool((length > len(self.lengths)).any()):
            limit = f"{self.settings.shortest} ... {len(self.lengths)}"
            raise InputError(f"expected lengths in {limit}, got {sorted(set(length.tolist()))[:5]}")
        weight = next(self.parameters())
        real = torch.arange(len(self.lengths), device=weight.device) < length.to(weight.device)[:, None]
        return real[..., None].to(weight.dtype).expand(-1, -1, self.noise.states)

    def finish(self, x: Float[Tensor, "n ..."]) -> Batch:
        """What a walk ended at, as tokens with their mask, or as levels."""
        index = x[..., : self.noise.categories].argmax(-1)
        if not self.settings.variable:
            return self.settings.datum.batch(index.to(x.dtype))
        mask = x.sum(-1) > 0
        return Batch({"tokens": torch.where(mask, index, padding(self.noise.categories))}, mask)

    # --- the net

    def log_x0(
        self, x_t: Float[Tensor, "b n k"], t: Float[Tensor, " b"], y: Int[Tensor, " b"] | None = None
    ) -> Float[Tensor, "b n k"]:
        """Log-probabilities of x_0 at x_t: what the net makes of the rest, and what x_t's own position says.

        Args:
            x_t: noisy one-hot rows.
            t: time of each sample.
            y: class of each, -1 for none.
        """
        prior = self.noise.of_data(self.net(x_t, t, y))
        real = x_t.detach().sum(-1, keepdim=True) > 0  # padding says nothing: zeros, which no log-probabilities are
        if not (torch.is_grad_enabled() and x_t.requires_grad):
            return torch.where(real, (prior + self.noise.evidence(x_t, t)).log_softmax(-1), 0.0)
        # The same values, linear in each row of x_t: a guide's gradient then says what each other state would change,
        # where the logarithm above would say infinity.
        each = (prior[:, :, None] + self.noise.evidence_of_states(t, x_t)[:, None]).softmax(-1)
        found = categorical.log_of(torch.einsum("bnj,bnjk->bnk", x_t, each))
        return torch.where(real, found, 0.0)

    def term(
        self, x0: Float[Tensor, "b n k"], index: Int[Tensor, " b"], y: Int[Tensor, " b"] | None, rng: Streams
    ) -> Float[Tensor, " b"]:
        """L_{t-1} of each sample at a drawn x_t, summed over its positions. [nats]

        Args:
            x0: samples.
            index: t of each, 1 ... T.
            y: class of each, -1 for none.
            rng: one stream for each.
        """
        t, s = (index.double() / self.noise.steps for index in (index, index - 1))
        x_t = self.noise.corrupt(x0, t, rng)
        log_x0 = self.log_x0(x_t, t.to(x_t.dtype), y)
        at = (self.noise.abar(t, x_t), self.noise.abar(s, x_t), self.noise.rest(x_t))
        each = categorical.kl(categorical.posterior(x_t, x0, *at), categorical.reverse(x_t, log_x0, *at))
        real = x0.sum(-1)
        return torch.where(real > 0, each, 0.0).sum(-1)

    # --- training

    def odds(self) -> Float[Tensor, " T"]:
        """Probability of each t in training."""
        even = torch.full_like(self.squares, 1 / len(self.squares), dtype=torch.float64)
        if self.settings.times == "even" or bool((self.seen < SEEN).any()):
            return even
        size = self.squares.double().sqrt()
        # A thousandth is even, so that no t is ever lost.
        return 0.999 * size / size.sum().clamp(min=1e-30) + 0.001 * even

    def losses(self, x: Batch, player: str, rng: Streams) -> Mapping[str, Float[Tensor, " b"]]:
        """The bound's terms at one t for each sample: an unbiased estimate of their sum. [nats]

        Raises:
            InputError: if the model has classes and the batch none.
        """
        del player
        x0 = self._trimmed(self.states(x))
        odds = self.odds()
        u = _spread(rng).to(odds.device)
        index = torch.searchsorted(odds.cumsum(0), u).clamp(max=self.noise.steps - 1)
        term = self.term(x0, index + 1, self._shown(x, rng), rng)
        self._last = (index, term.detach().float())
        return {"bound": term / odds[index].to(term.dtype)}

    def _trimmed(self, x0: Float[Tensor, "b n k"]) -> Float[Tensor, "b m k"]:
        """Without the columns that are padding in every sample; draws are the same, since they go by position."""
        if not self.settings.variable:
            return x0
        return x0[:, : int(x0.sum((0, 2)).nonzero().max()) + 1]

    def _shown(self, x: Batch, rng: Streams) -> Int[Tensor, " b"] | None:
        """Classes that the net is shown: a share of them is left out."""
        if not self.settings.classes:
            return None
        if "y" not in x:
            raise InputError(f"the model learns {len(self.settings.classes)} classes, and the batch has no field y")
        return torch.where(rng.uniform("drop") < self.settings.drop, torch.full_like(x["y"], -1), x["y"])

    @torch.no_grad()
    def after_step(self, player: str) -> None:
        """Remember how large the terms at each t have been."""
        del player
        if self._last is None:
            return
        index, term = self._last
        count = torch.zeros_like(self.seen).index_add_(0, index, torch.ones_like(term))
        square = torch.zeros_like(self.squares).index_add_(0, index, term.square()) / count.clamp(min=1)
        first = self.seen == 0
        mixed = torch.where(first, square, MEMORY * self.squares + (1 - MEMORY) * square)
        self.squares.copy_(torch.where(count > 0, mixed, self.squares))
        self.seen.add_(count)
        self._last = None

    # --- likelihood and samples

    @torch.no_grad()
    def bound_of(self, x: Batch, rng: Streams, *, calls: int | None = None) -> Bound:
        """The variational bound of each sample, term by term, under its class where it has one.

        Args:
            x: samples.
            rng: one stream for each.
            calls: network calls, the number of strata; every term when None.

        Raises:
            InputError: if there are no samples, or not as many streams.
        """
        if not len(x) or len(rng) != len(x):
            raise InputError(f"expected one stream for each of at least one sample, got {len(rng)} for {len(x)}")
        runs = strata(self.noise.steps, self.noise.steps if calls is None else calls, even=True)
        y = x["y"] if self.settings.classes and "y" in x else None
        whole = self.states(x)
        pieces = [slice(start, start + AT_ONCE) for start in range(0, len(x), AT_ONCE)]
        return Bound.cat(
            [self._bound(whole[i], None if y is None else y[i], rng.take(i).child("bound"), runs) for i in pieces]
        )

    def _bound(
        self, x0: Float[Tensor, "b n k"], y: Int[Tensor, " b"] | None, rng: Streams, runs: Sequence[tuple[int, int]]
    ) -> Bound:
        found, places = [], []
        short = self._trimmed(x0)
        for k, (low, high) in enumerate(runs):
            own = rng.at(k)
            at = low + own.integers("t", high - low + 1).to(x0.device)
            found.append(self.term(short, at, y, own).double())
            places.append(at)
        sizes = torch.tensor([high - low + 1 for low, high in runs], device=x0.device)
        each = (torch.stack(found, 1), torch.stack(places, 1), sizes)
        wide = x0.double()
        count = wide.sum((1, 2)).long()
        last = categorical.marginal(wide, self.noise.shares(1.0, 0.0)[0], self.noise.rest(wide))
        far = (categorical.kl(last, self.noise.log_prior(wide)) * wide.sum(-1)).sum(-1)
        if not self.settings.variable:
            return Bound(far, *each, x0.shape[1])
        return Bound(far, *each, count, -categorical.log_of(self.lengths.double())[count - 1])

    @torch.no_grad()
    def log_prob(self, x: Batch, rng: Streams) -> Float[Tensor, " b"]:
        """Minus the variational bound, estimated from ``CALLS`` strata of times. [nats]"""
        return -self.bound_of(x, rng, calls=min(CALLS, self.noise.steps)).total.float()

    def likelihood_notes(self) -> list[str]:
        """How ``log_prob`` comes about, for a report."""
        calls = min(CALLS, self.noise.steps)
        return [f"variational bound, estimated without bias from {calls} of its {self.noise.steps} terms a sample"]

    @property
    def classes(self) -> Sequence[str]:
        """Names of the classes that it can be conditioned on."""
        return self.settings.classes

    @property
    def sampling(self) -> SamplingDefaults:
        """The whole chain of T steps."""
        return SamplingDefaults("ancestral", self.noise.steps)

    @property
    def options(self) -> tuple[Option, ...]:
        """Its classes and, of sequences, their length, as conditions."""
        s = self.settings
        length = Option("length", "given", "whole", "of every sample", "positions", s.shortest, s.datum.size)
        return class_option(s.classes) + ((length,) if s.variable else ())

    def groups(self, n: int, given: Mapping[str, object], rng: Streams) -> Sequence[Group]:
        """All samples in one group; lengths that are not given are drawn with the noise.

        Raises:
            InputError: if a length is none of the model's.
        """
        del rng  # lengths are drawn by ``like``
        rest = {name: value for name, value in given.items() if name != "length"}
        if "length" not in given:
            return [Group(self, torch.arange(n), rest)]
        length = whole(given["length"], "--given length")
        self.of_length(torch.tensor([length]))
        return [Group(FixedLengthModel(self, length), torch.arange(n), rest)]

    def join(self, pieces: Sequence[Batch], order: Int[Tensor, " n"]) -> Batch:
        """Pieces in the order of their rows."""
        return Batch.cat(pieces).take(order.argsort())

    def expectation(self, x0: Float[Tensor, "b n k"]) -> Float[Tensor, "b ..."]:
        """Greys ``(b, c, h, w)`` of cut pictures, or probabilities of the categories ``(b, n, k)``, zero on padding."""
        datum = self.settings.datum
        p = x0.softmax(-1)[..., : self.noise.categories]
        greys = datum.space.get("greys")
        if greys is None:
            return p * (x0.detach() != 0).any(-1, keepdim=True).to(p.dtype)
        return (p @ torch.tensor(greys, dtype=p.dtype, device=p.device)).reshape(len(p), 1, *datum.shape[-2:])

    def denoiser(self, given: Mapping[str, object] | None, n: int) -> Conditioned:
        """The denoiser of ``n`` samples.

        Args:
            given: ``class``: a name, an index, ``all``, or one for each sample.
            n: number of samples.

        Raises:
            InputError: if there is another condition.
        """
        y = given_classes(given, n, self.settings.classes, null=self.settings.drop > 0)
        return Conditioned(self, None if y is None else y.to(next(self.parameters()).device))

    def predict(self, x_t: Float[Tensor, "b n k"], t: Float[Tensor, " b"], y: Int[Tensor, " b"] | None) -> Prediction:
        """Log-probabilities of x_0 at x_t, as ``log_x0``."""
        return Prediction(self.log_x0(x_t, t, y))

    @torch.no_grad()
    def sample(self, n: int, *, given: Mapping[str, object] | None = None, rng: Streams) -> Batch:
        """Draw samples by the whole chain of T steps; solvers, guides and fewer steps are the kit's.

        Args:
            n: how many.
            given: ``class``.
            rng: one stream for each.

        Raises:
            InputError: if there is another condition, or the number of streams differs.
        """
        if len(rng) != n:
            raise InputError(f"expected one stream for each of {n} samples, got {len(rng)}")
        denoiser, own = self.denoiser(given, n), rng.child("sample")
        times = [1 - i / self.noise.steps for i in range(self.noise.steps)] + [0.0]
        x = ancestral(denoiser, self.noise.prior(self.like(n, own), own), times, own)
        return self.finish(x)

    def propose(self, x: Batch, strength: float, rng: Streams) -> Batch:
        """Variants of samples: noised to the time ``strength`` and walked back; lengths stay.

        Args:
            x: samples, under their classes where known.
            strength: in (0, 1]; 1 makes new samples of the same lengths.
            rng: one stream for each.

        Raises:
            CapabilityError: if the samples have no classes and the model has not learned to do without.
            InputError: if the strength is out of range.
        """
        known = bool(self.settings.classes) and "y" in x
        denoiser = Conditioned(self, x["y"]) if known else self.denoiser(None, len(x))
        own = rng.child("propose")
        made = self.finish(vary(denoiser, self.states(x), strength, own, solver="ancestral", steps=STEPS))
        return made.with_fields(y=x["y"]) if known else made


@dataclass(frozen=True)
class FixedLengthModel:
    """A model of sequences with one length.

    Args:
        model: the model.
        length: of every sequence. [residues]
    """

    model: MultinomialDiffusion
    length: int

    @property
    def noise(self) -> Categorical:
        """The model's noise."""
        return self.model.noise

    @property
    def classes(self) -> Sequence[str]:
        """The model's classes."""
        return self.model.classes

    def denoiser(self, given: Mapping[str, object] | None, n: int) -> Denoiser:
        """The model's denoiser."""
        return self.model.denoiser(given, n)

    def like(self, n: int, rng: Streams) -> Float[Tensor, "n ..."]:
        """Ones on the first positions."""
        del rng
        return self.model.of_length(torch.full((n,), self.length))

    def finish(self, x: Float[Tensor, "n ..."]) -> Batch:
        """As the model does."""
        return self.model.finish(x)

    def expectation(self, x0: Float[Tensor, "b n k"]) -> Float[Tensor, "b ..."]:
        """As the model has it."""
        return self.model.expectation(x0)
