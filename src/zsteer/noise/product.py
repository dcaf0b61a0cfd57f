r"""Noise of a thing that has several parts, each with a noise of its own: coordinates, kinds of atoms, bonds.

.. math:: q(x_t | x_0) = \prod_i q_i(x_t^{(i)} | x_0^{(i)})

A state is a flat row: the parts one after the other, each flattened row-major. So every solver, guide and model that
knows one tensor serves it unchanged. Predictions of x_0 are as each part's noise wants them: values for Gaussian parts,
unnormalised log-probabilities for categorical ones. Each part draws from streams of its own name.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.core.protocols import Noise, Prediction
from zsteer.core.rng import Streams
from zsteer.errors import InputError, SettingsError, nearest

__all__ = ["Part", "Product"]


@dataclass(frozen=True)
class Part:
    """One part of a state.

    Args:
        name: of the part.
        shape: of the part in one sample; the noise sees ``(b, *shape)``.
        noise: of the part.
    """

    name: str
    shape: tuple[int, ...]
    noise: Noise

    @property
    def size(self) -> int:
        """How many numbers."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Product:
    """Independent noises of the parts of a flat state, (b, D).

    Args:
        parts: in the order of the state. The first one's signal-to-noise ratio is the whole's: solvers place their
            times and weigh predictions by it.

    Raises:
        SettingsError: if there is no part, two have one name, or their chains differ in the number of steps.
    """

    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        names = [part.name for part in self.parts]
        if not names or len(set(names)) < len(names):
            raise SettingsError(f"expected at least one part, each with a name of its own, got {names}")
        steps = {part.name: part.noise.steps for part in self.parts}
        if len(set(steps.values())) > 1:
            raise SettingsError(f"expected the same number of steps for all parts, got {steps}")

    @property
    def steps(self) -> int:
        """T of the discrete chain."""
        return self.parts[0].noise.steps

    @property
    def size(self) -> int:
        """D, numbers in a state."""
        return sum(part.size for part in self.parts)

    def part(self, name: str) -> Part:
        """Look a part up.

        Raises:
            SettingsError: if there is none of that name.
        """
        found = {part.name: part for part in self.parts}
        if name not in found:
            raise SettingsError(nearest(name, found, what="part"))
        return found[name]

    def split(self, x: Float[Tensor, "b d"]) -> dict[str, Float[Tensor, "b ..."]]:
        """The parts of a state by name, each ``(b, *shape)``.

        Raises:
            InputError: if the row has another length.
        """
        if x.ndim != 2 or x.shape[1] != self.size:
            shapes = ", ".join(f"{part.name} {part.shape}" for part in self.parts)
            raise InputError(f"expected rows (b, {self.size}) that hold {shapes}, got {tuple(x.shape)}")
        pieces = x.split([part.size for part in self.parts], 1)
        return {part.name: piece.reshape(len(x), *part.shape) for part, piece in zip(self.parts, pieces, strict=True)}

    def join(self, pieces: Mapping[str, Float[Tensor, "b ..."]]) -> Float[Tensor, "b d"]:
        """Put the parts of a state together.

        Raises:
            InputError: if a part is missing, unknown or has another shape.
        """
        if set(pieces) != {part.name for part in self.parts}:
            raise InputError(f"expected the parts {[part.name for part in self.parts]}, got {list(pieces)}")
        for part in self.parts:
            if tuple(pieces[part.name].shape[1:]) != part.shape:
                raise InputError(f"expected {part.name} (b, *{part.shape}), got {tuple(pieces[part.name].shape)}")
        return torch.cat([pieces[part.name].reshape(len(pieces[part.name]), part.size) for part in self.parts], 1)

    def split_prediction(self, prediction: Prediction) -> dict[str, Prediction]:
        """What a prediction says of each part."""
        x0, spread, tilt = (
            None if one is None else self.split(one)
            for one in (prediction.x0, prediction.variance_fraction, prediction.mean_shift_gradient)
        )
        return {
            name: Prediction(value, None if spread is None else spread[name], None if tilt is None else tilt[name])
            for name, value in ({} if x0 is None else x0).items()
        }

    def log_snr(self, t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """Log signal-to-noise ratio of the first part."""
        return self.parts[0].noise.log_snr(t)

    def prior(self, like: Float[Tensor, "b d"], rng: Streams) -> Float[Tensor, "b d"]:
        """Draw x_1, part by part."""
        old = self.split(like)
        return self.join(
            {
                part.name: part.noise.prior(old[part.name], rng.child(part.name)) if part.size else old[part.name]
                for part in self.parts
            }
        )

    def corrupt(self, x0: Float[Tensor, "b d"], t: Float[Tensor, " b"], rng: Streams) -> Float[Tensor, "b d"]:
        """Draw x_t from q(x_t | x_0), part by part."""
        old = self.split(x0)
        return self.join(
            {
                part.name: part.noise.corrupt(old[part.name], t, rng.child(part.name)) if part.size else old[part.name]
                for part in self.parts
            }
        )

    def step(
        self, x_t: Float[Tensor, "b d"], prediction: Prediction, t: float, s: float, *, rng: Streams, eta: float
    ) -> Float[Tensor, "b d"]:
        """Go from t to s, part by part.

        Args:
            x_t: where the walk is.
            prediction: what the denoiser says there.
            t: time of x_t.
            s: time to go to; later than t only where every part can (Gaussian noise with eta = 0).
            rng: one stream for each sample.
            eta: 1 for the reverse kernel, 0 for as little chance as can be.
        """
        old, each = self.split(x_t), self.split_prediction(prediction)
        found = dict(old)
        for part in self.parts:
            # A part without numbers (the bonds of a single atom) has nothing to draw.
            if part.size:
                name = part.name
                found[name] = part.noise.step(old[name], each[name], t, s, rng=rng.child(name), eta=eta)
        return self.join(found)

    def shift(
        self, x0: Float[Tensor, "b d"], gradient: Float[Tensor, "b d"], t: Float[Tensor, " b"]
    ) -> Float[Tensor, "b d"]:
        """The prediction of x_0 once ``gradient`` is added to the score, part by part."""
        old, pull = self.split(x0), self.split(gradient)
        return self.join({part.name: part.noise.shift(old[part.name], pull[part.name], t) for part in self.parts})
