"""The prepared sets of molecules of the data folder: names, files, licences, and their reader.

Each is an ``.npz`` with ``Z``, ``coords_mA`` [1/1000 angstrom], ``offsets`` and columns over the molecules. In the two
computed sets the atoms stand as ``smiles`` names them, followed by the hydrogens, so that bonds, charges and aromatic
flags follow from the SMILES. In the two others the SMILES were perceived from the geometry, and bonds are not known.
"""

from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsteer.core.arrays import array_shapes, read_arrays
from zsteer.core.cache import cache_folder, key_of_file, key_of_words
from zsteer.domains.molecules.container import Molecules
from zsteer.domains.molecules.prepared import open_prepared, save_prepared
from zsteer.errors import InputError, OutputError

__all__ = ["SETS", "MoleculeSet", "is_folder_npz", "load", "read_folder_npz"]


@dataclass(frozen=True)
class MoleculeSet:
    """Where a set lies and what one may do with it."""

    file: str
    source: str
    licence: str


SETS = MappingProxyType(
    {
        "qm9-gfn2": MoleculeSet(
            "molecules/qm9_etkdg_gfn2.npz",
            "the molecules of QM9 with ETKDG + MMFF94 geometries and GFN2-xTB values (not QM9's own)",
            "computed; SMILES of QM9, CC0",
        ),
        "geom-like": MoleculeSet(
            "molecules/geomlike_etkdg_mmff.npz",
            "molecules of GEOM-Drugs with ETKDG + MMFF94 geometries (not GEOM's conformers)",
            "computed; the list of SMILES has no licence file: not for release",
        ),
        "qm7": MoleculeSet("molecules/qm7_dft3d.npz", "QM7 with PBE0 atomisation energies", "MIT"),
        "conformers": MoleculeSet(
            "molecules/confbench_drugs3d.npz", "optimised conformers of 622 drug-like molecules", "MIT"
        ),
    }
)
"""Sets by name."""

_NEEDED = ("Z", "coords_mA", "offsets")
_NAMES = {"qm9_row": "qm9", "geom_row": "geom", "qm7_id": "qm7"}


def load(name: str, data: Path | None) -> Molecules:
    """Read a set of the data folder.

    Args:
        name: one of ``SETS``.
        data: the data folder, or one that holds the set's file itself.

    Raises:
        InputError: if there is no folder, or the file is not there or not whole.
    """
    known = SETS[name]
    if data is None:
        raise InputError(f"{name} needs the data folder: pass --data FOLDER or set ZSTEER_DATA")
    places = (data / known.file, data / Path(known.file).name)
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise InputError(f"there is no {known.file} in {data}; put {name} ({known.source}) there")
    return _kept(path)


def _kept(path: Path) -> Molecules:
    """A set from the user's cache, where it is a prepared container; read and put there otherwise.

    Bonds follow from a hundred thousand SMILES, which takes as many CPU-seconds as mapping a file takes milliseconds.
    """
    kept = cache_folder() / "sets" / f"{key_of_words(key_of_file(path), version('rdkit'), 1)}.npz"
    if kept.is_file():
        with suppress(InputError):
            return open_prepared(kept)
    found = read_folder_npz(path)
    with suppress(OutputError):
        save_prepared(kept, found, overwrite=True)
    return found


def is_folder_npz(path: str | Path) -> bool:
    """Whether a file is an ``.npz`` in the layout of the data folder; false for anything else."""
    try:
        shapes = array_shapes(Path(path))
    except InputError:
        return False
    return all(name in shapes for name in _NEEDED)


def read_folder_npz(path: str | Path) -> Molecules:
    """Read an ``.npz`` in the layout of the data folder.

    Bonds, charges and aromatic flags are those of ``smiles`` where its atoms are those of the record, one by one, for
    every molecule; where ``smiles`` names other atoms in another order (a list perceived from geometries), bonds are
    not known.

    Raises:
        InputError: if the file cannot be read, lacks an array, or contradicts itself.
    """
    path = Path(path)
    arrays = read_arrays(path)
    missing = [name for name in _NEEDED if name not in arrays]
    if missing:
        raise InputError(f"{path}: the array {missing[0]!r} is missing; expected Z, coords_mA and offsets")
    for name, axes in (("Z", 1), ("coords_mA", 2), ("offsets", 1)):
        value = arrays[name]
        if value.ndim != axes or value.dtype.kind not in ("iuf" if axes == 2 else "iu") or not value.size:
            raise InputError(f"{path}: expected {name} as numbers with {axes} axes, got {value.dtype} {value.shape}")
    z, offsets = arrays["Z"].astype(np.uint8), arrays["offsets"].astype(np.int64)
    if arrays["coords_mA"].shape != (len(z), 3):
        raise InputError(f"{path}: expected coords_mA of shape ({len(z)}, 3), got {arrays['coords_mA'].shape}")
    if offsets[0] != 0 or bool((np.diff(offsets) < 0).any()) or offsets[-1] != len(z):
        raise InputError(f"{path}: offsets do not rise from 0 to the {len(z)} atoms")
    n = len(offsets) - 1
    for name in ("smiles", "split"):
        if name in arrays and arrays[name].shape != (n,):
            raise InputError(f"{path}: expected {name} for each of {n} molecules, got shape {arrays[name].shape}")
    smiles = _words(arrays["smiles"]) if "smiles" in arrays else None
    graph: dict[str, Any] = {"charge": np.zeros(len(z), np.int8), "hydrogens": np.zeros(len(z), np.int8)}
    if smiles is not None and "smiles_canonical" in arrays:
        from zsteer.domains.molecules.chemistry import graphs_of

        try:
            graph |= graphs_of(smiles, z, offsets)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
    columns = {key: value for key, value in arrays.items() if value.ndim == 1 and len(value) == n}
    return Molecules(
        z=z,
        xyz=(arrays["coords_mA"] * np.float32(1e-3)).astype(np.float32),
        offsets=offsets,
        properties={k: v.astype(np.float64) for k, v in columns.items() if v.dtype.kind == "f"},
        smiles=smiles,
        names=_names(arrays, n),
        split=_words(arrays["split"]) if "split" in arrays else None,
        **graph,
    )


def _words(value: NDArray[Any]) -> NDArray[Any]:
    return value.astype(np.str_)


def _names(arrays: dict[str, NDArray[Any]], n: int) -> NDArray[Any] | None:
    if "mol_name" in arrays and "conformer" in arrays:
        named = _words(arrays["mol_name"])[arrays["mol_index"]]
        return np.char.add(np.char.add(named, "/"), _words(arrays["conformer"]))
    for key, prefix in _NAMES.items():
        if key in arrays and len(arrays[key]) == n:
            return np.char.add(f"{prefix}-", arrays[key].astype(np.str_))
    return None
