"""``MoleculeSpace``: what a molecule is to a model, and molecules as padded batches. Imports torch and numpy, no RDKit.

Fields of a batch of b molecules with at most n atoms: ``xyz`` (b, n, 3) float32, each molecule centred [angstrom];
``z``, ``charge``, ``hydrogens`` (b, n) int64; ``bond`` (b, n, n) int64 with 0 for none and 1, 2, 3 kekulised, and
``aromatic`` (b, n, n) bool, where bonds are known; each property (b,) float32. The mask (b, n) is true on atoms.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from zsteer.core.batch import Batch
from zsteer.domains.molecules.container import ELEMENTS, SYMBOLS, Molecules
from zsteer.domains.molecules.dense import dense, ragged
from zsteer.errors import InputError, SettingsError

__all__ = ["FIELDS", "MoleculeSpace"]

FIELDS = ("xyz", "z", "charge", "hydrogens", "bond", "aromatic")
"""Fields of a batch that are no properties."""

_PADDED = {"xyz": 1, "z": 1, "charge": 1, "hydrogens": 1, "bond": 2, "aromatic": 2}


@dataclass(frozen=True)
class MoleculeSpace:
    """Molecules of some elements up to a size.

    Args:
        elements: symbols that may occur.
        hydrogens: ``explicit`` where hydrogens are atoms, ``implicit`` where they are counted on heavy atoms.
        max_atoms: of one molecule; hydrogens count where they are atoms.

    Raises:
        SettingsError: on an unknown element, or no room for an atom.
    """

    elements: tuple[str, ...]
    hydrogens: Literal["explicit", "implicit"] = "explicit"
    max_atoms: int = 200

    def __post_init__(self) -> None:
        unknown = [symbol for symbol in self.elements if symbol not in ELEMENTS]
        if unknown or not self.elements or self.max_atoms < 1:
            raise SettingsError(
                f"expected symbols of elements and at least one atom, got {self.elements} and {self.max_atoms} atoms"
            )
        if self.hydrogens == "implicit" and "H" in self.elements:
            raise SettingsError("hydrogens are counted, so H is none of the elements; leave it out")

    @property
    def name(self) -> str:
        """Name of the space."""
        return "molecules"

    def settings(self) -> dict[str, Any]:
        """A description that JSON can hold; ``MoleculeSpace.of`` takes it back."""
        return {"name": self.name, **asdict(self), "elements": list(self.elements)}

    @staticmethod
    def of(settings: dict[str, Any]) -> "MoleculeSpace":
        """The space of a description."""
        given: dict[str, Any] = {key: value for key, value in settings.items() if key not in {"name", "elements"}}
        return MoleculeSpace(tuple(settings["elements"]), **given)

    @staticmethod
    def spanning(molecules: Molecules) -> "MoleculeSpace":
        """The smallest space that holds a set."""
        symbols = tuple(SYMBOLS[z] for z in np.unique(molecules.z).tolist())
        counted = bool((molecules.hydrogens > 0).any())
        return MoleculeSpace(symbols, "implicit" if counted else "explicit", int(molecules.sizes.max(initial=1)))

    def problem(self, molecules: Molecules, i: int) -> str | None:
        """Why molecule i is none of this space, or None."""
        atoms = slice(int(molecules.offsets[i]), int(molecules.offsets[i + 1]))
        z, counted = molecules.z[atoms], int(molecules.hydrogens[atoms].sum())
        unknown = sorted({SYMBOLS[k] if k < len(SYMBOLS) else str(k) for k in z.tolist()} - set(self.elements))
        if len(z) > self.max_atoms:
            return f"{len(z)} atoms; expected at most {self.max_atoms}"
        if self.hydrogens == "explicit" and counted:
            return f"missing hydrogens: {counted} are counted on heavy atoms; expected all of them as atoms"
        if "H" in unknown and self.hydrogens == "implicit":
            return (
                "hydrogen atoms; expected them counted on heavy atoms (Molecules.heavy, or --heavy of zsteer convert)"
            )
        if unknown:
            return f"unknown element {' '.join(unknown)}; expected {' '.join(self.elements)}"
        if not bool(np.isfinite(molecules.xyz[atoms]).all()):
            return "coordinates are not numbers"
        return None if len(z) else "no atoms"

    def holds(self, molecules: Molecules) -> NDArray[np.bool_]:
        """Which molecules of a set are of this space, shape ``(b,)``."""
        sizes, own = molecules.sizes, [ELEMENTS[symbol] for symbol in self.elements]
        wrong = ~np.isin(molecules.z, own) | ~np.isfinite(molecules.xyz).all(1)
        if self.hydrogens == "explicit":
            wrong |= molecules.hydrogens > 0
        bad = np.bincount(np.repeat(np.arange(len(molecules)), sizes), wrong, minlength=len(molecules)) > 0
        return (sizes > 0) & (sizes <= self.max_atoms) & ~bad

    def encode(self, items: Molecules) -> Batch:
        """Turn molecules into a padded batch.

        Args:
            items: molecules of this space.

        Raises:
            InputError: names the first molecule that is not of this space, and why.
        """
        if not len(items):
            raise InputError("expected at least one molecule, got none")
        outside = np.flatnonzero(~self.holds(items))
        if len(outside):
            i = int(outside[0])
            named = "" if items.names is None else f" ({items.names[i]})"
            raise InputError(f"molecule {i + 1}{named}: {self.problem(items, i)}")
        largest = int(items.sizes.max())
        fields: dict[str, NDArray[Any]] = {}
        for size, index in items.groups():
            for name, value in dense(items, index, size).items():
                widths = [(0, 0), *[(0, largest - size)] * _PADDED.get(name, 0)]
                widths += [(0, 0)] * (value.ndim - len(widths))
                whole = np.pad(value, widths)
                fields.setdefault(name, np.zeros((len(items), *whole.shape[1:]), value.dtype))[index] = whole
        mask = np.arange(largest) < items.sizes[:, None]
        return Batch({name: torch.from_numpy(value) for name, value in fields.items()}, torch.from_numpy(mask))

    def decode(self, x: Batch) -> Molecules:
        """Turn a batch back into molecules; fields of shape (b,) are properties."""
        arrays = {name: value.detach().cpu().numpy() for name, value in x.fields.items()}
        real = np.ones(arrays["z"].shape, np.bool_) if x.mask is None else x.mask.detach().cpu().numpy()
        return ragged(arrays, real, [name for name, value in arrays.items() if value.ndim == 1])
