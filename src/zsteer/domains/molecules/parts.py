"""Which part of a set a molecule belongs to where nobody says: by the molecule, so that its conformers stay together.

A molecule is named by the canonical SMILES of its bonds without stereo: conformers, repeats and mirror images have one
name, and so one part. Without bonds it is named by its formula, and isomers stay together too.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsteer.domains.molecules.container import SYMBOLS, Molecules

__all__ = ["Parts", "parts_of"]

_HELD = 26
"""Of 256 values of the first byte of the hash: a tenth."""


@dataclass(frozen=True)
class Parts:
    """Parts of the molecules of a set.

    Args:
        words: ``train`` or ``test`` of each.
        how: in one line, for the card.
    """

    words: NDArray[Any]
    how: str


def parts_of(molecules: Molecules) -> Parts:
    """Hold a tenth of the different molecules out, by the hash of their names; at least one of two."""
    names, what = _names(molecules)
    first = {name: hashlib.sha1(name.encode(), usedforsecurity=False).digest() for name in dict.fromkeys(names)}
    held = {name for name, digest in first.items() if digest[0] < _HELD}
    if len(first) > 1 and len(held) in {0, len(first)}:
        ranked = sorted(first, key=lambda name: first[name])
        held = {ranked[0]} if not held else held - {ranked[-1]}
    how = f"a tenth of {len(first):,} different molecules by the hash of {what}; conformers and repeats stay together"
    return Parts(np.array(["test" if name in held else "train" for name in names], np.str_), how)


def _names(molecules: Molecules) -> tuple[Sequence[str], str]:
    """What each molecule is called, and what kind of name that is."""
    if molecules.bond_offsets is None:
        return [_formula(molecules, i) for i in range(len(molecules))], "their formula, because bonds are not known"
    from zsteer.domains.molecules.metrics.graph import verdicts  # RDKit, only here

    # One that RDKit refuses has no SMILES, and its formula will do.
    found = verdicts(molecules).smiles.tolist()
    return [name or _formula(molecules, i) for i, name in enumerate(found)], "the canonical SMILES of their bonds"


def _formula(molecules: Molecules, i: int) -> str:
    atoms = slice(int(molecules.offsets[i]), int(molecules.offsets[i + 1]))
    z = [*molecules.z[atoms].tolist(), *[1] * int(molecules.hydrogens[atoms].sum())]
    return "".join(f"{SYMBOLS[k] if k < len(SYMBOLS) else k}{z.count(k)}" for k in sorted(set(z)))
