r"""The nearest orthogonal matrix, by products alone."""

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["orthogonalised"]

_A, _B, _C = 3.4445, -4.7750, 2.0315


def orthogonalised(matrix: Float[Tensor, "m n"], steps: int = 5) -> Float[Tensor, "m n"]:
    r"""Singular values brought near 1, singular vectors kept: about U V^T of M = U S V^T, by Newton-Schulz steps.

    .. math:: X_0 = M / \|M\|_F, \quad X \leftarrow a X + b X X^T X + c (X X^T)^2 X

    The coefficients are chosen for speed and not for the limit: after five steps, singular values of more than about
    1/200 of the norm lie between 0.7 and 1.2, which is near enough for a step of an optimiser. A matrix of zeros stays
    one.

    Args:
        matrix: to be made orthogonal along its shorter side.
        steps: of the iteration.

    Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024.
    """
    wide = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = wide / (wide.norm() + torch.finfo(wide.dtype).tiny ** 0.5)
    for _ in range(steps):
        square = x @ x.T
        x = torch.addmm(x, torch.addmm(square, square, square, beta=_B, alpha=_C), x, beta=_A)
    return x.T if matrix.shape[0] > matrix.shape[1] else x
