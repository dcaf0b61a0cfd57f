"""Spaces that are listed whole: the prior given the goal is known exactly, and so is how far a refit ends from it.

Both have 4^8 = 65,536 sequences of eight bases. The synthetic one has a drawn Markov prior and a drawn landscape of all
pairs of places; the measured one is the binding of a transcription factor to every 8-mer, with a prior fitted to the
weaker half. The search family is a Markov chain: what it reaches at best is known too.
"""

import csv
import gzip
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.core.alphabet import DNA
from zsteer.core.batch import Batch
from zsteer.core.objective import Constraint, Objective, Target
from zsteer.core.property import Property
from zsteer.core.rng import Streams
from zsteer.errors import InputError
from zsteer.evaluate.report import Cell, Table
from zsteer.maths.adaptive import conditional, forward_divergence
from zsteer.models.markov import Markov, MarkovSettings, everything, place
from zsteer.steer.refit.method import Outcome, Refit
from zsteer.steer.refit.options import RefitOptions
from zsteer.steer.refit.rules import conditioned

__all__ = ["Bed", "binding_bed", "synthetic_bed", "tables"]

Watch = Callable[[dict[str, Any]], None]
LENGTH = 8
TOP = 0.998
"""Quantile of the landscape from which on it is wanted."""
FACTOR = "SIX6_REF_R1"
SETTINGS = MarkovSettings(letters=DNA.letters, length=LENGTH)
ROWS: Sequence[tuple[str, str, dict[str, object]]] = (
    ("cbas", "CbAS: all rounds, level by effective draws, replay", {}),
    ("cbas", "the same without replay", {"replay": 0.0}),
    ("textbook", "CbAS as printed (Algorithm 1, Q = 0.9)", {"replay": 0.0}),
    ("dbas", "DbAS", {"replay": 0.0}),
    ("cem", "CEM-PI", {"replay": 0.0}),
    ("rwr", "RWR", {"replay": 0.0}),
    ("fb", "FB", {}),
)


@dataclass(frozen=True)
class Bed:
    """A space that is listed whole.

    Args:
        name: of the bed.
        prior: the trusted model.
        values: the property of every sequence, in the order of ``everything``.
        goal: least wanted value.
    """

    name: str
    prior: Markov
    values: Float[Tensor, " n"]
    goal: float

    @property
    def whole(self) -> Batch:
        """Every sequence."""
        return DNA.batch(everything(DNA, LENGTH))

    @property
    def exact(self) -> Float[Tensor, " n"]:
        """Log p(x | S) of every sequence. [nats]"""
        inside = torch.where(self.values >= self.goal, 0.0, -torch.inf).double()
        return conditional(self.prior.log_prob(self.whole), inside)

    @property
    def objective(self) -> Objective:
        """At least the goal, looked up."""
        spread = float(self.values.std())
        quantity = Property("y", lambda x: self.values[place(x["tokens"], DNA)].numpy(), spread=spread)
        return Objective((Target(quantity, low=self.goal),), lambda x: x)

    def best(self) -> float:
        """The least divergence from p(x | S) that a chain can have. [nats]"""
        made = Markov(SETTINGS.model_copy(update={"pseudo": 1e-9}))
        fitted = made.refit(self.whole, self.exact.exp(), Streams.of(0, 1))
        return float(forward_divergence(self.exact, fitted.log_prob(self.whole)))


def synthetic_bed(seed: int = 3) -> Bed:
    """A drawn prior, and a drawn landscape in which every pair of places counts."""
    rng, k = Streams.of(seed, 1).child("bed"), DNA.size
    prior = Markov(SETTINGS)
    first = 0.3 + rng.uniform("first", (k,))[0].double()
    step = 0.05 + rng.uniform("step", (LENGTH - 1, k, k))[0].double().square()
    prior.first, prior.step = (first / first.sum()).log(), (step / step.sum(-1, keepdim=True)).log()
    tokens, pairs = everything(DNA, LENGTH), rng.normal("pairs", (LENGTH, LENGTH, k, k))[0].double()
    values = torch.zeros(len(tokens), dtype=torch.float64)
    for i in range(LENGTH):
        for j in range(i + 1, LENGTH):
            values += pairs[i, j][tokens[:, i], tokens[:, j]]
    return Bed("synthetic", prior, values, float(torch.quantile(values, TOP)))


