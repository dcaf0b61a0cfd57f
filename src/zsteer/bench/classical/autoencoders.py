"""The autoencoders measured on Fashion-MNIST: speed beside pythae, the order of the bounds, the order of the models.

One thread throughout; times are CPU-seconds, of peer and zsteer by turns in one call.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zsteer.bench.peers import run_peer
from zsteer.core.artifact import settings_from
from zsteer.core.batch import Batch
from zsteer.core.rng import Streams, initialised
from zsteer.errors import CapabilityError
from zsteer.evaluate.features import frechet, frechet_name
from zsteer.evaluate.report import Cell, Table, Value
from zsteer.kits.images.kit import shipped_features
from zsteer.maths.importance import importance_bound
from zsteer.models.autoencoder.vae import VAE, VAESettings
from zsteer.models.autoencoder.wae import WAE, WAESettings
from zsteer.nets.precision import bfloat16_pays
from zsteer.predictors.image_classifier import ImageClassifier
from zsteer.recipes.autoencoders import settings as recipes
from zsteer.recipes.sets import load_set
from zsteer.train.loop import Fit, Optim, Plan, fit
from zsteer.train.source import Shuffled

__all__ = ["tables"]

SPEED = {"hidden": (400,), "latent": 20}
CPU = torch.device("cpu")
Watch = Callable[[dict[str, Any]], None]


def tables(*, data: Path, quick: bool, watch: Watch) -> Sequence[Table]:
    """The three tables.

    Args:
        data: the data folder.
        quick: short trainings, whose order means little.
        watch: called with progress.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [
            _speed(data, quick=quick, watch=watch),
            _bounds(data, quick=quick, watch=watch),
            _models(data, quick=quick, watch=watch),
        ]
    finally:
        torch.set_num_threads(threads)


