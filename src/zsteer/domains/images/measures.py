"""Measures of images, with gradients: what properties of images are computed by.

Each takes pixels ``(b, c, h, w)`` in [0, 1] and gives one number a sample.
"""

from jaxtyping import Float
from torch import Tensor

__all__ = ["brightness", "contrast", "lean", "symmetry"]

FLOOR = 1e-6
"""Added below divisions and roots, whose gradient a blank image would not have."""


def brightness(x: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
    """Mean of the pixels, 0 (black) to 1 (white)."""
    return x.mean((1, 2, 3))


def contrast(x: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
    """Standard deviation of the pixels, 0 to 0.5."""
    return (x.var((1, 2, 3), unbiased=False) + FLOOR).sqrt()


def symmetry(x: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
    """1 for an image that is its own mirror image (left and right), less the mean difference of the two."""
    return 1 - (x - x.flip(-1)).abs().mean((1, 2, 3))


def lean(x: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
    """Where the light is from left (-1) to right (1): its centre of mass."""
    place = 2 * (x.new_ones(x.shape[-1]).cumsum(0) - 0.5) / x.shape[-1] - 1
    return (x * place).sum((1, 2, 3)) / (x.sum((1, 2, 3)) + FLOOR)
