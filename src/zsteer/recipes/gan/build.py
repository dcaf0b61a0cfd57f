"""The adversarial recipes made ready: sets, players, plans, and what is measured at the end, with named faults."""

from pathlib import Path
from typing import Any

import torch

from zsteer.core.artifact import Origin, settings_from
from zsteer.core.rng import Streams
from zsteer.domains.tables.space import TableSpace
from zsteer.domains.tables.toys import MIXTURES
from zsteer.evaluate.compared import compare
from zsteer.evaluate.modes import Modes, modes
from zsteer.evaluate.neighbours import neighbourhood
from zsteer.maths.distances import wasserstein
from zsteer.models.gan.gan import COLLAPSE, Gan, GanSettings
from zsteer.recipes.base import Experiment, Size, by_size
from zsteer.recipes.gan import settings as recipes
from zsteer.recipes.plans import plan_for
from zsteer.recipes.sets import Sets, load_set
from zsteer.train.loop import Optim, Plan
from zsteer.train.source import Shuffled

__all__ = ["adversarial", "metrics_of", "modes_of"]

TABLE_SIZES: dict[Size, dict[str, Any]] = {
    "xs": {"steps": 300, "batch": 128, "lr": 1e-3, "width": 64, "depth": 3},
    "s": {"steps": 12000, "batch": 128, "lr": 1e-3, "width": 96, "depth": 6},
    "m": {"steps": 30000, "batch": 256, "lr": 1e-3, "width": 128, "depth": 6},
    "l": {"steps": 60000, "batch": 512, "lr": 1e-3, "width": 256, "depth": 6},
}
IMAGE_SIZES: dict[Size, dict[str, Any]] = {
    "xs": {"steps": 100, "batch": 64, "lr": 3e-4, "width": 16, "depth": 2},
    "s": {"steps": 4000, "batch": 64, "lr": 3e-4, "width": 32, "depth": 2},
    "m": {"steps": 16000, "batch": 64, "lr": 2e-4, "width": 48, "depth": 2},
    "l": {"steps": 50000, "batch": 256, "lr": 2e-4, "width": 96, "depth": 2},
}
CLIPPED = Optim(lr=5e-5, kind="rmsprop", clip=1e9)
"""The published optimiser of weight clipping: momentum makes a clipped critic unstable."""
LIMITS = "Trained on one set of data. A GAN has no likelihood, and may miss parts of the data: see the coverage."
HELD = 2000
FINE = 8
"""Tables of at most this many numbers get sines and cosines in the critic and a sharp generator."""


def _settings(
    recipe: "recipes.GanRecipe | recipes.WassersteinGanRecipe", sets: Sets, chosen: dict[str, Any]
) -> GanSettings:
    images = len(sets.datum.shape) == 3
    few = not images and sets.datum.size <= FINE and sets.datum.values == "real"
    values: dict[str, Any] = {
        "datum": sets.datum,
        "latent": recipe.latent or (64 if images else max(3, min(32, sets.datum.size))),
        "width": chosen["width"],
        "depth": chosen["depth"],
        "lipschitz": recipe.lipschitz,
        "frequencies": 8 if few else 0,
        "sharpness": 5.0 if few else 1.0,
        "seed": recipe.seed,
    }
    if isinstance(recipe, recipes.WassersteinGanRecipe):
        values |= {"loss": "wasserstein", "penalty": recipe.penalty or (10.0 if images else 1.0)}
        values |= {"critic_steps": 5 if images or recipe.lipschitz == "clip" else 3}
    else:
        values |= {"loss": recipe.loss, "critic_steps": 1}
    return settings_from(GanSettings, values, where=recipe.name)


