"""Measures of sequences, with gradients: what properties of sequences are computed by.

Each takes probabilities of the 20 residues at every position, ``(b, n, 20)`` with zeros on padding, and gives one
number a sample: the expected value of the property, and the property itself where residues are certain.

Source of the hydropathy: Kyte, Doolittle, J. Mol. Biol. 157, 1982.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.core.alphabet import PROTEIN

__all__ = ["HYDROPATHY", "charge", "charge_of", "hydropathy", "hydropathy_of", "length_of"]

_TEXT = "A 1.8 R -4.5 N -3.5 D -3.5 C 2.5 Q -3.5 E -3.5 G -0.4 H -3.2 I 4.5 L 3.8 K -3.9 M 1.9 F 2.8 P -1.6 S -0.8 T -0.7 W -0.9 Y -1.3 V 4.2"  # noqa: E501
HYDROPATHY: Mapping[str, float] = MappingProxyType(
    {letter: float(value) for letter, value in zip(_TEXT.split()[::2], _TEXT.split()[1::2], strict=True)}
)
"""Of each residue; positive is hydrophobic."""
CHARGE: Mapping[str, float] = MappingProxyType({"K": 1.0, "R": 1.0, "D": -1.0, "E": -1.0})
"""Of each residue at neutral pH; histidine counts as neutral. [elementary charges]"""


def _weights(scale: Mapping[str, float], like: Tensor) -> Float[Tensor, " k"]:
    return torch.tensor([scale.get(letter, 0.0) for letter in PROTEIN.letters], dtype=like.dtype, device=like.device)


def charge(p: Float[Tensor, "b n k"]) -> Float[Tensor, " b"]:
    """Net charge of the side chains. [elementary charges]"""
    return (p @ _weights(CHARGE, p)).sum(1)


def hydropathy(p: Float[Tensor, "b n k"]) -> Float[Tensor, " b"]:
    """Mean hydropathy over the residues, -4.5 (arginine alone) to 4.5 (isoleucine alone)."""
    return (p @ _weights(HYDROPATHY, p)).sum(1) / p.sum((1, 2)).clamp(min=1)


def _certain(sequences: Sequence[str]) -> Float[Tensor, "b n k"]:
    """Sequences as probabilities that are 0 and 1."""
    width = max(map(len, sequences), default=1)
    p = torch.zeros(len(sequences), width, PROTEIN.size, dtype=torch.float64)
    for row, text in enumerate(sequences):
        p[row, torch.arange(len(text)), PROTEIN.encode(text)] = 1
    return p


def charge_of(sequences: Sequence[str]) -> Float[Tensor, " b"]:
    """``charge`` of sequences as texts. [elementary charges]"""
    return charge(_certain(sequences))


def hydropathy_of(sequences: Sequence[str]) -> Float[Tensor, " b"]:
    """``hydropathy`` of sequences as texts."""
    return hydropathy(_certain(sequences))


def length_of(sequences: Sequence[str]) -> Float[Tensor, " b"]:
    """Residues of each. [residues]"""
    return torch.tensor([len(text) for text in sequences], dtype=torch.float64)
