"""The multinomial diffusion recipes made ready: data, model, plan, and the bound that is measured at the end."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from zsteer.core.alphabet import PROTEIN
from zsteer.core.artifact import Origin, settings_from
from zsteer.core.batch import Batch
from zsteer.core.protocols import Source
from zsteer.core.rng import Streams, initialised
from zsteer.core.sample_spec import SampleSpec
from zsteer.domains.images.segments import Cut
from zsteer.domains.images.space import shaping_of
from zsteer.domains.sequences.data import CALIBRATION, DESIGN, TcrData
from zsteer.domains.sequences.epitopes import PANELS
from zsteer.domains.sequences.panel import Panel
from zsteer.domains.sequences.space import MAX_LENGTH, MIN_LENGTH
from zsteer.errors import InputError
from zsteer.models.multinomial.multinomial import CALLS, MultinomialDiffusion
from zsteer.models.multinomial.settings import MultinomialSettings
from zsteer.nets.precision import bfloat16_pays, lay_out
from zsteer.recipes.base import Experiment, Size, by_size
from zsteer.recipes.multinomial import settings as recipes
from zsteer.recipes.plans import plan_for, warmup_for
from zsteer.recipes.sequences import tables
from zsteer.recipes.sets import load_set
from zsteer.train.loop import Optim, Plan
from zsteer.train.source import Shuffled
from zsteer.train.weighted import Balanced, Joined

__all__ = ["HELD", "chosen_rows", "measured", "receptors", "segments"]

RECEPTOR_SIZES: dict[Size, dict[str, Any]] = {
    "xs": {"steps": 200, "batch": 128, "lr": 4e-3, "width": 32, "layers": 1},
    "s": {"steps": 8000, "batch": 64, "lr": 3e-3, "width": 64, "layers": 3},
    "m": {"steps": 40_000, "batch": 128, "lr": 2e-3, "width": 128, "layers": 4},
    "l": {"steps": 60_000, "batch": 1024, "lr": 1e-3, "width": 256, "layers": 6},
}
SEGMENT_SIZES: dict[Size, dict[str, Any]] = {
    "xs": {"steps": 100, "batch": 32, "lr": 2e-3, "width": 16, "layers": 1},
    "s": {"steps": 1500, "batch": 32, "lr": 2e-3, "width": 32, "layers": 1},
    "m": {"steps": 15_000, "batch": 64, "lr": 1e-3, "width": 48, "layers": 2},
    "l": {"steps": 60_000, "batch": 256, "lr": 8e-4, "width": 96, "layers": 2},
}
HELD = 2000
"""Held-out samples behind the figures of a card."""
HEADS = 4

SEQUENCE_LIMITS = (
    "Trained on CDR3-beta of human background repertoires; it knows nothing of alpha chains, V genes or function. With "
    "classes: labels are database records. Not for clinical use."
)
PICTURE_LIMITS = "Trained on one set of pictures cut into a few grey levels; it knows nothing outside that set."


def _plan(chosen: dict[str, Any], *, half: bool) -> Plan:
    steps = chosen["steps"]
    # The loss is a sum of nats over positions; the norm of its gradient grows with their number and is left as it is.
    optim = Optim(lr=chosen["lr"], weight_decay=0.01, clip=1e6, warmup=warmup_for(steps), decay="cosine")
    return plan_for(steps, optim, memory=10, longest=1000, checkpoint=250, bf16=half)


def _model(recipe: recipes.MultinomialRecipe, chosen: dict[str, Any], values: dict[str, Any]) -> MultinomialDiffusion:
    own = {name: getattr(recipe, name) or chosen[name] for name in ("width", "layers")}
    shared = {"kernel": recipe.kernel, "schedule": recipe.schedule, "steps": recipe.chain, "times": recipe.times}
    fixed = {"drop": recipe.drop, "heads": HEADS}
    with initialised(recipe.seed):
        return MultinomialDiffusion(
            settings_from(MultinomialSettings, {**own, **shared, **fixed, **values}, where=recipe.name)
        )


def receptors(
    recipe: recipes.ReceptorDiffusionRecipe, folder: Path | None, device: torch.device
) -> Experiment[MultinomialDiffusion]:
    """CDR3-beta sequences: the background, and with classes also the recorded binders of the core panel."""
    chosen = by_size(recipe, RECEPTOR_SIZES)
    data = tables.table(folder, recipe.subset)
    train, test = _plain(tables.background(data, "train")), _plain(tables.background(data, "test"))
    source: Source = Shuffled(train, chosen["batch"])
    panel = _panel(data) if recipe.conditional else Panel()
    values: dict[str, Any] = {
        "datum": SampleSpec(shape=(MAX_LENGTH,), values="levels", levels=PROTEIN.size, space={"name": "sequences"}),
        "variable": True,
        "shortest": MIN_LENGTH,
        "classes": panel.peptides,
    }
    model = _model(recipe, chosen, values)
    model.begin(train)
    if recipe.conditional:
        source = _labelled(data, panel, train, chosen["batch"])
    # Matrices this small are slower in bfloat16 on processors (measured: twice); on CUDA it pays.
    half = device.type == "cuda"

    def measure(trained: MultinomialDiffusion) -> Origin:
        trained.eval().to("cpu")
        metrics = measured(trained, chosen_rows(test, HELD), recipe.seed)
        if recipe.conditional:
            metrics |= _gain(trained, data, panel, recipe.seed)
        return Origin(data=tables.origin_of(data), metrics=metrics, limits=SEQUENCE_LIMITS)

    return Experiment(model.to(device), source, _plan(chosen, half=half), measure)


def chosen_rows(x: Batch, n: int) -> Batch:
    """``n`` rows of a table at random, always the same: the rows of the tables lie in the order of their sources."""
    return x.take(Streams.of(0, 1).child("held out").permutation("rows", len(x))[0][:n])


def _plain(x: Batch) -> Batch:
    return Batch({"tokens": x["tokens"]}, mask=x.mask)


def _panel(data: TcrData) -> Panel:
    known = set(tables.panel_of(data).peptides)
    chosen = tuple(name for name in PANELS["core"] if name in known)
    if len(chosen) < 2:
        raise InputError(f"the tables have {len(chosen)} peptides of the core panel; classes need two or more")
    return Panel(peptides=chosen)


def _bound_to(data: TcrData, panel: Panel, splits: tuple[str, ...]) -> Batch:
    """Recorded binders of the panel, with the peptide as their class."""
    x = tables.binders(data, panel, splits)
    return Batch({"tokens": x["tokens"], "y": x["peptide"]}, mask=x.mask)


def _labelled(data: TcrData, panel: Panel, train: Batch, size: int) -> Joined:
    """A quarter binders, rare peptides more often than their share; the rest background without a class."""
    own = max(4, size // 4)
    others = train.with_fields(y=torch.full((len(train),), -1))
    return Joined(
        [Balanced(_bound_to(data, panel, DESIGN), "y", own, power=0.5, group=1), Shuffled(others, max(1, size - own))]
    )


@torch.no_grad()
def _gain(model: MultinomialDiffusion, data: TcrData, panel: Panel, seed: int) -> dict[str, Any]:
    """Nats by which the class improves the bound of held-out binders, the same noise with and without it."""
    held = _bound_to(data, panel, CALIBRATION)
    rng = Streams.of(seed, len(held)).child("gain")
    given, none = (
        model.bound_of(x, rng, calls=min(CALLS, model.noise.steps)).total
        for x in (held, held.with_fields(y=torch.full((len(held),), -1)))
    )
    gain = (none - given).double()
    return {
        "nats_gained_by_the_class": round(float(gain.mean()), 3),
        "nats_gained_by_the_class_se": round(float(gain.std()) / math.sqrt(len(gain)), 3),
    }


def segments(
    recipe: recipes.SegmentDiffusionRecipe, data: Path | None, device: torch.device
) -> Experiment[MultinomialDiffusion]:
    """Pictures cut into levels."""
    chosen = by_size(recipe, SEGMENT_SIZES)
    sets = load_set(recipe.dataset, data, own=recipe.own)
    if len(sets.datum.shape) != 3:
        raise InputError(f"dataset {recipe.dataset} has no pictures; segments are cut from fashion-mnist, mnist or own")
    cut = Cut.learn(sets.train["x"], recipe.levels, shrink=recipe.shrink)
    cut = replace(cut, shaping=shaping_of(sets.datum.space))
    train, test = cut.cut(sets.train), cut.cut(sets.test)
    classes = sets.classes if recipe.conditional else ()
    values: dict[str, Any] = {
        "datum": SampleSpec(shape=cut.shape, values="levels", levels=recipe.levels, space=cut.settings()),
        "classes": classes,
        "net": "unet",
    }
    model = _model(recipe, chosen, values).to(device)
    lay_out(model.net, device)

    def measure(trained: MultinomialDiffusion) -> Origin:
        trained.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue] - torch's stub lacks it
        trained.eval().to("cpu")
        held = chosen_rows(test, HELD // 4)
        metrics = measured(trained, Batch({"x": held["x"]}), recipe.seed)
        origin = {**sets.origin, "levels": " ".join(f"{grey:g}" for grey in cut.greys)}
        return Origin(data=origin, metrics=metrics, limits=PICTURE_LIMITS)

    return Experiment(
        model, Shuffled(train, chosen["batch"]), _plan(chosen, half=bfloat16_pays(device)), measure, sets.lines
    )


def measured(model: MultinomialDiffusion, held: Batch, seed: int) -> dict[str, Any]:
    """The bound on held-out samples in bits: of a residue (the length's bits included), or of a pixel.

    Args:
        model: trained.
        held: held-out samples.
        seed: of the noise.
    """
    rng = Streams.of(seed, len(held)).child("measured")
    found = model.bound_of(held, rng, calls=min(CALLS, model.noise.steps))
    name = "residue" if model.settings.variable else "pixel"
    facts: dict[str, Any] = {"test_samples": len(held), "calls": found.terms.shape[1]}
    return facts | {f"bits_a_{name}": round(found.bits, 4), f"bits_a_{name}_se": round(found.se, 4)}
