r"""Guides: denoisers made of denoisers, so that they compose in any order and work with every sampler and noise.

* ``ClassifierFree`` needs a model that was trained with and without the condition;
* ``ByClassifier`` needs log p(y | x_t) of a classifier that knows noisy data;
* ``ByProperty`` needs no training: any differentiable energy of x_0;
* ``ToValue`` neither: it brings a differentiable property of x_0 to a value that is asked for.

The strength ``scale`` means the same at every time: guidance aims at p(x_0) p(y | x_0)^scale, or p(x_0) exp(-scale E).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.core.protocols import Denoiser, Noise, Prediction
from zsteer.errors import InputError, SettingsError
from zsteer.maths.guidance import classifier_free, towards_value

__all__ = ["ByClassifier", "ByProperty", "ClassifierFree", "ToValue"]


def _rows(value: Float[Tensor, " b"], like: Float[Tensor, "b ..."]) -> Float[Tensor, "b ..."]:
    """One number a sample, to multiply data with."""
    return value.reshape(-1, *[1] * (like.ndim - 1))


def _slope(value: Callable[[Tensor], Tensor], x: Float[Tensor, "b ..."], what: str) -> Float[Tensor, "b ..."]:
    """Gradient of one number a sample with respect to that sample, also where the caller has switched gradients off.

    Where ``x`` is part of a graph already (a guide within a guide) that graph is kept.

    Raises:
        InputError: if there is not one number for each sample, the value does not depend on the sample, or the gradient
            is not finite.
    """
    within = _tracked(x)
    with torch.enable_grad():
        at = x if within else x.detach().requires_grad_(True)
        found = value(at)
        if found.shape != (len(x),):
            raise InputError(f"expected one value of {what} for each of {len(x)} samples, got {tuple(found.shape)}")
        if not found.requires_grad:
            raise InputError(f"{what} has no gradient with respect to the sample: it is constant or was detached")
        (slope,) = torch.autograd.grad(found.sum(), at, retain_graph=within)
    if not bool(torch.isfinite(slope).all()):
        raise InputError(f"the gradient of {what} is not finite; check it at the largest noise")
    return slope


def _tracked(x: Tensor) -> bool:
    """Whether a graph is being built through ``x``."""
    return torch.is_grad_enabled() and x.requires_grad


@dataclass(frozen=True)
class ClassifierFree:
    r"""Guidance by a model trained with and without the condition.

    The noise that it predicts, and so x_0, is moved ``scale`` times from the unconditional towards the conditional:
    eps_u + scale (eps_c - eps_u).

    Args:
        conditional: denoiser with the condition.
        null: the same model's denoiser without it.
        scale: 0 ignores the condition, 1 is the conditional model, more exaggerates.
        interval: times in which it guides, ends included; outside there is only the conditional call.

    Raises:
        SettingsError: if the interval is not one.

    Source: Ho, Salimans, "Classifier-free diffusion guidance", 2022; Kynkaanniemi et al., "Applying guidance in a
    limited interval improves sample and distribution quality in diffusion models", 2024.

    Lecture: guidance.free
    """

    conditional: Denoiser
    null: Denoiser
    scale: float
    interval: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        low, high = self.interval
        if not 0 <= low < high <= 1:
            raise SettingsError(f"expected an interval of times within [0, 1], got {low:g} ... {high:g}")

    @property
    def noise(self) -> Noise:
        """Of both."""
        return self.conditional.noise

    def predict(self, x_t: Float[Tensor, "b ..."], t: Float[Tensor, " b"]) -> Prediction:
        """Combine both predictions of x_0; a learnt variance is the conditional's."""
        inside = (t >= self.interval[0]) & (t <= self.interval[1])
        prediction = self.conditional.predict(x_t, t)
        if self.scale == 1.0 or not bool(inside.any()):
            return prediction
        null = self.null.predict(x_t, t)
        scale = _rows(torch.where(inside, self.scale, 1.0).to(x_t.dtype), x_t)
        tilt = None
        if prediction.mean_shift_gradient is not None or null.mean_shift_gradient is not None:
            still = torch.zeros_like(x_t)
            without, given = (
                still if one.mean_shift_gradient is None else one.mean_shift_gradient for one in (null, prediction)
            )
            tilt = classifier_free(without, given, scale)
        return replace(prediction, x0=classifier_free(null.x0, prediction.x0, scale), mean_shift_gradient=tilt)


