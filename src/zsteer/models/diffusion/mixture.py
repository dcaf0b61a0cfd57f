r"""A diffusion model without a network: the exact denoiser of a mixture of normal distributions.

Its prediction is E[x_0 | x_t] in closed form, so whatever a sampler, a guide or a bound makes of it can be held against
a known answer. Classes are the components of the mixture.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zsteer.core.batch import Batch
from zsteer.core.protocols import Prediction
from zsteer.core.rng import Streams
from zsteer.errors import InputError, nearest
from zsteer.maths.mixture import Mixture
from zsteer.noise.gaussian import Gaussian

__all__ = ["ExactDenoiser", "MixtureDiffusion"]


@dataclass(frozen=True)
class ExactDenoiser:
    """The best prediction of x_0 there is.

    Args:
        mixture: distribution of the data.
        noise: how they are corrupted.
        given: a component for each sample, or None for the mixture.
    """

    mixture: Mixture
    noise: Gaussian
    given: Int[Tensor, " b"] | None = None

    def predict(self, x_t: Float[Tensor, "b d"], t: Float[Tensor, " b"]) -> Prediction:
        """E[x_0 | x_t], of the given components."""
        return Prediction(self.mixture.expected(x_t, self.noise.abar(t, x_t), self.given))


@dataclass(frozen=True)
class MixtureDiffusion:
    """The mixture as a diffusion model: ``{"class": k}`` or one k for each sample is a condition.

    Args:
        mixture: distribution of the data.
        noise: how they are corrupted.
    """

    mixture: Mixture
    noise: Gaussian

    @property
    def classes(self) -> Sequence[str]:
        """The components, by number."""
        return [str(k) for k in range(len(self.mixture.weights))]

    def denoiser(self, given: Mapping[str, object] | None, n: int) -> ExactDenoiser:
        """Bind conditions.

        Raises:
            InputError: if there is another condition than class, or no such class.
        """
        wants = dict(given or {})
        strange = sorted(set(wants) - {"class"})
        if strange:
            raise InputError(nearest(strange[0], ("class",), what="condition"))
        wanted = wants.get("class")
        if wanted is None:
            return ExactDenoiser(self.mixture, self.noise)
        classes = torch.as_tensor(wanted, device=self.mixture.means.device).expand(n)
        known = len(self.mixture.weights)
        if bool((classes < 0).any()) or bool((classes >= known).any()):
            raise InputError(f"expected classes 0 ... {known - 1}, got {wanted}")
        return ExactDenoiser(self.mixture, self.noise, classes)

    def log_prob_of(self, k: int, x_t: Float[Tensor, "b d"], t: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """Log p(k | x_t): a perfect noise-aware classifier. [nats]"""
        return self.mixture.joint(x_t, self.noise.abar(t, x_t)).log_softmax(1)[:, k]

    def like(self, n: int, rng: Streams) -> Float[Tensor, "n d"]:
        """Shape and type of ``n`` samples."""
        del rng
        return torch.empty(n, self.mixture.means.shape[1], dtype=self.mixture.means.dtype)

    def finish(self, x: Float[Tensor, "n d"]) -> Batch:
        """A batch with the field ``x``."""
        return Batch({"x": x})
