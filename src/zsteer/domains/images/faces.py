r"""Faces drawn from twelve numbers in [0, 1]: images whose attributes, and whose every edit, are known exactly.

A face is a stack of shapes. Each shape is a signed distance d to its edge, and covers the share

.. math:: a = \min(\max(\tfrac12 - d / p, 0), 1), \qquad c \leftarrow (1 - a) c + a c_{\text{shape}}

of a pixel of width p, so that a face changes smoothly with each number. Factors are independent, or some of them are
tied by a normal copula of correlation rho: :math:`u_k = \Phi(\sqrt\rho g + \sqrt{1 - \rho} g_k)`.
The faces are no photographs, and say nothing about people; the tones of skin and hair are factors like the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.core.rng import Streams
from zsteer.domains.images.properties import FACES
from zsteer.errors import InputError, nearest

__all__ = ["EDGE", "FACTORS", "Tie", "draw_faces", "draw_factors", "with_factors"]

EDGE = 32
"""Height and width. [pixels]"""
FACTORS: tuple[str, ...] = tuple(FACES)
"""What a face is drawn from, in the order of the columns."""
AT_ONCE = 128
"""Faces that are drawn together: as many as stay in the cache."""
ZOOM = 0.86
"""Half of the width of the picture, where a face is drawn 1.6 high."""
SOFT = 1.5 * 2 * ZOOM / EDGE
"""Width of a pixel's edge p: one and a half pixels."""
BACKGROUND, DARK, GREY = (0.80, 0.88, 0.94), (0.10, 0.09, 0.12), (0.78, 0.78, 0.80)
LIP, EYE = (0.60, 0.16, 0.18), (0.97, 0.97, 0.97)
SKIN = ((0.97, 0.84, 0.74), (0.66, 0.47, 0.36))
HAIR = ((0.24, 0.16, 0.12), (0.86, 0.68, 0.36))


@dataclass(frozen=True)
class Tie:
    """Factors that go together.

    Args:
        names: of the factors.
        correlation: rho of the normal copula, in [0, 1).

    Raises:
        InputError: if there is no such factor, or the correlation is out of range.
    """

    names: tuple[str, ...]
    correlation: float

    def __post_init__(self) -> None:
        for name in self.names:
            if name not in FACTORS:
                raise InputError(nearest(name, FACTORS, what="factor"))
        if not 0 <= self.correlation < 1:
            raise InputError(f"expected a correlation in [0, 1), got {self.correlation:g}")


def draw_factors(rng: Streams, ties: Sequence[Tie] = ()) -> Float[Tensor, "n 12"]:
    """Factors of faces, uniform in [0, 1] each; face i depends on stream i alone.

    Args:
        rng: one stream for each face.
        ties: groups of factors that go together; a factor in several takes the last.
    """
    g = rng.normal("factors", (len(FACTORS),))
    for k, tie in enumerate(ties):
        own = [FACTORS.index(name) for name in tie.names]
        shared = rng.normal(f"tie {k}")[:, None]
        g[:, own] = tie.correlation**0.5 * shared + (1 - tie.correlation) ** 0.5 * g[:, own]
    return torch.special.ndtr(g)


def with_factors(factors: Float[Tensor, "n 12"], **values: float | Float[Tensor, " n"]) -> Float[Tensor, "n 12"]:
    """The same faces with some factors at other values.

    Args:
        factors: of the faces.
        **values: factor -> value, one for all or one for each.

    Raises:
        InputError: if there is no such factor.
    """
    found = factors.clone()
    for name, value in values.items():
        if name not in FACTORS:
            raise InputError(nearest(name, FACTORS, what="factor"))
        found[:, FACTORS.index(name)] = torch.as_tensor(value, dtype=factors.dtype)
    return found


def draw_faces(factors: Float[Tensor, "n 12"]) -> Float[Tensor, "n 3 h w"]:
    """The pictures of factors, in [0, 1].

    Args:
        factors: a row for each face, in the order of ``FACTORS``.

    Raises:
        InputError: if a factor is not in [0, 1].
    """
    if factors.numel() and not bool(((factors >= 0) & (factors <= 1)).all()):
        raise InputError("expected factors in [0, 1]; cut them with clamp(0, 1)")
    pieces = [_Canvas(piece).face() for piece in factors.split(AT_ONCE)]
    return torch.cat(pieces) if pieces else factors.new_zeros(0, 3, EDGE, EDGE)


