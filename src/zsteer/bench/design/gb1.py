"""Four sites of protein GB1: the best of a few thousand measurements, from labels that are worse than the wild type.

149,361 of all 160,000 variants were measured (wild type 1, best 8.76), so that a look-up is the oracle. What was not
measured has no value, and its call is spent. Every row has the same budget of distinct calls.
"""

import csv
import gzip
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zsteer.core.alphabet import PROTEIN
from zsteer.core.batch import Batch
from zsteer.core.goal import Budget
from zsteer.core.objective import Constraint, Objective, Target
from zsteer.core.property import Property
from zsteer.core.rng import Streams
from zsteer.errors import InputError
from zsteer.evaluate.report import Cell, Table
from zsteer.models.markov import Markov, MarkovSettings, everything, place
from zsteer.steer.refit.method import Refit
from zsteer.steer.refit.options import RefitOptions
from zsteer.steer.search.method import Search
from zsteer.steer.search.options import SearchOptions

__all__ = ["Landscape", "tables"]

Watch = Callable[[dict[str, Any]], None]
SITES, WILD = 4, 1.0
LABELS = 200
ROUND, STARTS = 100, 10
"""Calls of a round of a refit; starts of a search, which share the calls."""
RULES = ("cbas", "textbook", "dbas", "cem", "rwr", "fb")
GOOD = (5.0, 7.0)


@dataclass(frozen=True)
class Landscape:
    """The measured variants.

    Args:
        values: fitness of each of 20^4 variants, NaN where it was not measured.
    """

    values: Float[Tensor, " n"]

    @staticmethod
    def of(data: Path) -> "Landscape":
        """Read the data set.

        Raises:
            InputError: if the file is not there.
        """
        path = data / "tcr" / "gb1_4site.csv.gz"
        if not path.is_file():
            raise InputError(f"{path} is not there; pass --data FOLDER, the folder of the data sets")
        values = torch.full((PROTEIN.size**SITES,), torch.nan, dtype=torch.float64)
        number = {letter: k for k, letter in enumerate(PROTEIN.letters)}
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                number_of = 0
                for letter in row["variant"]:
                    number_of = number_of * PROTEIN.size + number[letter]
                values[number_of] = float(row["fitness"])
        return Landscape(values)

    def at(self, tokens: Int[Tensor, "b 4"]) -> Float[Tensor, " b"]:
        """Fitness of variants."""
        return self.values[place(tokens, PROTEIN)]

    @property
    def objective(self) -> Objective:
        """As fit as can be."""
        quantity = Property("fitness", lambda x: self.at(x["tokens"]).numpy(), spread=1.0)
        return Objective((Target(quantity, sign=1),), lambda x: x)

    def prior(self, seed: int) -> Markov:
        """A chain fitted to labels that are worse than the wild type."""
        there = (self.values < WILD).nonzero()[:, 0]
        chosen = there[Streams.of(seed, 1).child("labels").permutation("rows", len(there))[0][:LABELS]]
        tokens = everything(PROTEIN, SITES)[chosen]
        # The better half: what little the labels say.
        good = self.values[chosen] >= self.values[chosen].median()
        settings = MarkovSettings(letters=PROTEIN.letters, length=SITES, pseudo=LABELS / 2)
        made = Markov(settings).refit(PROTEIN.batch(tokens[good]), torch.ones(int(good.sum())), Streams.of(0, 1))
        fresh = Markov(settings.model_copy(update={"pseudo": 1.0}))
        fresh.first, fresh.step = made.first, made.step
        return fresh


def tables(*, data: Path, quick: bool, watch: Watch) -> Sequence[Table]:
    """The best of each rule and of searches at the same calls.

    Args:
        data: the data folder.
        quick: two seeds.
        watch: called with progress.
    """
    found, seeds, calls = Landscape.of(data), 2 if quick else 10, 2000
    jobs: list[tuple[str, Callable[[Markov, int], Float[Tensor, " n"]]]] = [
        *((f"refit, {rule}", _refit(found, rule, calls)) for rule in RULES),
        *((f"search, {name}", _search(found, name, calls)) for name in ("greedy", "genetic", "random")),
        ("draws of the prior (null)", _drawn(found, calls)),
    ]
    rows: list[list[Cell]] = []
    for name, job in jobs:
        watch({"doing": name})
        values = [job(found.prior(seed), seed) for seed in range(seeds)]
        best = [float(each[~each.isnan()].max()) for each in values]
        top = [float(each[~each.isnan()].sort(descending=True).values[:96].mean()) for each in values]
        counts = [sum(value > bar for value in best) for bar in GOOD]
        rows.append([name, fmean(best), min(best), fmean(top), *(f"{count} of {seeds}" for count in counts)])
    start = f"the prior is a chain fitted to the better half of {LABELS} random variants below the wild type ({WILD:g})"
    notes = [
        f"{calls:,} distinct calls, {seeds} seeds; {start}; the best that was measured is 8.76",
        "mean of 96: the fittest 96 of what was measured; what was not measured has no value, and its call is spent",
    ]
    columns = ["method", "best, mean", "best, least", "mean of 96", *(f"best > {bar:g}" for bar in GOOD)]
    return [Table(f"GB1, four sites: the fittest of {calls:,} measurements", columns, rows, notes)]


def _refit(field: Landscape, rule: str, calls: int) -> Callable[[Markov, int], Float[Tensor, " n"]]:
    # A rule without memory measures things twice, for nothing: it has rounds to spare until the calls are spent.
    values = {"weights": rule, "draws": ROUND, "generations": 4 * calls // ROUND}
    method = Refit(RefitOptions.model_validate(values))

    def run(prior: Markov, seed: int) -> Float[Tensor, " n"]:
        pool = method.search(prior, field.objective, Streams.of(seed, 1), most=calls).pool
        return pool.values()["fitness"][pool.first()]

    return run


def _search(field: Landscape, name: str, calls: int) -> Callable[[Markov, int], Float[Tensor, " n"]]:
    options = SearchOptions.model_validate({"algorithm": name, "rounds": 200})

    def run(prior: Markov, seed: int) -> Float[Tensor, " n"]:
        seen: list[Tensor] = []

        def measured(x: Batch) -> Any:
            seen.append(field.at(x["tokens"]))
            return seen[-1].numpy()

        objective = Objective((Target(Property("fitness", measured), sign=1),), lambda x: x)
        budget = Budget(calls=calls // STARTS)
        Search(options, PROTEIN).run(prior, None, objective, Constraint(), budget, Streams.of(seed, STARTS))
        return torch.cat(seen)

    return run


def _drawn(field: Landscape, calls: int) -> Callable[[Markov, int], Float[Tensor, " n"]]:
    def run(prior: Markov, seed: int) -> Float[Tensor, " n"]:
        return field.at(prior.sample(calls, rng=Streams.of(seed, calls))["tokens"])

    return run
