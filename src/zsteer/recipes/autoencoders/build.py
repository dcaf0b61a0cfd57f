"""The autoencoder recipes made ready: sets, networks, plans, and what is measured at the end on held-out samples."""

import math
from pathlib import Path
from typing import Any

import torch

from zsteer.core.artifact import Origin, settings_from
from zsteer.core.rng import Streams, initialised
from zsteer.errors import InputError, SettingsError
from zsteer.kits.images.likelihood import floor_facts
from zsteer.maths.importance import importance_bound
from zsteer.models.autoencoder.vae import VAE, VAESettings
from zsteer.models.autoencoder.wae import PRESETS, WAE, WAESettings
from zsteer.nets.precision import bfloat16_pays
from zsteer.predictors.image_classifier import ImageClassifier, ImageClassifierSettings
from zsteer.recipes.autoencoders import settings as recipes
from zsteer.recipes.base import Experiment, Size, by_size
from zsteer.recipes.plans import plan_for, warmup_for
from zsteer.recipes.sets import Sets, load_set
from zsteer.train.loop import Optim, Plan
from zsteer.train.source import Shuffled

__all__ = ["features", "vae", "wae_gan", "wae_mmd"]

SIZES: dict[Size, dict[str, Any]] = {
    "xs": {"steps": 300, "batch": 128, "lr": 1e-3, "width": 16},
    "s": {"steps": 4000, "batch": 128, "lr": 1e-3, "width": 32},
    "m": {"steps": 16000, "batch": 128, "lr": 1e-3, "width": 48},
    "l": {"steps": 40000, "batch": 512, "lr": 1e-3, "width": 96},
}
FEATURE_SIZES: dict[Size, dict[str, Any]] = {
    "xs": {"steps": 150, "batch": 128, "lr": 2e-3, "width": 12},
    "s": {"steps": 3000, "batch": 128, "lr": 2e-3, "width": 24},
    "m": {"steps": 8000, "batch": 256, "lr": 2e-3, "width": 32},
    "l": {"steps": 20000, "batch": 512, "lr": 2e-3, "width": 64},
}
LIMITS = "Trained on one set of data; it knows nothing outside that set."
HELD = 2000
"""Held-out samples behind the figures of a card."""


def _optim(chosen: dict[str, Any]) -> Optim:
    # Sums over hundreds of pixels have large gradients; a clip that bites would change the game.
    return Optim(lr=chosen["lr"], clip=1e6, warmup=warmup_for(chosen["steps"]), decay="cosine")


def _plan(chosen: dict[str, Any], optim: Optim | dict[str, Optim], *, bf16: bool) -> Plan:
    return plan_for(chosen["steps"], optim, memory=20, bf16=bf16)


