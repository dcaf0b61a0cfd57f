"""Drug-like molecules: quality against steps, beside molecules of ZINC-250k that the loader has made geometries for."""

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from zsteer.bench.molecules.quality import Beside, Walk, model_named, steps_table
from zsteer.domains.molecules.chemistry import parse_smiles
from zsteer.domains.molecules.embed import Limits, embed
from zsteer.domains.molecules.metrics.chemist import folded, smiles_of
from zsteer.domains.molecules.smiles import choose, read_smiles, split_of
from zsteer.errors import InputError
from zsteer.evaluate.report import Table

__all__ = ["beside_list", "tables"]

Watch = Callable[[dict[str, Any]], None]
FILE = "molecules/zinc250k_smiles.csv.gz"
GUIDED = 1.3
"""Autoguidance of the walks that have it."""
WALKS: Sequence[Walk] = (
    Walk("sde2", 10, "time"),
    Walk("sde2", 20, "time"),
    Walk("sde2", 20, "time", GUIDED),
    Walk("sde2", 50, "time"),
    Walk("sde2", 50, "time", GUIDED),
    Walk("sde2", 100, "time"),
)
HELD = 1000
"""Held-out molecules that get a geometry."""


def tables(*, data: Path, quick: bool, watch: Watch, models: Path | None = None) -> Sequence[Table]:
    """Quality against steps for drug-like molecules.

    Args:
        data: the data folder.
        quick: few molecules and walks.
        watch: called with progress.
        models: artifact or run folder of another model.

    Raises:
        InputError: if there is no list of molecules in the data folder.
    """
    path = data / FILE
    if not path.is_file():
        raise InputError(f"there is no {FILE} in {data}; put the list of ZINC-250k there")
    model = model_named(models, "zinc-edm")
    beside = beside_list(path, *((20, 2000) if quick else (HELD, None)), watch=watch)
    return [
        steps_table(model, beside, (8, 4) if quick else (500, 200), watch=watch, quick=quick, walks=WALKS),
    ]


def beside_list(path: Path, count: int, most: int | None = None, *, watch: Watch) -> Beside:
    """Names of a whole list, and geometries of some molecules of its test part.

    Parts follow from the hash of the canonical SMILES, so that no model of any subset was trained on them.

    Args:
        path: a list of SMILES.
        count: molecules that get a geometry.
        most: rows that are named; all when None.
        watch: called with progress.
    """
    watch({"doing": f"names of {path.name}"})
    rows = read_smiles(path).rows[:most]
    held, names = [], set[str]()
    for row in rows:
        mol = parse_smiles(row.smiles)
        if isinstance(mol, str):
            continue
        name = smiles_of(folded(mol))
        names.add(name)
        # With stereo, as the split of a prepared set goes by.
        if split_of(smiles_of(mol)) == "test":
            held.append(row)
    chosen = [held[i] for i in choose([row.row for row in held], count, 0)]
    watch({"doing": f"geometries of {len(chosen)} held-out molecules"})
    with TemporaryDirectory() as folder:
        made = embed(chosen, Limits(), Path(folder), called=path.name, skip_invalid=True).molecules
    # A drug-like molecule takes GFN2-xTB ten times as long as one of nine heavy atoms.
    called = path.name if most is None else f"the first {len(rows):,} of {path.name}"
    return Beside(called, np.array(sorted(names)), made.heavy(), strained=0)
