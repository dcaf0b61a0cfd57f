"""The Boltzmann recipes made ready: data, machine, plan, and what is measured at the end.

At the end log Z is annealed from both sides, and the test log-likelihood stands beside independent units. An estimate
that rests on too few chains is named as such (``ess``) and never printed as a likelihood.
"""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from zsteer.core.artifact import Origin, settings_from
from zsteer.core.batch import Batch
from zsteer.core.rng import Streams
from zsteer.core.sample_spec import SampleSpec
from zsteer.domains.sequences.residues import LENGTH, LEVELS, residues
from zsteer.errors import InputError
from zsteer.kits.images.likelihood import floor_facts
from zsteer.maths.boltzmann import free_energy
from zsteer.models.rbm.rbm import RBM, RbmSettings
from zsteer.recipes.base import Experiment, Size, by_size
from zsteer.recipes.plans import plan_for
from zsteer.recipes.rbm import settings as recipes
from zsteer.recipes.sequences import tables
from zsteer.recipes.sets import Sets, load_set
from zsteer.sample.annealed import LEAST_ESS
from zsteer.train.loop import Optim
from zsteer.train.source import Shuffled

__all__ = ["SIZES", "machine", "made", "metrics_of", "receptors"]

SIZES: dict[Size, dict[str, Any]] = {
    "xs": {"steps": 600, "batch": 100, "lr": 0.1, "units": 64, "chains": 100, "k": 1, "decay": 3e-4},
    "s": {"steps": 16000, "batch": 500, "lr": 0.1, "units": 500, "chains": 500, "k": 5, "decay": 1e-3},
    "m": {"steps": 40000, "batch": 500, "lr": 0.1, "units": 500, "chains": 500, "k": 10, "decay": 1e-3},
    "l": {"steps": 100000, "batch": 2000, "lr": 0.1, "units": 2000, "chains": 2000, "k": 20, "decay": 1e-3},
}
ANNEALING: dict[Size, tuple[int, int]] = {"xs": (1000, 100), "s": (20000, 300), "m": (40000, 300), "l": (40000, 1000)}
"""Temperatures and chains of each annealing run."""

RECEPTORS: dict[Size, dict[str, Any]] = {
    "xs": {"steps": 500, "batch": 200, "lr": 0.1, "units": 50, "chains": 200, "k": 1, "decay": 1e-4},
    "s": {"steps": 8000, "batch": 500, "lr": 0.2, "units": 150, "chains": 500, "k": 5, "decay": 1e-4},
    "m": {"steps": 30000, "batch": 500, "lr": 0.2, "units": 300, "chains": 500, "k": 10, "decay": 1e-4},
    "l": {"steps": 60000, "batch": 2000, "lr": 0.2, "units": 600, "chains": 2000, "k": 10, "decay": 1e-4},
}
FEWEST, UNITS_EACH = 16, 8
"""Hidden units at least, and at most for each number of a sample, where none are given."""
FULL_RATE = 80
"""Numbers of a binary sample below which the learning rate grows."""
REAL_RATE = 0.1
"""Factor on the learning rate for real units, whose fields have no bound."""

SLICE = 2000
"""Training and validation samples behind the free-energy gap in the records."""

LIMITS = "Trained on one set of data; it knows nothing outside that set. Samples come from chains, not exact draws."


def machine(recipe: "recipes.RBMRecipe", data: Path | None, device: torch.device) -> Experiment[RBM]:
    """The machine on images (cut into 0 and 1) or on a table."""
    chosen = _chosen(recipe, SIZES)
    sets = load_set(recipe.dataset, data, binary=True, own=recipe.own)
    if sets.datum.values == "unit":
        raise InputError("the numbers lie in [0, 1] but are no images; make them 0 and 1, or real columns of a table")
    if sets.datum.values == "real":
        chosen["noise"] = recipe.noise
        chosen["lr"] *= 1.0 if recipe.lr is not None else REAL_RATE
    size = sets.datum.size
    if recipe.units is None:
        chosen["units"] = min(chosen["units"], max(FEWEST, UNITS_EACH * size))
    if sets.datum.values == "binary" and recipe.lr is None:
        # A hidden unit gets its signal from all columns together: of few, it learns more slowly.
        chosen["lr"] *= min(10.0, max(1.0, FULL_RATE / size))
    return made(recipe, sets, chosen, device)


