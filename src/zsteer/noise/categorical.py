r"""Categorical noise of a schedule: multinomial diffusion, uniform or absorbing, and its reverse step.

States are one-hot rows of floats, (b, n, K). A row of zeros is padding: it stays as it is, in every function here, so
that a state carries its own mask. Predictions of x_0 are unnormalised log-probabilities, (b, n, K).

``eta`` = 1 draws from the exact reverse kernel between any two times, ``eta`` = 0 from the kernel with the same
marginals that moves as seldom as it can; between them, from their mixture. Both keep the marginals whatever the times,
so any mixture does. A tilt g multiplies a kernel by exp(g . x_s): with g the gradient of log p(y | x_t) that is
classifier guidance, exact in the limit of many steps where log p(y | x) is linear in the row of each position.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.core.protocols import Prediction
from zsteer.core.rng import Streams
from zsteer.errors import CapabilityError, SettingsError
from zsteer.maths import categorical
from zsteer.maths.categorical import NOTHING
from zsteer.maths.schedules import Schedule

__all__ = ["Categorical"]


@dataclass(frozen=True)
class Categorical:
    """Categorical noise.

    Args:
        schedule: the noise schedule; its squared signal is the share of the data that is left.
        categories: K of the data.
        kernel: ``uniform`` replaces by any category (the lecture), ``absorbing`` by a mask, the last of K + 1 states.
        steps: T of the discrete chain.

    Raises:
        SettingsError: if there is no step, or fewer than two categories.
    """

    schedule: Schedule
    categories: int
    kernel: Literal["uniform", "absorbing"] = "uniform"
    steps: int = 100

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise SettingsError(f"expected at least 1 step, got {self.steps}")
        if self.categories < 2:
            raise SettingsError(f"expected at least 2 categories, got {self.categories}")

    @property
    def absorbing(self) -> bool:
        """Whether there is a mask."""
        return self.kernel == "absorbing"

    @property
    def states(self) -> int:
        """Width of a state: K, and one more with a mask."""
        return self.categories + int(self.absorbing)

    def rest(self, like: Tensor) -> Float[Tensor, " k"]:
        """The distribution in which the process comes to rest, on the device of ``like``."""
        return categorical.resting(self.states, mask=self.absorbing, like=like)

    def log_snr(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """Log of the share of data over the share of noise."""
        return self.schedule.log_snr(t)

    def abar(self, t: Float[Tensor, " b"], like: Tensor) -> Float[Tensor, "b 1 1"]:
        """Share of the data at each sample's time, to multiply states with."""
        return self.schedule.abar(t.double()).to(like.dtype)[:, None, None]

    def log_prior(self, like: Tensor) -> Float[Tensor, " k"]:
        """Log-probabilities of x_1: the marginal of categories that are all alike.

        That is even for the uniform kernel. For the absorbing one it leaves the schedule's rest to unmasked states, so
        that L_T is finite and the bound exact.
        """
        even = torch.ones(self.states, dtype=like.dtype, device=like.device)
        if self.absorbing:
            even[-1] = 0
        last = float(self.schedule.abar(torch.tensor(1.0, dtype=torch.float64)))
        return categorical.marginal(even / self.categories, last, self.rest(like))

    def prior(self, like: Float[Tensor, "b ..."], rng: Streams) -> Float[Tensor, "b ..."]:
        """Draw x_1; padding of ``like`` stays padding."""
        log_p = self.log_prior(like).expand_as(like)
        return self._drawn(log_p, like, rng, "prior")

    def corrupt(self, x0: Float[Tensor, "b ..."], t: Float[Tensor, " b"], rng: Streams) -> Float[Tensor, "b ..."]:
        """Draw x_t from q(x_t | x_0)."""
        return self._drawn(categorical.marginal(x0, self.abar(t, x0), self.rest(x0)), x0, rng, "x_t")

    def _drawn(self, log_p: Tensor, like: Tensor, rng: Streams, purpose: str) -> Float[Tensor, "b ..."]:
        u = rng.uniform(purpose, tuple(like.shape[1:-1]), dtype=torch.float64).to(like.device)
        real = like.detach().sum(-1, keepdim=True) > 0
        return categorical.draw(log_p.detach(), u).to(like.dtype) * real

    def evidence(self, x_t: Float[Tensor, "b n k"], t: Float[Tensor, " b"]) -> Float[Tensor, "b n k"]:
        """Log q(x_t | x_0) of each x_0, position by position; the mask is never x_0. Even on padding."""
        found = categorical.evidence(x_t, self.abar(t, x_t), self.rest(x_t))
        found = torch.where(x_t.detach().sum(-1, keepdim=True) > 0, found, 0.0)
        return self.of_data(found)

    def evidence_of_states(self, t: Float[Tensor, " b"], like: Tensor) -> Float[Tensor, "b j k"]:
        """Log q(x_t = j | x_0 = k) of every pair; the mask is never x_0."""
        every = torch.eye(self.states, dtype=like.dtype, device=like.device)[None]
        return self.of_data(categorical.evidence(every, self.abar(t, like), self.rest(like)))

    def of_data(self, log_x0: Float[Tensor, "b n k"]) -> Float[Tensor, "b n k"]:
        """Log-probabilities of x_0 with the mask, if there is one, ruled out."""
        if not self.absorbing:
            return log_x0
        return torch.cat([log_x0[..., :-1], torch.full_like(log_x0[..., -1:], NOTHING)], -1)

    def shares(self, t: float, s: float) -> tuple[float, float]:
        """Shares of the data at t and at s, worked out in float64."""
        both = self.schedule.abar(torch.tensor([t, s], dtype=torch.float64))
        return float(both[0]), float(both[1])

    def kernel_between(
        self, x_t: Float[Tensor, "b ..."], prediction: Prediction, t: float, s: float, *, eta: float = 1.0
    ) -> Float[Tensor, "b ..."]:
        """Log-probabilities of x_s given x_t.

        Args:
            x_t: state at t.
            prediction: what the denoiser says there.
            t: time of x_t.
            s: an earlier time.
            eta: 1 for the exact reverse kernel, 0 for the least random one, between them for their mixture.

        Raises:
            CapabilityError: if s is later than t.
        """
        if s > t:
            raise CapabilityError(
                f"expected an earlier time than t={t:g}, got s={s:g}: categorical noise goes forward by a draw only; "
                f"corrupt data instead of inverting a sampler"
            )
        if s == t:
            return categorical.log_of(x_t)
        now, before = self.shares(t, s)
        log_x0 = self.of_data(prediction.x0)
        found = categorical.reverse(x_t, log_x0, now, before, self.rest(x_t)) if eta > 0 else None
        if eta < 1:
            lazy = categorical.least_random(x_t, log_x0, now, before)
            found = lazy if found is None else categorical.log_of(eta * found.exp() + (1 - eta) * lazy.exp())
        if found is None:
            raise CapabilityError(f"expected eta in [0, 1], got {eta:g}")
        if prediction.mean_shift_gradient is not None:
            found = found + prediction.mean_shift_gradient
        return found.log_softmax(-1)

    def step(
        self, x_t: Float[Tensor, "b ..."], prediction: Prediction, t: float, s: float, *, rng: Streams, eta: float
    ) -> Float[Tensor, "b ..."]:
        """Draw x_s given x_t.

        Args:
            x_t: where the walk is.
            prediction: what the denoiser says there.
            t: time of x_t.
            s: an earlier time to go to.
            rng: one stream for each sample.
            eta: 1 for the exact reverse kernel, 0 for the least random one, between them for their mixture.

        Raises:
            CapabilityError: if s is later than t, or eta is not in [0, 1].
        """
        if not 0 <= eta <= 1:
            raise CapabilityError(f"expected eta in [0, 1] for categorical noise, got {eta:g}")
        return self._drawn(self.kernel_between(x_t, prediction, t, s, eta=eta), x_t, rng, "step")

    def shift(
        self, x0: Float[Tensor, "b ..."], gradient: Float[Tensor, "b ..."], t: Float[Tensor, " b"]
    ) -> Float[Tensor, "b ..."]:
        r"""The prediction of x_0 once ``gradient`` of log p(y | x_t) is known: log-probabilities plus the gradient.

        A masked position that turns into k has x_0 = k, so for the absorbing kernel the gradient is added as it is. A
        position of the uniform kernel that turns into k has x_0 = k with the share abar_t only: what the gradient says
        of x_0 is 1 / abar_t as much (to first order, for categories that are about as likely).
        """
        if self.absorbing:
            return x0 + gradient
        return x0 + gradient / self.abar(t, x0)
