r"""Points in space: what does not change when they are moved, and what moves with them.

Everything is batched over leading axes, differentiable, and finite in its gradient where points or eigenvalues meet.
A shape is read from the gyration tensor of the points about their centre, with masses or without,

.. math:: T = \frac{1}{M} \sum_i m_i (x_i - \bar x)(x_i - \bar x)^T, \quad \lambda_1 \le \lambda_2 \le \lambda_3 .
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = [
    "asphericity",
    "centre",
    "centred_kl",
    "centred_log_density",
    "distances",
    "equivariance_error",
    "gyration_tensor",
    "invariance_error",
    "moment_ratios",
    "optimal_rotation",
    "radius_of_gyration",
    "rmsd",
    "rotation",
]


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


def distances(x: Float[Tensor, "*b n d"]) -> Float[Tensor, "*b n n"]:
    """Distances of all pairs; where two points meet the gradient is zero. [unit of x]"""
    square = (x[..., :, None, :] - x[..., None, :, :]).square().sum(-1)
    apart = square > 0
    return torch.where(apart, torch.where(apart, square, 1.0).sqrt(), 0.0)


def gyration_tensor(
    x: Float[Tensor, "*b n d"], masses: Float[Tensor, "*#b n"] | None = None
) -> Float[Tensor, "*b d d"]:
    r"""T = (1/M) sum_i m_i (x_i - c)(x_i - c)^T about the centre of mass c. [unit of x, squared]

    Args:
        x: coordinates.
        masses: of the points, the same unit for all; alike when None.
    """
    m = torch.ones_like(x[..., 0]) if masses is None else masses.to(x.dtype).expand(x.shape[:-1])
    share = (m / m.sum(-1, keepdim=True))[..., None]
    gap = x - (share * x).sum(-2, keepdim=True)
    return (share * gap).transpose(-1, -2) @ gap


def _trace(tensor: Float[Tensor, "*b d d"]) -> Float[Tensor, "*b"]:
    return tensor.diagonal(dim1=-2, dim2=-1).sum(-1)


def asphericity(x: Float[Tensor, "*b n 3"], masses: Float[Tensor, "*#b n"] | None = None) -> Float[Tensor, "*b"]:
    r"""Asphericity: 0 for a ball, 1 for a rod, 0 for a single point.

    .. math:: \frac{(\lambda_3 - \lambda_2)^2 + (\lambda_3 - \lambda_1)^2 + (\lambda_2 - \lambda_1)^2}
              {2 (\lambda_1 + \lambda_2 + \lambda_3)^2}
              = 1 - 3 \frac{\lambda_1 \lambda_2 + \lambda_2 \lambda_3 + \lambda_3 \lambda_1}
                {(\lambda_1 + \lambda_2 + \lambda_3)^2}
              = \frac32 \frac{\text{tr}\, T^2}{(\text{tr}\, T)^2} - \frac12

    The last form has no eigenvalues in it: it is smooth where they meet.

    Args:
        x: coordinates.
        masses: of the points; alike when None.
    """
    tensor = gyration_tensor(x, masses)
    square, trace = tensor.square().sum((-2, -1)), _trace(tensor)
    extended = trace > 0
    found = 1.5 * square / torch.where(extended, trace, 1.0).square() - 0.5
    return torch.where(extended, found, 0.0)


def radius_of_gyration(x: Float[Tensor, "*b n d"], masses: Float[Tensor, "*#b n"] | None = None) -> Float[Tensor, "*b"]:
    """Root mean square distance from the centre of mass, sqrt(tr T). [unit of x]

    Args:
        x: coordinates.
        masses: of the points; alike when None.
    """
    trace = _trace(gyration_tensor(x, masses))
    extended = trace > 0
    return torch.where(extended, torch.where(extended, trace, 1.0).sqrt(), 0.0)


def moment_ratios(x: Float[Tensor, "*b n 3"], masses: Float[Tensor, "*#b n"] | None = None) -> Float[Tensor, "*b 2"]:
    """Smallest and middle principal moment of inertia over the largest (NPR1, NPR2); zeros for a single point.

    A rod has (0, 1), a disc (1/2, 1/2), a ball (1, 1).

    Args:
        x: coordinates.
        masses: of the points; alike when None.
    """
    tensor = gyration_tensor(x, masses)
    extent = _trace(tensor)
    whole = extent[..., None, None] * torch.eye(3, dtype=x.dtype, device=x.device)
    # The gradient of eigenvalues alone, V diag(g) V^T, is finite where they meet.
    moments = torch.linalg.eigvalsh(whole - tensor)
    extended = (extent > 0)[..., None]
    return torch.where(extended, moments[..., :2] / torch.where(extended, moments[..., 2:], 1.0), 0.0)


def rotation(quaternion: Float[Tensor, "*b 4"], *, improper: bool = False) -> Float[Tensor, "*b 3 3"]:
    """The rotation of a quaternion of any length but 0; four standard normal numbers make it uniform.

    Args:
        quaternion: real part first.
        improper: followed by the inversion x -> -x, which makes it a rotation with a reflection.
    """
    w, x, y, z = (quaternion / quaternion.norm(dim=-1, keepdim=True)).unbind(-1)
    rows = [
        *(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        *(2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        *(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    ]
    found = torch.stack(rows, -1).unflatten(-1, (3, 3))
    return -found if improper else found


def optimal_rotation(
    x: Float[Tensor, "*b n d"],
    y: Float[Tensor, "*b n d"],
    weights: Float[Tensor, "*#b n"] | None = None,
    *,
    reflect: bool = False,
) -> Float[Tensor, "*b d d"]:
    r"""The rotation that brings x nearest to y, both about their centres: argmin_R sum_i w_i |R x_i - y_i|^2.

    No gradient flows through it: at the optimum the gradient of the distance with respect to R is zero anyway, and that
    of R itself is infinite where singular values meet.

    Args:
        x: coordinates.
        y: the goal.
        weights: of the points; alike when None.
        reflect: reflections are allowed too.

    Source: Kabsch, "A solution for the best rotation to relate two sets of vectors", 1976.
    """
    w = torch.ones_like(x[..., 0]) if weights is None else weights.to(x.dtype).expand(x.shape[:-1])
    share = (w / w.sum(-1, keepdim=True))[..., None]
    x, y = (at.detach() - (share * at.detach()).sum(-2, keepdim=True) for at in (x, y))
    u, _, vh = torch.linalg.svd((share * y).transpose(-1, -2) @ x)
    if reflect:
        return u @ vh
    last = torch.ones_like(u[..., 0])
    last[..., -1] = torch.linalg.det(u @ vh).sign()
    return (u * last[..., None, :]) @ vh


def rmsd(
    x: Float[Tensor, "*b n d"], y: Float[Tensor, "*b n d"], *, align: bool = True, reflect: bool = False
) -> Float[Tensor, "*b"]:
    """Root mean square distance of corresponding points, after the best rotation and shift. [unit of x]

    Args:
        x: coordinates.
        y: the others.
        align: superpose them first.
        reflect: the superposition may reflect.
    """
    if align:
        turn = optimal_rotation(x, y, reflect=reflect)
        x, y = centre(x) @ turn.transpose(-1, -2), centre(y)
    mean = (x - y).square().sum(-1).mean(-1)
    differ = mean > 0
    return torch.where(differ, torch.where(differ, mean, 1.0).sqrt(), 0.0)


def centred_log_density(
    x: Float[Tensor, "b n d"], mean: Float[Tensor, "b n d"], log_var: Float[Tensor, " #b"]
) -> Float[Tensor, " b"]:
    r"""Log-density of a normal in the subspace of zero centre, of (n - 1) d dimensions. [nats]

    .. math:: -\frac{(n - 1) d}{2} \log 2 \pi \sigma^2 - \frac{|x - \mu|^2}{2 \sigma^2}

    Args:
        x: coordinates of zero centre.
        mean: of the normal, of zero centre.
        log_var: log-variance, one for a sample.

    Source: Hoogeboom, Satorras, Vignac, Welling, "Equivariant diffusion for molecule generation in 3D", 2022, eq. 6.
    """
    free = (x.shape[1] - 1) * x.shape[2]
    return -0.5 * (free * (math.log(2 * math.pi) + log_var) + (x - mean).square().sum((1, 2)) * (-log_var).exp())


def centred_kl(
    mean: Float[Tensor, "b n d"],
    log_var: Float[Tensor, " #b"],
    other: Float[Tensor, "b n d"],
    other_log_var: Float[Tensor, " #b"],
) -> Float[Tensor, " b"]:
    """KL of one normal of the subspace of zero centre from another. [nats]

    Args:
        mean: of the first.
        log_var: of the first, one for a sample.
        other: mean of the second.
        other_log_var: log-variance of the second.
    """
    free, gap = (mean.shape[1] - 1) * mean.shape[2], other_log_var - log_var
    far = (mean - other).square().sum((1, 2)) * (-other_log_var).exp()
    return 0.5 * (free * (gap + (-gap).exp() - 1) + far)


def equivariance_error(
    f: Callable[[Tensor], Tensor],
    x: Float[Tensor, "b n d"],
    turn: Float[Tensor, "#b d d"],
    shift: Float[Tensor, "#b 1 d"] | None = None,
    *,
    places: bool = False,
) -> Float[Tensor, " b"]:
    """How far f is from T_g(f(x)) = f(T_g(x)): the largest difference of a number.

    Args:
        f: coordinates to vectors, ``(b, n, d)`` both.
        x: coordinates.
        turn: rotation or reflection of g.
        shift: translation of g; none when None.
        places: f gives places, which the translation moves too, and not directions.

    Lecture: symmetry.equivariant
    """
    by = torch.zeros_like(x[:, :1]) if shift is None else shift
    moved = f(x) @ turn.transpose(-1, -2) + (by if places else 0.0)
    return (moved - f(x @ turn.transpose(-1, -2) + by)).abs().flatten(1).amax(1)


def invariance_error(
    f: Callable[[Tensor], Tensor],
    x: Float[Tensor, "b n d"],
    turn: Float[Tensor, "#b d d"],
    shift: Float[Tensor, "#b 1 d"] | None = None,
) -> Float[Tensor, " b"]:
    """How far f is from f(h) = f(S_g(h)): the largest difference of a number.

    Args:
        f: coordinates to anything, ``(b, ...)``.
        x: coordinates.
        turn: rotation or reflection of g.
        shift: translation of g; none when None.

    Lecture: symmetry.invariant
    """
    by = torch.zeros_like(x[:, :1]) if shift is None else shift
    gap = f(x) - f(x @ turn.transpose(-1, -2) + by)
    return gap.abs().reshape(len(x), -1).amax(1)
