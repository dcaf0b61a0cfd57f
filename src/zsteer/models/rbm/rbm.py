r"""``RBM``: the restricted Boltzmann machine of the lecture, for binary, real and level data, with its likelihood.

.. math:: p(v, h) \propto e^{-E(v, h)}, \quad E(v, h) = -a \cdot v - b \cdot h - v^T W h, \quad
          \Delta w_{ij} = \epsilon (\langle v_i h_j \rangle^0 - \langle v_i h_j \rangle^\infty)

The loss of a datum is F(v_i) - F(v_k), whose gradient is that rule; v_k are chains that start at the data (cd), go on
from update to update (pcd), or exchange with chains at higher temperatures (pt). The chains are state of the model:
``losses`` works out where they go, ``after_step`` commits it, so a call of ``losses`` alone changes nothing and a
resumed run is the unbroken one. log p(v) = -F(v) - log Z; ``measure`` finds log Z (``sample/annealed``).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from zsteer.core.artifact import Pretrained
from zsteer.core.batch import Batch
from zsteer.core.options import Option
from zsteer.core.protocols import Turn
from zsteer.core.rng import Streams, initialised
from zsteer.errors import InputError, SettingsError, nearest
from zsteer.maths.boltzmann import (
    MOST_UNITS,
    Couplings,
    free_energy,
    hidden_mean,
    log_partition,
    visible_field,
    visible_mean,
    zero_sum,
)
from zsteer.models.rbm.gradient import Rows, contrast_of
from zsteer.models.rbm.settings import RbmSettings, from_numbers, to_numbers
from zsteer.sample.annealed import LogZ, log_partition_estimate
from zsteer.sample.gibbs import Coins, Draws, Gibbs, PerSample, precision_of

__all__ = ["RBM", "RbmSettings"]

SWEEPS = 100
"""Gibbs sweeps that make new samples."""
CLAMP = 1e-3
"""Means of binary units are kept this far from 0 and 1: a pixel that is never on gets a finite bias."""


class RBM(Pretrained, nn.Module):
    """A restricted Boltzmann machine; batches have the field ``x`` of ``settings.datum``."""

    kind = "rbm"
    parts: Sequence[str] = ("h",)
    Settings = RbmSettings

    def __init__(self, settings: RbmSettings) -> None:
        super().__init__()
        self.settings = s = settings
        n, m = s.numbers, s.units
        with initialised(s.seed):
            self.w = nn.Parameter(torch.empty(n, m).normal_(0.0, s.spread))
        self.a, self.b = nn.Parameter(torch.zeros(n)), nn.Parameter(torch.zeros(m))
        # The base rates, the offsets of the centred gradient, the chains, and what is known about log Z.
        self.register_buffer("base", torch.zeros(n))
        self.register_buffer("mu", torch.zeros(n))
        self.register_buffer("lam", torch.full((m,), 0.5 if s.hidden == "bernoulli" else 0.0))
        wide = m if s.keeps_hidden else s.datum.size
        kind = torch.uint8 if s.keeps_hidden or (s.visible != "real" and s.levels <= 256) else torch.float32
        self.register_buffer("chains", torch.zeros(s.rows, wide, dtype=kind))
        self.register_buffer("known", torch.full((7,), math.nan, dtype=torch.float64))
        self.base: Tensor
        self.mu: Tensor
        self.lam: Tensor
        self.chains: Tensor
        self.known: Tensor
        self._next: tuple[Tensor | None, Tensor] | None = None
        self._watched: tuple[Tensor, Tensor] | None = None
        self._gauge()

    @property
    def couplings(self) -> Couplings:
        """The parameters as the equations take them."""
        return Couplings(self.w, self.a, self.b, self.settings.visible, self.settings.hidden, self.settings.levels)

    @property
    def options(self) -> tuple[Option, ...]:
        """How Gibbs sampling begins, and how long it goes on, as flags of sampling."""
        starts = ("chains", "base") if self.settings.method != "cd" else ("base",)
        return (
            Option("sweeps", "sample", "whole", "Gibbs sweeps", "", 1),
            Option("start", "sample", "choice", "where sampling begins", choices=starts),
        )

    @property
    def turns(self) -> Sequence[Turn]:
        """One player."""
        return (Turn("machine"),)

    def players(self) -> Mapping[str, Iterable[nn.Parameter]]:
        """Weights and both biases."""
        return {"machine": [self.w, self.a, self.b]}

    def vectors(self, x: Batch) -> Float[Tensor, "b n"]:
        """Checked samples as visible vectors: levels become one-hot, reals are divided by the noise."""
        return self._scaled(self.settings.datum.flat(x))

    def _scaled(self, rows: Tensor) -> Float[Tensor, "b n"]:
        rows = self._one_hot(rows).to(self.w.dtype)
        return rows / self.settings.noise if self.settings.visible == "real" else rows

    def _batch(self, v: Float[Tensor, "c n"]) -> Batch:
        """Visible vectors as samples."""
        rows = self._compact(v).to(self.w.dtype)
        return self.settings.datum.batch(rows * self.settings.noise if self.settings.visible == "real" else rows)

    def _one_hot(self, rows: Tensor) -> Tensor:
        if self.settings.visible != "levels":
            return rows
        return nn.functional.one_hot(rows.long(), self.settings.levels).flatten(1)

    def _compact(self, v: Float[Tensor, "c n"]) -> Tensor:
        """Visible vectors as the numbers of the datum: levels by their index."""
        if self.settings.visible != "levels":
            return v
        return v.unflatten(1, (-1, self.settings.levels)).argmax(2)

    @torch.no_grad()
    def begin(self, x: Batch, rng: Streams) -> None:
        """Take base rates from data: biases, offsets of the centring, and the first state of the chains.

        Args:
            x: training samples.
            rng: streams for the chains; their seed counts.

        Raises:
            InputError: if a real column is constant, which no unit variance fits.
        """
        v = self.vectors(x)
        mean = v.mean(0)
        if self.settings.visible == "real":
            still = (v.var(0, unbiased=False) < 1e-10).nonzero().flatten().tolist()
            if still:
                names = self.settings.datum.space.get("columns", [])
                name = f" ({names[still[0]]!r})" if len(names) == len(mean) else ""
                raise InputError(f"column {still[0] + 1}{name} is constant; leave it out, it has nothing to learn")
            self.a.copy_(mean)
        elif self.settings.visible == "binary":
            self.a.copy_(torch.logit(mean.clamp(CLAMP, 1 - CLAMP)))
        else:
            counts = v.sum(0).unflatten(0, (-1, self.settings.levels)) + 1.0
            self.a.copy_((counts / counts.sum(1, keepdim=True)).log().flatten())
        self.base.copy_(self.a)
        self._gauge()
        self.base.copy_(self.a)
        if self.settings.centre:
            # Rounded to bfloat16: any offset near the mean will do, and it must be the same in every precision.
            self.mu.copy_(mean.bfloat16())
        # Offset of a Bernoulli unit: its mean at the mean field; the moving average takes over from there.
        self.lam.copy_(hidden_mean(v[:1000] @ self.w + self.b, self.settings.hidden).mean(0))
        if len(self.chains):
            sampler, draws = Gibbs(self.couplings, base=self.base), Coins(rng.bulk("first chains"))
            first = sampler.start(len(self.chains), draws)
            hidden = self.settings.keeps_hidden
            self.chains.copy_(sampler.hidden(sampler.field(first), draws) if hidden else self._compact(first))

    def watch(self, train: Batch, valid: Batch) -> None:
        """Samples on which records of the training loop measure the free-energy gap."""
        self._watched = (self.vectors(train), self.vectors(valid))

    @torch.no_grad()
    def figures(self, record: Mapping[str, float]) -> Mapping[str, float]:
        """Free-energy gap, the alarm of overfitting: mean F of validation less that of training samples. [nats]"""
        del record
        if self._watched is None:
            return {}
        train, valid = (free_energy(v, self.couplings).mean() for v in self._watched)
        return {"free_energy_gap": float(valid - train)}

    def losses(self, x: Batch, player: str, rng: Streams) -> Mapping[str, Float[Tensor, " b"]]:
        """F(v_i) - F(v_k), and the decay where there is one."""
        del player
        s = self.settings
        # Not checked again: ``begin`` has seen these rows, and a value that is not finite shows in the loss.
        v = self._scaled(x["x"].flatten(1))
        # Chains that start at the data share one block of numbers: rows in the order of their ids get the same ones.
        order = rng.ids.argsort() if s.method == "cd" else None
        v = v if order is None else v[order]
        sampler = Gibbs(self.couplings, base=self.base, precision=precision_of(s.precision, v.device))
        data, draws = v.to(sampler.state), Coins(rng.bulk("chains"))
        with torch.no_grad():
            model, following = self._negative(sampler, data, draws)
            states = torch.cat([data, model, self.mu[None].to(sampler.state)])
        rows = Rows(states, len(v), sampler.product, self.lam if s.centre else None, s.method == "cd")
        contrast, h = contrast_of(self.couplings, rows)
        if s.keeps_hidden:
            following = draws.below(h[len(v) :].clone())
        self._next = (following, h[: len(v)].mean(0))
        terms = {"contrast": contrast if order is None else contrast[order.argsort()]}
        if s.decay > 0:
            terms["decay"] = (0.5 * s.decay * self.w.square().sum()).expand(len(v))
        return terms

    def _negative(self, sampler: Gibbs, data: Tensor, draws: Coins) -> tuple[Tensor, Tensor | None]:
        """States of the model for the negative phase, and what the chains become (hidden states follow later)."""
        s = self.settings
        if s.method == "cd":
            return sampler.run(data, s.k, draws), None
        if s.keeps_hidden:
            v = sampler.visible(self.chains.to(sampler.state), draws)
            return sampler.run(v, s.k - 1, draws), None
        v = self._one_hot(self.chains).to(sampler.state)
        if s.method == "pcd":
            v = sampler.run(v, s.k, draws)
            return v, self._compact(v)
        v = sampler.exchange(sampler.run(v, s.k, draws, self._betas(v)), s.temperatures, draws)
        return v[-s.chains :], self._compact(v)

    def _equilibrium(self, sampler: Gibbs, rows: Int[Tensor, " c"], draws: Draws) -> Float[Tensor, "c n"]:
        """Visible states of some of the chains at beta = 1."""
        kept = self.chains[-self.settings.chains :][rows]
        if self.settings.keeps_hidden:
            return sampler.visible(kept.to(sampler.state), draws)
        return self._one_hot(kept).to(sampler.state)

    def _betas(self, v: Tensor) -> Float[Tensor, "c 1"]:
        """Inverse temperature of each row of chains: 0 first, 1 last."""
        betas = torch.linspace(0, 1, self.settings.temperatures, device=v.device)
        return betas.repeat_interleave(self.settings.chains)[:, None]

    @torch.no_grad()
    def after_step(self, player: str) -> None:
        """Commit where the last ``losses`` took the chains and the offsets; keep softmax weights in their gauge."""
        del player
        if self._next is None:
            return
        following, activity = self._next
        self._next = None
        if following is not None:
            self.chains.copy_(following)
        self.lam.lerp_(activity, 0.01)
        self.known.fill_(math.nan)
        self._gauge()

    @torch.no_grad()
    def _gauge(self) -> None:
        if self.settings.visible == "levels":
            q = zero_sum(self.couplings)
            self.w.copy_(q.w)
            self.a.copy_(q.a)
            self.b.copy_(q.b)

    @property
    def log_z(self) -> LogZ | None:
        """What is known about log Z; None before ``measure`` and after every update."""
        return from_numbers(self.known)

    @torch.no_grad()
    def measure(
        self,
        rng: Streams,
        *,
        chains: int = 100,
        temperatures: int = 10000,
        watch: Any = None,
        exact: bool | None = None,
    ) -> LogZ:
        """Find log Z, by enumeration where a side is small enough, else by annealing both ways; it is kept.

        Args:
            rng: any streams; their seed counts.
            chains: of each annealing run.
            temperatures: steps of each run.
            watch: called with progress.
            exact: insist on enumeration (True) or on annealing (False).

        Raises:
            InputError: if enumeration is wanted and no side is small enough.
        """
        s = self.settings
        small = (s.hidden == "bernoulli" and s.units <= MOST_UNITS) or (
            s.visible != "real" and s.datum.size * math.log2(max(s.levels, 2)) <= MOST_UNITS
        )
        if exact or (small and exact is None):
            found = LogZ(float(log_partition(self.couplings)))
        else:
            sampler = Gibbs(self.couplings, base=self.base)
            top = None
            if len(self.chains):
                top = self._equilibrium(sampler, torch.arange(s.chains), Coins(rng.bulk("top")))
            found = log_partition_estimate(
                sampler, rng, chains=chains, temperatures=temperatures, equilibrium=top, watch=watch
            )
        self.known.copy_(to_numbers(found))
        return found

    @property
    def bound(self) -> Literal["exact", "lower", "unnormalised"]:
        """``exact`` once log Z is enumerated; else log p is an estimate, or lacks log Z altogether."""
        known = self.log_z
        return "exact" if known is not None and known.exact else "unnormalised"

    @torch.no_grad()
    def log_prob(self, x: Batch, rng: Streams, *, force: bool = False) -> Float[Tensor, " b"]:
        """-F(v) - log Z; without a known log Z, -F(v). Of a sandwich the upper end counts if it is the larger. [nats]

        Args:
            x: samples.
            rng: not used; log Z is settled by ``measure``.
            force: take an estimate of log Z that rests on an effective number of chains below 5.

        Raises:
            RefusedError: if the estimate of log Z is not to be trusted.
        """
        del rng
        log_p = torch.cat([-free_energy(self.vectors(piece), self.couplings) for piece in x.chunks(4096)])
        if self.settings.visible == "real":  # the density of x, not of x / noise
            log_p = log_p - self.settings.datum.size * math.log(self.settings.noise)
        known = self.log_z
        if known is None:
            return log_p
        known.require(force=force)
        return (log_p.double() - max(known.value, known.value if math.isnan(known.upper) else known.upper)).to(log_p)

    def likelihood_notes(self) -> list[str]:
        """What a reader of a likelihood must know about log Z."""
        known = self.log_z
        if known is None:
            return ["log Z is not known: the figures lack it and compare samples of this model only"]
        if known.exact:
            return [f"log Z = {known.value:.3f}, enumerated"]
        return [
            (
                f"log Z = {known.value:.2f} +- {known.se:.2f} by annealing, {known.upper:.2f} from above; effective "
                f"number of chains {known.ess:.1f} of {known.chains}, {known.temperatures} temperatures; the larger "
                f"end is used"
            )
        ]

    @torch.no_grad()
    def encode(self, x: Batch, rng: Streams) -> Mapping[str, Tensor]:
        """E[h | v]."""
        del rng
        return {"h": hidden_mean(self.vectors(x) @ self.w + self.b, self.settings.hidden)}

    @torch.no_grad()
    def decode(self, code: Mapping[str, Tensor], rng: Streams) -> Batch:
        """E[v | h], for binary units a probability; for levels the likeliest one, for there is none between two."""
        del rng
        return self._batch(visible_mean(visible_field(code["h"].to(self.w.dtype), self.couplings), self.couplings))

    @torch.no_grad()
    def propose(self, x: Batch, strength: float, rng: Streams) -> Batch:
        """Gibbs sweeps from given samples: one at the least strength, ``SWEEPS`` at 1, and a power between.

        Args:
            x: where the chains start.
            strength: in (0, 1].
            rng: one stream for each.

        Raises:
            InputError: if the strength is outside (0, 1], or there is not one stream for each.
        """
        if not 0 < strength <= 1 or len(rng) != len(x):
            raise InputError(
                f"expected a strength in (0, 1] and one stream for each of {len(x)} samples, got {strength:g} and "
                f"{len(rng)}"
            )
        sampler, draws = Gibbs(self.couplings, base=self.base), PerSample(rng.child("propose"))
        return self._batch(sampler.run(self.vectors(x), round(SWEEPS**strength), draws))

    @torch.no_grad()
    def sample(self, n: int, *, given: Mapping[str, object] | None = None, rng: Streams) -> Batch:
        """Draw samples by Gibbs sweeps, each with a stream of its own.

        Args:
            n: how many.
            given: ``start``: ``chains`` (a persistent chain each, the default where there are any) or ``base``
                (annealed from the base rates over the sweeps); ``sweeps``: how many, 100 by default.
            rng: one stream for each.

        Raises:
            InputError: if there is another condition, a wrong value, or not one stream for each sample.
        """
        start, sweeps = self._wish(given)
        if len(rng) != n:
            raise InputError(f"expected one stream for each of {n} samples, got {len(rng)}")
        sampler, draws = Gibbs(self.couplings, base=self.base), PerSample(rng.child("gibbs"))
        if start == "chains":
            rows = rng.integers("chain", self.settings.chains)
            v = sampler.run(self._equilibrium(sampler, rows, draws), sweeps, draws)
        else:
            v = sampler.start(n, draws)
            for k in range(sweeps):
                # The last third of the sweeps stays at beta = 1.
                v = sampler.sweep(v, draws, min(1.0, 1.5 * (k + 1) / sweeps))
        return self._batch(v)

    def _wish(self, given: Mapping[str, object] | None) -> tuple[str, int]:
        wish = dict(given or {})
        for key in wish:
            if key not in {"start", "sweeps"}:
                raise InputError("--given: " + nearest(key, ("start", "sweeps"), what="condition"))
        start = str(wish.get("start", "chains" if len(self.chains) else "base"))
        if start not in {"chains", "base"} or (start == "chains" and not len(self.chains)):
            raise InputError(f"--given start takes base, or chains where the model keeps some (not cd), got {start!r}")
        text = str(wish.get("sweeps", SWEEPS))
        if not text.isdigit() or int(text) < 1:
            raise SettingsError(f"--given sweeps takes a number of sweeps of at least 1, got {text!r}")
        return start, int(text)