def body(recipe: recipes.AutoencoderRecipe, sets: Sets, chosen: dict[str, Any]) -> dict[str, Any]:
    """Settings that every autoencoder takes from its recipe and data."""
    images = len(sets.datum.shape) == 3
    net = recipe.net if recipe.net != "auto" else ("conv" if images else "mlp")
    hidden = (400,) if images else (128, 128)
    latent = recipe.latent or (16 if images else max(2, min(16, sets.datum.size // 2)))
    return {"datum": sets.datum, "latent": latent, "net": net, "hidden": hidden, "width": chosen["width"]}


def vae(recipe: recipes.VAERecipe, data: Path | None, device: torch.device) -> Experiment[VAE]:
    """The VAE or IWAE."""
    chosen = by_size(recipe, SIZES)
    sets = load_set(recipe.dataset, data, binary=recipe.binary, own=recipe.own)
    binary = sets.datum.values == "binary"
    if binary and recipe.decoder != "auto":
        raise SettingsError(f"binary data take a Bernoulli decoder; leave decoder={recipe.decoder} away")
    kind = "bernoulli" if binary else "gaussian" if recipe.decoder == "auto" else recipe.decoder
    values = body(recipe, sets, chosen)
    settings = settings_from(
        VAESettings, {**values, "decoder": kind, "objective": recipe.objective, "samples": recipe.samples}, where="vae"
    )
    with initialised(recipe.seed):
        model = VAE(settings).to(device)

    def measure(trained: VAE) -> Origin:
        held = sets.test.take(slice(HELD)).to(device)
        log_w = trained.log_weights(held, Streams.of(recipe.seed, len(held), device=device), 50)
        bound, elbo = importance_bound(log_w).double(), log_w.mean(1).double()
        code = trained.encode(held, Streams.of(0, len(held), device=device))
        back = trained.decode(code, Streams.of(0, len(held), device=device))
        metrics: dict[str, Any] = {
            "test_samples": len(held),
            "log_prob_k50": round(float(bound.mean()), 3),
            "log_prob_k50_se": round(float(bound.std()) / math.sqrt(len(held)), 3),
            "elbo": round(float(elbo.mean()), 3),
            "squared_error": round(float((back["x"] - held["x"]).square().flatten(1).sum(1).mean()), 3),
        }
        datum = sets.datum
        if datum.values != "unit":
            rows = datum.flat(held.to("cpu"))
            metrics |= floor_facts(datum, float(bound.mean()), datum.flat(sets.train), rows)
        return Origin(data=sets.origin, metrics=metrics, limits=LIMITS)

    # Importance weights compare log-likelihoods: rounded to bfloat16 they would differ by nats for no reason.
    bf16 = recipe.objective == "elbo" and bfloat16_pays(device)
    return Experiment(
        model, Shuffled(sets.train, chosen["batch"]), _plan(chosen, _optim(chosen), bf16=bf16), measure, sets.lines
    )


def wae_mmd(recipe: recipes.WAEMMDRecipe, data: Path | None, device: torch.device) -> Experiment[WAE]:
    """WAE-MMD."""
    return _wae(recipe, "mmd", data, device)


def wae_gan(recipe: recipes.WAEGANRecipe, data: Path | None, device: torch.device) -> Experiment[WAE]:
    """WAE-GAN."""
    return _wae(recipe, "gan", data, device)


def _wae(
    recipe: recipes.WAEMMDRecipe | recipes.WAEGANRecipe,
    penalty: str,
    data: Path | None,
    device: torch.device,
) -> Experiment[WAE]:
    chosen = by_size(recipe, SIZES)
    if recipe.weight is not None and recipe.preset is not None:
        raise SettingsError("weight and preset both set lambda; give one of them")
    sets = load_set(recipe.dataset, data, own=recipe.own)
    values = {**body(recipe, sets, chosen), "penalty": penalty, "weight": _weight(recipe, penalty, sets)}
    with initialised(recipe.seed):
        model = WAE(settings_from(WAESettings, values, where=recipe.name)).to(device)
    optim: Optim | dict[str, Optim] = _optim(chosen)
    if penalty == "gan":
        # The opponent learns more slowly than it could: the official code runs it at half the autoencoder's rate too.
        theirs = Optim(lr=0.5 * chosen["lr"], betas=(0.5, 0.999), clip=1e6, decay="cosine")
        optim = {"autoencoder": _optim(chosen), "discriminator": theirs}
    plan = _plan(chosen, optim, bf16=bfloat16_pays(device))

    def measure(trained: WAE) -> Origin:
        held = sets.test.take(slice(HELD)).to(device)
        streams = Streams.of(recipe.seed, len(held), device=device)
        code = trained.encode(held, streams)
        error = (trained.decode(code, streams)["x"] - held["x"]).square().flatten(1).sum(1)
        centred = code["z"] - code["z"].mean(0)
        metrics = {
            "test_samples": len(held),
            "squared_error": round(float(error.mean()), 3),
            "squared_error_se": round(float(error.std()) / math.sqrt(len(held)), 3),
            "code_mean_abs": round(float(code["z"].mean(0).abs().mean()), 3),
            "code_variance": round(float(centred.square().mean()), 3),
            "lambda": trained.settings.weight,
        }
        return Origin(data=sets.origin, metrics=metrics, limits=LIMITS)

    return Experiment(model, Shuffled(sets.train, chosen["batch"]), plan, measure, sets.lines)


def _weight(recipe: recipes.WAEMMDRecipe | recipes.WAEGANRecipe, penalty: str, sets: Sets) -> float:
    if recipe.preset is not None:
        return PRESETS[f"{recipe.preset}-{penalty}"]
    if recipe.weight is not None:
        return recipe.weight
    # MMD with kernels in (0, 1] has to weigh against squared errors that grow with the number of pixels.
    return float(sets.datum.size) if penalty == "mmd" else 1.0


def features(recipe: recipes.FeaturesRecipe, data: Path | None, device: torch.device) -> Experiment[ImageClassifier]:
    """The feature net."""
    chosen = by_size(recipe, FEATURE_SIZES)
    sets = load_set(recipe.dataset, data, own=recipe.own)
    if not sets.classes or len(sets.datum.shape) != 3:
        name = sets.origin["name"]
        raise InputError(f"{name} has no images with classes; take fashion-mnist, mnist, or folders named by class")
    values = {"datum": sets.datum, "classes": sets.classes, "width": chosen["width"]}
    with initialised(recipe.seed):
        model = ImageClassifier(settings_from(ImageClassifierSettings, values, where=recipe.name)).to(device)

    def measure(trained: ImageClassifier) -> Origin:
        right = (trained.logits(sets.test.to(device)).argmax(1).cpu() == sets.test["y"]).double()
        metrics = {"test_samples": len(right), "accuracy": round(float(right.mean()), 4)}
        return Origin(data=sets.origin, metrics=metrics, limits=LIMITS)

    plan = _plan(chosen, _optim(chosen), bf16=bfloat16_pays(device))
    return Experiment(model, Shuffled(sets.train, chosen["batch"]), plan, measure, sets.lines)
