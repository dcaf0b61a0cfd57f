"""Measures of images, with gradients: what properties of images are computed by.

Each takes pixels ``(b, c, h, w)`` in [0, 1] and gives one number a sample.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import conv2d

from zsteer.errors import InputError

__all__ = ["brightness", "contrast", "lean", "ssim", "symmetry"]

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


WINDOW, SIGMA = 11, 1.5
"""Edge and standard deviation of the window of ``ssim``. [pixels]"""
CONSTANTS = (0.01**2, 0.03**2)
"""C1 and C2 of ``ssim``, for pixels in [0, 1]."""


def ssim(x: Float[Tensor, "b c h w"], y: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
    r"""Structural similarity of pairs of pictures, mean over channels and the places where the window fits.

    .. math:: \frac{(2 \mu_x \mu_y + C_1)(2 \sigma_{xy} + C_2)}
              {(\mu_x^2 + \mu_y^2 + C_1)(\sigma_x^2 + \sigma_y^2 + C_2)}

    Args:
        x: pictures in [0, 1].
        y: as many of the same shape.

    Raises:
        InputError: if shapes differ, or a picture is smaller than the window.

    Source: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural
    similarity", 2004; Gaussian window of 11 pixels, K = (0.01, 0.03).
    """
    if x.shape != y.shape or min(x.shape[2:]) < WINDOW:
        raise InputError(
            f"expected pairs of at least {WINDOW} x {WINDOW} pixels, got {tuple(x.shape)}, {tuple(y.shape)}"
        )
    place = torch.arange(WINDOW, dtype=x.dtype, device=x.device) - WINDOW // 2
    line = torch.exp(-place.square() / (2 * SIGMA**2))
    window = (line[:, None] * line)[None, None] / line.sum() ** 2

    def mean(values: Tensor) -> Tensor:
        return conv2d(values.flatten(0, 1)[:, None], window)

    mu_x, mu_y = mean(x), mean(y)
    var_x, var_y = mean(x * x) - mu_x**2, mean(y * y) - mu_y**2
    cov = mean(x * y) - mu_x * mu_y
    c1, c2 = CONSTANTS
    found = (2 * mu_x * mu_y + c1) * (2 * cov + c2) / ((mu_x**2 + mu_y**2 + c1) * (var_x + var_y + c2))
    return found.reshape(len(x), -1).mean(1)
