r"""The denoising diffusion model of the lecture, for images and rows of numbers.

Training is Algorithm 1: draw t and eps, and descend

.. math:: \nabla_\theta \|\epsilon - \epsilon_\theta(x_t, t)\|^2, \quad
          x_t = \sqrt{\bar\alpha_t}\, x_0 + \sqrt{1 - \bar\alpha_t}\, \epsilon .

The net may predict the data (``x0``) or the velocity (``v``) instead of the noise, and the variance of the reverse step
may be learned beside the mean (with the bound's own term, through the variance alone). Classes are shown to the net and
left out for a share ``drop`` of the samples: (x, y) and (x, None), which is all that classifier-free guidance needs.
Values in [0, 1] are scaled to [-1, 1] inside.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from zsteer.core.artifact import Pretrained
from zsteer.core.batch import Batch
from zsteer.core.options import Option
from zsteer.core.protocols import Prediction, SamplingDefaults, Turn
from zsteer.core.rng import Streams
from zsteer.errors import InputError
from zsteer.maths import diffusion
from zsteer.models.diffusion.bound import Bound, bound, term_of
from zsteer.models.diffusion.conditioned import Conditioned, class_option, given_classes
from zsteer.models.diffusion.settings import DDPMSettings, net_of, noise_of
from zsteer.nets.precision import at_least_single, bfloat16_pays
from zsteer.sample.solvers import walk
from zsteer.sample.vary import vary

__all__ = ["CALLS", "DDPM"]

BOUND_WEIGHT = 1e-3
"""Weight of the bound's terms beside the simple loss, where the variance is learned (Nichol, Dhariwal 2021)."""
AT_ONCE = 512
"""Samples of a likelihood that are worked out together: their number changes nothing but the memory."""
CALLS = 32
"""Network calls of a likelihood: strata of the bound's times."""