def receptors(recipe: "recipes.ReceptorRBMRecipe", folder: Path | None, device: torch.device) -> Experiment[RBM]:
    """The softmax machine on background CDR3-beta, with a gap in the middle of short ones."""
    chosen = _chosen(recipe, RECEPTORS)
    data = tables.table(folder, recipe.subset)
    parts = {name: residues(tables.background(data, name)) for name in ("train", "valid", "test")}
    datum = SampleSpec(shape=(LENGTH,), values="levels", levels=LEVELS, space={"name": "residues"})
    origin = {**tables.origin_of(data), "rows": ", ".join(f"{len(x)} {name}" for name, x in parts.items())}
    sets = Sets(parts["train"], parts["valid"], parts["test"], datum, origin)
    return made(recipe, sets, chosen, device)


def _chosen(recipe: "recipes.BoltzmannRecipe", sizes: dict[Size, dict[str, Any]]) -> dict[str, Any]:
    """Settings of the size dial with the recipe's own in front."""
    chosen = by_size(recipe, sizes)
    own = {name: getattr(recipe, name) for name in ("units", "k", "chains", "decay")}
    chosen |= {name: value for name, value in own.items() if value is not None}
    steps, runs = ANNEALING[recipe.size]
    return {**chosen, "temperatures": recipe.temperatures or steps, "runs": recipe.runs or runs}


def made(
    recipe: "recipes.BoltzmannRecipe", sets: Sets, chosen: dict[str, Any], device: torch.device
) -> Experiment[RBM]:
    """Machine, plan and measurement for a set."""
    own = {name: chosen[name] for name in ("units", "k", "chains", "decay", "noise") if name in chosen}
    fixed = {"hidden": recipe.hidden, "method": recipe.method, "centre": recipe.centre, "seed": recipe.seed}
    model = RBM(settings_from(RbmSettings, {"datum": sets.datum, **own, **fixed}, where=recipe.name))
    model.begin(sets.train, Streams.of(recipe.seed, 1).child("begin"))
    model.watch(sets.train.take(slice(SLICE)), sets.valid.take(slice(SLICE)))
    steps = chosen["steps"]
    # The contrast is a difference of sums over units: its gradient has no natural size, so nothing is clipped.
    optim = Optim(lr=chosen["lr"], kind="sgd", decay="linear", clip=math.inf)
    plan = plan_for(steps, optim, memory=16)
    plan = replace(plan, guard_every=plan.checkpoint_every)

    def measure(trained: RBM) -> Origin:
        trained.eval().to("cpu")
        rng = Streams.of(recipe.seed, 1).child("finish")
        trained.measure(rng, chains=chosen["runs"], temperatures=chosen["temperatures"])
        return Origin(data=sets.origin, metrics=metrics_of(trained, sets), limits=LIMITS)

    return Experiment(model.to(device), Shuffled(sets.train, chosen["batch"]), plan, measure, sets.lines)


def metrics_of(model: RBM, sets: Sets) -> dict[str, Any]:
    """Sandwich, test log-likelihood with its error beside independent units, and the free-energy gap. [nats]"""
    test = sets.test
    known = model.log_z
    metrics: dict[str, Any] = {"test_samples": len(test)}
    if known is not None:
        metrics |= {key: round(value, 3) for key, value in known.figures().items() if math.isfinite(value)}
        if known.ess >= LEAST_ESS:
            log_p = model.log_prob(test, Streams.of(0, len(test))).double()
            metrics["log_prob"] = round(float(log_p.mean()), 3)
            metrics["log_prob_se"] = round(float(log_p.std()) / math.sqrt(len(test)), 3)
            if sets.datum.values == "levels":
                metrics["nats_a_residue"] = round(-float(log_p.mean()) / _mean_residues(test), 4)
        else:
            metrics["refused"] = f"no likelihood: log Z rests on an effective {known.ess:.1f} chains"
    datum = sets.datum
    floor = floor_facts(datum, metrics.get("log_prob", math.nan), datum.flat(sets.train), datum.flat(test))
    metrics |= floor if "log_prob" in metrics else {"independent": floor["independent"]}
    if datum.values == "levels":
        metrics["independent_nats_a_residue"] = round(-floor["independent"] / _mean_residues(test), 4)
    metrics["free_energy_gap"] = round(_gap(model, sets), 3)
    return metrics


def _mean_residues(x: Batch) -> float:
    """Mean number of residues: places that are no gap."""
    return float((x["x"] < LEVELS - 1).float().sum(1).mean())


@torch.no_grad()
def _gap(model: RBM, sets: Sets) -> float:
    """Mean free energy of validation samples less that of as many training samples."""
    count = min(len(sets.valid), len(sets.train), 5000)
    held, seen = (
        free_energy(model.vectors(x.take(slice(count))), model.couplings).double().mean()
        for x in (sets.valid, sets.train)
    )
    return float(held - seen)