@dataclass(frozen=True)
class ByClassifier:
    r"""Guidance by the gradient of a classifier of noisy data, taken at x_t.

    ``mean`` moves the mean of the reverse kernel, x_{t-1} ~ N(mu + s Sigma grad log p(y | x_t), Sigma), the lecture's
    Algorithm 1: right in the limit of many steps, and for samplers that draw. ``score`` adds the gradient to the score,
    which is exact at every time for a perfect classifier, and serves every sampler.

    Args:
        denoiser: what is guided.
        log_prob: (x_t, t) -> log p(y | x_t) of the wanted y, one number a sample. [nats]
        scale: 1 aims at p(x | y); more at p(x) p(y | x)^scale.
        mode: ``mean`` or ``score``.

    Raises:
        SettingsError: if there is no such mode.

    Source: Dhariwal, Nichol, "Diffusion models beat GANs on image synthesis", 2021, algorithms 1 and 2.

    Lecture: guidance.classifier
    """

    denoiser: Denoiser
    log_prob: Callable[[Tensor, Tensor], Tensor]
    scale: float = 1.0
    mode: Literal["mean", "score"] = "mean"

    def __post_init__(self) -> None:
        if self.mode not in {"mean", "score"}:
            raise SettingsError(f"expected mode mean or score, got {self.mode!r}")

    @property
    def noise(self) -> Noise:
        """Of the denoiser."""
        return self.denoiser.noise

    def predict(self, x_t: Float[Tensor, "b ..."], t: Float[Tensor, " b"]) -> Prediction:
        """The denoiser's prediction, tilted or shifted."""
        prediction = self.denoiser.predict(x_t, t)
        if self.scale == 0:
            return prediction
        slope = self.scale * _slope(lambda x: self.log_prob(x, t), x_t, "the classifier's log-probability")
        if self.mode == "score":
            return replace(prediction, x0=self.noise.shift(prediction.x0, slope, t))
        return replace(
            prediction,
            mean_shift_gradient=slope
            if prediction.mean_shift_gradient is None
            else prediction.mean_shift_gradient + slope,
        )


