r"""Gaussian noise of a schedule, and the reverse step of every sampler.

With a prediction of x_0 the step from t to an earlier s is

.. math:: x_s = \sqrt{\bar\alpha_s}\, \hat x_0 + \sqrt{1 - \bar\alpha_s - \eta^2 \tilde\beta}\, \hat\epsilon
          + \eta \sqrt{\tilde\beta}\, z, \quad \hat\epsilon = (x_t - \sqrt{\bar\alpha_t}\, \hat x_0) / \sigma_t ,

which for eta = 1 has the mean and variance of q(x_s | x_t, x_0) (the lecture's Algorithm 2), and for eta = 0 draws
nothing (DDIM). For eta = 0 the same line also goes forward in time (s > t): inversion needs no code of its own.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.core.protocols import Prediction
from zsteer.core.rng import Streams
from zsteer.errors import CapabilityError, SettingsError
from zsteer.maths import diffusion
from zsteer.maths.schedules import Curve

__all__ = ["Gaussian"]


@dataclass(frozen=True)
class Gaussian:
    """Gaussian noise.

    Args:
        schedule: how fast the data drown.
        steps: T of the discrete chain.
        variance: of the reverse step with eta = 1, where a prediction brings none: ``posterior`` (beta-tilde, right for
            data at a point) or ``forward`` (beta, right for data of unit variance).

    Raises:
        SettingsError: if there is no step.
    """

    schedule: Curve
    steps: int = 1000
    variance: Literal["posterior", "forward"] = "posterior"

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise SettingsError(f"expected at least 1 step, got {self.steps}")

    def log_snr(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """Log signal-to-noise ratio."""
        return self.schedule.log_snr(t)

    def prior(self, like: Float[Tensor, "b ..."], rng: Streams) -> Float[Tensor, "b ..."]:
        """Draw x_T from N(0, I).

        Lecture: ddpm.prior
        """
        return rng.normal("prior", tuple(like.shape[1:]), dtype=like.dtype).to(like.device)

    def abar(self, t: Float[Tensor, " b"], like: Float[Tensor, "b ..."]) -> Float[Tensor, "b ..."]:
        """Squared signal at each sample's time, to multiply data with."""
        # In float64 first: 1 - variance in float32 is wrong by a thousandth where abar is 4.5e-5.
        return self.schedule.abar(t.double()).to(like.dtype).reshape(-1, *[1] * (like.ndim - 1))

    def corrupt(self, x0: Float[Tensor, "b ..."], t: Float[Tensor, " b"], rng: Streams) -> Float[Tensor, "b ..."]:
        """Draw x_t from q(x_t | x_0)."""
        return diffusion.marginal(x0, self.abar(t, x0), rng.normal("eps", tuple(x0.shape[1:]), dtype=x0.dtype))

    def squared_signals(self, t: float, s: float) -> tuple[float, float]:
        """Squared signals at t and at s, worked out in float64."""
        both = self.schedule.abar(torch.tensor([t, s], dtype=torch.float64))
        return float(both[0]), float(both[1])

    def spread_between(self, spread: Float[Tensor, "b ..."], t: float, s: float) -> Float[Tensor, "b ..."]:
        r"""Learnt variance: exp(v log beta + (1 - v) log beta-tilde), with v the prediction's ``spread``.

        Source: Nichol, Dhariwal, "Improved denoising diffusion probabilistic models", 2021, equation 15.
        """
        now, before = self.squared_signals(t, s)
        forward = torch.tensor(1 - now / before, dtype=spread.dtype, device=spread.device).log()
        # The last step's posterior variance is 0; its logarithm is taken at the step before, as the source does.
        tilde = float(diffusion.posterior_variance(now, before))
        if tilde <= 0:
            later, there = self.squared_signals(min(2 * t, 1.0), t)
            tilde = float(diffusion.posterior_variance(later, there)) or float(1 - now)
        least = torch.tensor(tilde, dtype=spread.dtype, device=spread.device).log()
        return (spread * forward + (1 - spread) * least).exp()

    def kernel(
        self, x_t: Float[Tensor, "b ..."], said: Prediction, t: float, s: float
    ) -> tuple[Float[Tensor, "b ..."], Float[Tensor, "b ..."]]:
        """Mean and variance of p(x_s | x_t), the reverse kernel that ancestral sampling draws from.

        Lecture: ddpm.reverse
        """
        now, before = self.squared_signals(t, s)
        mean = diffusion.posterior_mean(said.x0, x_t, now, before)
        if said.spread is not None:
            variance = self.spread_between(said.spread, t, s)
        else:
            tilde = float(diffusion.posterior_variance(now, before))
            fixed = tilde if self.variance == "posterior" else 1 - now / before
            variance = torch.full_like(mean, fixed)
        return mean if said.tilt is None else mean + variance * said.tilt, variance

    def step(
        self, x_t: Float[Tensor, "b ..."], said: Prediction, t: float, s: float, *, rng: Streams, eta: float
    ) -> Float[Tensor, "b ..."]:
        """Go from t to s.

        Args:
            x_t: where the walk is.
            said: what the denoiser says there.
            t: time of x_t.
            s: time to go to; later than t only with eta = 0.
            rng: one stream for each sample, not drawn from when eta = 0.
            eta: 1 for the reverse kernel, 0 for the deterministic step.

        Raises:
            CapabilityError: if the kernel is to be tilted where there is none (eta = 0), or noise is to be drawn on the
                way forward.
        """
        if eta == 1:
            if s > t:
                raise CapabilityError("the reverse kernel leads to earlier times only; invert with eta=0 (ddim)")
            mean, variance = self.kernel(x_t, said, t, s)
            if s <= 0:
                return mean
            return mean + variance.sqrt() * rng.normal("step", tuple(x_t.shape[1:]), dtype=x_t.dtype)
        now, there = self.squared_signals(t, s)
        eps = diffusion.noise_of(x_t, said.x0, now)
        if eta == 0:
            if said.tilt is not None:
                raise CapabilityError("mode=mean moves the mean of a draw, and here is none; take mode=score")
            return diffusion.marginal(said.x0, there, eps)
        if s > t:
            raise CapabilityError("noise is drawn on the way back only; invert with eta=0 (ddim)")
        variance = eta**2 * float(diffusion.posterior_variance(now, there))
        mean = there**0.5 * said.x0 + max(1 - there - variance, 0.0) ** 0.5 * eps
        if said.tilt is not None:
            mean = mean + variance * said.tilt
        return mean + variance**0.5 * rng.normal("step", tuple(x_t.shape[1:]), dtype=x_t.dtype)

    def shift(
        self, x0: Float[Tensor, "b ..."], gradient: Float[Tensor, "b ..."], t: Float[Tensor, " b"]
    ) -> Float[Tensor, "b ..."]:
        r"""A score with ``gradient`` added predicts x_0 + (1 - abar_t) / sqrt(abar_t) gradient.

        It is Tweedie's formula, x_0 = (x_t + sigma^2 score) / signal.
        """
        now = self.abar(t, x0)
        return x0 + (1 - now) / now.sqrt() * gradient
