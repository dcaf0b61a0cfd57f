r"""How many atoms a molecule has: counts in the training set, and the same given properties.

.. math:: p(N \mid y) \propto p(N) \prod_k \mathcal{N}(y_k; m_{N,k}, s_{N,k}^2)

with the mean and the spread of each property among the molecules of N atoms; sizes that are rare borrow both from the
whole set. Properties are taken one by one, as if they were independent given N.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from zsteer.core.rng import Streams
from zsteer.errors import InputError
from zsteer.maths import categorical

__all__ = ["SizePrior"]

BORROWED = 20.0
"""Molecules of the whole set that stand beside those of one size, in its means and spreads."""


class SizePrior(nn.Module):
    """Sizes as the data have them.

    Args:
        largest: atoms of the largest molecule.
        properties: how many properties.
    """

    def __init__(self, largest: int, properties: int) -> None:
        super().__init__()
        self.count: Tensor
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("count", torch.ones(largest, dtype=torch.float32))
        self.register_buffer("mean", torch.zeros(largest, properties))
        self.register_buffer("std", torch.ones(largest, properties))

    def learn(self, sizes: Int[Tensor, " m"], values: Float[Tensor, "m k"]) -> None:
        """Count sizes, and measure the properties within each.

        Args:
            sizes: atoms of each training molecule.
            values: properties of each, in standard deviations from the mean; NaN where one is not known.

        Raises:
            InputError: if a molecule is larger than the largest, or there is none.
        """
        if not len(sizes) or int(sizes.max()) > len(self.count) or int(sizes.min()) < 1:
            raise InputError(
                f"expected molecules of 1 ... {len(self.count)} atoms, got {sizes.min()} ... {sizes.max()}"
            )
        known = values.isfinite()
        value = torch.where(known, values, 0.0).double()
        index = sizes.long() - 1
        self.count.copy_(torch.bincount(index, minlength=len(self.count)))

        def summed(each: Float[Tensor, "m k"]) -> Float[Tensor, "s k"]:
            return torch.zeros(len(self.count), each.shape[1], dtype=torch.float64).index_add_(0, index, each)

        # The whole set has mean 0 and variance 1, these being standard deviations.
        n, first, second = (summed(each) for each in (known.double(), value, value.square()))
        mean = first / (n + BORROWED)
        self.mean.copy_(mean)
        self.std.copy_(((second + BORROWED) / (n + BORROWED) - mean.square()).clamp(min=1e-4).sqrt())

    def log_p(self, wanted: Mapping[int, Float[Tensor, " b"]], n: int) -> Float[Tensor, "b s"]:
        """Log-probabilities of 1 ... largest atoms, for each of ``n`` molecules.

        Args:
            wanted: property (by number) -> value of each molecule, in standard deviations from the mean.
            n: number of molecules.
        """
        found = categorical.log_of(self.count.double() / self.count.double().sum()).expand(n, -1)
        for k, value in wanted.items():
            mean, std = self.mean[:, k].double(), self.std[:, k].double()
            gap = (value.double().to(mean.device)[:, None] - mean) / std
            found = found - 0.5 * gap.square() - std.log()
        return found.log_softmax(-1)

    def draw(self, wanted: Mapping[int, Float[Tensor, " b"]], rng: Streams) -> Int[Tensor, " b"]:
        """Draw the size of each molecule."""
        u = rng.uniform("size", dtype=torch.float64).to(self.count.device)
        return categorical.draw(self.log_p(wanted, len(rng)), u).argmax(-1) + 1