@dataclass(frozen=True)
class ByProperty:
    r"""Guidance without training: by the gradient of any differentiable property at the predicted x_0.

    It aims at p(x_0) exp(-scale E(x_0)) by adding the gradient of -scale E(x_0-hat(x_t)) to the score. Taken through
    x_t (the default) that moves the prediction by -scale Cov(x_0 | x_t) grad E: as far as the data can still move, in
    directions in which they vary; it is exact for a linear E and Gaussian data, and costs a backward pass. Taken at x_0
    alone the covariance is put at sigma^2 I, that of data of unit variance: no backward pass of the network, no
    knowledge of the directions. Either way ``scale`` is in units of 1 / E and means the same at every time.

    Args:
        denoiser: what is guided.
        energy: x_0 -> E, one number a sample, low for what is wanted; for categories x_0 are log-probabilities.
        scale: strength.
        through: ``x_t`` or ``x_0``.

    Raises:
        SettingsError: if there is no such way.

    Source: Chung et al., "Diffusion posterior sampling for general noisy inverse problems", 2022 (through x_t).
    """

    denoiser: Denoiser
    energy: Callable[[Tensor], Tensor]
    scale: float = 1.0
    through: Literal["x_t", "x_0"] = "x_t"

    def __post_init__(self) -> None:
        if self.through not in {"x_t", "x_0"}:
            raise SettingsError(f"expected through x_t or x_0, got {self.through!r}")

    @property
    def noise(self) -> Noise:
        """Of the denoiser."""
        return self.denoiser.noise

    def predict(self, x_t: Float[Tensor, "b ..."], t: Float[Tensor, " b"]) -> Prediction:
        """The denoiser's prediction, shifted."""
        if self.scale == 0:
            return self.denoiser.predict(x_t, t)
        if self.through == "x_0":
            prediction = self.denoiser.predict(x_t, t)
            # For data of unit variance d x_0-hat / d x_t is the signal, sqrt(snr / (1 + snr)).
            signal = torch.sigmoid(self.noise.log_snr(t.double())).sqrt().to(x_t.dtype)
            slope = _rows(signal, x_t) * _slope(self.energy, prediction.x0, "the energy")
        else:
            kept: list[Prediction] = []

            def energy(x: Tensor) -> Tensor:
                kept.append(self.denoiser.predict(x, t))
                return self.energy(kept[0].x0)

            slope = _slope(energy, x_t, "the energy")
            prediction = kept[0] if _tracked(x_t) else _detached(kept[0])
        return replace(prediction, x0=self.noise.shift(prediction.x0, -self.scale * slope, t))


@dataclass(frozen=True)
class ToValue:
    r"""Guidance without training to a value of a property: it aims at p(x_0 | y), y = c(x_0) + N(0, tolerance^2).

    The score of a prediction being near a value pulls far too hard where x_0 is still uncertain; Bayes' rule for a
    property that is linear around the prediction does not (``maths.guidance.towards_value``). Its two parts,
    Cov(x_0 | x_t) grad c and the variance of c, come from one backward pass through the denoiser.

    Args:
        denoiser: what is guided.
        measure: x_0 -> c, one number a sample; for categories x_0 are log-probabilities.
        value: y, one for all samples or one for each.
        tolerance: how near c should come, in its own unit.

    Raises:
        SettingsError: if the tolerance is not positive.
    """

    denoiser: Denoiser
    measure: Callable[[Tensor], Tensor]
    value: float | Float[Tensor, " b"]
    tolerance: float

    def __post_init__(self) -> None:
        if not self.tolerance > 0:
            raise SettingsError(f"expected a tolerance > 0, got {self.tolerance}")

    @property
    def noise(self) -> Noise:
        """Of the denoiser."""
        return self.denoiser.noise

    def predict(self, x_t: Float[Tensor, "b ..."], t: Float[Tensor, " b"]) -> Prediction:
        """The denoiser's prediction, moved towards the value."""
        kept: list[tuple[Prediction, Tensor]] = []

        def measured(x: Tensor) -> Tensor:
            prediction = self.denoiser.predict(x, t)
            kept.append((prediction, self.measure(prediction.x0)))
            return kept[0][1]

        slope = _slope(measured, x_t, "the property")
        prediction, found = kept[0] if _tracked(x_t) else (_detached(kept[0][0]), kept[0][1].detach())
        # What the gradient would add to x_0 is Cov(x_0 | x_t) grad c; along it c has the variance grad c . Cov grad c.
        along = self.noise.shift(prediction.x0, slope, t) - prediction.x0
        variance = (along * _slope(self.measure, prediction.x0, "the property")).flatten(1).sum(1)
        far = towards_value(self.value - found, variance, self.tolerance)
        return replace(prediction, x0=prediction.x0 + _rows(far, x_t) * along)


def _detached(prediction: Prediction) -> Prediction:
    """Without the graph that led to it."""
    spread, tilt = prediction.variance_fraction, prediction.mean_shift_gradient
    return Prediction(
        prediction.x0.detach(),
        None if spread is None else spread.detach(),
        None if tilt is None else tilt.detach(),
    )
