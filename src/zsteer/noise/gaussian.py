r"""Gaussian noise of a schedule, and the reverse step of every sampler.

With a prediction of x_0 the step from t to an earlier s is

.. math:: x_s = \sqrt{\bar\alpha_s}\, \hat x_0 + \sqrt{1 - \bar\alpha_s - \eta^2 \tilde\beta}\, \hat\epsilon
          + \eta \sqrt{\tilde\beta}\, z, \quad \hat\epsilon = (x_t - \sqrt{\bar\alpha_t}\, \hat x_0) / \sigma_t ,

which for eta = 1 has the mean and variance of q(x_s | x_t, x_0) (the lecture's Algorithm 2), and for eta = 0 draws
nothing (DDIM). For eta = 0 the same line also goes forward in time (s > t): inversion needs no code of its own.

A time is a number for the whole batch (samplers) or one for each sample (the likelihood bound).
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
from zsteer.maths.gaussian import log_density
from zsteer.maths.schedules import Curve

__all__ = ["Gaussian"]

Time = float | Tensor


@dataclass(frozen=True)
class Gaussian:
    """Gaussian noise.

    Args:
        schedule: the noise schedule.
        steps: T of the discrete chain.
        variance: of the reverse step with eta = 1, where a prediction brings none: ``posterior`` (beta-tilde, right for
            data at a point) or ``forward`` (beta, right for data of unit variance, and for all data where the noise is
            small, hence far better for the likelihood).

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
        return self.drawn("prior", like, rng)

    def drawn(self, purpose: str, like: Float[Tensor, "b ..."], rng: Streams) -> Float[Tensor, "b ..."]:
        """Standard normal noise with the shape, type and device of ``like``: every draw of this noise is made here.

        Args:
            purpose: what the numbers are for.
            like: a state.
            rng: one stream for each sample.
        """
        return rng.normal(purpose, tuple(like.shape[1:]), dtype=like.dtype).to(like.device)

    def abar(self, t: Time, like: Float[Tensor, "b ..."]) -> Float[Tensor, "..."]:
        """Squared signal in float64: one number, or one for each sample that broadcasts with ``like``."""
        times = torch.as_tensor(t, dtype=torch.float64, device=like.device)
        left = self.schedule.abar(times)
        return left.reshape(-1, *[1] * (like.ndim - 1)) if left.ndim else left

    def corrupt(self, x0: Float[Tensor, "b ..."], t: Float[Tensor, " b"], rng: Streams) -> Float[Tensor, "b ..."]:
        """Draw x_t from q(x_t | x_0)."""
        return diffusion.marginal(x0, self.abar(t, x0).to(x0.dtype), self.drawn("eps", x0, rng))

    def posterior(
        self, x0: Float[Tensor, "b ..."], x_t: Float[Tensor, "b ..."], t: Time, s: Time
    ) -> tuple[Float[Tensor, "b ..."], Float[Tensor, "..."]]:
        r"""Mean and variance of q(x_s | x_t, x_0) = N(mu-tilde, beta-tilde I).

        Args:
            x0: data, or a prediction of them.
            x_t: noisy data.
            t: their time.
            s: an earlier time; at s = 0 the variance is 0.

        Lecture: ddpm.posterior
        """
        now, before = self.abar(t, x_t), self.abar(s, x_t)
        mean = diffusion.posterior_mean(x0, x_t, now, before).to(x_t.dtype)
        return mean, torch.as_tensor(diffusion.posterior_variance(now, before)).to(x_t.dtype)

    def variance_between(
        self, spread: Float[Tensor, "b ..."] | None, t: Time, s: Time, like: Float[Tensor, "b ..."]
    ) -> Float[Tensor, "b ..."]:
        r"""Variance of the reverse kernel: exp(v log beta + (1 - v) log beta-tilde), v the ``spread`` of a prediction.

        Without a spread v is 0 or 1, as ``variance`` says. In the last step beta-tilde is 0, and p(x_0 | x_1) needs a
        density: its fixed variance is beta, which is Var(x_0 | x_1) wherever the data vary more than that noise, and
        the lower end of a learnt one is that of the step before (from 2t to t), as in the source.

        Source: Nichol, Dhariwal, "Improved denoising diffusion probabilistic models", 2021, equation 15.
        """
        now, before = self.abar(t, like), self.abar(s, like)
        forward = 1 - now / before
        tilde = torch.as_tensor(diffusion.posterior_variance(now, before))
        if spread is None:
            fixed = torch.where(tilde > 0, tilde, forward) if self.variance == "posterior" else forward
            return fixed.to(like.dtype).expand_as(like)
        later = self.abar((2 * torch.as_tensor(t, dtype=torch.float64)).clamp(max=1), like)
        clipped = torch.as_tensor(diffusion.posterior_variance(later, now))
        # A chain of one step has no step before: 2t is not there, and what is left is the noise of that step itself.
        least = torch.where(tilde > 0, tilde, torch.where(clipped > 0, clipped, forward))
        share = spread.to(torch.float64)
        return (share * forward.log() + (1 - share) * least.log()).exp().to(like.dtype)

    def kernel(
        self, x_t: Float[Tensor, "b ..."], prediction: Prediction, t: Time, s: Time
    ) -> tuple[Float[Tensor, "b ..."], Float[Tensor, "b ..."]]:
        """Mean and variance of p(x_s | x_t), the reverse kernel that ancestral sampling draws from.

        Lecture: ddpm.reverse
        """
        mean, _ = self.posterior(prediction.x0, x_t, t, s)
        variance = self.variance_between(prediction.variance_fraction, t, s, x_t)
        return (
            mean if prediction.mean_shift_gradient is None else mean + variance * prediction.mean_shift_gradient,
            variance,
        )

    def kl(
        self,
        mean: Float[Tensor, "b ..."],
        variance: Float[Tensor, "..."],
        other: Float[Tensor, "b ..."],
        other_variance: Float[Tensor, "..."],
    ) -> Float[Tensor, " b"]:
        """KL of one normal of the states from another; variances that broadcast with the means. [nats]"""
        logs = [one.log().expand_as(mean) for one in (variance, other_variance)]
        return diffusion.kl_of_normals(mean, logs[0], other, logs[1])

    def log_density(
        self, x: Float[Tensor, "b ..."], mean: Float[Tensor, "b ..."], variance: Float[Tensor, "..."]
    ) -> Float[Tensor, " b"]:
        """Log-density of a normal of the states; a variance that broadcasts with the mean. [nats]"""
        log_var = variance.log().expand_as(mean).flatten(1)
        return log_density(x.flatten(1), mean.flatten(1), log_var)

    def step(
        self, x_t: Float[Tensor, "b ..."], prediction: Prediction, t: float, s: float, *, rng: Streams, eta: float
    ) -> Float[Tensor, "b ..."]:
        """Go from t to s.

        Args:
            x_t: where the walk is.
            prediction: what the denoiser says there.
            t: time of x_t.
            s: time to go to; later than t only with eta = 0.
            rng: one stream for each sample, not drawn from when eta = 0.
            eta: 1 for the reverse kernel, 0 for the deterministic step, between the two for less chance; only eta = 1
                reads a learnt variance.

        Raises:
            CapabilityError: if the kernel is to be tilted where there is none (eta = 0), or noise is to be drawn on the
                way forward.
            SettingsError: if there is no noise at t to tell where the walk goes.
        """
        if eta != 0 and s > t:
            raise CapabilityError("noise is drawn on the way back only; invert with eta=0 (ddim)")
        now, there = self.abar(t, x_t), self.abar(s, x_t)
        if eta == 1:
            mean, variance = self.kernel(x_t, prediction, t, s)
            # The last step draws nothing, whether s is 0 or so near it that no noise is left there.
            return mean if s <= 0 or bool(there >= 1) else mean + variance.sqrt() * self.drawn("step", x_t, rng)
        if bool(now >= 1):
            raise SettingsError(f"at t={t:g} there is no noise, so a walk cannot start there; sample.invert does")
        eps = diffusion.noise_of(x_t, prediction.x0, now)
        if eta == 0:
            if prediction.mean_shift_gradient is not None:
                raise CapabilityError("mode=mean moves the mean of a draw, and here is none; take mode=score")
            return diffusion.marginal(prediction.x0, there, eps)
        variance = eta**2 * diffusion.posterior_variance(now, there)
        mean = there**0.5 * prediction.x0 + torch.as_tensor(1 - there - variance).clamp(min=0) ** 0.5 * eps
        if prediction.mean_shift_gradient is not None:
            mean = mean + variance * prediction.mean_shift_gradient
        return mean + variance**0.5 * self.drawn("step", x_t, rng)

    def shift(
        self, x0: Float[Tensor, "b ..."], gradient: Float[Tensor, "b ..."], t: Float[Tensor, " b"]
    ) -> Float[Tensor, "b ..."]:
        r"""The score grad ln p(x) + grad ln p(y | x) predicts x_0 + (1 - abar_t) / sqrt(abar_t) grad ln p(y | x).

        It is Tweedie's formula, x_0 = (x_t + sigma^2 score) / signal.

        Lecture: guidance.score
        """
        now = self.abar(t, x0)
        return x0 + ((1 - now) / now.sqrt()).to(x0.dtype) * gradient
