"""Sets of molecules to train on, by name or file, cut into training and held-out parts."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from zsteer.domains.molecules.container import Molecules
from zsteer.domains.molecules.parts import Parts, parts_of
from zsteer.domains.molecules.prepared import about, is_prepared, open_prepared
from zsteer.errors import InputError, nearest

__all__ = ["MoleculeData", "load_molecules"]


@dataclass(frozen=True)
class MoleculeData:
    """A set in its parts.

    Args:
        train: to learn from.
        held: to measure on.
        origin: name, hash, counts and licence, for the card.
    """

    train: Molecules
    held: Molecules
    origin: dict[str, Any] = field(default_factory=dict)

    def heavy(self) -> "MoleculeData":
        """Without hydrogen atoms."""
        return replace(self, train=self.train.heavy(), held=self.held.heavy())


def _split(molecules: Molecules) -> Parts:
    """The set's own split, or one by molecule."""
    if molecules.split is None:
        return parts_of(molecules)
    words = [word.decode() if isinstance(word, bytes) else str(word) for word in molecules.split.tolist()]
    return Parts(np.array(words), "the set's own column split")


def load_molecules(name: str, folder: Path | None, *, largest: int, skip_invalid: bool) -> MoleculeData:
    """Read a set.

    Args:
        name: of a set of the data folder, or a file.
        folder: the data folder, or None.
        largest: molecules with more heavy atoms are left out, and counted.
        skip_invalid: go on without molecules that cannot be used.

    Raises:
        InputError: if there is no such set or file, or nothing is left to train on.
    """
    path = Path(name)
    origin: dict[str, Any] = {"name": name}
    if path.suffix == ".npz" and is_prepared(path):
        whole = open_prepared(path)
        origin["name"] = path.stem
        if about(path)["notes"]:
            origin["made_from"] = "; ".join(about(path)["notes"])
    elif path.suffix:
        # RDKit reads everything else, and is asked for only here.
        from zsteer.domains.molecules.checks import summary
        from zsteer.domains.molecules.files import Reading, read

        loaded = read(path, Reading(skip_invalid=skip_invalid))
        whole = loaded.molecules
        if loaded.problems:
            origin["left_out"] = "; ".join(summary(loaded.problems))
        if loaded.notes:
            origin["notes"] = "; ".join(loaded.notes)
        origin["name"] = path.name
    else:
        from zsteer.domains.molecules.data import SETS, load

        if name not in SETS:
            raise InputError(nearest(name, SETS, what="dataset") + "; or a file (.npz .sdf .smi .csv .xyz)")
        whole = load(name, folder)
        origin |= {"source": SETS[name].source, "licence": SETS[name].licence}
    owner = np.repeat(np.arange(len(whole)), whole.sizes)
    fits = np.bincount(owner[whole.z != 1], minlength=len(whole)) <= largest
    whole_count, whole = len(whole), whole if bool(fits.all()) else whole.take(fits)
    parts = _split(whole)
    split, origin["split"] = parts.words, parts.how
    if any(bool(value.any()) for value in whole.labels.values()):
        origin["not_learnt"] = "labels of atoms (isotopes, atom maps)"
    train, held = whole.take(split == "train"), whole.take(split == "test")
    if len(train) < 2 or not len(held):
        raise InputError(f"{name} has {len(train)} molecules to train on and {len(held)} held out; that is too few")
    counts = {"molecules": whole_count, "too_large": int((~fits).sum()), "train": len(train), "test": len(held)}
    return MoleculeData(train, held, {**origin, **counts, "sha256": whole.digest()})
