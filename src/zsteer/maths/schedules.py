r"""Noise schedules in continuous time: how much of the data is left at t in [0, 1].

One object answers for all of them. With the squared signal abar(t), which falls from 1 (data) to a small rest (noise),

.. math:: x_t = \text{signal}(t)\, x_0 + \sigma(t)\, \epsilon, \quad
          \text{signal}^2 = \bar\alpha, \quad \sigma^2 = 1 - \bar\alpha, \quad
          \log \text{snr} = \log \bar\alpha - \log(1 - \bar\alpha) .

The discrete chain of T steps has the times i / T, and the lecture's betas follow from the object:
beta_i = 1 - abar(i / T) / abar((i - 1) / T), so that abar_t = alpha_1 ... alpha_t holds exactly.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.errors import SettingsError

__all__ = ["SCHEDULES", "Curve", "Listed", "Schedule", "abar", "alpha"]

SCHEDULES = ("linear", "cosine", "sigmoid", "polynomial")


def alpha(beta: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    r"""What a forward step leaves: alpha_t := 1 - beta_t.

    Lecture: ddpm.alpha
    """
    return 1 - beta


def abar(alphas: Float[Tensor, " steps"]) -> Float[Tensor, " steps"]:
    r"""What the first t forward steps leave: abar_t := alpha_1 ... alpha_t.

    Lecture: ddpm.abar
    """
    return torch.cumprod(alphas, 0)


class Curve(ABC):
    """The noise schedule: everything follows from the squared noise as a function of time."""

    @abstractmethod
    def variance(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """Squared noise, 1 - abar(t)."""

    def abar(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """Squared signal."""
        return 1 - self.variance(t)

    def signal(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """What x_0 is multiplied with."""
        return self.abar(t).sqrt()

    def sigma(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """What the noise is multiplied with."""
        return self.variance(t).sqrt()

    def log_snr(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """Log of signal^2 / sigma^2; infinite at t = 0 unless there is a gap."""
        return self.abar(t).log() - self.variance(t).log()

    def betas(self, steps: int) -> Float[Tensor, " steps"]:
        """beta_1 ... beta_T of the discrete chain, float64.

        Args:
            steps: T.

        Raises:
            SettingsError: if there is no step.
        """
        if steps < 1:
            raise SettingsError(f"expected at least 1 step, got {steps}")
        left = self.abar(torch.arange(steps + 1, dtype=torch.float64) / steps)
        return 1 - left[1:] / left[:-1]


@dataclass(frozen=True)
class Schedule(Curve):
    r"""The noise schedule.

    The shapes f(t), with f(0) = 1:

    * ``linear``: the continuous limit of betas that rise linearly from 1e-4 to 0.02 over 1,000 steps,
      :math:`\exp(-(0.1 t + 19.9 t^2 / 2))`;
    * ``cosine``: :math:`\cos^2(\frac{\pi}{2} \frac{t + 0.008}{1.008})` over its value at 0;
    * ``sigmoid``: a logistic curve between -3 and 3, scaled to run from 1 to 0;
    * ``polynomial``: :math:`(1 - t^2)^2`.

    Args:
        name: the shape.
        rest: abar(1), squared signal that is left at the end; without any a prediction of noise could not be turned
            into one of data there.
        gap: 1 - abar(0), noise that the data start with; 0 except where a likelihood needs it.

    Raises:
        SettingsError: if there is no such schedule, or ``rest`` or ``gap`` is out of range.

    Source: Ho, Jain, Abbeel 2020 (linear); Nichol, Dhariwal 2021 (cosine); Jabri, Fleet, Chen 2022 (sigmoid);
    Hoogeboom et al. 2022 (polynomial).
    """

    name: Literal["linear", "cosine", "sigmoid", "polynomial"] = "cosine"
    rest: float = 4.5e-5
    gap: float = 0.0

    def __post_init__(self) -> None:
        if self.name not in SCHEDULES:
            raise SettingsError(f"expected a schedule of {', '.join(SCHEDULES)}, got {self.name!r}")
        if not (0 < self.rest < 0.1 and 0 <= self.gap < 0.1):
            raise SettingsError(f"expected rest in (0, 0.1) and gap in [0, 0.1), got {self.rest} and {self.gap}")

    def _fallen(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """1 - f(t), written so that nothing cancels near t = 0."""
        if self.name == "linear":
            return -torch.expm1(-(0.1 * t + 0.5 * 19.9 * t * t))
        if self.name == "polynomial":
            return t * t * (2 - t * t)
        if self.name == "sigmoid":
            # sig(a) - sig(b) = (tanh(a/2) - tanh(b/2)) / 2, and tanh(a) - tanh(b) = tanh(a - b) (1 - tanh a tanh b)
            a, b = torch.full_like(t, -1.5), 3 * t - 1.5
            whole = 2 * torch.tanh(torch.full_like(t, 1.5))
            return torch.tanh(3 * t) * (1 - torch.tanh(a) * torch.tanh(b)) / whole
        angle, first = (t + 0.008) / 1.008 * (torch.pi / 2), torch.tensor(0.008 / 1.008 * torch.pi / 2, dtype=t.dtype)
        # cos^2 a - cos^2 b = sin(b - a) sin(b + a)
        return torch.sin(t / 1.008 * (torch.pi / 2)) * torch.sin(angle + first) / torch.cos(first).square()

    def variance(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """Squared noise, 1 - abar(t)."""
        return self.gap + (1 - self.rest - self.gap) * self._fallen(t).clamp(0, 1)


@dataclass(frozen=True)
class Listed(Curve):
    r"""The schedule of a list of betas, for models whose chain was fixed elsewhere.

    At the times i / T it is the chain's own, in between the signal falls at the constant rate of the step:
    :math:`\log \bar\alpha` is linear there.

    Args:
        values: beta_1 ... beta_T.

    Raises:
        SettingsError: if there is none, or one lies outside (0, 1).
    """

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.values or not all(0 < beta < 1 for beta in self.values):
            raise SettingsError("expected betas in (0, 1), one for each step of the chain, at least one")

    def _log_abar(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        betas = torch.tensor(self.values, dtype=torch.float64, device=t.device)
        left = torch.cat([betas.new_zeros(1), torch.log1p(-betas).cumsum(0)])
        place = t.double().clamp(0, 1) * len(betas)
        step = place.floor().long().clamp(max=len(betas) - 1)
        return torch.lerp(left[step], left[step + 1], place - step)

    def variance(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """Squared noise, 1 - abar(t)."""
        return -torch.expm1(self._log_abar(t)).to(t.dtype)

    def abar(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """Squared signal; not as 1 - variance, which would cancel at the noisy end."""
        return self._log_abar(t).exp().to(t.dtype)
