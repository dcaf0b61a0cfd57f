r"""Directions in a code: linear heads on z, the step that brings a head to a value, and what lies between two codes.

A head reads an attribute off a code, and the code is moved along it, in closed form:

.. math:: y = w \cdot z + b, \qquad s = \frac{y^t - b - w \cdot z}{w \cdot w}, \qquad z^t = z + s w .

Several attributes move together, others held, by the smallest step in the metric of the codes' covariance M
(``joint_step``). Everything is per row and works in float64.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from zsteer.errors import InputError
from zsteer.maths.ranks import area_under_curve

__all__ = [
    "area_out_of_bag",
    "joint_step",
    "lerp",
    "logistic",
    "mahalanobis",
    "mix",
    "move",
    "predict",
    "r_squared",
    "r_squared_out_of_bag",
    "radius",
    "ridge",
    "slerp",
    "strength",
    "swap",
]

_NEWTON = 50
"""Newton steps at most; a head of a few hundred numbers needs about ten."""


def predict(z: Float[Tensor, "*b d"], w: Float[Tensor, " d"], b: Float[Tensor, ""]) -> Float[Tensor, "*b"]:
    r"""What a head reads off a code.

    .. math:: y = w z + b

    Args:
        z: codes.
        w: direction of the head.
        b: its offset.

    Lecture: semantic.linear
    """
    return z @ w + b


def strength(
    z: Float[Tensor, "b d"], w: Float[Tensor, " d"], b: Float[Tensor, ""], wanted: Float[Tensor, " b"]
) -> Float[Tensor, " b"]:
    r"""How far to go along w for the head to read the wanted value.

    .. math:: s = (y^t - b - z^T w) / (w^T w)

    Args:
        z: codes.
        w: direction of the head.
        b: its offset.
        wanted: y^t of each row.

    Lecture: semantic.scale
    """
    return (wanted - b - z @ w) / (w @ w)


def move(z: Float[Tensor, "b d"], s: Float[Tensor, " b"], w: Float[Tensor, " d"]) -> Float[Tensor, "b d"]:
    r"""The edited code.

    .. math:: z^t = z + s w

    Args:
        z: codes.
        s: how far each goes.
        w: the direction.

    Lecture: semantic.edit
    """
    return z + s[:, None] * w


def joint_step(
    heads: Float[Tensor, "k d"], change: Float[Tensor, "b k"], metric: Float[Tensor, "d d"], eps: float = 0.0
) -> Float[Tensor, "b d"]:
    r"""The smallest step in the metric M that changes every head by what is wanted; 0 for a head that is held.

    .. math:: dz = M A^T (A M A^T + \epsilon I)^{-1} d

    minimises :math:`dz^T M^{-1} dz` subject to :math:`A \, dz = d` at eps = 0. With one head and M = I it is the
    lecture's step s w.

    Args:
        heads: A, one direction a row.
        change: d of each row of codes.
        metric: M; the covariance of the codes keeps the step where codes are, the identity ignores it.
        eps: share of the mean of the diagonal of A M A^T added to it, for heads that nearly coincide.

    Raises:
        InputError: if two heads are one direction and eps is 0.

    Lecture: diffae.attributes
    """
    spread = metric @ heads.T
    gram = heads @ spread
    gram = gram + eps * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    solved, failed = torch.linalg.solve_ex(gram, change.T)
    if int(failed):
        raise InputError("two of the heads are one direction, so that no step changes one alone; leave one of them out")
    return (spread @ solved).T


def ridge(
    z: Float[Tensor, "n d"], y: Float[Tensor, " n"], penalty: float, weight: Float[Tensor, " n"] | None = None
) -> tuple[Float[Tensor, " d"], Float[Tensor, ""]]:
    r"""The linear head of least squares, in closed form.

    .. math:: w = (\bar Z^T C \bar Z + \lambda \bar v n I)^{-1} \bar Z^T C \bar y, \quad b = m_y - w \cdot m_z

    with weighted means m, bars for rows less their mean, C the weights and :math:`\bar v` the mean variance of the
    codes, so that the penalty means the same in every unit of z.

    Args:
        z: codes.
        y: the attribute of each.
        penalty: lambda.
        weight: of each row; 1 when None. How often a row was drawn makes a bootstrap.
    """
    weight = torch.ones_like(y) if weight is None else weight
    total = weight.sum()
    mean, level = (weight @ z) / total, (weight @ y) / total
    centred = z - mean
    weighted = weight[:, None] * centred
    gram = weighted.T @ centred
    floor = penalty * gram.diagonal().mean() + torch.finfo(z.dtype).tiny
    eye = torch.eye(z.shape[1], dtype=z.dtype, device=z.device)
    w = torch.linalg.solve_ex(gram + floor * eye, weighted.T @ (y - level))[0]
    return w, level - mean @ w


def logistic(
    z: Float[Tensor, "n d"], positive: Bool[Tensor, " n"], penalty: float, weight: Float[Tensor, " n"] | None = None
) -> tuple[Float[Tensor, " d"], Float[Tensor, ""]]:
    r"""The logistic head of positives against the others, by Newton's method.

    .. math:: \max_{w, b} \sum_i c_i \log \sigma(\pm (w \cdot z_i + b)) - \tfrac12 \lambda \bar v n \|w\|^2, \quad
              \theta \leftarrow \theta + (X^T S X + \Lambda)^{-1} (X^T C (y - p) - \Lambda \theta)

    Its value w . z + b is the log-odds of being a positive. [nats]

    Args:
        z: codes.
        positive: which rows are.
        penalty: lambda, in units of the codes' mean variance; it keeps w finite where the two sets part.
        weight: c of each row; 1 when None.

    Raises:
        InputError: if all rows with weight are positives, or none is.
    """
    weight = torch.ones(len(z), dtype=z.dtype, device=z.device) if weight is None else weight
    y = positive.to(z.dtype)
    share = float((weight @ y) / weight.sum())
    if not 0 < share < 1:
        raise InputError(f"expected positives and others, got a share of {share:g} positives; give examples of both")
    x = torch.cat([z, torch.ones_like(z[:, :1])], 1)
    centred = z - (weight @ z) / weight.sum()
    floor = penalty * (weight @ centred.square()).mean() + torch.finfo(z.dtype).eps
    ridge_of = torch.cat([floor.expand(z.shape[1]), torch.finfo(z.dtype).eps * floor[None]])
    theta = torch.zeros_like(x[0])
    for _ in range(_NEWTON):
        p = torch.sigmoid(x @ theta)
        gradient = x.T @ (weight * (y - p)) - ridge_of * theta
        curvature = x.T @ ((weight * p * (1 - p))[:, None] * x) + ridge_of.diag()
        step = torch.linalg.solve_ex(curvature, gradient)[0]
        # Newton's step overshoots where the sigmoid is flat; log-odds that move by more than 5 at once are cut.
        step = step * (5 / (x @ step).abs().max().clamp(min=5))
        theta = theta + step
        if float((x @ step).abs().max()) < 1e-8:
            break
    return theta[:-1], theta[-1]


def r_squared(y: Float[Tensor, " n"], prediction: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    r"""Share of the variance that a prediction explains; NaN where y is constant.

    .. math:: R^2 = 1 - \sum_i (y_i - \hat y_i)^2 / \sum_i (y_i - \bar y)^2
    """
    return 1 - (y - prediction).square().sum() / (y - y.mean()).square().sum()


def r_squared_out_of_bag(
    z: Float[Tensor, "n d"], y: Float[Tensor, " n"], counts: Float[Tensor, "k n"], penalty: float
) -> Float[Tensor, " k"]:
    """R^2 of a ridge head on the rows that each bootstrap draw left out.

    Args:
        z: codes.
        y: the attribute of each.
        counts: how often each row came in each draw.
        penalty: of ``ridge``.
    """
    found: list[Tensor] = []
    for drawn in counts:
        w, b = ridge(z, y, penalty, drawn)
        out = drawn == 0
        found.append(r_squared(y[out], predict(z[out], w, b)))
    return torch.stack(found)


def area_out_of_bag(
    z: Float[Tensor, "n d"], positive: Bool[Tensor, " n"], counts: Float[Tensor, "k n"], penalty: float
) -> Float[Tensor, " k"]:
    """Area under the curve of a logistic head on the rows that each draw left out; NaN without a row of both kinds.

    Args:
        z: codes.
        positive: which rows are positives.
        counts: how often each row came in each draw.
        penalty: of ``logistic``.
    """
    found = torch.full((len(counts),), torch.nan, dtype=z.dtype)
    for k, drawn in enumerate(counts):
        out, bag = drawn == 0, positive[drawn > 0]
        if len(set(positive[out].tolist())) == 2 and len(set(bag.tolist())) == 2:
            w, b = logistic(z, positive, penalty, drawn)
            score = predict(z[out], w, b)
            found[k] = area_under_curve(score[positive[out]], score[~positive[out]])
    return found


def mahalanobis(
    z: Float[Tensor, "b d"], mean: Float[Tensor, " d"], covariance: Float[Tensor, "d d"]
) -> Float[Tensor, " b"]:
    r"""Length of a code in standard deviations of the codes.

    .. math:: \sqrt{(z - \mu)^T \Sigma^{-1} (z - \mu)}

    Args:
        z: codes.
        mean: of the codes.
        covariance: of the codes.

    Raises:
        InputError: if the covariance is not positive definite.
    """
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if int(failed):
        raise InputError("expected a positive definite covariance of codes; add a share of the identity to it")
    return torch.linalg.solve_triangular(factor, (z - mean).T, upper=False).square().sum(0).sqrt()


def radius(lengths: Float[Tensor, " n"], share: float) -> float:
    """Length below which the given share of codes lies: a code beyond it is off the manifold of the others."""
    return float(lengths.sort().values[min(len(lengths) - 1, int(share * len(lengths)))])


def lerp(first: Float[Tensor, "b d"], second: Float[Tensor, "b d"], share: float) -> Float[Tensor, "b d"]:
    r"""The straight line between two codes.

    .. math:: z^{(\lambda)} = \lambda z^{(0)} + (1 - \lambda) z^{(1)}

    Args:
        first: z^(0).
        second: z^(1).
        share: lambda, the share of the first.

    Lecture: semantic.interpolate.code
    """
    return share * first + (1 - share) * second


def slerp(first: Float[Tensor, "b d"], second: Float[Tensor, "b d"], share: float) -> Float[Tensor, "b d"]:
    r"""The great circle between the directions of two codes; their lengths are interpolated.

    .. math:: \hat z = \frac{\sin(\lambda \theta)}{\sin \theta} \hat z^{(0)}
              + \frac{\sin((1 - \lambda) \theta)}{\sin \theta} \hat z^{(1)}

    The straight line passes nearer to zero than codes of a normal prior lie; the circle does not. Codes of one
    direction, or of opposite ones, and zero have no circle of their own and take the line.

    Args:
        first: z^(0).
        second: z^(1).
        share: lambda, the share of the first.

    Source: Shoemake, "Animating rotation with quaternion curves", SIGGRAPH 1985.
    """
    long, other = first.norm(dim=1, keepdim=True), second.norm(dim=1, keepdim=True)
    cosine = (first * second).sum(1, keepdim=True) / (long * other).clamp(min=torch.finfo(first.dtype).tiny)
    angle = cosine.clamp(-1, 1).acos()
    sine = angle.sin()
    flat = (sine < 1e-4) | (long == 0) | (other == 0)
    sine = torch.where(flat, 1.0, sine)
    length = share * long + (1 - share) * other
    long, other = torch.where(flat, 1.0, long), torch.where(flat, 1.0, other)
    circle = (share * angle).sin() / sine * first / long + ((1 - share) * angle).sin() / sine * second / other
    return torch.where(flat, lerp(first, second, share), length * circle)


def mix(z: Float[Tensor, "b d"], eps: Float[Tensor, "b d"], share: float) -> Float[Tensor, "b d"]:
    r"""A code mixed with a draw from N(0, I): codes that are normal stay so.

    .. math:: z' = \sqrt{1 - s^2} \, z + s \epsilon

    Args:
        z: codes.
        eps: standard normal numbers.
        share: s; 0 changes nothing, 1 forgets the code.
    """
    return (1 - share**2) ** 0.5 * z + share * eps


def swap(
    first: Mapping[str, Shaped[Tensor, "b ..."]], second: Mapping[str, Shaped[Tensor, "b ..."]], parts: Sequence[str]
) -> dict[str, Shaped[Tensor, "b ..."]]:
    """The first code with some parts of the second.

    Args:
        first: code by part.
        second: code by part, of as many rows.
        parts: which parts the second gives.

    Raises:
        InputError: if a part is missing in either.
    """
    for part in parts:
        if part not in first or part not in second:
            raise InputError(f"expected a part of the code, one of {', '.join(sorted(first))}, got {part!r}")
    return {name: second[name] if name in parts else value for name, value in first.items()}
