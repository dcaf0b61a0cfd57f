"""The diffusion recipes made ready: sets, networks, plans, and what is measured at the end on held-out samples."""

import math
from pathlib import Path
from typing import Any

import torch

from zsteer.core.artifact import Origin, settings_from
from zsteer.core.batch import Batch
from zsteer.core.rng import Streams, initialised
from zsteer.core.sample_spec import SampleSpec
from zsteer.errors import InputError, SettingsError
from zsteer.kits.images.likelihood import floor_facts
from zsteer.models.diffusion.ddpm import CALLS, DDPM
from zsteer.models.diffusion.settings import DDPMSettings
from zsteer.nets.precision import bfloat16_pays, lay_out
from zsteer.nets.unet2d import UNet2DSettings
from zsteer.predictors.noisy_classifier import NoisyClassifier, NoisyClassifierSettings
from zsteer.recipes.base import Experiment, Size, by_size
from zsteer.recipes.diffusion import settings as recipes
from zsteer.recipes.plans import plan_for, warmup_for
from zsteer.recipes.sets import Sets, load_set
from zsteer.train.loop import Optim, Plan
from zsteer.train.source import Shuffled

__all__ = ["classifier", "ddpm"]

IMAGE_SIZES: dict[Size, dict[str, Any]] = {
    "xs": {"steps": 300, "batch": 64, "lr": 1e-3, "width": 32},
    "s": {"steps": 4000, "batch": 64, "lr": 1e-3, "width": 48},
    "m": {"steps": 20_000, "batch": 64, "lr": 8e-4, "width": 64},
    "l": {"steps": 100_000, "batch": 256, "lr": 6e-4, "width": 96},
}
ROW_SIZES: dict[Size, dict[str, Any]] = {
    "xs": {"steps": 500, "batch": 256, "lr": 2e-3, "width": 128},
    "s": {"steps": 6000, "batch": 512, "lr": 1e-3, "width": 256},
    "m": {"steps": 20_000, "batch": 512, "lr": 1e-3, "width": 256},
    "l": {"steps": 100_000, "batch": 2048, "lr": 1e-3, "width": 512},
}
CLASSIFIER_SIZES: dict[Size, dict[str, Any]] = {
    "xs": {"steps": 150, "batch": 128, "lr": 2e-3, "width": 16},
    "s": {"steps": 2000, "batch": 128, "lr": 2e-3, "width": 24},
    "m": {"steps": 8000, "batch": 128, "lr": 2e-3, "width": 32},
    "l": {"steps": 30_000, "batch": 512, "lr": 2e-3, "width": 64},
}
LIMITS = "Trained on one set of data; it knows nothing outside that set."
HELD = 1000
"""Held-out samples behind the figures of a card."""
MARGIN = 0.1
"""Of the range of a column, that a prediction may lie outside it."""
BOUNDED = 128
"""Held-out samples whose likelihood is bounded: 32 calls of the net each."""


def _plan(chosen: dict[str, Any], *, bf16: bool) -> Plan:
    steps = chosen["steps"]
    # The loss sums over pixels; the norm of its gradient grows with their number, and clipping it would set the rate.
    optim = Optim(lr=chosen["lr"], clip=1e6, warmup=warmup_for(steps, 200), decay="cosine")
    return plan_for(steps, optim, memory=20, checkpoint=500, bf16=bf16)


def ddpm(recipe: recipes.DiffusionRecipe, data: Path | None, device: torch.device) -> Experiment[DDPM]:
    """The diffusion model."""
    sets = load_set(recipe.dataset, data, own=recipe.own)
    images = len(sets.datum.shape) == 3
    chosen = by_size(recipe, IMAGE_SIZES if images else ROW_SIZES)
    width = recipe.width or chosen["width"]
    if recipe.net != "auto" and not images:
        raise SettingsError(f"net={recipe.net} takes images, and {recipe.dataset} holds rows; leave it away")
    classes = sets.classes if recipe.conditional else ()
    net = recipe.net if recipe.net != "auto" else "unet" if images else "mlp"
    values = {
        "datum": sets.datum,
        "schedule": recipe.schedule,
        "target": recipe.target if recipe.target != "auto" else "v",
        "variance": recipe.variance,
        "classes": classes,
        "drop": recipe.drop,
        "net": net,
        "unet2d": _unet2d(recipe, sets.datum, width, len(classes)) if net == "unet2d" else None,
        "width": width,
        "patch": recipe.patch,
        "hidden": (width,) * 3,
        **_range(sets),
    }
    with initialised(recipe.seed):
        model = DDPM(settings_from(DDPMSettings, values, where=recipe.name)).to(device)
    if images:
        lay_out(model.net, device)

    def measure(trained: DDPM) -> Origin:
        trained.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue] - torch's stub lacks it
        held = sets.test.take(slice(HELD)).to(device)
        metrics: dict[str, Any] = {"test_samples": len(held)}
        metrics["squared_error"] = round(_held_loss(trained, held, recipe.seed), 3)
        metrics |= _likelihood(trained, held.take(slice(BOUNDED)), recipe.seed)
        datum = sets.datum
        if datum.values == "real":
            nats = -metrics["bits_per_dim"] * datum.size * math.log(2)
            rows = datum.flat(held.take(slice(BOUNDED)).to("cpu"))
            metrics |= floor_facts(datum, nats, datum.flat(sets.train), rows)
        return Origin(data=sets.origin, metrics=metrics, limits=LIMITS)

    return Experiment(
        model,
        Shuffled(sets.train, chosen["batch"]),
        _plan(chosen, bf16=images and bfloat16_pays(device)),
        measure,
        sets.lines,
    )


