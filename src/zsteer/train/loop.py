r"""The only training loop.

One step is one round of the model's turns: for each ``Turn(player, times)``, ``times`` updates of that player, each on
a batch of its own. An update minimises the weighted mean of the sum of the per-sample losses,

.. math:: \frac{\sum_i w_i \sum_k \ell_{k,i}}{\sum_i w_i},

clips the gradient, steps the player's optimiser, lets the model act (``after_step``) and moves the average.
Data and noise are functions of the seed and the update, so a checkpoint needs weights, optimisers and two counters.
Values that are not finite send the run back to its last good state once, with other noise; a second time in the same
stretch is an error that names the player, the term and the step.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from zsteer.core.protocols import Committing, Observed, Source, Trainable
from zsteer.core.rng import Streams
from zsteer.errors import DivergenceError, SettingsError
from zsteer.train.distributed import World, parallel
from zsteer.train.ema import averaged
from zsteer.train.muon import Muon
from zsteer.train.run import Checkpoint, Run
from zsteer.train.sgd import Sgd

__all__ = ["Fit", "Optim", "Plan", "fit"]

N = TypeVar("N", bound=nn.Module)

_IDS = 2**24
"""Stream ids set aside for one update; more samples in a batch would share numbers with the next."""


@dataclass(frozen=True)
class Optim:
    """How one player learns.

    Args:
        lr: learning rate.
        kind: ``adamw``, ``muon`` (matrices of one spectral size a step), ``rmsprop`` (WGAN with clipping) or ``sgd``
            (Boltzmann machines).
        betas: decay of AdamW's two moments.
        momentum: of SGD.
        weight_decay: AdamW's decay of the weights.
        clip: largest norm of the gradient.
        warmup: steps over which the rate rises from 0.
        decay: ``constant``, ``cosine`` to a twentieth of ``lr``, or ``linear`` to 0.
    """

    lr: float = 1e-3
    kind: Literal["adamw", "muon", "rmsprop", "sgd"] = "adamw"
    betas: tuple[float, float] = (0.9, 0.999)
    momentum: float = 0.0
    weight_decay: float = 0.0
    clip: float = 1.0
    warmup: int = 0
    decay: Literal["constant", "cosine", "linear"] = "constant"

    def rate(self, step: int, steps: int) -> float:
        """Learning rate at a step, counted from 0."""
        rise = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        if self.decay == "cosine":
            return self.lr * rise * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / max(steps, 1))))
        if self.decay == "linear":
            return self.lr * rise * (1 - step / max(steps, 1))
        return self.lr * rise

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer | Sgd:
        """The optimiser of these parameters."""
        chosen = list(parameters)
        if self.kind == "rmsprop":
            return torch.optim.RMSprop(chosen, lr=self.lr)
        if self.kind == "sgd":
            return Sgd(chosen, self.lr, self.momentum)
        if self.kind == "muon":
            return Muon(chosen, self.lr, self.betas, self.weight_decay)
        # Fused: one pass over the weights instead of a dozen, which small batches would wait for.
        return torch.optim.AdamW(chosen, lr=self.lr, betas=self.betas, weight_decay=self.weight_decay, fused=True)


@dataclass(frozen=True)
class Plan:
    """How long to train, how to learn, and what to write when.

    Args:
        steps: rounds of turns.
        optim: for every player, or one for each by name.
        ema: weight of the past in the average of the weights; None for no average.
        log_every: steps between two records.
        checkpoint_every: steps between two checkpoints.
        guard_every: steps between two snapshots to which a diverged run goes back.
        keep: checkpoints to keep.
        bf16: bfloat16 autocast; None means on CUDA only.

    Raises:
        SettingsError: if a count is not positive.
    """

    steps: int
    optim: Optim | Mapping[str, Optim] = field(default_factory=Optim)
    ema: float | None = 0.999
    log_every: int = 50
    checkpoint_every: int = 500
    guard_every: int = 100
    keep: int = 2
    bf16: bool | None = None

    def __post_init__(self) -> None:
        for name in ("steps", "log_every", "checkpoint_every", "guard_every", "keep"):
            if getattr(self, name) < 1:
                raise SettingsError(f"expected {name} >= 1, got {getattr(self, name)}")

    def of(self, player: str) -> Optim:
        """How a player learns.

        Raises:
            SettingsError: if the plan names other players only.
        """
        if isinstance(self.optim, Optim):
            return self.optim
        if player not in self.optim:
            raise SettingsError(f"the plan has no optimiser for player {player!r}; it has {sorted(self.optim)}")
        return self.optim[player]


def _norm(gradients: list[Tensor]) -> Tensor:
    """Norm of all gradients together; a few are faster one by one than sorted into groups."""
    if 0 < len(gradients) <= 4:
        return torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g).float() for g in gradients]))
    return get_total_norm(gradients)


class _NotFiniteError(Exception):
    """An update whose loss or gradient is not finite."""

    def __init__(self, player: str, term: str) -> None:
        super().__init__(f"{term} of player {player!r}")
        self.what = str(self)


class Fit:
    """One training run in progress.

    Args:
        model: an ``nn.Module`` that is ``Trainable``.
        source: its data.
        plan: how to train.
        seed: of data order and noise.
        world: the processes of the run.
    """

    def __init__(self, model: nn.Module, source: Source, plan: Plan, *, seed: int, world: World | None = None) -> None:
        if not isinstance(model, Trainable):
            raise SettingsError(f"{type(model).__name__} cannot be trained: it lacks turns, players or losses")
        trained: nn.Module = model
        self.model = trained
        self.source, self.plan, self.seed = source, plan, seed
        self.world = world or World()
        self.commits = model if isinstance(model, Committing) else None
        self.turns = tuple(model.turns)
        self.players = {name: list(parameters) for name, parameters in model.players().items()}
        self.optims = {name: plan.of(name) for name in self.players}
        self.optimisers = {name: self.optims[name].build(chosen) for name, chosen in self.players.items()}
        self.average = averaged(trained, plan.ema) if plan.ema is not None else None
        self.losses = parallel(trained, self.world, several_players=len(self.players) > 1)
        self.device = next(trained.parameters()).device
        self.step = self.retries = 0
        self.bad_step = -1
        self.updates_a_step = sum(turn.times for turn in self.turns)
        bf16 = self.device.type == "cuda" if plan.bf16 is None else plan.bf16
        self.autocast = torch.autocast(self.device.type, torch.bfloat16) if bf16 else nullcontext()
        self._row_numbers = torch.arange(0, device=self.device)
        self._good = self.checkpoint()

    def advance(self) -> dict[str, float] | None:
        """Do one step; every ``log_every`` steps give its record, else None.

        Raises:
            DivergenceError: if values that are not finite recur after going back.
        """
        wants_log = (self.step + 1) % self.plan.log_every == 0 or self.step + 1 == self.plan.steps
        record: dict[str, float] = {}
        figures: dict[str, float] = {}
        update = self.step * self.updates_a_step
        try:
            for turn in self.turns:
                for _ in range(turn.times):
                    figures = self._update(turn.player, update, wants_log=wants_log)
                    update += 1
                record |= figures
        except _NotFiniteError as problem:
            self._go_back(problem)
            return None
        self.step += 1
        if self.step % self.plan.guard_every == 0:
            self._good = self.checkpoint()
        if wants_log and isinstance(self.model, Observed):
            record |= self.model.figures(record)
        return record if wants_log else None

    def _update(self, player: str, update: int, *, wants_log: bool) -> dict[str, float]:
        optim, optimiser, own = self.optims[player], self.optimisers[player], self.players[player]
        rate = optim.rate(self.step, self.plan.steps)
        for group in optimiser.param_groups:
            group["lr"] = rate
        path = () if self.retries == 0 else (f"retry {self.retries}",)
        whole = self.source.batch(update, Streams(self.seed, torch.tensor([update]), path))
        if self.world.size > 1:
            share = self.world.share(len(whole))
            whole = whole.take(share)
            ids = self._rows(share.start, share.stop) + update * _IDS
        else:
            ids = self._rows(0, len(whole)) + update * _IDS
        x = whole.to(self.device)
        self._only(player)
        with self.autocast:
            terms = self.losses(x, player, Streams(self.seed, ids, path))
        values = list(terms.values())
        per_sample = values[0] if len(values) == 1 else torch.stack(values).sum(0)
        if per_sample.shape != (len(x),):
            raise SettingsError(f"the losses of {player!r} should have shape ({len(x)},), one for each sample")
        loss = self._mean(per_sample.float(), x.weight)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        total = _norm([p.grad for p in own if p.grad is not None])
        norm = float(total)
        if not math.isfinite(norm):
            # A loss that is not finite has a gradient that is not; the gradient is the one number to look at.
            bad = [name for name, value in terms.items() if not bool(torch.isfinite(value).all())]
            raise _NotFiniteError(player, f"loss {bad[0]!r}" if bad else "the gradient")
        if norm > optim.clip:
            clip_grads_with_norm_(own, optim.clip, total)
        optimiser.step()
        if self.commits is not None:
            self.commits.after_step(player)
        if self.average is not None:
            self.average.update_parameters(self.model)
        if not wants_log:
            return {}
        figures = {f"{player}/{name}": float(self._mean(value.detach(), x.weight)) for name, value in terms.items()}
        return {**figures, f"{player}/gradient": norm, f"{player}/lr": rate}

    def _rows(self, start: int, stop: int) -> Tensor:
        """Row numbers of this process within the global batch, kept between updates."""
        if len(self._row_numbers) != stop - start:
            self._row_numbers = torch.arange(start, stop, device=self.device)
        return self._row_numbers

    def _mean(self, values: Tensor, weight: Tensor | None) -> Tensor:
        if weight is None:
            return values.mean()
        # DDP averages the gradients of the processes; the factor turns that into a mean over the global weight.
        return (values * weight).sum() * self.world.size / self.world.total(weight.sum())

    def _only(self, player: str) -> None:
        """Gradients flow to the weights of one player; the others are held."""
        if len(self.players) > 1:
            for name, own in self.players.items():
                for parameter in own:
                    parameter.requires_grad_(name == player)

    def _go_back(self, problem: _NotFiniteError) -> None:
        stretch = self._good.state["step"]
        if self.bad_step >= stretch:
            raise DivergenceError(
                f"{problem.what} is not finite at step {self.step}, again after going back to step {stretch}; "
                f"lower the learning rate or look at the data"
            )
        bad_step, retries = self.step, self.retries + 1
        self._restore(self._good)
        self.bad_step, self.retries = bad_step, retries

    def checkpoint(self) -> Checkpoint:
        """Everything that the next step depends on, copied."""
        tensors: dict[str, dict[str, Tensor]] = {"model": dict(self.model.state_dict())}
        if self.average is not None:
            tensors["average"] = dict(self.average.state_dict())
        for name, optimiser in self.optimisers.items():
            entries = optimiser.state_dict()["state"]
            tensors[f"optimiser-{name}"] = {
                f"{index}.{key}": value for index, entry in entries.items() for key, value in entry.items()
            }
        numbers = {"step": self.step, "retries": self.retries, "bad_step": self.bad_step, "seed": self.seed}
        return Checkpoint(deepcopy(tensors), numbers)

    def _restore(self, checkpoint: Checkpoint) -> None:
        self.model.load_state_dict(dict(checkpoint.tensors["model"]))
        if self.average is not None:
            self.average.load_state_dict(dict(checkpoint.tensors["average"]))
        for name, optimiser in self.optimisers.items():
            state: dict[int, dict[str, Tensor]] = {}
            for key, value in checkpoint.tensors.get(f"optimiser-{name}", {}).items():
                index, entry = key.split(".", 1)
                state.setdefault(int(index), {})[entry] = value.clone()
            optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
        self.step = int(checkpoint.state["step"])
        self.retries, self.bad_step = int(checkpoint.state["retries"]), int(checkpoint.state["bad_step"])

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint.

        Raises:
            SettingsError: if it was made with another seed.
        """
        if checkpoint.state["seed"] != self.seed:
            raise SettingsError(f"the run was started with seed {checkpoint.state['seed']}, not {self.seed}")
        self._restore(checkpoint)
        self._good = self.checkpoint()

    @property
    def result(self) -> nn.Module:
        """The averaged model if there is an average, else the model."""
        return self.average.module if self.average is not None else self.model


