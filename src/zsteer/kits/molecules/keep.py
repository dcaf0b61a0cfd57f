"""What is kept of a molecule when the rest is made anew: a scaffold or the atoms that match a pattern."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from rdkit import Chem, rdBase
from rdkit.Chem.Scaffolds import MurckoScaffold
from torch import Tensor

from zsteer.core.batch import Batch
from zsteer.domains.molecules.chemistry import sanitised, to_rdkit
from zsteer.domains.molecules.container import Molecules
from zsteer.domains.molecules.dense import dense
from zsteer.errors import InputError, nearest
from zsteer.models.edm.edm import EDM
from zsteer.models.edm.states import states_of

__all__ = ["KEPT", "kept_atoms", "known_of"]

KEPT = ("scaffold", "pattern")
"""What ``--keep`` knows: ``scaffold=murcko``, and ``pattern=SMARTS``."""


def kept_atoms(molecules: Molecules, i: int, keep: Mapping[str, object]) -> NDArray[np.int64]:
    """Atoms of molecule i that are kept, in rising order.

    Args:
        molecules: heavy atoms with bonds.
        i: which.
        keep: ``scaffold``: ``murcko``; or ``pattern``: SMARTS, of which the first match counts.

    Raises:
        InputError: if the words have no meaning, or nothing or everything would be kept.
    """
    if len(keep) != 1:
        raise InputError(f"--keep takes one of {', '.join(KEPT)}, got {len(keep)}")
    word, value = next(iter(keep.items()))
    if word not in KEPT:
        raise InputError("--keep: " + nearest(word, KEPT, what="thing to keep"))
    mol = to_rdkit(molecules, i, placed=False)
    reason = sanitised(mol)
    if reason:
        raise InputError(f"molecule {i + 1}: {reason}")
    if word == "scaffold":
        if value != "murcko":
            raise InputError(f"--keep scaffold takes murcko, got {value!r}")
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


def known_of(model: EDM, molecules: Molecules, i: int, atoms: NDArray[np.int64]) -> dict[str, Float[Tensor, "k ..."]]:
    """The kept atoms of molecule i in the units of a model's states, as ``steer.keep.KeepAtoms`` takes them.

    Raises:
        InputError: if the model does not know an atom or a bond.
    """
    whole = molecules.take([i])
    arrays = {name: torch.from_numpy(value) for name, value in dense(whole, np.array([0]), int(whole.sizes[0])).items()}
    place, k = torch.from_numpy(atoms), len(atoms)
    fields: dict[str, Tensor] = {name: arrays[name][:, place] for name in ("xyz", "z", "charge", "hydrogens")}
    fields |= {name: arrays[name][:, place][:, :, place] for name in ("bond", "aromatic")}
    noise = model.noise_of(k)
    x = Batch(fields, torch.ones(1, k, dtype=torch.bool))
    try:
        state = states_of(model.settings, noise, x, k, like=next(model.parameters()))
    except InputError as error:
        raise InputError(f"molecule {i + 1}: {error}") from None
    return {name: value[0] for name, value in noise.split(state).items()}
