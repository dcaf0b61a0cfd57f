r"""A classifier of images, whose last hidden layer also serves as features to compare sets of images in.

Small on purpose: a Frechet distance needs features that tell classes and shapes apart, not a large net. Distances in
these features are named by the hash of the weights, never by the name of a standard metric.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from zsteer.core.artifact import Pretrained, Settings
from zsteer.core.batch import Batch
from zsteer.core.protocols import Turn
from zsteer.core.rng import Streams
from zsteer.core.sample_spec import SampleSpec
from zsteer.errors import InputError
from zsteer.nets.codec import ConvEncoder
from zsteer.nets.mlp import dropout
from zsteer.nets.precision import at_least_single

__all__ = ["ImageClassifier", "ImageClassifierSettings"]


class ImageClassifierSettings(Settings):
    """What the classifier is built from."""

    datum: SampleSpec
    classes: tuple[str, ...] = Field(description="names of the classes", min_length=2)
    width: int = Field(default=24, ge=1, description="channels of the first layer")
    features: int = Field(default=64, ge=2, description="width of the last hidden layer")
    dropout: float = Field(default=0.2, ge=0, lt=1, description="share of the features left out in training")

    @model_validator(mode="after")
    def _fits(self) -> "ImageClassifierSettings":
        if len(self.datum.shape) != 3 or self.datum.values not in {"binary", "unit"}:
            raise ValueError(f"the classifier takes images in [0, 1], got {self.datum.values} of {self.datum.shape}")
        return self


class ImageClassifier(Pretrained, nn.Module):
    """Two convolutions, a hidden layer of features, and one logit for each class.

    Args:
        settings: what it is built from.
    """

    kind: ClassVar[str] = "image-classifier"
    Settings: ClassVar[type[ImageClassifierSettings]] = ImageClassifierSettings
    turns: Sequence[Turn] = (Turn("classifier"),)

    def __init__(self, settings: ImageClassifierSettings) -> None:
        super().__init__()
        self.settings = settings
        self.body = ConvEncoder(settings.datum.shape, settings.width, settings.features)
        self.head = nn.Linear(settings.features, len(settings.classes))

    def players(self) -> Mapping[str, list[nn.Parameter]]:
        """One player owns all weights."""
        return {"classifier": list(self.parameters())}

    def losses(self, x: Batch, player: str, rng: Streams) -> Mapping[str, Float[Tensor, " b"]]:
        """Cross-entropy of the class. [nats]

        Raises:
            InputError: if the batch has no classes.
        """
        del player
        if "y" not in x:
            raise InputError("a classifier learns from images with classes: the batch has no field y")
        hidden = dropout(self._features(x), self.settings.dropout, rng, "features")
        return {
            "cross_entropy": nn.functional.cross_entropy(at_least_single(self.head(hidden)), x["y"], reduction="none")
        }

    def _features(self, x: Batch) -> Float[Tensor, "b f"]:
        return torch.relu(at_least_single(self.body(self.settings.datum.flat(x))))

    @torch.no_grad()
    def features(self, x: Batch) -> Float[Tensor, "b f"]:
        """Features of images."""
        return torch.cat([self._features(piece) for piece in x.chunks(2048)])

    @torch.no_grad()
    def logits(self, x: Batch) -> Float[Tensor, "b k"]:
        """Logit of each class."""
        return torch.cat([self.head(self._features(piece)) for piece in x.chunks(2048)])