def binding_bed(data: Path) -> Bed:
    """The measured binding of one factor to every 8-mer; the prior is fitted to the weaker half.

    Raises:
        InputError: if the file is not there, or lacks a sequence.
    """
    path = data / "tcr" / "tf_binding_8mer.csv.gz"
    if not path.is_file():
        raise InputError(f"{path} is not there; pass --data FOLDER, the folder of the data sets")
    found: dict[str, float] = {}
    other = str.maketrans("ACGT", "TGCA")
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            word, value = row["kmer"], float(row[FACTOR])
            found[word] = found[word[::-1].translate(other)] = value
    tokens = everything(DNA, LENGTH)
    words = ["".join(DNA.letters[letter] for letter in row) for row in tokens.tolist()]
    missing = next((word for word in words if word not in found), None)
    if missing is not None:
        raise InputError(f"{path} lacks the sequence {missing}")
    values = torch.tensor([found[word] for word in words], dtype=torch.float64)
    weak = values <= values.median()
    prior = Markov(SETTINGS).refit(DNA.batch(tokens[weak]), torch.ones(int(weak.sum())), Streams.of(0, 1))
    return Bed(f"binding of {FACTOR.split('_', maxsplit=1)[0]}", prior, values, float(torch.quantile(values, TOP)))


def tables(*, data: Path, quick: bool, watch: Watch) -> Sequence[Table]:
    """How far each rule ends from the exact answer, on both beds.

    Args:
        data: the data folder.
        quick: one seed, ten rounds of 100.
        watch: called with progress.
    """
    sizes, rounds, seeds = ((100,), 10, 1) if quick else ((100, 1000), 60, 10)
    return [_table(bed, sizes, rounds, seeds, watch) for bed in (synthetic_bed(), binding_bed(data))]


def _table(bed: Bed, sizes: Sequence[int], rounds: int, seeds: int, watch: Watch) -> Table:
    exact, best = bed.exact, bed.best()
    rows: list[list[Cell]] = []
    for draws in sizes:
        for rule, name, more in ROWS:
            watch({"doing": f"{bed.name}, {draws} draws, {name}"})
            values = {"weights": rule, "draws": draws, "generations": rounds, **more}
            found = [
                _measured(Refit(RefitOptions.model_validate(values)), bed, exact, best, seed) for seed in range(seeds)
            ]
            columns = list(zip(*found, strict=True))
            error = f"{stdev(columns[0]):.2f}" if seeds > 1 else ""
            rows.append([name, draws, fmean(columns[0]), error, *(fmean(column) for column in columns[1:])])
        chain = forward_divergence(exact, bed.prior.log_prob(bed.whole))
        rows.append(["the prior itself (null)", draws, float(chain) - best, "", "", "", "", "", "", ""])
    wanted = int((exact > -torch.inf).sum())
    share = float((bed.prior.log_prob(bed.whole).exp() * (exact > -torch.inf)).sum())
    reached = f"{wanted} of {len(exact):,} sequences reach the goal, P(S) = {share:.1e} of the prior"
    notes = [
        f"{reached}; {rounds} rounds, {seeds} seed(s)",
        f"divergence: KL(p(x | S) || q) of the refitted chain less the {best:.2f} nats that the best chain has",
        "weighted set: total variation of the weighted designs from p(x | S); calls: distinct sequences measured",
        "in distribution: share of the last round's draws that the prior finds as probable as 95 % of its own",
    ]
    columns = ["weights", "draws a round", "divergence", "sd", "weighted set", "effective, median", "effective, least",
               "calls", "distinct of 2000", "in distribution"]  # fmt: skip
    return Table(f"Refitting where everything is known: {bed.name}", columns, rows, notes)


def _measured(method: Refit, bed: Bed, exact: Float[Tensor, " n"], best: float, seed: int) -> tuple[float, ...]:
    reason = method.fits(bed.prior, bed.objective, Constraint())
    if reason:
        raise InputError(reason)
    found = method.search(bed.prior, bed.objective, Streams.of(seed, 1))
    if not isinstance(found.model, Markov):
        raise InputError("the refitted chain is no chain")
    apart = float(forward_divergence(exact, found.model.log_prob(bed.whole))) - best
    sizes = torch.tensor([figures["effective"] for figures in found.history])
    drawn = found.model.sample(2000, rng=Streams.of(seed, 2000).child("after"))
    distinct = float(len(place(drawn["tokens"], DNA).unique()))
    last = found.history[-1]
    return (
        apart, set_distance(found, exact), float(sizes.median()), float(sizes.min()), last["calls"], distinct,
        last["in_distribution"],
    )  # fmt: skip


def set_distance(found: Outcome, exact: Float[Tensor, " n"]) -> float:
    """Total variation of the weighted designs that reach the goal from the exact answer; 1 where none does."""
    log_weights = conditioned(found.pool, 0.0)
    if not bool((log_weights > -torch.inf).any()):
        return 1.0
    held = torch.zeros_like(exact).index_add(
        0, place(found.pool.everything()["tokens"], DNA), torch.softmax(log_weights, 0)
    )
    return 0.5 * float((held - exact.exp()).abs().sum())
