r"""Mixtures of normal distributions under Gaussian noise: all that diffusion estimates, in closed form.

With weights w_k, means m_k and variances v_k (one for each coordinate), noisy data x_t = a x_0 + sqrt(1 - a^2) eps with
a^2 = abar are again a mixture,

.. math:: p_t(x) = \sum_k w_k N(x;\ a m_k,\ a^2 v_k + 1 - a^2) ,

from which the score, p(k | x_t), E[x_0 | x_t] and the likelihood follow. Samplers, guides and bounds are proved on it.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zsteer.errors import InputError
from zsteer.maths.gaussian import log_density

__all__ = ["Mixture"]

Number = float | Tensor


@dataclass(frozen=True)
class Mixture:
    """A mixture of normal distributions with diagonal covariances.

    ``abar`` is the squared signal that is left: 1 for data (the default), a number, or one for each sample, shape
    ``(b, 1)``. ``given`` is a component for each sample, and p is then that component's alone.

    Args:
        weights: positive, sum 1.
        means: of each component.
        variances: of each component and coordinate; 0 puts it at a point.

    Raises:
        InputError: if the shapes differ, or weights are not positive or do not sum to 1.
    """

    weights: Float[Tensor, " k"]
    means: Float[Tensor, "k d"]
    variances: Float[Tensor, "k d"]

    def __post_init__(self) -> None:
        if self.means.shape != self.variances.shape or len(self.weights) != len(self.means):
            shapes = [tuple(part.shape) for part in (self.weights, self.means, self.variances)]
            raise InputError(f"expected weights (k,), means (k, d) and variances (k, d), got {shapes}")
        if not bool((self.weights > 0).all()) or abs(float(self.weights.sum()) - 1) > 1e-6:
            raise InputError(f"expected positive weights that sum to 1, got {self.weights.tolist()}")

    def _moments(self, abar: Number) -> tuple[Float[Tensor, "#b k d"], Float[Tensor, "#b k d"]]:
        """Mean and variance of each component of x_t."""
        left = torch.as_tensor(abar, dtype=self.means.dtype, device=self.means.device).reshape(-1, 1, 1)
        return left.sqrt() * self.means, left * self.variances + (1 - left)

    def joint(
        self, x: Float[Tensor, "b d"], abar: Number = 1.0, given: Int[Tensor, " b"] | None = None
    ) -> Float[Tensor, "b k"]:
        """Log of w_k N(x; ...), of each component; minus infinity for those that are not ``given``. [nats]"""
        means, variances = self._moments(abar)
        found = self.weights.log() + log_density(x[:, None], means, variances.log())
        if given is None:
            return found
        kept = torch.arange(len(self.weights), device=x.device) == given[:, None]
        return (found - self.weights.log()).masked_fill(~kept, -torch.inf)

    def log_density(
        self, x: Float[Tensor, "b d"], abar: Number = 1.0, given: Int[Tensor, " b"] | None = None
    ) -> Float[Tensor, " b"]:
        """Log p_t(x). [nats]"""
        return self.joint(x, abar, given).logsumexp(1)

    def responsibilities(
        self, x: Float[Tensor, "b d"], abar: Number = 1.0, given: Int[Tensor, " b"] | None = None
    ) -> Float[Tensor, "b k"]:
        """p(k | x_t), which a perfect noise-aware classifier gives."""
        return self.joint(x, abar, given).softmax(1)

    def score(
        self, x: Float[Tensor, "b d"], abar: Number = 1.0, given: Int[Tensor, " b"] | None = None
    ) -> Float[Tensor, "b d"]:
        r"""Gradient of log p_t(x): :math:`\sum_k p(k \mid x) (a m_k - x) / (a^2 v_k + 1 - a^2)`."""
        means, variances = self._moments(abar)
        share = self.responsibilities(x, abar, given)[..., None]
        return (share * (means - x[:, None]) / variances).sum(1)

    def expected(
        self, x: Float[Tensor, "b d"], abar: Number, given: Int[Tensor, " b"] | None = None
    ) -> Float[Tensor, "b d"]:
        r"""E[x_0 | x_t], the best prediction of x_0.

        .. math:: \sum_k p(k \mid x_t) \left( m_k + \frac{a v_k}{a^2 v_k + 1 - a^2} (x_t - a m_k) \right)
        """
        means, variances = self._moments(abar)
        left = torch.as_tensor(abar, dtype=self.means.dtype, device=self.means.device).reshape(-1, 1, 1)
        each = self.means + left.sqrt() * self.variances / variances * (x[:, None] - means)
        return (self.responsibilities(x, abar, given)[..., None] * each).sum(1)

    def place(
        self, u: Float[Tensor, " b"], z: Float[Tensor, "b d"], given: Int[Tensor, " b"] | None = None
    ) -> Float[Tensor, "b d"]:
        """Draw: turn uniform and standard normal numbers into samples.

        Args:
            u: choose the component, where none is given.
            z: placed around its mean.
            given: components.
        """
        drawn = torch.searchsorted(self.weights.cumsum(0), u).clamp(max=len(self.weights) - 1)
        k = drawn if given is None else given
        return self.means[k] + self.variances[k].sqrt() * z
