"""What is kept of a molecule when the rest is made anew: a scaffold or the atoms that match a pattern."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from rdkit import Chem, rdBase
from rdkit.Chem.Scaffolds import MurckoScaffold
from torch import Tensor

from zsteer.core.batch import Batch
from zsteer.core.protocols import Denoiser
from zsteer.domains.molecules.chemistry import sanitised, to_rdkit
from zsteer.domains.molecules.container import Molecules
from zsteer.errors import CapabilityError, InputError
from zsteer.steer.keep import KeepAtoms
from zsteer.steer.sampling import Guided

__all__ = ["AtomsKept", "kept_atoms"]


@runtime_checkable
class SupportsFragments(Protocol):
    """A model of molecules that can take a fragment in."""

    def fragment(self, x: Batch, row: int, atoms: Int[Tensor, " k"]) -> dict[str, Float[Tensor, "k ..."]]: ...


@dataclass(frozen=True)
class AtomsKept:
    """Chosen atoms of each start stay where they are to each other; the rest is made around them.

    Args:
        model: that takes the fragments in.
        atoms: of each start, in rising order.
        text: as the command line writes it.
    """

    model: SupportsFragments
    atoms: tuple[NDArray[np.int64], ...]
    text: str

    def conditions(self, start: Batch, row: int) -> Mapping[str, object]:
        """As many atoms as the start has."""
        if start.mask is None:
            raise InputError("expected molecules with a mask of their atoms; encode them with their space")
        return {"atoms": int(start.mask[row].sum())}

    def lay(self, model: object, start: Batch, row: int) -> Guided:
        """What lays the fragment of a start into a prediction."""
        del model
        known = self.model.fragment(start, row, torch.from_numpy(self.atoms[row]))

        def guide(inner: Denoiser) -> Denoiser:
            return KeepAtoms(inner, known)

        return guide

    def holds(self, start: Batch, x: Batch) -> Bool[Tensor, " b"]:
        """Whether the first atoms are the kept ones of the start of the same row: elements, charges and bonds."""
        good = torch.ones(len(x), dtype=torch.bool)
        for row in range(len(x)):
            atoms = torch.from_numpy(self.atoms[row])
            k = len(atoms)
            same = bool((x["z"][row, :k] == start["z"][row][atoms]).all())
            bonds = start["bond"][row][atoms][:, atoms]
            good[row] = same and bool((x["bond"][row, :k, :k] == bonds).all())
        return good


def kept_atoms(molecules: Molecules, i: int, keep: Mapping[str, object]) -> NDArray[np.int64]:
    """Atoms of molecule i that are kept, in rising order.

    Args:
        molecules: heavy atoms with bonds.
        i: which.
        keep: ``scaffold``: ``murcko``; or ``pattern``: SMARTS, of which the first match counts.

    Raises:
        InputError: if both are given, the pattern cannot be read, or nothing or everything would be kept.
    """
    if len(keep) != 1:
        raise InputError(f"--keep takes one of scaffold and pattern, got {len(keep)}")
    word, value = next(iter(keep.items()))
    mol = to_rdkit(molecules, i, placed=False)
    reason = sanitised(mol)
    if reason:
        raise InputError(f"molecule {i + 1}: {reason}")
    if word == "scaffold":
        pattern = MurckoScaffold.GetScaffoldForMol(mol)
        what = "its Murcko scaffold"
    else:
        with rdBase.BlockLogs():
            pattern = Chem.MolFromSmarts(str(value))
        if pattern is None:  # pyright: ignore[reportUnnecessaryComparison] - the stub says it never is
            raise InputError(f"--keep pattern: {value!r} is no SMARTS")
        what = f"pattern {value}"
    found = np.array(sorted(mol.GetSubstructMatch(pattern)), np.int64)
    if not 0 < len(found) < mol.GetNumAtoms():
        part = "all" if len(found) else "none"
        raise InputError(
            f"molecule {i + 1}: {what} is {part} of its {mol.GetNumAtoms()} atoms; nothing is left to make"
        )
    return found


def atoms_kept(model: object, molecules: Molecules, keep: Mapping[str, object]) -> AtomsKept:
    """The part that stays of every molecule.

    Raises:
        CapabilityError: if the model cannot take a fragment in.
        InputError: if nothing or everything of a molecule would stay.
    """
    if not isinstance(model, SupportsFragments):
        raise CapabilityError("this model cannot keep atoms in place; a diffusion model of molecules can")
    atoms = tuple(kept_atoms(molecules, i, keep) for i in range(len(molecules)))
    return AtomsKept(model, atoms, " ".join(f"{name}={value}" for name, value in keep.items()))