def _range(sets: Sets) -> dict[str, tuple[float, ...]]:
    """Bounds of x_0 where numbers have none of their own: the training rows', a tenth of their range wider each way."""
    if sets.datum.values != "real":
        return {}
    rows = sets.datum.flat(sets.train)
    least, most = rows.amin(0), rows.amax(0)
    wider = MARGIN * (most - least)
    return {"low": tuple((least - wider).tolist()), "high": tuple((most + wider).tolist())}


def _unet2d(recipe: recipes.DiffusionRecipe, datum: SampleSpec, width: int, classes: int) -> UNet2DSettings:
    """A common U-Net of two levels, attention at the coarser, with one row of the classes for none."""
    channels, groups = datum.shape[0], math.gcd(32, width)
    return UNet2DSettings(
        in_channels=channels,
        out_channels=channels * (2 if recipe.variance == "learned" else 1),
        block_out_channels=(width, 2 * width),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=groups,
        attention_head_dim=math.gcd(64, 2 * width),
        num_class_embeds=classes + 1 if classes else None,
    )


def _likelihood(model: DDPM, held: Batch, seed: int) -> dict[str, float]:
    """Bits for each number of held-out samples, an upper bound estimated from ``CALLS`` terms, with its error."""
    streams = Streams.of(seed, len(held), device=held.device).child("bound")
    found = model.bound_of(held, streams, calls=min(CALLS, model.settings.steps))
    return {"bits_per_dim": round(found.bits, 4), "bits_per_dim_se": round(found.se, 4)}


@torch.no_grad()
def _held_loss(model: DDPM | NoisyClassifier, held: Batch, seed: int) -> float:
    """Mean of the first loss on held-out samples."""
    found = [
        next(iter(model.losses(held.take(piece), model.turns[0].player, rng.take(piece)).values()))
        for rng in [Streams.of(seed, len(held), device=held.device).child("held")]
        for piece in (slice(start, start + 250) for start in range(0, len(held), 250))
    ]
    return float(torch.cat(found).double().mean())


def classifier(
    recipe: recipes.NoisyClassifierRecipe, data: Path | None, device: torch.device
) -> Experiment[NoisyClassifier]:
    """The classifier of noisy samples."""
    chosen = by_size(recipe, CLASSIFIER_SIZES)
    sets = load_set(recipe.dataset, data, own=recipe.own)
    _need_classes(sets, str(sets.origin["name"]))
    values = {"datum": sets.datum, "classes": sets.classes, "schedule": recipe.schedule, "width": chosen["width"]}
    with initialised(recipe.seed):
        model = NoisyClassifier(settings_from(NoisyClassifierSettings, values, where=recipe.name)).to(device)
    if model.images:
        lay_out(model.net, device)

    def measure(trained: NoisyClassifier) -> Origin:
        trained.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue] - torch's stub lacks it
        held = sets.test.take(slice(HELD)).to(device)
        metrics = {"test_samples": len(held), "cross_entropy": round(_held_loss(trained, held, recipe.seed), 3)}
        metrics |= _accuracies(trained, held, recipe.seed)
        return Origin(data=sets.origin, metrics=metrics, limits=LIMITS)

    return Experiment(
        model,
        Shuffled(sets.train, chosen["batch"]),
        _plan(chosen, bf16=model.images and bfloat16_pays(device)),
        measure,
        sets.lines,
    )


def _need_classes(sets: Sets, name: str) -> None:
    if not sets.classes:
        raise InputError(f"{name} has no classes to learn; take fashion-mnist or mnist, or folders named by class")


@torch.no_grad()
def _accuracies(model: NoisyClassifier, held: Batch, seed: int) -> dict[str, float]:
    """Share of held-out samples that are classified rightly at a few times."""
    found: dict[str, float] = {}
    x0 = model.settings.datum.centred(held).reshape(len(held), *model.shape)
    for time in (0.0, 0.25, 0.5, 0.75):
        t = torch.full((len(held),), time, device=held.device, dtype=x0.dtype)
        x_t = model.noise.corrupt(x0, t, Streams.of(seed, len(held), device=held.device).child("accuracy"))
        right = (model.logits(x_t, t).argmax(1) == held["y"]).double().mean()
        found[f"accuracy_at_{time:g}"] = round(float(right), 4)
    return found
