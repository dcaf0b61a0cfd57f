"""Scale against agreement and diversity for both guidances, and properties requested beside achieved."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from zsteer.bench.diffusion.judging import Judge, drawn, judge_of, shipped_model
from zsteer.core.catalog import load_model
from zsteer.core.goal import Goal
from zsteer.core.protocols import Denoiser, Group
from zsteer.domains.images import measures
from zsteer.errors import CapabilityError
from zsteer.evaluate.report import Cell, Table
from zsteer.kits.base import Subject
from zsteer.kits.front import Request, steer
from zsteer.models.diffusion.ddpm import DDPM
from zsteer.predictors.noisy_classifier import NoisyClassifier
from zsteer.steer.guide import ByClassifier
from zsteer.steer.sampling import GroupGuides, Guided, unguided
from zsteer.train.threads import threads_of

__all__ = ["properties", "tables"]

Watch = Callable[[dict[str, Any]], None]
GUIDE = "fashion-guide"
FREE = (0.0, 1.0, 1.5, 2.0, 3.0, 5.0)
GRADIENT = (0.0, 1.0, 2.0, 4.0, 8.0)
WISHES: Sequence[tuple[str, float]] = (
    ("brightness", 0.2),
    ("brightness", 0.4),
    ("contrast", 0.25),
    ("lean", 0.1),
    ("symmetry", 0.95),
)
TOLERANCE = 0.02


def tables(*, data: Path, quick: bool, watch: Watch) -> Sequence[Table]:
    """Guidance by scale.

    Args:
        data: the data folder.
        quick: few samples.
        watch: called with progress.
    """
    with threads_of(1):
        return [
            _scales(shipped_model(), judge_of(data, quick=quick), 20 if quick else 500, watch, every=3 if quick else 1)
        ]


def properties(*, data: Path, quick: bool, watch: Watch) -> Sequence[Table]:
    """Guidance towards properties, without training.

    Args:
        data: not used.
        quick: few samples.
        watch: called with progress.
    """
    del data
    with threads_of(1):
        return [_properties(shipped_model(), 8 if quick else 128, watch)]


def _scales(model: DDPM, judge: Judge, n: int, watch: Watch, *, every: int) -> Table:
    rows: list[list[Cell]] = []
    classifier: NoisyClassifier = load_model(GUIDE, kind=NoisyClassifier.kind)
    classifier.check(model)

    def pulled(scale: float, mode: Literal["mean", "score"]) -> GroupGuides:
        def guides(group: Group) -> tuple[Guided, ...]:
            y = group.rows % len(model.settings.classes)

            def guide(inner: Denoiser) -> Denoiser:
                return ByClassifier(inner, classifier.log_prob(y), scale, mode)

            return (guide,)

        return guides

    def add(what: str, scale: float, words: Mapping[str, object], guides: GroupGuides = unguided) -> None:
        watch({"doing": f"{what}, scale {scale:g}"})
        made, y, spent = drawn(model, n, words, guides=guides)
        found = judge.of(made, y)
        rows.append([what, scale, found.agreement, found.variety, found.distance, 1000 * spent / n])

    for scale in FREE[::every]:
        add("classifier-free", scale, {"scale": scale})
    add("classifier-free, t in 0.2 ... 0.8", 3.0, {"scale": 3.0, "interval": (0.2, 0.8)})
    for scale in GRADIENT[::every]:
        add("classifier, no condition", scale, {"class": "none"}, pulled(scale, "score"))
    for scale in GRADIENT[1:4:every]:
        steps = 100 if every == 1 else 30
        words = {"class": "none", "solver": "ancestral", "steps": steps}
        add(f"classifier, mean of Algorithm 1, {steps} steps", scale, words, pulled(scale, "mean"))
    add("classifier on the conditional model", 2.0, {}, pulled(2.0, "score"))
    null = judge.null(n)
    rows.append(["training images (null)", "", null.agreement, null.variety, null.distance, ""])
    walk = f"{n} samples of all classes in turn, 20 steps of multistep2 by default; the same noise in every row"
    agreement = "agreement by a classifier trained apart from the guide"
    variety = "variety: distance between images of one class over that of test images"
    notes = [walk, f"{agreement}; {variety}; scale 0 of a classifier is no guidance at all"]
    columns = ["guidance", "scale", "agreement", "variety", judge.name, "CPU-ms a sample"]
    return Table("Guidance: scale against agreement and variety", columns, rows, notes)


def _properties(model: DDPM, n: int, watch: Watch) -> Table:
    rows: list[list[Cell]] = []
    subject = Subject(model, None, torch.device("cpu"))
    plain, _, _ = drawn(model, n, {})
    for name, wanted in WISHES[: None if n > 8 else 3]:
        watch({"doing": f"{name} {wanted:g}"})
        goal = Goal(toward={name: wanted}, given={"class": "all"})
        made = steer(subject, None, Request(goal, "guide", n, options={"tolerance": TOLERANCE})).batch
        if made is None:
            raise CapabilityError("steering gave back no batch")
        measure = getattr(measures, name)
        found, before = measure(made["x"]).double(), measure(plain["x"]).double()
        rows.append([f"{name} {wanted:g}", *_moments(before, wanted), *_moments(found, wanted)])
    walk = f"{n} samples of all classes in turn, the same noise before and after; 20 steps of multistep2"
    notes = [f"{walk}; tolerance {TOLERANCE}; no training"]
    columns = ["property requested", "mean before", "error before", "mean after", "error after"]
    return Table("Guidance without training: properties", columns, rows, notes)


def _moments(found: torch.Tensor, wanted: float) -> tuple[float, float]:
    """Mean, and mean absolute distance from the request."""
    return float(found.mean()), float((found - wanted).abs().mean())
