"""How samples of images are judged: a Frechet distance in the shipped features, and two figures by an own classifier.

The classifier of the agreement is trained here, from another seed and with other widths than the feature net, so that
no net judges what it helped to make. Real images stand beside every figure.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zsteer.core.artifact import settings_from
from zsteer.core.batch import Batch
from zsteer.core.catalog import load_model
from zsteer.core.rng import Streams
from zsteer.errors import CapabilityError
from zsteer.evaluate.features import frechet, frechet_name
from zsteer.kits.images.kit import shipped_features
from zsteer.models.diffusion.ddpm import DDPM
from zsteer.predictors.image_classifier import ImageClassifier
from zsteer.recipes.autoencoders.settings import FeaturesRecipe
from zsteer.recipes.sets import Sets, load_set
from zsteer.steer.sampling import GroupGuides, sample_by, unguided

__all__ = ["SHIPPED", "Judge", "Judged", "drawn", "judge_of", "shipped_model"]

SHIPPED = "fashion-ddpm"
CPU = torch.device("cpu")
SEED = 7
"""Of the classifier; the shipped feature net has 0."""


@dataclass(frozen=True)
class Judged:
    """What the judges say of a set of images.

    Args:
        distance: Frechet distance to the test images.
        agreement: share that the classifier puts into the requested class.
        variety: mean distance in features between images of one class, over that of test images of the class.
    """

    distance: float
    agreement: float
    variety: float


@dataclass(frozen=True)
class Judge:
    """The nets that judge, and the test images beside which samples are put.

    Args:
        features: net of the Frechet distance.
        classifier: net of the agreement.
        sets: the data.
    """

    features: ImageClassifier
    classifier: ImageClassifier
    sets: Sets

    @property
    def name(self) -> str:
        """Name of the Frechet distance."""
        return frechet_name(self.features.tensors())

    def of(self, x: Batch, y: Int[Tensor, " n"]) -> Judged:
        """Judge images.

        Args:
            x: images.
            y: requested class of each.
        """
        features, variety = self.real
        mine = self.features.features(x)
        right = (self.classifier.logits(x).argmax(1) == y).double().mean()
        return Judged(float(frechet(mine, features)), float(right), _variety(mine, y) / variety)

    @cached_property
    def real(self) -> tuple[Tensor, float]:
        """Features of the test images, and the mean distance between two of one class."""
        found = self.features.features(self.sets.test)
        return found, _variety(found, self.sets.test["y"])

    @cached_property
    def accuracy(self) -> float:
        """Share of the test images that the classifier puts into their own class: what agreement can mean."""
        right = self.classifier.logits(self.sets.test).argmax(1) == self.sets.test["y"]
        return float(right.double().mean())

    def null(self, n: int) -> Judged:
        """Judge as many training images under their own labels."""
        real = self.sets.train.take(slice(n))
        return self.of(real, real["y"])


def _variety(features: Float[Tensor, "n d"], y: Int[Tensor, " n"]) -> float:
    """Mean distance between two images of one class."""
    found: list[Tensor] = []
    for label in y.unique():
        own = features[y == label]
        if len(own) > 1:
            found.append(torch.pdist(own).mean())
    return float(torch.stack(found).mean()) if found else 0.0


QUICK_TEST = 1000
"""Test images of a quick run."""


@cache
def judge_of(data: Path, *, quick: bool) -> Judge:
    """The judges, the classifier trained on the spot.

    Args:
        data: the data folder.
        quick: a short training, and a part of the test images.

    Raises:
        CapabilityError: if the shipped feature net is not there.
    """
    features = shipped_features()
    if features is None:
        raise CapabilityError("this benchmark compares images in the features of the shipped net, which is not here")
    values = {"seed": SEED, "size": "xs" if quick else "m", "steps": 40 if quick else 4000, "batch": 128}
    recipe = settings_from(FeaturesRecipe, values, where="the judge")
    made = recipe.build(data, CPU)
    trained: ImageClassifier = made.train(seed=SEED)
    sets = load_set("fashion-mnist", data)
    if quick:
        sets = replace(sets, test=sets.test.take(slice(QUICK_TEST)))
    return Judge(features, trained.eval(), sets)


def shipped_model(name: str = SHIPPED) -> DDPM:
    """The shipped diffusion model, or that of a folder.

    Raises:
        InputError: if it is another kind of model.
    """
    return load_model(name, kind=DDPM.kind)


def drawn(
    model: DDPM, n: int, words: Mapping[str, object], *, seed: int = 0, guides: GroupGuides = unguided
) -> tuple[Batch, Int[Tensor, " n"], float]:
    """Samples of all classes in turn, the requested classes, and the CPU-seconds that they took.

    Args:
        model: the model.
        n: how many.
        words: about the walk; ``class`` is added unless it is there.
        seed: of the noise.
        guides: further guides.
    """
    y = torch.arange(n) % len(model.settings.classes)
    given = {"class": "all", **words}
    if given["class"] == "none":
        del given["class"]
    started = time.process_time()
    made, _ = sample_by(model, n, given, Streams.of(seed, n), guides=guides)
    return made, y, time.process_time() - started
