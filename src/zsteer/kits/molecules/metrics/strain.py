r"""Strain by GFN2-xTB: how much energy a molecule gives up, and how far it moves, when it is let go.

.. math:: E_{strain} = E(x) - E(x^*) ,

with x^* the nearest minimum of the energy from the generated geometry x (L-BFGS on the gradient of tblite). Counted
hydrogens are placed by RDKit and relaxed alone before, with the heavy atoms where the model put them, so that what is
measured belongs to the model. Beside it stands what is left when all hydrogens are relaxed first: molecules whose
hydrogens were placed by rules carry much of their strain in these.

Source: Bannwarth, Ehlert, Grimme, "GFN2-xTB", J. Chem. Theory Comput. 2019.
"""

from dataclasses import dataclass, replace
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from zsteer.domains.molecules.chemistry import gather, record_of, with_hydrogens
from zsteer.domains.molecules.container import Molecules
from zsteer.domains.molecules.metrics.graph import Verdicts
from zsteer.errors import MissingExtraError
from zsteer.kits.molecules.metrics.geometry import angles, bond_lengths, torsions

__all__ = ["Strain", "dipoles", "installed", "strain"]

BOHR = 0.529177210903
"""[angstrom]"""
HARTREE = 627.5094740631
"""[kcal/mol]"""
DEBYE = 2.541746473
"""One elementary charge times one bohr. [debye]"""
STEPS = 300
FORCE = 1e-3
"""Largest component of the gradient at which a molecule counts as relaxed. [hartree/bohr]"""


@dataclass(frozen=True)
class Strain:
    """What relaxation changes, one value for each molecule; NaN where it was not computed or failed.

    Args:
        energy: given up. [kcal/mol]
        heavy: given up after all hydrogens were relaxed alone: what the heavy atoms carry. [kcal/mol]
        bond: mean absolute change of bond lengths. [angstrom]
        angle: of angles. [degree]
        torsion: of absolute torsions. [degree]
        rmsd: of heavy atoms after alignment. [angstrom]
        failed: molecules whose energy or minimum was not found.
        configuration: program and version.
    """

    energy: NDArray[np.float64]
    heavy: NDArray[np.float64]
    bond: NDArray[np.float64]
    angle: NDArray[np.float64]
    torsion: NDArray[np.float64]
    rmsd: NDArray[np.float64]
    failed: NDArray[np.bool_]
    configuration: str


def installed() -> bool:
    """Whether tblite is there."""
    return find_spec("tblite") is not None


def _package(purpose: str) -> Any:
    try:
        return import_module("tblite.interface")
    except ImportError:
        raise MissingExtraError("tblite", "qm", purpose) from None


def dipoles(found: Verdicts) -> NDArray[np.float64]:
    """Dipole moment of each valid molecule by GFN2-xTB at its own geometry; NaN for the others and where it fails.

    Counted hydrogens are placed by RDKit and relaxed alone.

    Returns:
        Magnitudes. [debye]

    Raises:
        MissingExtraError: if tblite is not installed.
    """
    tblite = _package("the dipole by GFN2-xTB")
    values = np.full(len(found.mols), np.nan)
    good = found.valid
    for i, mol in enumerate(found.mols):
        if mol is None or not good[i]:
            continue
        whole = gather([record_of(with_hydrogens(mol))])
        try:
            calculator, start = _started(tblite, whole, np.arange(len(whole.z)) >= mol.GetNumAtoms())
            calculator.update(start)
            dipole = calculator.singlepoint().get("dipole")
        except (RuntimeError, ValueError, ArithmeticError):  # no self-consistent field, or no minimum
            continue
        values[i] = float(np.linalg.norm(dipole)) * DEBYE
    return values


