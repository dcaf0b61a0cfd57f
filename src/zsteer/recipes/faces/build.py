"""The recipes of faces made ready: drawn sets, nets, plans, and what is measured at the end on held-out pictures."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.core.artifact import Origin, settings_from
from zsteer.core.batch import Batch
from zsteer.core.heads import Head, Heads
from zsteer.core.rng import Streams, initialised
from zsteer.core.sample_spec import SampleSpec
from zsteer.domains.images.faces import EDGE, FACTORS, draw_faces, draw_factors
from zsteer.domains.images.likeness import ssim
from zsteer.domains.images.properties import FACES
from zsteer.domains.images.space import ImageSpace
from zsteer.models.diffae.diffae import DiffAE
from zsteer.models.diffae.settings import DiffAESettings
from zsteer.nets.precision import bfloat16_pays, lay_out
from zsteer.predictors.factor_reader import FactorReader, FactorReaderSettings
from zsteer.recipes.base import Experiment, Size, by_size
from zsteer.recipes.faces import settings as recipes
from zsteer.recipes.plans import plan_for, warmup_for
from zsteer.recipes.sets import Sets, load_set
from zsteer.steer.heads import fit_head, gather
from zsteer.steer.latent_options import LatentOptions
from zsteer.train.loop import Optim, fit
from zsteer.train.source import Shuffled

__all__ = ["DrawnFaces", "diffae", "drawn", "painted", "reader"]

SIZES: dict[Size, dict[str, Any]] = {
    "xs": {"steps": 600, "batch": 32, "lr": 2e-3, "width": 16, "prior": 1000},
    "s": {"steps": 5500, "batch": 32, "lr": 2e-3, "width": 24, "prior": 5000},
    "m": {"steps": 40_000, "batch": 64, "lr": 1e-3, "width": 48, "prior": 10_000},
    "l": {"steps": 100_000, "batch": 256, "lr": 1e-3, "width": 64, "prior": 20_000},
}
READER_SIZES: dict[Size, dict[str, Any]] = {
    "xs": {"steps": 800, "batch": 64, "lr": 3e-3, "width": 12},
    "s": {"steps": 2000, "batch": 64, "lr": 3e-3, "width": 16},
    "m": {"steps": 20_000, "batch": 128, "lr": 2e-3, "width": 24},
    "l": {"steps": 40_000, "batch": 512, "lr": 2e-3, "width": 32},
}
MULTIPLES = (1, 1, 2)
TRAIN, HELD = 16_384, 500
"""Drawn faces to learn from, and held out."""
LABELLED = 2000
"""Drawn faces with their factors that the stored heads are fitted on."""
LIMITS = "Drawn faces are no photographs; the model says nothing about people, and knows nothing outside its set."


def drawn(n: int, seed: int, *, start: int = 0) -> Batch:
    """Drawn faces in 8 bits, with their factors under ``factors``; face i of a seed is always the same."""
    factors = draw_factors(Streams.of(seed, n, start=start).child("faces"))
    return painted(factors).with_fields(factors=factors)


def painted(factors: Float[Tensor, "n k"]) -> Batch:
    """The faces of factors in 8 bits, as a file would hold them."""
    return Batch({"x": (draw_faces(factors) * 255).round() / 255})


@dataclass(frozen=True)
class DrawnFaces:
    """Batches of faces that no batch before had.

    Args:
        size: of a batch.
    """

    size: int
    first: int = field(default=TRAIN + HELD)

    def batch(self, update: int, rng: Streams) -> Batch:
        """The faces of an update."""
        return drawn(self.size, rng.seed, start=self.first + update * self.size)


def _space() -> ImageSpace:
    return ImageSpace(3, EDGE, EDGE)


def _sets(recipe: recipes.FacesRecipe, data: Path | None) -> Sets:
    """Drawn faces, or the user's own pictures."""
    if recipe.dataset == "own":
        return load_set("own", data, own=recipe.own)
    whole = drawn(TRAIN + HELD, recipe.seed)
    pixels = (whole["x"] * 255).round().to(torch.uint8)
    origin = {
        "name": "drawn faces",
        "source": f"zsteer.domains.images.faces, seed {recipe.seed}",
        "licence": "none needed: drawn by zsteer",
        "rows": f"{TRAIN} train, {HELD} test",
        "sha256": hashlib.sha256(pixels.numpy().tobytes()).hexdigest(),
    }
    space = _space()
    datum = SampleSpec(shape=space.shape, values="unit", space=space.settings())
    held = whole.take(slice(TRAIN, None))
    return Sets(whole.take(slice(TRAIN)), held, held, datum, origin)