def _plan(recipe: Any, chosen: dict[str, Any]) -> Plan:
    steps = chosen["steps"]
    betas = (0.0, 0.9) if recipe.name == "wgan" else (0.5, 0.999)
    optim = Optim(lr=chosen["lr"], betas=betas, clip=1e9, decay="cosine")
    if recipe.lipschitz == "clip":
        optim = CLIPPED if recipe.lr is None else Optim(lr=recipe.lr, kind="rmsprop", clip=1e9)
    return plan_for(steps, optim, memory=12, longest=1000)


def adversarial(
    recipe: "recipes.GanRecipe | recipes.WassersteinGanRecipe", data: Path | None, device: torch.device
) -> Experiment[Gan]:
    """GAN or WGAN on a set."""
    sets = load_set(recipe.dataset, data, own=recipe.own)
    chosen = by_size(recipe, IMAGE_SIZES if len(sets.datum.shape) == 3 else TABLE_SIZES)
    model = Gan(_settings(recipe, sets, chosen)).to(device)

    def measure(trained: Gan) -> Origin:
        trained.eval().to("cpu")
        return Origin(data=sets.origin, metrics=metrics_of(trained, sets, recipe.dataset), limits=LIMITS)

    return Experiment(model, Shuffled(sets.train, chosen["batch"]), _plan(recipe, chosen), measure, sets.lines)


def modes_of(model: Gan, dataset: str, rng: Streams) -> Modes | None:
    """Modes of a known mixture among made samples; None for other data."""
    if dataset not in MIXTURES or model.space.get("name") != "tables":
        return None
    space, mixture = TableSpace.of(model.space), MIXTURES[dataset]
    columns = space.decode(model.sample(len(rng), rng=rng))
    points = torch.stack([torch.as_tensor(column, dtype=torch.float64) for column in columns.values()], 1)
    mode, deviations = mixture.nearest(points)
    return modes(mode, deviations <= 3, total=len(mixture.centres))


def metrics_of(model: Gan, sets: Sets, dataset: str) -> dict[str, Any]:
    """What is measured on held-out samples at the end, with the names of faults.

    Args:
        model: on the CPU.
        sets: with the test part.
        dataset: its name.
    """
    held = sets.test.take(slice(HELD))
    n = len(held) // 2
    rng = Streams.of(model.settings.seed, n).child("finish")
    made = model.sample(n, rng=rng)["x"].flatten(1)
    real, other = held["x"].flatten(1)[:n], held["x"].flatten(1)[n : 2 * n]
    k = min(5, n - 1)
    own, null = neighbourhood(made, real, k), neighbourhood(other, real, k)
    found: dict[str, Any] = {
        "test_samples": n,
        "coverage": round(own.coverage.value, 4),
        "coverage_real_vs_real": round(null.coverage.value, 4),
        "density": round(own.density, 4),
    }
    faults = model.diagnoses()
    if own.coverage.value < 0.5 * null.coverage.value:
        faults.append(
            f"{COLLAPSE}: samples cover {own.coverage.value:.0%} of the data, real ones {null.coverage.value:.0%}"
        )
    spread = modes_of(model, dataset, Streams.of(model.settings.seed, 10_000).child("modes"))
    if spread is not None:
        found |= {
            "modes": f"{spread.captured} of {spread.total}",
            "high_quality": round(spread.high_quality.value, 4),
            "reverse_kl_nats": round(spread.reverse_kl, 4),
        }
        if spread.captured < spread.total:
            faults.append(f"{COLLAPSE}: {spread.captured} of {spread.total} modes")
    if model.settings.loss == "wasserstein":
        gap = model.gap(held, Streams.of(model.settings.seed, len(held)).child("gap"))
        found |= {"w1_by_critic": round(gap.wasserstein, 4), "critic_gap": round(gap.value, 4)}
        exact = compare("W1", wasserstein, made, held["x"].flatten(1), rng, repeats=3, most=500)
        found |= {"w1_exact": round(exact.estimate.mean, 4), "w1_real_vs_real": round(exact.null.mean, 4)}
    return found | {"faults": "; ".join(faults) or "none"}
