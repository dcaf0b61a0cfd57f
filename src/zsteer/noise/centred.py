r"""Gaussian noise on coordinates whose centre of mass stays at zero.

A density that does not change when a molecule is moved cannot be normalised over all of space. EDM therefore diffuses
in the linear subspace of zero centre, of (n - 1) 3 dimensions, in which a standard normal does not change with
rotations and reflections:

.. math:: P x = x - \frac{1}{n} \sum_i x_i, \quad
          x_t = \sqrt{\bar\alpha_t}\, P x_0 + \sqrt{1 - \bar\alpha_t}\, P \epsilon .

Every draw is projected, and so is all that comes from outside: data, predictions and gradients of guides. A prediction
that is off the centre, or a guide that pulls at it, cannot move a walk out of the subspace.

Source: Hoogeboom, Satorras, Vignac, Welling, "Equivariant diffusion for molecule generation in 3D", 2022, section 3.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from zsteer.core.protocols import Prediction
from zsteer.core.rng import Streams
from zsteer.errors import CapabilityError, InputError, SettingsError
from zsteer.maths.geometry import centre, centred_kl, centred_log_density
from zsteer.noise.gaussian import Gaussian, Time

__all__ = ["Centred"]


@dataclass(frozen=True)
class Centred(Gaussian):
    """Gaussian noise in the subspace of zero centre of mass; every point has the same mass.

    States are coordinates of n points, (b, n, dims), or the same in flat rows, (b, n * dims).

    Args:
        schedule: the noise schedule.
        steps: T of the discrete chain.
        variance: of the reverse step, see ``Gaussian``.
        dims: of space.

    Raises:
        SettingsError: if there is no step or no dimension.
    """

    dims: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dims < 1:
            raise SettingsError(f"expected at least 1 dimension of space, got dims={self.dims}")

    def project(self, x: Float[Tensor, "b ..."]) -> Float[Tensor, "b ..."]:
        """Move the centre of each sample to zero.

        Raises:
            InputError: if the state does not consist of points of that many dimensions.
        """
        if x.ndim < 2 or (x.shape[-1] != self.dims if x.ndim > 2 else x.shape[1] % self.dims):
            raise InputError(
                f"expected coordinates (b, n, {self.dims}), or in flat rows (b, n * {self.dims}), got {tuple(x.shape)}"
            )
        return centre(x.reshape(len(x), -1, self.dims)).reshape(x.shape) if x.numel() else x

    def free(self, like: Float[Tensor, "b ..."]) -> int:
        """Dimensions of the subspace: (n - 1) dims."""
        return max(like[0].numel() - self.dims, 0)

    def drawn(self, purpose: str, like: Float[Tensor, "b ..."], rng: Streams) -> Float[Tensor, "b ..."]:
        """Standard normal noise of the subspace."""
        return self.project(super().drawn(purpose, like, rng))

    def corrupt(self, x0: Float[Tensor, "b ..."], t: Float[Tensor, " b"], rng: Streams) -> Float[Tensor, "b ..."]:
        """Draw x_t from q(x_t | x_0), with the data's centre at zero."""
        return super().corrupt(self.project(x0), t, rng)

    def posterior(
        self, x0: Float[Tensor, "b ..."], x_t: Float[Tensor, "b ..."], t: Time, s: Time
    ) -> tuple[Float[Tensor, "b ..."], Float[Tensor, "..."]]:
        """Mean, in the subspace, and variance of q(x_s | x_t, x_0)."""
        mean, variance = super().posterior(x0, x_t, t, s)
        return self.project(mean), variance

    def kernel(
        self, x_t: Float[Tensor, "b ..."], prediction: Prediction, t: Time, s: Time
    ) -> tuple[Float[Tensor, "b ..."], Float[Tensor, "b ..."]]:
        """Mean, in the subspace, and variance of p(x_s | x_t).

        Raises:
            CapabilityError: if the prediction brings a learnt variance.
        """
        mean, variance = super().kernel(x_t, self._checked(prediction), t, s)
        return self.project(mean), variance

    def kl(
        self,
        mean: Float[Tensor, "b ..."],
        variance: Float[Tensor, "..."],
        other: Float[Tensor, "b ..."],
        other_variance: Float[Tensor, "..."],
    ) -> Float[Tensor, " b"]:
        """KL of one normal of the subspace from another. [nats]"""
        points = [self._points(one) for one in (mean, other)]
        logs = [self._each(one, mean).log() for one in (variance, other_variance)]
        return centred_kl(points[0], logs[0], points[1], logs[1])

    def log_density(
        self, x: Float[Tensor, "b ..."], mean: Float[Tensor, "b ..."], variance: Float[Tensor, "..."]
    ) -> Float[Tensor, " b"]:
        """Log-density of a normal of the subspace, over its own volume. [nats]"""
        return centred_log_density(self._points(x), self._points(mean), self._each(variance, mean).log())

    def _points(self, x: Float[Tensor, "b ..."]) -> Float[Tensor, "b n d"]:
        return self.project(x).reshape(len(x), -1, self.dims)

    def _each(self, variance: Float[Tensor, "..."], like: Float[Tensor, "b ..."]) -> Float[Tensor, " b"]:
        """The one variance that each sample has; the kernels of this noise have no other."""
        return variance.expand_as(like).flatten(1)[:, 0]

    def step(
        self, x_t: Float[Tensor, "b ..."], prediction: Prediction, t: float, s: float, *, rng: Streams, eta: float
    ) -> Float[Tensor, "b ..."]:
        """Go from t to s within the subspace, see ``Gaussian.step``.

        Raises:
            CapabilityError: if the prediction brings a learnt variance, and where ``Gaussian.step`` says so.
        """
        # The step is linear in the state, the prediction, the tilt and the draw: one projection of the sum is enough.
        return self.project(super().step(x_t, self._checked(prediction), t, s, rng=rng, eta=eta))

    def shift(
        self, x0: Float[Tensor, "b ..."], gradient: Float[Tensor, "b ..."], t: Float[Tensor, " b"]
    ) -> Float[Tensor, "b ..."]:
        """The prediction of x_0 once ``gradient``, as far as it lies in the subspace, is added to the score."""
        return super().shift(x0, self.project(gradient), t)

    def _checked(self, prediction: Prediction) -> Prediction:
        if prediction.variance_fraction is not None:
            raise CapabilityError(
                "a learnt variance has one value for each number, and a normal of the subspace of zero centre has one "
                "for all; use a prediction without a spread"
            )
        return prediction
