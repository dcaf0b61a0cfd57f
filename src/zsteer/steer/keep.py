r"""A fragment kept while the rest of a molecule is made around it: every prediction of x_0 is given the fragment.

The known coordinates are laid on the predicted ones of the same atoms by the best rotation and shift, so that what is
kept has a place and no direction of its own, and the walk stays equivariant. With the fragment in x_0 the reverse
kernel draws the kept atoms from q(x_s | x_t, x_0) of their true x_0: on the way they are noisy data, as the net was
trained on.

Source: the idea of masked sampling as in Song et al., "Score-based generative modeling through stochastic differential
equations", 2021 (inpainting), and Schneuing et al., "Structure-based drug design with equivariant diffusion models",
2022, for molecules.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.core.protocols import Denoiser, Prediction
from zsteer.errors import SettingsError
from zsteer.maths.geometry import centre, optimal_rotation
from zsteer.noise.product import Product

__all__ = ["KeepAtoms"]


@dataclass(frozen=True)
class KeepAtoms:
    """A denoiser whose first atoms are known.

    Args:
        denoiser: what is guided; its noise is a product with the parts xyz and kinds, and bonds where there are any.
        known: of the k atoms that are kept, in order of the state and in its units: ``xyz`` (k, 3) about any centre,
            ``kinds`` (k, K), ``bonds`` (k (k - 1) / 2, B) in the order of ``torch.triu_indices(k, k, 1)``.

    Raises:
        SettingsError: if the noise is no product, or nothing is left to make.
    """

    denoiser: Denoiser
    known: Mapping[str, Float[Tensor, "k ..."]]

    def __post_init__(self) -> None:
        noise = self.denoiser.noise
        if not isinstance(noise, Product):
            raise SettingsError(f"atoms are kept in states of several parts, not under {type(noise).__name__} noise")
        size, kept = noise.part("xyz").shape[0], len(self.known["xyz"])
        if not 0 < kept < size:
            raise SettingsError(f"expected to keep 1 ... {size - 1} of {size} atoms, got {kept}")

    @property
    def noise(self) -> Product:
        """Of the denoiser."""
        found = self.denoiser.noise
        if not isinstance(found, Product):
            raise SettingsError("the noise is no product of parts")
        return found

    def predict(self, x_t: Float[Tensor, "b d"], t: Float[Tensor, " b"]) -> Prediction:
        """The denoiser's prediction with the known atoms in it."""
        prediction = self.denoiser.predict(x_t, t)
        parts = self.noise.split(prediction.x0)
        k = len(self.known["xyz"])
        parts["xyz"] = self._placed(parts["xyz"], k)
        own = self.known["kinds"].to(prediction.x0).expand(len(x_t), -1, -1)
        parts["kinds"] = torch.cat([own, parts["kinds"][:, k:]], 1)
        if "bonds" in parts and k > 1:
            size = parts["xyz"].shape[1]
            i, j = torch.triu_indices(size, size, 1, device=x_t.device)
            inside = ((i < k) & (j < k)).nonzero()[:, 0]
            bonds = self.known["bonds"].to(prediction.x0).expand(len(x_t), -1, -1)
            parts["bonds"] = parts["bonds"].index_copy(1, inside, bonds)
        return replace(prediction, x0=self.noise.join(parts))

    def _placed(self, xyz: Float[Tensor, "b n 3"], k: int) -> Float[Tensor, "b n 3"]:
        """The known coordinates where the predicted ones of the same atoms are."""
        goal = xyz[:, :k]
        known = centre(self.known["xyz"].to(xyz)).expand_as(goal)
        turn = optimal_rotation(known, goal)
        laid = known @ turn.transpose(-1, -2) + goal.mean(1, keepdim=True)
        return centre(torch.cat([laid, xyz[:, k:]], 1))