class DDPM(Pretrained, nn.Module):
    """A net that predicts the noise, and the noise's schedule.

    Args:
        settings: what it is built from.
    """

    kind: ClassVar[str] = "ddpm"
    Settings: ClassVar[type[DDPMSettings]] = DDPMSettings
    turns: Sequence[Turn] = (Turn("denoiser"),)
    sampling: ClassVar[SamplingDefaults] = SamplingDefaults()
    bound: Literal["exact", "lower", "unnormalised"] = "lower"

    def __init__(self, settings: DDPMSettings) -> None:
        super().__init__()
        self.settings = settings
        self.noise = noise_of(settings)
        self.net = net_of(settings)

    def players(self) -> Mapping[str, list[nn.Parameter]]:
        """One player owns all weights."""
        return {"denoiser": list(self.parameters())}

    @property
    def classes(self) -> Sequence[str]:
        """Names of the classes that it can be conditioned on."""
        return self.settings.classes

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample inside the model."""
        datum = self.settings.datum
        return datum.shape if self.settings.net != "mlp" else (datum.size,)

    @property
    def options(self) -> tuple[Option, ...]:
        """Its classes, as a condition."""
        return class_option(self.settings.classes)

    def expectation(self, x0: Float[Tensor, "b ..."]) -> Float[Tensor, "b ..."]:
        """Pixels in [0, 1], ``(b, c, h, w)``, or standardised rows ``(b, d)``, of predictions of x_0."""
        datum = self.settings.datum
        plain = x0 if datum.values == "real" else (x0 + 1) / 2
        return plain.reshape(len(x0), *datum.shape)

    def states(self, x: Batch) -> Float[Tensor, "b ..."]:
        """Samples as the net sees them: [0, 1] and levels in [-1, 1], reals as they are."""
        rows = self.settings.datum.centred(x)
        return rows.reshape(len(rows), *self.shape)

    def losses(self, x: Batch, player: str, rng: Streams) -> Mapping[str, Float[Tensor, " b"]]:
        """Algorithm 1, for each sample at a time of its own; with a learned variance the bound's term beside it.

        Raises:
            InputError: if the model has classes and the batch none.
        """
        del player
        x0, steps = self.states(x), self.settings.steps
        at = rng.integers("t", steps) + 1
        t = (at / steps).to(x0.dtype)
        eps = rng.normal("eps", self.shape, dtype=x0.dtype)
        abar = self.noise.abar(t, x0).to(x0.dtype)
        x_t = diffusion.marginal(x0, abar, eps)
        value, spread = self._raw(x_t, t, self._shown(x, rng))
        wanted = {"eps": eps, "x0": x0, "v": diffusion.velocity(x0, eps, abar)}[self.settings.target]
        terms = {"squared_error": diffusion.simple_loss(wanted, value)}
        if spread is not None:
            # The bound teaches the variance alone: the mean is held fixed.
            prediction = Prediction(self._x0(x_t, value.detach(), t), spread)
            levels = self.settings.datum.resolution
            terms["bound"] = BOUND_WEIGHT * steps * term_of(self.noise, (x0, x_t), prediction, at, levels)
        return terms

    def _shown(self, x: Batch, rng: Streams) -> Int[Tensor, " b"] | None:
        """Classes that the net is shown: a share of them is left out."""
        if not self.settings.classes:
            return None
        if "y" not in x:
            raise InputError(f"the model learns {len(self.settings.classes)} classes, and the batch has no field y")
        return torch.where(rng.uniform("drop") < self.settings.drop, torch.full_like(x["y"], -1), x["y"])

    def _raw(
        self, x_t: Float[Tensor, "b ..."], t: Float[Tensor, " b"], y: Int[Tensor, " b"] | None
    ) -> tuple[Float[Tensor, "b ..."], Float[Tensor, "b ..."] | None]:
        """What the net says, and the spread of a learned variance in [0, 1]."""
        out = at_least_single(self.net(x_t, t, y))
        if self.settings.variance != "learned":
            return out, None
        value, spread = out.chunk(2, 1)
        return value, torch.sigmoid(spread)

    def _x0(self, x_t: Tensor, value: Tensor, t: Float[Tensor, " b"]) -> Float[Tensor, "b ..."]:
        """The net's word as a prediction of x_0."""
        if self.settings.target == "x0":
            return value
        abar = self.noise.abar(t, x_t).to(x_t.dtype)
        back = diffusion.x0_from_noise if self.settings.target == "eps" else diffusion.x0_from_velocity
        return back(x_t, value, abar)

    def predict(self, x_t: Float[Tensor, "b ..."], t: Float[Tensor, " b"], y: Int[Tensor, " b"] | None) -> Prediction:
        """What the model says of x_0 at x_t.

        Args:
            x_t: noisy samples, as the net sees them.
            t: time of each.
            y: class of each, -1 for none.
        """
        half = x_t.dtype == torch.float32 and self.settings.net == "unet" and bfloat16_pays(x_t.device)
        with torch.autocast(x_t.device.type, torch.bfloat16, enabled=half):
            value, spread = self._raw(x_t, t, y)
        x0 = self._x0(x_t, value, t)
        return Prediction(self._bounded(x0), spread)

    def _bounded(self, x0: Float[Tensor, "b ..."]) -> Float[Tensor, "b ..."]:
        """A prediction held in the range of the data: an error at the noisy end is magnified by 1 / signal."""
        if self.settings.datum.values != "real":
            return x0.clamp(-1, 1)
        if not self.settings.low:
            return x0
        return torch.clamp(x0, x0.new_tensor(self.settings.low), x0.new_tensor(self.settings.high))

    def denoiser(self, given: Mapping[str, object] | None, n: int) -> Conditioned:
        """The denoiser of ``n`` samples.

        Args:
            given: ``class``: a name, an index, ``all``, or one for each sample.
            n: number of samples.

        Raises:
            CapabilityError: if no class is given and the model has not learned to do without.
            InputError: if there is another condition.
        """
        y = given_classes(given, n, self.settings.classes, null=self.settings.drop > 0)
        return Conditioned(self, None if y is None else y.to(next(self.parameters()).device))

    def like(self, n: int, rng: Streams) -> Float[Tensor, "n ..."]:
        """A tensor of the shape, type and device of ``n`` samples inside the model."""
        del rng
        weight = next(self.parameters())
        return torch.zeros(n, *self.shape, dtype=weight.dtype, device=weight.device)

    def finish(self, x: Float[Tensor, "n ..."]) -> Batch:
        """What a walk ended at, as samples in their own range."""
        return self.settings.datum.uncentred(x.flatten(1))

    @torch.no_grad()
    def sample(self, n: int, *, given: Mapping[str, object] | None = None, rng: Streams) -> Batch:
        """Draw samples: twenty steps of a second-order solver; ``sample.solvers.walk`` offers the others.

        Args:
            n: how many.
            given: ``class``.
            rng: one stream for each.

        Raises:
            InputError: if the number of streams differs, or a condition does not exist.
        """
        if len(rng) != n:
            raise InputError(f"expected {n} streams for {n} samples, got {len(rng)}")
        denoiser = self.denoiser(given, n)
        return self.finish(walk(denoiser, self.noise.prior(self.like(n, rng), rng), rng))

    def propose(self, x: Batch, strength: float, rng: Streams) -> Batch:
        """Variants of samples: noised to the time ``strength`` and walked back, under their classes where known.

        Args:
            x: samples.
            strength: in (0, 1]; 1 makes new samples.
            rng: one stream for each.

        Raises:
            CapabilityError: if the samples have no classes and the model has not learned to do without.
            InputError: if the strength is out of range.
        """
        known = bool(self.settings.classes) and "y" in x
        denoiser = Conditioned(self, x["y"]) if known else self.denoiser(None, len(x))
        made = self.finish(vary(denoiser, self.states(x), strength, rng.child("propose")))
        return made.with_fields(y=x["y"]) if known else made

    def bound_of(self, x: Batch, rng: Streams, *, calls: int | None = None) -> Bound:
        """The variational bound of each sample, term by term, under its class where it has one.

        Args:
            x: data.
            rng: one stream for each sample.
            calls: network calls, the number of strata; every term when None.
        """
        x0, levels = self.states(x), self.settings.datum.resolution
        y = x["y"] if self.settings.classes and "y" in x else None
        found: list[Bound] = []
        for start in range(0, len(x0), AT_ONCE):
            piece = slice(start, start + AT_ONCE)
            shown = Conditioned(self, None if y is None else y[piece])
            found.append(bound(shown, x0[piece], rng.take(piece), calls=calls, levels=levels))
        return Bound.cat(found)

    def log_prob(self, x: Batch, rng: Streams) -> Float[Tensor, " b"]:
        """Minus the variational bound, estimated from ``CALLS`` strata of times. [nats]"""
        return -self.bound_of(x, rng, calls=min(CALLS, self.settings.steps)).total

    def likelihood_notes(self) -> list[str]:
        """How ``log_prob`` comes about, for a report."""
        calls = min(CALLS, self.settings.steps)
        return [f"variational bound, estimated without bias from {calls} of its {self.settings.steps} terms a sample"]
