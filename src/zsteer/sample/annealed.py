r"""The likelihood service of energy models: log Z exact, by annealing, or as a sandwich, with its error or a refusal.

Annealed importance sampling (AIS) takes chains from a model whose log Z is known (beta = 0) to the one that is asked
for (beta = 1) and weighs what each step changes,

.. math:: \log w = \sum_k \log p^*_{\beta_{k+1}}(v_k) - \log p^*_{\beta_k}(v_k), \quad
          \log Z \approx \log Z_0 + \log \tfrac{1}{n} \sum_i w_i ,

where :math:`E[w] = Z / Z_0`, so that on average this under-states log Z. Run backwards from samples of the model it
over-states log Z: the two ends are the sandwich. How far to trust a run is its effective sample size
:math:`(\sum w)^2 / \sum w^2`; below 5 a result is refused unless the caller insists.

Source: Neal, "Annealed importance sampling", Statistics and Computing 2001; Salakhutdinov, Murray, "On the quantitative
analysis of deep belief networks", ICML 2008; Burda, Grosse, Salakhutdinov, "Accurate and conservative estimates of MRF
log-likelihood using reverse annealing", AISTATS 2015; Sivak, Crooks, "Thermodynamic metrics and optimal paths",
Phys. Rev. Lett. 2012 (where to put the temperatures).
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.core.rng import Streams
from zsteer.errors import InputError, RefusedError
from zsteer.maths.boltzmann import hidden_potential, visible_potential
from zsteer.sample.gibbs import Coins, Draws, Gibbs

__all__ = ["LEAST_ESS", "Anneal", "LogZ", "Tempered", "anneal", "ladder", "log_partition_estimate"]

LEAST_ESS = 5.0
"""Below this the mean of the weights is a few lucky chains and log Z is under-stated by an unknown amount."""


@dataclass(frozen=True)
class LogZ:
    """What is known about log Z. [nats]

    Args:
        value: the estimate, from below on average, or exact.
        se: its standard error; 0 when exact.
        ess: effective number of the chains; infinite when exact.
        upper: the estimate from above on average, or NaN without one.
        upper_ess: effective number of the chains that gave it.
        chains: chains of each run; 0 when exact.
        temperatures: steps of beta in each run; 0 when exact.
        seconds: time that both took.
    """

    value: float
    se: float = 0.0
    ess: float = math.inf
    upper: float = math.nan
    upper_ess: float = math.nan
    chains: int = 0
    temperatures: int = 0
    seconds: float = 0.0

    @property
    def exact(self) -> bool:
        """Whether it is enumerated."""
        return self.chains == 0

    @property
    def gap(self) -> float:
        """Width of the sandwich, upper - value; NaN without an upper end."""
        return self.upper - self.value

    def require(self, *, force: bool = False) -> None:
        """Refuse an estimate that rests on too few chains.

        Raises:
            RefusedError: if ``ess`` is below 5 and ``force`` is false.
        """
        if self.ess < LEAST_ESS and not force:
            raise RefusedError(
                f"log Z rests on an effective {self.ess:.1f} of {self.chains} chains (at least {LEAST_ESS:g} are "
                f"needed), so the likelihood would be over-stated; anneal with more temperatures than "
                f"{self.temperatures} or more chains, or pass force=True to have it all the same"
            )

    def figures(self) -> dict[str, float]:
        """The figures by name, for a record or a card."""
        return {
            "log_z": self.value,
            "log_z_se": self.se,
            "log_z_ess": self.ess,
            "log_z_upper": self.upper,
            "log_z_upper_ess": self.upper_ess,
            "sandwich_gap": self.gap,
        }


class Tempered:
    """A machine on its way from the base-rate model (beta = 0, log Z known) to itself (beta = 1).

    Args:
        gibbs: the machine; its ``base`` are the visible biases at beta = 0.
    """

    def __init__(self, gibbs: Gibbs) -> None:
        self.gibbs = gibbs

    @property
    def log_z0(self) -> float:
        """Log Z of the base-rate model: hidden units without fields, visible units at their base biases."""
        g = self.gibbs
        base = g.base.double()
        none = torch.zeros((), dtype=torch.float64)
        hidden = g.p.w.shape[1] * float(hidden_potential(none, g.p.hidden))
        if g.p.visible == "real":
            # Without the constant of U, as in ``step``.
            return hidden + float((0.5 * base.square() + 0.5 * math.log(2 * math.pi)).sum())
        return hidden + float(visible_potential(base, g.p))

    @property
    def constant(self) -> float:
        """What U(v) of the machine has beyond the terms that ``step`` counts."""
        return 0.5 * float(self.gibbs.p.a.double().square().sum()) if self.gibbs.p.visible == "real" else 0.0

    def start(self, chains: int, draws: Draws) -> Tensor:
        """Chains at beta = 0."""
        return self.gibbs.start(chains, draws)

    def step(self, v: Tensor, beta: float, to: float, draws: Draws | None) -> tuple[Float[Tensor, " c"], Tensor]:
        """Log-weight of going from ``beta`` to ``to``, and the chains after a sweep there (none without draws)."""
        g, rise = self.gibbs, to - beta
        x = g.field(v)
        own = (v.to(g.rise.dtype) @ g.rise).double() * rise
        if g.p.hidden == "bernoulli":
            # log (1 + e^{to x}) / (1 + e^{beta x}) = -log(1 + s (e^{-rise x} - 1)) with s = sigmoid(to x), which the
            # sweep needs anyway.
            s = torch.sigmoid(x * to)
            change = x.mul_(-rise).expm1_().mul_(s).log1p_().sum(1).neg_().double()
            if draws is None:
                return own + change, v
            h = draws.below(s, s if s.dtype == g.state else torch.empty_like(s, dtype=g.state))
        else:
            after, before = hidden_potential(x * to, g.p.hidden), hidden_potential(x * beta, g.p.hidden)
            change = (after - before).double().sum(1)
            if draws is None:
                return own + change, v
            h = g.hidden(x, draws, to)
        return own + change, g.visible(h, draws, to)


@dataclass(frozen=True)
class Anneal:
    """The outcome of one run.

    Args:
        log_w: log-weight of each chain, float64.
        state: the chains at the end.
        spread: variance of the log-weights so far, at each of the betas but the first.
    """

    log_w: Float[Tensor, " c"]
    state: Tensor
    spread: Float[Tensor, " t"]

    @property
    def ess(self) -> float:
        """Effective number of chains, (sum w)^2 / sum w^2."""
        return float(torch.exp(2 * torch.logsumexp(self.log_w, 0) - torch.logsumexp(2 * self.log_w, 0)))

    @property
    def log_mean(self) -> float:
        """Log of the mean weight."""
        return float(torch.logsumexp(self.log_w, 0)) - math.log(len(self.log_w))

    @property
    def se(self) -> float:
        """Standard error of ``log_mean`` by the delta method: the relative one of the mean weight."""
        return math.sqrt(max(1 / self.ess - 1 / len(self.log_w), 0.0))


def anneal(
    model: Tempered,
    v: Tensor,
    betas: Float[Tensor, " t"],
    draws: Draws,
    watch: Callable[[dict[str, Any]], None] | None = None,
) -> Anneal:
    """Take chains along the betas and weigh every step.

    Args:
        model: with a temperature.
        v: chains, drawn from the model at the first beta.
        betas: inverse temperatures, rising or falling, float64.
        draws: random numbers.
        watch: called now and then with step and steps.

    Raises:
        InputError: if there are fewer than two betas.
    """
    times = betas.tolist()
    if len(times) < 2:
        raise InputError(f"annealing needs at least two temperatures, got {len(times)}")
    log_w = torch.zeros(len(v), dtype=torch.float64, device=v.device)
    spread = torch.zeros(len(times) - 1, dtype=torch.float64)
    every = max(1, len(times) // 200)
    last = 0.0
    for k, (beta, to) in enumerate(pairwise(times)):
        gain, v = model.step(v, beta, to, draws if k < len(times) - 2 else None)
        log_w += gain
        if k % every == 0 or k == len(times) - 2:
            last = float(log_w.var()) if len(v) > 1 else 0.0
            if watch is not None:
                watch({"step": k + 1, "steps": len(times) - 1})
        spread[k] = last
    return Anneal(log_w, v, spread)


def ladder(
    model: Tempered, temperatures: int, chains: int, draws: Draws, *, pilot: int | None = None
) -> Float[Tensor, " t"]:
    r"""Betas from 0 to 1, dense where the chains fall behind.

    A pilot run at even steps shows how fast the variance of the log-weights grows, :math:`\zeta(\beta)`. That growth
    is the friction of the path (local variance times the time to forget), and the total is least when the density of
    the betas is proportional to :math:`\sqrt{\zeta}`. A fifth is spread evenly, for the pilot is noisy.

    Args:
        model: with a temperature.
        temperatures: steps wanted.
        chains: chains of the pilot.
        draws: random numbers.
        pilot: steps of the pilot; a tenth of the temperatures, at least 200, when None.
    """
    bins = 20
    steps = max(bins, (max(200, temperatures // 10) if pilot is None else pilot) // bins * bins)
    run = anneal(model, model.start(chains, draws), torch.linspace(0, 1, steps + 1, dtype=torch.float64), draws)
    ends = torch.cat([torch.zeros(1, dtype=torch.float64), run.spread[steps // bins - 1 :: steps // bins]])
    growth = (ends[1:] - ends[:-1]).clamp(min=0)
    # The variance of a sample can fall by chance; a bin then takes the mean of itself and its neighbours.
    padded = torch.cat([growth[:1], growth, growth[-1:]])
    density = ((padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4).sqrt()
    total = float(density.sum())
    even = torch.full_like(density, 1 / bins)
    share = 0.2 * even + 0.8 * (density / total if total > 0 else even)
    reach = torch.cat([torch.zeros(1, dtype=torch.float64), share.cumsum(0)])
    wanted = torch.linspace(0, 1, temperatures + 1, dtype=torch.float64) * reach[-1]
    place = torch.searchsorted(reach, wanted, right=True).clamp(1, bins)
    low, high = reach[place - 1], reach[place]
    betas = (place - 1 + (wanted - low) / (high - low)) / bins
    betas[0], betas[-1] = 0.0, 1.0
    return betas


def log_partition_estimate(
    gibbs: Gibbs,
    rng: Streams,
    *,
    chains: int = 100,
    temperatures: int = 10000,
    equilibrium: Float[Tensor, "c n"] | None = None,
    settle: int = 200,
    watch: Callable[[dict[str, Any]], None] | None = None,
) -> LogZ:
    """Estimate log Z of a machine from below and, given samples of it, from above.

    Args:
        gibbs: the machine; its ``base`` are the biases of the base-rate model.
        rng: any streams; their seed and path key the runs.
        chains: chains of each run.
        temperatures: steps of beta in each run.
        equilibrium: states of the model, for example the chains that trained it; None leaves the upper end out.
        settle: sweeps that these take first.
        watch: called with progress.

    Returns:
        The sandwich. Nothing is refused here: see ``LogZ.require``.

    Raises:
        InputError: if chains or temperatures are fewer than 2.
    """
    if chains < 2 or temperatures < 2:
        raise InputError(f"expected at least 2 chains and 2 temperatures, got {chains} and {temperatures}")
    started = time.perf_counter()
    model = Tempered(gibbs)
    draws = Coins(rng.bulk("annealing"))
    betas = ladder(model, temperatures, min(chains, 100), draws)
    forward = anneal(model, model.start(chains, draws), betas, draws, watch)
    offset = model.log_z0 - model.constant
    upper = upper_ess = math.nan
    if equilibrium is not None:
        rows = torch.arange(chains, device=equilibrium.device) % len(equilibrium)
        back = Coins(rng.bulk("reverse annealing"))
        v = gibbs.run(equilibrium[rows], settle, back)
        reverse = anneal(model, v, betas.flip(0), back, watch)
        upper, upper_ess = offset - reverse.log_mean, reverse.ess
    seconds = time.perf_counter() - started
    value = offset + forward.log_mean
    return LogZ(value, forward.se, forward.ess, upper, upper_ess, chains, temperatures, seconds)
