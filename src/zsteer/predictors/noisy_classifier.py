r"""A classifier of noisy samples, p(y | x_t): what the lecture's classifier guidance asks for a gradient.

It learns from samples at every time of the noise, since a classifier of clean data knows nothing of x_t:

.. math:: -\log p_\phi(y \mid x_t), \quad t \sim \text{Uniform}(\{1, \dots, T\}), \quad x_t \sim q(x_t \mid x_0) .
"""

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from zsteer.core.artifact import Pretrained, Settings
from zsteer.core.batch import Batch
from zsteer.core.protocols import Conditional, Turn
from zsteer.core.rng import Streams
from zsteer.core.sample_spec import SampleSpec
from zsteer.errors import InputError
from zsteer.maths.schedules import Schedule
from zsteer.models.diffusion.conditioned import class_indices
from zsteer.models.diffusion.settings import TimedMLP
from zsteer.nets.precision import at_least_single, bfloat16_pays
from zsteer.nets.unet import TimedEncoder
from zsteer.noise.gaussian import Gaussian

__all__ = ["NoisyClassifier", "NoisyClassifierSettings"]


class NoisyClassifierSettings(Settings):
    """What the classifier is built from."""

    datum: SampleSpec
    classes: tuple[str, ...] = Field(description="names of the classes", min_length=2)
    schedule: Literal["linear", "cosine", "sigmoid", "polynomial"] = Field(
        default="cosine", description="that of the diffusion model that it guides"
    )
    steps: int = Field(default=1000, ge=1, description="T of the discrete chain")
    width: int = Field(default=32, ge=2, description="channels of the first layer, for images")
    hidden: tuple[int, ...] = Field(default=(128, 128), description="hidden layers, for rows", min_length=1)


class NoisyClassifier(Pretrained, nn.Module):
    """Logits of the classes from a noisy sample and its time.

    Args:
        settings: what it is built from.
    """

    kind: ClassVar[str] = "noisy-classifier"
    Settings: ClassVar[type[NoisyClassifierSettings]] = NoisyClassifierSettings
    turns: Sequence[Turn] = (Turn("classifier"),)

    def __init__(self, settings: NoisyClassifierSettings) -> None:
        super().__init__()
        self.settings = settings
        self.noise = Gaussian(Schedule(settings.schedule), settings.steps)
        datum, classes = settings.datum, len(settings.classes)
        self.images = len(datum.shape) == 3
        self.net: nn.Module = (
            TimedEncoder(datum.shape[0], classes, settings.width)
            if self.images
            else TimedMLP(datum.size, classes, settings.hidden, 0)
        )

    def players(self) -> Mapping[str, list[nn.Parameter]]:
        """One player owns all weights."""
        return {"classifier": list(self.parameters())}

    def losses(self, x: Batch, player: str, rng: Streams) -> Mapping[str, Float[Tensor, " b"]]:
        """Cross-entropy of the class, each sample at a time of its own. [nats]

        Raises:
            InputError: if the batch has no classes.
        """
        del player
        if "y" not in x:
            raise InputError("a classifier learns from samples with classes: the batch has no field y")
        rows = self.settings.datum.centred(x)
        t = ((rng.integers("t", self.settings.steps) + 1) / self.settings.steps).to(rows.dtype)
        x_t = self.noise.corrupt(rows.reshape(len(rows), *self.shape), t, rng)
        return {"cross_entropy": nn.functional.cross_entropy(self.logits(x_t, t), x["y"], reduction="none")}

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample inside the model."""
        return self.settings.datum.shape if self.images else (self.settings.datum.size,)

    def logits(self, x_t: Float[Tensor, "b ..."], t: Float[Tensor, " b"]) -> Float[Tensor, "b k"]:
        """Logit of each class, differentiable in ``x_t``.

        Args:
            x_t: noisy samples, scaled as a diffusion model sees them.
            t: time of each.
        """
        return at_least_single(self.net(x_t, t))

    def check(self, model: object) -> None:
        """Refuse a model whose noisy samples it does not read.

        Raises:
            InputError: if samples or noise differ.
        """
        theirs, ours = getattr(model, "settings", None), self.settings
        spec = getattr(theirs, "datum", None)
        if spec is None or (spec.shape, spec.values) != (ours.datum.shape, ours.datum.values):
            made = "other samples" if spec is None else f"{spec.values} of shape {spec.shape}"
            raise InputError(
                f"the guide reads {ours.datum.values} of shape {ours.datum.shape}, and the model makes {made}"
            )
        if getattr(theirs, "schedule", None) != ours.schedule:
            raise InputError(
                f"the guide knows the {ours.schedule} noise, the model the {getattr(theirs, 'schedule', 'unknown')} one"
            )

    def targets(self, name: str, value: object, n: int) -> Int[Tensor, " n"]:
        """The class of each sample, as ``class_indices`` reads it.

        Raises:
            InputError: if the property is another, or there is no such class.
        """
        if name != "class":
            raise InputError(f"this guide reads classes, not {name}")
        return class_indices(self.settings.classes, value, n)

    def log_prob_at(
        self, model: Conditional, name: str, targets: Int[Tensor, " b"]
    ) -> Callable[[Tensor, Tensor], Float[Tensor, " b"]]:
        """``log_prob`` of the targets; samples of a classifier have one shape."""
        del model, name
        return self.log_prob(targets.to(next(self.parameters()).device))

    def log_prob(self, y: Int[Tensor, " b"]) -> Callable[[Tensor, Tensor], Float[Tensor, " b"]]:
        """Log p(y | x_t) as a function of x_t and t, for samples of these classes. [nats]

        Args:
            y: class of each sample.
        """

        def of(x_t: Float[Tensor, "b ..."], t: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
            half = self.images and x_t.dtype == torch.float32 and bfloat16_pays(x_t.device)
            with torch.autocast(x_t.device.type, torch.bfloat16, enabled=half):
                logits = self.logits(x_t, t)
            return torch.log_softmax(logits, -1).gather(1, y[:, None])[:, 0]

        return of