def _epoch(model: nn.Module, data: Batch, *, bf16: bool, turns: int) -> float:
    """CPU-seconds of an epoch of 50 batches by the training loop, median after one to warm up. [seconds]"""
    plan = Plan(steps=10**6, optim=Optim(lr=1e-3, clip=1e6), ema=None, bf16=bf16)
    state = Fit(model, Shuffled(data, 100), plan, seed=0)
    times: list[float] = []
    for _ in range(turns + 1):
        started = time.process_time()
        for _ in range(50):
            state.advance()
        times.append(time.process_time() - started)
    return sorted(times[1:])[turns // 2]


def _speed(data: Path, *, quick: bool, watch: Watch) -> Table:
    turns = 1 if quick else 7
    watch({"doing": "speed beside pythae"})
    sets = load_set("fashion-mnist", data, binary=True)
    file = data / "images" / "fashion_mnist.npz"
    some = sets.train.take(slice(5000))

    def vae() -> VAE:
        with initialised(0):
            return VAE(settings_from(VAESettings, {"datum": sets.datum, "decoder": "bernoulli", **SPEED}, where="vae"))

    def wae() -> WAE:
        with initialised(0):
            return WAE(settings_from(WAESettings, {"datum": sets.datum, **SPEED}, where="wae"))

    def bound(*, bf16: bool) -> float:
        del bf16
        model, few, times = vae(), sets.test.take(slice(20)), []
        for repeat in range(turns):
            started = time.process_time()
            model.log_weights(few, Streams.of(repeat, 20), 1000)
            times.append(time.process_time() - started)
        return sorted(times)[turns // 2]

    jobs: list[tuple[str, str, Callable[..., float]]] = [
        ("VAE, an epoch of 5,000", "vae", lambda *, bf16: _epoch(vae(), some, bf16=bf16, turns=turns)),
        ("WAE-MMD, an epoch of 5,000", "wae", lambda *, bf16: _epoch(wae(), some, bf16=bf16, turns=turns)),
        ("bound with k = 1000 of 20 images", "bound", bound),
    ]
    rows: list[list[Cell]] = []
    notes = [
        "784-400-20, batch 100, learning rate 1e-3, one thread; times are CPU-seconds, medians; peer: pythae 0.1.2",
        "bfloat16: autocast of the layers in training; likelihoods are always computed in float32",
    ]
    for what, name, own in jobs:
        peer = run_peer("pythae_autoencoders.py", name, file, 7)
        single = own(bf16=False)
        half = own(bf16=True) if name != "bound" else math.nan
        theirs = float(peer.figures["cpu_seconds"]) if peer.figures else math.nan
        best = min(value for value in (single, half) if not math.isnan(value))
        rows.append([what, theirs, single, half, theirs / best])
        if peer.missing:
            notes.append(f"pythae ({what}): {peer.missing}")
    return Table("Speed beside pythae", ["job", "pythae", "float32", "bfloat16", "times faster"], rows, notes)


def _bounds(data: Path, *, quick: bool, watch: Watch) -> Table:
    """Held-out likelihood against k, trained for the same number of updates."""
    sets = load_set("fashion-mnist", data, binary=True)
    steps, held, samples = (40, 50, 50) if quick else (4000, 1000, 2000)
    test = sets.test.take(slice(held))
    found: dict[str, Tensor] = {}
    seconds: dict[str, float] = {}
    runs = {"VAE (k = 1)": ("elbo", 1), "IWAE k = 5": ("iwae", 5), "IWAE k = 50": ("iwae", 50)}
    runs |= {"DReG k = 5": ("dreg", 5)}
    for name, (objective, k) in runs.items():
        watch({"doing": name})
        values = {"datum": sets.datum, "decoder": "bernoulli", "objective": objective, "samples": k, **SPEED}
        with initialised(0):
            model = VAE(settings_from(VAESettings, values, where=name))
        plan = Plan(steps=steps, optim=Optim(lr=1e-3, clip=1e6, decay="cosine"), ema=0.99)
        started = time.process_time()
        trained = fit(model, Shuffled(sets.train, 128), plan, seed=0)
        seconds[name] = time.process_time() - started
        found[name] = importance_bound(trained.log_weights(test, Streams.of(1, held), samples)).double()
    first = found["VAE (k = 1)"]
    rows: list[list[Cell]] = []
    for name, value in found.items():
        gain = value - first
        error = 1.96 * float(gain.std()) / math.sqrt(held)
        row: list[Cell] = [name, -float(value.mean()), float(value.std()) / math.sqrt(held)]
        rows.append([*row, float(gain.mean()), error, seconds[name]])
    notes = [
        f"784-400-20 on images cut at 127, {steps} updates of 128 with the same seed",
        f"NLL: bound of {samples} samples of the code on {held} test images, with its standard error over images",
        "gain over the VAE: mean of the paired differences with the half-width of its 95 % interval",
    ]
    columns = ["trained with", "NLL [nats]", "se", "gain [nats]", "+-", "CPU-seconds"]
    return Table("Importance-weighted autoencoders on Fashion-MNIST", columns, rows, notes)


MODELS: Mapping[str, tuple[type[recipes.AutoencoderRecipe], Mapping[str, Any]]] = {
    "VAE (the lecture's loss)": (recipes.VAERecipe, {"decoder": "lecture"}),
    "VAE (learnt variance)": (recipes.VAERecipe, {"decoder": "gaussian"}),
    "WAE-MMD": (recipes.WAEMMDRecipe, {}),
    "WAE-GAN": (recipes.WAEGANRecipe, {}),
}


def _models(data: Path, *, quick: bool, watch: Watch) -> Table:
    """Frechet distance and reconstruction at equal budget, over seeds."""
    sets = load_set("fashion-mnist", data)
    net = shipped_features()
    if net is None:
        raise CapabilityError("this benchmark compares images in the features of the shipped net, which is not here")
    name = frechet_name(net.tensors())
    steps, n, seeds = (20, 500, 1) if quick else (2000, 10000, 3)
    real = net.features(sets.test.take(slice(n)))
    rows: list[list[Cell]] = []
    for title, (cls, keys) in MODELS.items():
        watch({"doing": title})
        results = [_one(cls, keys, steps, seed, data, net, real) for seed in range(seeds)]
        columns = zip(*results, strict=True)
        rows.append([title, *(Value.of(column) for column in columns)])
    null = float(frechet(net.features(sets.train.take(slice(n))), real))
    rows.append(["training images (null)", null, 0.0, 0.0])
    notes = [
        f"{name}: Frechet distance in the features of the shipped net (not FID), {n} samples against {n} test images",
        f"same networks, {steps} updates of 128 images, {seeds} training seeds; squared error summed over 784 pixels",
        f"bfloat16 training: {'yes' if bfloat16_pays(CPU) else 'no'}",
    ]
    return Table("Autoencoders on Fashion-MNIST", ["model", name, "squared error", "CPU-seconds"], rows, notes)


def _one(
    cls: type[recipes.AutoencoderRecipe],
    keys: Mapping[str, Any],
    steps: int,
    seed: int,
    data: Path,
    net: ImageClassifier,
    real: Float[Tensor, "n f"],
) -> tuple[float, float, float]:
    recipe = settings_from(cls, {"steps": steps, "seed": seed, **keys}, where=cls.name)
    made = recipe.build(data, CPU)
    started = time.process_time()
    trained: VAE | WAE = made.finish(made.train(seed=seed))
    spent = time.process_time() - started
    n = len(real)
    with torch.no_grad():
        drawn = trained.sample(n, rng=Streams.of(seed + 100, n))
    return float(frechet(net.features(drawn), real)), float(trained.origin.metrics["squared_error"]), spent