def fit(
    model: N,
    source: Source,
    plan: Plan,
    *,
    seed: int,
    run: Run | None = None,
    world: World | None = None,
    watch: Callable[[dict[str, Any]], None] | None = None,
) -> N:
    """Train a model.

    Args:
        model: an ``nn.Module`` that is ``Trainable``; it is changed in place.
        source: its data.
        plan: how to train.
        seed: of data order and noise.
        run: where to write records and checkpoints; if it has a checkpoint, training goes on from there.
        world: the processes of the run.
        watch: called with each record.

    Returns:
        The averaged model, or the model itself without an average.

    Raises:
        DivergenceError: if values that are not finite recur.
    """
    state = Fit(model, source, plan, seed=seed, world=world)
    model.train()
    writes = run is not None and state.world.rank == 0
    checkpoint = run.newest() if run is not None else None
    if checkpoint is not None:
        state.resume(checkpoint)
    if writes and run is not None:
        run.forget_after(state.step)
    started, first = time.perf_counter(), state.step
    while state.step < plan.steps:
        record = state.advance()
        if record is not None:
            seconds = time.perf_counter() - started
            full = {"step": state.step, **record, "steps_per_second": (state.step - first) / max(seconds, 1e-9)}
            if writes and run is not None:
                run.log(full)
            if watch is not None and state.world.rank == 0:
                watch({**full, "steps": plan.steps})
        if writes and run is not None and (state.step % plan.checkpoint_every == 0 or state.step == plan.steps):
            run.save(state.checkpoint(), keep=plan.keep)
    state.world.wait()
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    # The average is a copy of the model, of its class.
    return cast("N", state.result.eval())
