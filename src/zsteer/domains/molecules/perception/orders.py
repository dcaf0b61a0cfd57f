"""Bond orders and formal charges of a connected geometry with a stated total charge, as a small linear programme.

Each bond has an order 1, 2 or 3 and each atom one of the (charge, valence) pairs that its element is known for, so that
orders around an atom sum to its valence and charges to the total. Among all that fit, the one with the fewest charged
atoms is taken, and among equal ones the one whose orders follow the lengths of the bonds. Nothing is found rather than
something strange: carbon carries no charge here.

RDKit's DetermineBonds comes first (``fit``, beside this); this is for what it cannot do: several charges, and nitro
groups beside long chains.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Orders", "bond_orders"]

_STATES: Mapping[int, Sequence[tuple[int, int]]] = {
    1: ((0, 1),),
    5: ((0, 3), (-1, 4)),
    6: ((0, 4),),
    7: ((0, 3), (1, 4), (-1, 2)),
    8: ((0, 2), (-1, 1)),
    9: ((0, 1),),
    14: ((0, 4),),
    15: ((0, 3), (0, 5), (1, 4)),
    16: ((0, 2), (0, 4), (0, 6), (-1, 1), (1, 3)),
    17: ((0, 1),),
    35: ((0, 1),),
    53: ((0, 1),),
}
"""Charge and sum of bond orders that an element may have."""
_SHORTER = (1.0, 0.87, 0.78)
"""Length of a bond of order 1, 2, 3 over the sum of the covalent radii."""
_BY_LENGTH = 0.1
"""Weight of the lengths beside the count of charged atoms."""


@dataclass(frozen=True)
class Orders:
    """Orders and charges that fit.

    Args:
        order: of the bonds, shape ``(m,)``.
        charge: of the atoms, shape ``(n,)``.
        misfit: how far the lengths of the bonds are from those of their orders, summed.
    """

    order: NDArray[np.int64]
    charge: NDArray[np.int64]
    misfit: float


def bond_orders(
    z: Sequence[int], bonds: NDArray[np.integer], ratios: NDArray[np.floating], charge: int
) -> Orders | None:
    """Orders of the bonds and charges of the atoms; None where nothing fits.

    Args:
        z: atomic numbers of ``n`` atoms.
        bonds: pairs of atoms, shape ``(m, 2)``.
        ratios: length of each bond over the sum of the covalent radii, shape ``(m,)``.
        charge: total.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import coo_array

    if any(number not in _STATES for number in z):
        return None
    m, states = len(bonds), [(i, *state) for i, number in enumerate(z) for state in _STATES[number]]
    n, width = len(z), 3 * m + len(states)
    cells: list[tuple[int, int, float]] = []
    for b, (i, j) in enumerate(bonds.tolist()):
        for k in range(3):
            # One order for each bond (rows 0 to m); orders around each atom less its valence (m to m + n).
            cells += [(b, 3 * b + k, 1.0), (m + i, 3 * b + k, k + 1.0), (m + j, 3 * b + k, k + 1.0)]
    for s, (i, formal, valence) in enumerate(states, 3 * m):
        cells += [(m + i, s, -float(valence)), (m + n + i, s, 1.0), (m + 2 * n, s, float(formal))]
    rows, columns, values = (np.array(column) for column in zip(*cells, strict=True))
    table = coo_array((values, (rows, columns)), shape=(m + 2 * n + 1, width)).tocsr()
    right = np.concatenate([np.ones(m), np.zeros(n), np.ones(n), [charge]])
    fit = _BY_LENGTH * np.abs(ratios[:, None] - np.array(_SHORTER)).ravel()
    cost = np.concatenate([fit, [float(formal != 0) for _, formal, _ in states]])
    # The stub takes plain numbers as bounds alone.
    exactly: Any = right
    found = milp(
        cost, integrality=np.ones(width), bounds=Bounds(0, 1), constraints=LinearConstraint(table, exactly, exactly)
    )
    if found.x is None:
        return None
    chosen = np.asarray(found.x) > 0.5
    orders = chosen[: 3 * m].reshape(m, 3).argmax(1) + 1
    formal = np.zeros(n, np.int64)
    for taken, (i, value, _) in zip(chosen[3 * m :], states, strict=True):
        formal[i] += value if taken else 0
    return Orders(orders.astype(np.int64), formal, float(fit[chosen[: 3 * m]].sum()))
