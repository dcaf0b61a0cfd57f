"""Cut pictures measured: bits a pixel beside two counted baselines, and guidance by class at several strengths.

The judge of the classes is a classifier of cut pictures, trained here from another seed than the model.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from zsteer.bench.multinomial.pixels import context_bits, independent_bits
from zsteer.bench.multinomial.trained import Trained, Watch, fine, trained
from zsteer.core.artifact import settings_from
from zsteer.core.batch import Batch
from zsteer.core.rng import Streams, initialised
from zsteer.core.sample_spec import SampleSpec
from zsteer.domains.images.segments import Cut
from zsteer.evaluate.report import Cell, Table
from zsteer.models.multinomial.multinomial import CALLS
from zsteer.predictors.image_classifier import ImageClassifier, ImageClassifierSettings
from zsteer.recipes.multinomial.build import chosen_rows
from zsteer.recipes.multinomial.settings import SegmentDiffusionRecipe
from zsteer.recipes.sets import Sets, load_set
from zsteer.steer.sampling import sample_by
from zsteer.train.loop import Optim, Plan, fit
from zsteer.train.source import Shuffled

__all__ = ["tables"]

SCALES = (0.0, 1.0, 2.0, 4.0)
JUDGE = 7
"""Seed of the judge; the models have 0."""


def tables(*, data: Path, quick: bool, watch: Watch, models: Path | None = None) -> Sequence[Table]:
    """Bits a pixel, and guidance by class.

    Args:
        data: the data folder.
        quick: a short training and few pictures, whose figures mean little.
        watch: called with progress.
        models: folder with a model ``segments`` to take instead of training it.
    """
    recipe = settings_from(
        SegmentDiffusionRecipe, {"size": "xs", "steps": 40, "chain": 25} if quick else {}, where="bench"
    )
    made = trained(recipe, data, watch, None if models is None else models / "segments")
    sets = load_set(recipe.dataset, data)
    cut = Cut.of(made.model.settings.datum.space)
    field = _Field(made, cut, sets, watch, quick)
    return [field.bits(recipe.levels), field.classes()]


@dataclass(frozen=True)
class _Field:
    """What both tables share."""

    made: Trained
    cut: Cut
    sets: Sets
    watch: Watch
    quick: bool

    def bits(self, levels: int) -> Table:
        """Bits a pixel."""
        train, valid = self.cut.cut(self.sets.train), self.cut.cut(self.sets.valid).take(slice(1000))
        test = self.cut.cut(chosen_rows(self.sets.test, 20 if self.quick else 1000))
        rows: list[list[Cell]] = []
        self.watch({"doing": "counted baselines of pixels"})
        for name, job in (
            ("each pixel by itself", lambda: independent_bits(train, test, levels)),
            ("each pixel given four before it", lambda: context_bits(train, valid, test, levels)),
        ):
            started = time.process_time()
            found = job()
            rows.append([name, fine(found.bits), fine(found.se), time.process_time() - started])
        model = self.made.model
        for name, x in (("without its class", Batch({"x": test["x"]})), ("given its class", test)):
            self.watch({"doing": f"bound of pixels, {name}"})
            bound = model.bound_of(x, Streams.of(0, len(x)).child("bits"), calls=min(CALLS, model.noise.steps))
            rows.append([f"diffusion, {name}: bound", fine(bound.bits), fine(bound.se), self.made.seconds])
        greys = ", ".join(f"{grey:g}" for grey in self.cut.greys)
        notes = [
            f"{len(test)} test pictures of {self.cut.height} x {self.cut.width} pixels cut into the greys {greys}",
            f"{model.settings.kernel} kernel, T = {model.noise.steps}, one t from each of {CALLS} strata a picture",
        ]
        return Table("Cut Fashion-MNIST: bits a pixel", ["model", "bits", "+-", "CPU-s"], rows, notes)

    def classes(self) -> Table:
        """Strength of classifier-free guidance against agreement with the class and variety."""
        n = 10 if self.quick else 200
        model, judge = self.made.model, self._judge()
        y = torch.arange(n) % len(self.sets.classes)
        words = {"class": y.tolist(), "steps": 10 if self.quick else 50}
        rows: list[list[Cell]] = []
        for scale in SCALES:
            self.watch({"doing": f"pictures, scale {scale:g}"})
            started = time.process_time()
            drawn, _ = sample_by(model, n, {**words, "scale": scale}, Streams.of(0, n))
            spent = 1000 * (time.process_time() - started) / n
            rows.append([f"scale {scale:g}", *self._told(judge, drawn, y), spent])
        real = self.cut.cut(self.sets.test.take(slice(n)))
        rows.append(["test pictures (null)", *self._told(judge, real, real["y"]), math.nan])
        walk = f"{n} pictures of all classes in turn, {words['steps']} steps"
        agreement = "agreement: of a classifier of cut pictures that was trained apart"
        variety = "variety: mean share of pixels in which two pictures of a class differ"
        notes = [f"{walk}; scale 1 is the conditional model, 0 leaves the class out", f"{agreement}; {variety}"]
        columns = ["guidance", "agreement", "variety", "CPU-ms each"]
        return Table("Cut Fashion-MNIST: guidance by class", columns, rows, notes)

    def _judge(self) -> ImageClassifier:
        self.watch({"doing": "the judge of the classes"})
        datum = SampleSpec(shape=self.cut.shape, values="unit")
        values = {"datum": datum, "classes": self.sets.classes, "width": 16}
        with initialised(JUDGE):
            model = ImageClassifier(settings_from(ImageClassifierSettings, values, where="the judge"))
        source = Shuffled(self._painted(self.cut.cut(self.sets.train)), 128)
        steps = 30 if self.quick else 1500
        plan = Plan(steps=steps, optim=Optim(lr=2e-3, decay="cosine", warmup=10), ema=None, checkpoint_every=steps)
        return fit(model, source, plan, seed=JUDGE)

    def _painted(self, x: Batch) -> Batch:
        return x.with_fields(x=self.cut.paint(x)["x"])

    @torch.no_grad()
    def _told(self, judge: ImageClassifier, x: Batch, y: Int[Tensor, " n"]) -> tuple[float, float]:
        right = (judge.logits(self._painted(x)).argmax(1) == y).double().mean()
        apart: list[Tensor] = []
        for label in y.unique():
            own = x["x"][y == label].flatten(1)
            differ = (own[:, None] != own[None]).double().mean(-1)
            if len(own) > 1:
                apart.append(differ.sum() / (len(own) * (len(own) - 1)))
        return float(right), float(torch.stack(apart).mean()) if apart else math.nan
