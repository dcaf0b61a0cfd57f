"""How alike two pictures are."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import conv2d

from zsteer.errors import InputError

__all__ = ["ssim"]

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
