"""The published lookup of bond orders from distances, and which valences it allows: facts of the protocol ``edm-2022``.

A pair of atoms at distance d [picometre] is single bonded if d < b1 + 10, double if also d < b2 + 5, triple if also
d < b3 + 3, and else not bonded; a pair without a row has no bond. The lengths are typical ones from tables of
general chemistry; the margins were tuned by their authors to make QM9's own molecules stable.

Source: Hoogeboom, Satorras, Vignac, Welling, "Equivariant diffusion for molecule generation in 3D", ICML 2022.
"""

from collections.abc import Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from zsteer.domains.molecules.container import ELEMENTS, SYMBOLS

__all__ = ["ALLOWED", "MARGINS", "lengths", "thresholds", "valences"]

_LENGTHS = (
    # single bonds
    """H: H 74 B 119 C 109 N 101 O 96 F 92 Si 148 P 144 S 134 Cl 127 As 152 Br 141 I 161
    C: C 154 N 147 O 143 F 135 Si 185 P 184 S 182 Cl 177 Br 194 I 214
    N: N 145 O 140 F 136 P 177 S 168 Cl 175 Br 214 I 222
    O: O 148 F 142 Si 163 P 163 S 151 Cl 164 Br 172 I 194
    F: F 142 Si 160 P 156 S 158 Cl 166 Br 178 I 187
    Cl: B 175 Si 202 P 203 S 207 Cl 199 Br 214
    S: Si 200 P 210 S 204 Br 225 I 234
    Si: Si 233 Br 215 I 243
    Br: P 222 Br 228
    P: P 221
    I: I 266""",
    # double bonds
    """C: C 134 N 129 O 120 S 160
    N: N 125 O 121
    O: O 121 P 150
    P: S 186""",
    # triple bonds
    """C: C 120 N 116 O 113
    N: N 110""",
)
MARGINS = (10, 5, 3)
"""Added to the single, double and triple length. [picometre]"""
ALLOWED: Mapping[str, tuple[int, ...]] = {
    "H": (1,), "B": (3,), "C": (4,), "N": (3,), "O": (2,), "F": (1,), "Al": (3,), "Si": (4,), "P": (3, 5), "S": (4,),
    "Cl": (1,), "As": (3,), "Br": (1,), "I": (1,), "Hg": (1, 2), "Bi": (3, 5),
}  # fmt: skip
"""Sums of bond orders that make an atom of each element stable; formal charges do not count."""
_KINDS = len(SYMBOLS)
_MOST = 24
"""Sums of bond orders are counted up to here."""


def lengths(order: int) -> dict[tuple[str, str], int]:
    """Typical length of each listed pair of elements at a bond order of 1, 2 or 3. [picometre]"""
    found: dict[tuple[str, str], int] = {}
    for line in _LENGTHS[order - 1].splitlines():
        first, rest = line.split(":")
        words = rest.split()
        for second, length in zip(words[::2], words[1::2], strict=True):
            found[first.strip(), second] = found[second, first.strip()] = int(length)
    return found


@cache
def thresholds() -> NDArray[np.float32]:
    """Distance below which a pair has each bond order, 0 where it never has. [picometre]

    Returns:
        Shape ``(3, elements * elements)``; the pair (a, b) of atomic numbers has the column ``a * elements + b``.
    """
    table = np.zeros((3, _KINDS, _KINDS), np.float32)
    for k, margin in enumerate(MARGINS):
        for (first, second), length in lengths(k + 1).items():
            table[k, ELEMENTS[first], ELEMENTS[second]] = length + margin
    return table.reshape(3, -1)


@cache
def valences() -> NDArray[np.bool_]:
    """Whether an element is stable with a sum of bond orders, shape ``(elements, 25)``; an unknown one never is."""
    table = np.zeros((_KINDS, _MOST + 1), bool)
    for symbol, sums in ALLOWED.items():
        table[ELEMENTS[symbol], list(sums)] = True
    return table
