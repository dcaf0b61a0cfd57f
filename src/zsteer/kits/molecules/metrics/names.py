"""Names of many molecules: canonical SMILES without stereo, and the reasons where there is none; names of known sets.

A name is given to what is valid: sanitised, in one piece, without unpaired electrons, hydrogens taken as they stand
(:mod:`zsteer.domains.molecules.metrics.graph` judges the same of a set that is in memory). Text of lists and SD files
is judged as it is, a part at a time, so that a hundred thousand molecules need neither geometries nor much memory.
Names of large sets are kept in the user's cache.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

from zsteer.core.cache import cached_arrays, key_of_words
from zsteer.domains.molecules.chemistry import Mol, sanitised
from zsteer.domains.molecules.container import Molecules
from zsteer.domains.molecules.metrics.chemist import folded, smiles_of
from zsteer.domains.molecules.metrics.graph import verdicts
from zsteer.domains.molecules.sdf import records_of
from zsteer.domains.molecules.smiles import decoded
from zsteer.kits.molecules.metrics.legacy import legacy_smiles
from zsteer.kits.molecules.metrics.profile import VALUES, values

__all__ = ["Named", "known_names", "known_values", "name_part", "named_set", "sdf_parts", "smiles_parts"]

PART = 2000
"""Molecules that are judged at a time."""
KEPT = 2000
"""Molecules of a set whose names are kept in the cache, at least."""


@dataclass(frozen=True)
class Named:
    """Names of n molecules.

    Args:
        smiles: canonical SMILES without stereo; empty where a molecule is not valid.
        kinds: why not, in a few words to count by; empty where it is.
    """

    smiles: NDArray[Any]
    kinds: NDArray[Any]

    @staticmethod
    def cat(parts: Sequence[tuple[Sequence[str], Sequence[str]]]) -> "Named":
        """Join what :func:`name_part` gave."""
        words = [word for part in parts for word in part[0]]
        return Named(np.array(words, np.str_), np.array([kind for part in parts for kind in part[1]], np.str_))


Part = tuple[str, Sequence[str]]
"""``smiles``, ``sdf`` or ``sdf with hydrogens``, and texts."""


def name_part(part: Part) -> tuple[list[str], list[str]]:
    """Names and kinds of faults of one part; runs in a worker."""
    form, texts = part
    found = [_smiles(text) if form == "smiles" else _block(text, whole=form != "sdf") for text in texts]
    return [name for name, _ in found], [kind for _, kind in found]


def smiles_parts(words: Sequence[str]) -> list[Part]:
    """Parts of a list of SMILES."""
    return [("smiles", words[start : start + PART]) for start in range(0, len(words), PART)]


def sdf_parts(path: Path) -> list[Part]:
    """Parts of an SD file; where any record has hydrogen atoms, all are taken to have theirs.

    Raises:
        InputError: if the file cannot be read.
    """
    texts = [decoded(text.encode("latin-1"))[0] for _, text in records_of(path) if text.strip()]
    whole = any(_has_hydrogen(text) for text in texts)
    form = "sdf with hydrogens" if whole else "sdf"
    return [(form, texts[start : start + PART // 4]) for start in range(0, len(texts), PART // 4)]


def _has_hydrogen(text: str) -> bool:
    """Whether an atom line says H: the element stands behind the coordinates (V2000) or before them (V3000)."""
    block = text.partition("M  END")[0]
    return " H   0" in block or (" H " in block and any(_is_hydrogen_line(line) for line in block.split("\n")[4:]))


def _is_hydrogen_line(line: str) -> bool:
    words = line.split()
    return len(words) > 3 and (words[3] == "H")


def _smiles(text: str) -> tuple[str, str]:
    mol: Any = Chem.MolFromSmiles(text) if text.strip() else None
    if mol is not None:
        return _judged(mol, whole="." not in text)
    raw: Any = Chem.MolFromSmiles(text, sanitize=False) if text.strip() else None
    return "", "not a SMILES" if raw is None else _short(sanitised(raw))


def _block(text: str, *, whole: bool) -> tuple[str, str]:
    block, end, _ = text.partition("M  END")
    mol: Any = Chem.MolFromMolBlock(block + end + "\n", sanitize=False, removeHs=False) if end else None
    if mol is None:
        return "", "unreadable record"
    reason = sanitised(mol)
    if reason:
        return "", _short(reason)
    if whole and mol.GetNumAtoms(onlyExplicit=False) > mol.GetNumAtoms():
        return "", "radical"  # an open valence, where all hydrogens are atoms
    return _judged(mol)


def _judged(mol: Mol, *, whole: bool = False) -> tuple[str, str]:
    """The name of a sanitised molecule, which is changed on the way; or what is wrong with it.

    Args:
        mol: sanitised.
        whole: it is in one piece.
    """
    numbers, labelled = set[int](), False
    # By index: RDKit's own iterators take several times as long.
    for k in range(mol.GetNumAtoms()):
        atom = mol.GetAtomWithIdx(k)
        numbers.add(atom.GetAtomicNum())
        labelled = labelled or atom.GetAtomMapNum() > 0
        if atom.GetNumRadicalElectrons():
            return "", "radical"
    if not numbers or 0 in numbers:
        return "", "attachment point" if numbers else "no atoms"
    # With n - 1 bonds or more a molecule may be in pieces all the same: one of them has a ring then.
    if mol.GetNumBonds() < mol.GetNumAtoms() - 1 or (not whole and len(Chem.GetMolFrags(mol)) > 1):
        return "", "several fragments"
    Chem.RemoveStereochemistry(mol)
    if labelled:
        mol = folded(mol)
    elif 1 in numbers:
        mol = Chem.RemoveHs(mol, sanitize=False)
    name = smiles_of(mol)
    return name, "" if name else "no SMILES"


def _short(reason: str) -> str:
    """A reason of RDKit without the numbers of its atoms, to count by."""
    plain = "".join(" " if letter.isdigit() or letter in "#," else letter for letter in reason)
    return " ".join(plain.split())[:80]


def named_set(molecules: Molecules) -> Named:
    """Names of a set in memory, a part at a time."""
    words: list[NDArray[Any]] = []
    kinds: list[str] = []
    for part in _pieces(molecules):
        found = verdicts(part)
        words.append(found.smiles)
        for i, reason in enumerate(found.reasons):
            other = "several fragments" if not found.connected[i] else "" if found.paired[i] else "radical"
            kinds.append(_short(reason) if reason else other)
    return Named(np.concatenate([np.zeros(0, "U1"), *words]), np.array(kinds, np.str_))


def _pieces(molecules: Molecules) -> Iterator[Molecules]:
    for start in range(0, len(molecules), PART):
        yield molecules.take(slice(start, start + PART))


def _by_graph(molecules: Molecules) -> dict[str, NDArray[Any]]:
    smiles, keys = [np.zeros(0, "U1")], [np.zeros(0, "U1")]
    for part in _pieces(molecules):
        found = verdicts(part)
        smiles.append(found.smiles)
        keys.append(found.keys())
    return {"smiles": np.concatenate(smiles), "keys": np.concatenate(keys)}


def _by_smiles(molecules: Molecules) -> dict[str, NDArray[Any]]:
    return {"smiles": named_set(molecules).smiles}


def _by_lookup(molecules: Molecules) -> dict[str, NDArray[Any]]:
    return {"smiles": np.concatenate([np.zeros(0, "U1"), *(legacy_smiles(p, whole=True) for p in _pieces(molecules))])}


def _by_single(molecules: Molecules) -> dict[str, NDArray[Any]]:
    found = [legacy_smiles(part, single=True, whole=True) for part in _pieces(molecules)]
    return {"smiles": np.concatenate([np.zeros(0, "U1"), *found])}


_WAYS: dict[str, tuple[Callable[[Molecules], dict[str, NDArray[Any]]], tuple[str, ...]]] = {
    "graph": (_by_graph, ("smiles", "keys")),
    "smiles": (_by_smiles, ("smiles",)),
    "lookup": (_by_lookup, ("smiles",)),
    "lookup, single bonds": (_by_single, ("smiles",)),
}


def known_names(molecules: Molecules, way: str) -> dict[str, NDArray[Any]]:
    """Names of the molecules of a known set, in their order; of a large one from the user's cache.

    Args:
        molecules: with what the way needs.
        way: ``graph`` (SMILES and InChIKey-14 of the bonds), ``smiles`` (SMILES alone), ``lookup`` and
            ``lookup, single bonds`` (the graph of the protocol edm-2022).

    Returns:
        ``smiles``, and ``keys`` for ``graph``; empty where a molecule has no name.
    """
    make, names = _WAYS[way]
    if len(molecules) < KEPT:
        return make(molecules)
    key = key_of_words(way, molecules.digest(), version("rdkit"), 1)

    def packed() -> dict[str, NDArray[Any]]:
        return {name: value.astype("S") for name, value in make(molecules).items()}

    return {name: value.astype(np.str_) for name, value in cached_arrays("names", key, names, packed).items()}


def known_values(molecules: Molecules) -> Mapping[str, NDArray[np.float64]]:
    """Properties of the molecules of a known set (``metrics.profile.values``); of many from the user's cache."""
    if len(molecules) < KEPT:
        return values(verdicts(molecules))
    key = key_of_words("values", molecules.digest(), version("rdkit"), 1)
    return cached_arrays("names", key, VALUES, lambda: values(verdicts(molecules)))
