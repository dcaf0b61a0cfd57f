"""Points in space: what does not change when they are moved, and what moves with them."""

from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["centre"]


def centre(x: Float[Tensor, "*b n d"], mask: Bool[Tensor, "*b n"] | None = None) -> Float[Tensor, "*b n d"]:
    r"""Move the centre of the points to zero: x_i - (1/n) sum_j x_j.

    Args:
        x: coordinates.
        mask: which points are there; the others are put at zero. All are when None.
    """
    if mask is None:
        return x - x.mean(-2, keepdim=True)
    real = mask.to(x.dtype)[..., None]
    count = real.sum(-2, keepdim=True).clamp(min=1)
    return (x - (x * real).sum(-2, keepdim=True) / count) * real