class _Canvas:
    """Some faces in the making.

    Args:
        factors: a row for each.
    """

    def __init__(self, factors: Float[Tensor, "n 12"]) -> None:
        place = (torch.arange(EDGE, dtype=factors.dtype, device=factors.device) + 0.5) * (2 / EDGE) - 1
        place = ZOOM * place
        self.x, self.y = place[None, None, :], place[None, :, None]
        self.of = {name: factors[:, k, None, None] for k, name in enumerate(FACTORS)}
        self.colour = factors.new_tensor(BACKGROUND)[None, :, None, None].expand(len(factors), 3, EDGE, EDGE)

    def mixed(self, ends: Sequence[Sequence[float]], share: Tensor) -> Tensor:
        """A colour between two, by a share of each face, ``(n, 3, 1, 1)``."""
        first, second = (share.new_tensor(end)[None, :, None, None] for end in ends)
        return first + share[:, None] * (second - first)

    def lay(self, distance: Tensor, colour: Tensor, opacity: float | Tensor = 1.0) -> None:
        """Cover what lies inside a shape."""
        share = ((0.5 - distance / SOFT).clamp(0, 1) * opacity)[:, None]
        self.colour = self.colour + share * (colour - self.colour)

    def plain(self, colour: Sequence[float]) -> Tensor:
        """A colour that is the same in all faces."""
        return self.x.new_tensor(colour)[None, :, None, None]

    def face(self) -> Float[Tensor, "n 3 h w"]:
        """All shapes, from the back to the front."""
        of, x, y = self.of, self.x, self.y
        skin = self.mixed(SKIN, of["skin"])
        hair = self.mixed(HAIR, of["hair_tone"])
        hair = hair + 0.45 * of["age"][:, None] * (self.plain(GREY) - hair)
        wide = 0.46 + 0.18 * of["head_width"]
        ripple = (11 * y + 3 * x.abs()).sin()
        locks = hair * (1 + 0.30 * (of["wave"] * ripple)[:, None])
        edge = wide + 0.13 + 0.10 * of["wave"] * ripple
        end = -0.10 + 1.00 * of["hair_length"]
        self.lay(_ellipse(x, y + 0.10, wide + 0.14, 0.80), locks)
        self.lay(torch.maximum(torch.maximum(x.abs() - edge, y - end), -0.2 - y), locks)
        self.lay(torch.maximum(x.abs() - 0.20, 0.4 - y), 0.88 * skin)
        self.lay(_ellipse(x, y - 0.06, wide, 0.74), skin)
        fringe = -0.44 + 0.06 * of["wave"] * (13 * x).sin()
        self.lay(torch.maximum(_ellipse(x, y + 0.10, wide + 0.09, 0.78), y - fringe), locks)
        self._features(skin, hair)
        return self.colour.clamp(0, 1)

    def _features(self, skin: Tensor, hair: Tensor) -> None:
        of, y = self.of, self.y
        turn = 2 * of["yaw"] - 1
        u = self.x - 0.17 * turn  # across the face, from its turned middle
        dark = self.plain(DARK)
        line = 0.55 * skin
        side = 0.23 * (1 - 0.12 * turn * u.sign())  # the eye that turns away comes nearer to the middle
        v = u.abs() - side
        for offset in (0.17, 0.22):
            self.lay((y - offset - 0.3 * v.square()).abs().maximum(v.abs() - 0.11) - 0.012, line, 0.7 * of["age"])
        crease = (u.abs() - 0.20 - 0.5 * (y - 0.24)).abs()
        self.lay(crease.maximum((y - 0.36).abs() - 0.14) - 0.014, line, of["age"])
        tall, broad = 0.040 + 0.110 * of["eye_size"], 0.080 + 0.085 * of["eye_size"]
        self.lay(_ellipse(v, y + 0.04, broad, tall), self.plain(EYE))
        self.lay(_ellipse(v, y + 0.04, 0.052, 0.052), dark)
        brow = y + 0.16 + 0.19 * of["brow"] - 0.5 * v.square()
        self.lay(brow.abs().maximum(v.abs() - 0.15) - 0.028, 0.35 * hair)
        self.lay(torch.maximum((u - 0.05 * turn).abs() - 0.026, (y - 0.19).abs() - 0.08), 0.75 * skin)
        w = u / 0.33
        arc = (1 - w.square()).clamp(min=0)
        middle = 0.47 + 0.24 * (2 * of["smile"] - 1) * (arc - 0.5)
        lips = (y - middle).abs() - (0.040 + 0.120 * of["mouth_open"]) * arc.sqrt()
        self.lay(lips.maximum((w.abs() - 1) * 0.33), self.plain(LIP))
        ring = _ellipse(v, y + 0.03, 0.195, 0.190).abs() - 0.028
        bridge = torch.maximum((y + 0.06).abs() - 0.020, u.abs() - 0.05)
        self.lay(ring.minimum(bridge), dark, 0.9 * of["glasses"])


def _ellipse(x: Tensor, y: Tensor, a: float | Tensor, b: float | Tensor) -> Tensor:
    """Distance to an ellipse, to first order: f / |grad f| of f = sqrt((x/a)^2 + (y/b)^2) - 1."""
    p, q = x / a, y / b
    radius = (p.square() + q.square()).clamp(min=1e-6).sqrt()
    slope = ((p / a).square() + (q / b).square()).clamp(min=1e-6).sqrt() / radius
    return (radius - 1) / slope
