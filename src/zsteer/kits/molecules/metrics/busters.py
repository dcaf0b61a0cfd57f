"""The checks of PoseBusters for molecules without a pocket, with the version and configuration that were run.

Its configurations ``mol`` and ``mol_fast`` (without the energy ratio, which costs most of the time) are taken as they
come with the package. Counted hydrogens are placed by RDKit for molecules that sanitise; others are handed over as they
are and fail.

Source: Buttenschoen, Morris, Deane, "PoseBusters", Chemical Science 2024.
"""

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import RDLogger, rdBase

from zsteer.domains.molecules.chemistry import Mol, to_rdkit, with_hydrogens
from zsteer.domains.molecules.container import Molecules
from zsteer.domains.molecules.metrics.chemist import conformer_of, mols
from zsteer.errors import MissingExtraError

__all__ = ["Busted", "busted"]


@dataclass(frozen=True)
class Busted:
    """Checks passed.

    Args:
        checks: their names.
        passed: shape ``(n, checks)``; a check that could not be made is not passed.
        configuration: package, version, configuration and hash of it.
    """

    checks: tuple[str, ...]
    passed: NDArray[np.bool_]
    configuration: str

    @property
    def everything(self) -> NDArray[np.bool_]:
        """Molecules that pass every check."""
        return np.array(self.passed.all(1), bool)


def busted(molecules: Molecules, *, fast: bool = False) -> Busted:
    """Run the checks.

    Args:
        molecules: with bonds.
        fast: leave the energy ratio out: about .04 seconds a molecule instead of .2 ... .7.

    Raises:
        MissingExtraError: if PoseBusters is not installed.
        InputError: if there are no bonds.
    """
    try:
        package: Any = import_module("posebusters")
    except ImportError:
        raise MissingExtraError("posebusters", "eval", "the protocol posebusters") from None
    name = "mol_fast" if fast else "mol"
    judge = package.PoseBusters(config=name)
    digest = hashlib.sha256(repr(judge.config).encode()).hexdigest()[:12]
    with _quiet():
        table = judge.bust(_handed(molecules))
    found = table.to_numpy()
    passed = np.array([[cell is True or cell == 1 for cell in row] for row in found], bool)
    finite = np.array([np.isfinite(one).all() for one in np.split(molecules.xyz, molecules.offsets[1:-1])], bool)
    checks = tuple(str(column).replace("_", " ") for column in table.columns)
    passed = passed.reshape(len(molecules), len(checks)) & finite[:, None]
    return Busted(checks, passed, f"posebusters {version('posebusters')}, {name}, sha256 {digest}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep RDKit and the package silent, although it turns RDKit's log on; reasons stand in the checks."""
    logger, own = logging.getLogger("rdkit"), logging.getLogger("posebusters")
    before, level = logger.disabled, own.level
    logger.disabled = True
    own.setLevel(logging.CRITICAL + 1)  # its modules say once more what their checks say
    rdBase.LogToPythonLogger()
    try:
        yield
    finally:
        rdBase.LogToCppStreams()
        RDLogger.DisableLog("rdApp.*")  # pyright: ignore[reportAttributeAccessIssue]
        logger.disabled = before
        own.setLevel(level)


def _handed(molecules: Molecules) -> list[Mol]:
    """Each molecule with its coordinates; what is not finite stands at the origin, and fails later."""
    made: list[Mol] = []
    for i, mol in enumerate(mols(molecules)):
        xyz = np.nan_to_num(molecules.xyz[molecules.offsets[i] : molecules.offsets[i + 1]], posinf=0.0, neginf=0.0)
        if isinstance(mol, str):
            made.append(conformer_of(to_rdkit(molecules, i), xyz))
        else:
            made.append(with_hydrogens(conformer_of(mol, xyz)))
    return made