def diffae(recipe: recipes.DiffAERecipe, data: Path | None, device: torch.device) -> Experiment[DiffAE]:
    """The diffusion autoencoder, its prior and, of drawn faces, its heads."""
    chosen, sets = by_size(recipe, SIZES), _sets(recipe, data)
    width = recipe.width or chosen["width"]
    faces = "factors" in sets.train
    values = {
        "datum": sets.datum,
        "semantic": recipe.semantic,
        "width": width,
        "encoder": width,
        "multiples": MULTIPLES,
        "reader": recipe.reader if faces and recipe.reader != "none" else "",
    }
    with initialised(recipe.seed):
        model = DiffAE(settings_from(DiffAESettings, values, where=recipe.name)).to(device)
    lay_out(model, device)

    def measure(trained: DiffAE) -> Origin:
        trained.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue] - torch's stub lacks it
        codes = trained.settle(Batch({"x": sets.train["x"]}).to(device))
        optim = Optim(lr=2e-3, clip=1e6, warmup=100, decay="cosine")
        # A run that was asked to be short is short to its end.
        steps = chosen["prior"] if recipe.steps is None else min(chosen["prior"], recipe.steps)
        plan = plan_for(steps, optim, memory=20)
        source = Shuffled(Batch({"x": codes @ trained.inward}), 256)
        trained.prior = fit(trained.prior, source, plan, seed=recipe.seed)
        trained.heads = _heads(codes.double().cpu(), sets.train)
        return Origin(data=sets.origin, metrics=_metrics(trained, sets.test.to(device), recipe.seed), limits=LIMITS)

    bf16 = bfloat16_pays(device)
    optim = Optim(lr=chosen["lr"], clip=1e6, warmup=warmup_for(chosen["steps"], 200), decay="cosine")
    plan = plan_for(chosen["steps"], optim, memory=20, checkpoint=250, bf16=bf16)
    return Experiment(model, Shuffled(Batch({"x": sets.train["x"]}), chosen["batch"]), plan, measure, sets.lines)


def _heads(codes: Float[Tensor, "n s"], train: Batch) -> Heads:
    """Where codes lie, with a head of each factor where the factors are known."""
    options, heads = LatentOptions(), list[Head]()
    if "factors" in train:
        z, values = codes[:LABELLED], train["factors"][:LABELLED].double()
        heads = [fit_head(z, values[:, k], FACES[name], "z", options) for k, name in enumerate(FACTORS)]
    return gather(codes, heads, DiffAE.parts, options)


def _metrics(model: DiffAE, held: Batch, seed: int) -> dict[str, Any]:
    """Reconstruction with the encoded and with a random x_T, and what z alone explains of the pixels."""
    rng = Streams.of(seed, len(held), device=held.device)
    x = held["x"]
    code = model.encode(Batch({"x": x}), rng)
    again = model.decode(code, rng)["x"]
    noise = rng.normal("random x_T", model.settings.datum.shape)
    other = model.decode({**code, "x_T": noise}, rng)["x"]
    spread = (x - x.mean(0)).square().mean()
    found: dict[str, Any] = {
        "test_samples": len(held),
        "ssim": round(float(ssim(x, again).mean()), 4),
        "ssim_random_x_T": round(float(ssim(x, other).mean()), 4),
        "explained_by_z": round(1 - float((x - other).square().mean() / spread), 4),
    }
    if model.heads is not None and model.heads.heads:
        found["heads_r2"] = {head.name: round(head.quality, 3) for head in model.heads.heads}
    return found


def reader(recipe: recipes.ReaderRecipe, data: Path | None, device: torch.device) -> Experiment[FactorReader]:
    """The reader of factors, on faces that are drawn as they are needed."""
    del data
    chosen, sets = by_size(recipe, READER_SIZES), _sets(recipe.model_copy(update={"dataset": "faces"}), None)
    values = {"datum": sets.datum, "factors": FACTORS, "width": chosen["width"]}
    with initialised(recipe.seed):
        model = FactorReader(settings_from(FactorReaderSettings, values, where=recipe.name)).to(device)

    def measure(trained: FactorReader) -> Origin:
        gap = (trained.read(sets.test["x"].to(device)) - sets.test["factors"].double()).abs().mean(0)
        metrics: dict[str, Any] = {"test_samples": len(sets.test), "error": round(float(gap.mean()), 4)}
        metrics["errors"] = {name: round(float(value), 4) for name, value in zip(FACTORS, gap, strict=True)}
        return Origin(data=sets.origin, metrics=metrics, limits=LIMITS)

    optim = Optim(lr=chosen["lr"], clip=1e6, warmup=warmup_for(chosen["steps"]), decay="cosine")
    plan = plan_for(chosen["steps"], optim, memory=20)
    return Experiment(model, DrawnFaces(chosen["batch"]), plan, measure, sets.lines)