def strain(found: Verdicts) -> Strain:
    """Relax every valid molecule.

    Raises:
        MissingExtraError: if tblite is not installed.
    """
    tblite = _package("strain by GFN2-xTB")
    n = len(found.mols)
    values = np.full((6, n), np.nan)
    failed = np.zeros(n, bool)
    good = found.valid
    for i, mol in enumerate(found.mols):
        if mol is None or not good[i]:
            continue
        whole = gather([record_of(with_hydrogens(mol))])
        placed = np.arange(len(whole.z)) >= mol.GetNumAtoms()
        try:
            values[:, i] = _one(tblite, whole, placed)
        except (RuntimeError, ValueError, ArithmeticError):  # no self-consistent field, or no minimum
            failed[i] = True
    return Strain(*values, failed=failed, configuration=f"tblite {version('tblite')}, GFN2-xTB")


def _one(tblite: Any, molecule: Molecules, placed: NDArray[np.bool_]) -> list[float]:
    """Energy given up, that of the heavy atoms, and the four changes.

    Args:
        tblite: the package.
        molecule: one.
        placed: atoms that RDKit placed.
    """
    calculator, start = _started(tblite, molecule, placed)
    before = _energy(calculator, start)[0]
    light = molecule.z == 1
    middle, between = _relaxed(calculator, start, light) if (light & ~placed).any() else (start, before)
    end, after = _relaxed(calculator, middle, np.ones(len(start), bool))
    pair = [_at(molecule, x * BOHR) for x in (start, end)]
    changes = [
        float(np.abs(measure(pair[0]).values - measure(pair[1]).values).mean()) if len(measure(pair[0]).values) else 0.0
        for measure in (bond_lengths, angles, torsions)
    ]
    heavy = molecule.z > 1
    given = [(before - after) * HARTREE, (between - after) * HARTREE]
    return [*given, *changes, _rmsd(start[heavy] * BOHR, end[heavy] * BOHR)]


def _started(tblite: Any, molecule: Molecules, placed: NDArray[np.bool_]) -> tuple[Any, NDArray[np.float64]]:
    """A calculator, and the geometry after relaxing the placed atoms alone. [bohr]"""
    start = molecule.xyz.astype(np.float64) / BOHR
    charge = float(molecule.charge.astype(np.int64).sum())
    calculator = tblite.Calculator("GFN2-xTB", molecule.z.astype(np.int64), start, charge=charge)
    calculator.set("verbosity", 0)
    return calculator, _relaxed(calculator, start, placed)[0] if placed.any() else start


def _at(molecule: Molecules, xyz: NDArray[np.float64]) -> Molecules:
    return replace(molecule, xyz=xyz.astype(np.float32))


def _energy(calculator: Any, x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """Energy [hartree] and its gradient [hartree/bohr]."""
    calculator.update(x)
    results = calculator.singlepoint()
    return float(results.get("energy")), np.asarray(results.get("gradient"), np.float64)


def _relaxed(calculator: Any, start: NDArray[np.float64], free: NDArray[np.bool_]) -> tuple[NDArray[np.float64], float]:
    """The nearest minimum with only some atoms free, and its energy.

    Raises:
        RuntimeError: if the forces do not vanish within the allowed steps.
    """
    x = start.copy()

    def fun(part: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        x[free] = part.reshape(-1, 3)
        energy, gradient = _energy(calculator, x)
        return energy, gradient[free].ravel()

    done = minimize(fun, start[free].ravel(), jac=True, method="L-BFGS-B", options={"maxiter": STEPS, "gtol": FORCE})
    if np.abs(done.jac).max() > 5 * FORCE:
        raise RuntimeError(f"no minimum within {STEPS} steps")
    x[free] = done.x.reshape(-1, 3)
    return x, float(done.fun)


def _rmsd(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Root mean square deviation after the best proper rotation (Kabsch). [unit of the points]"""
    a, b = a - a.mean(0), b - b.mean(0)
    u, _, v = np.linalg.svd(a.T @ b)
    flip = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ v)) or 1.0])
    return float(np.sqrt(np.square(a @ u @ flip @ v - b).sum(1).mean()))
