"""Training that starts from a model: its net, atoms and properties stay, the set is new."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from zsteer.core.catalog import load_model
from zsteer.domains.molecules.container import SYMBOLS, Molecules
from zsteer.domains.molecules.sets import MoleculeData, load_molecules
from zsteer.errors import InputError, SettingsError
from zsteer.models.edm.edm import EDM
from zsteer.recipes.molecules import settings as recipes
from zsteer.recipes.molecules.learnt import kinds_of

__all__ = ["initial_model"]

NET_KEYS = (
    "hydrogens",
    "bonds",
    "width",
    "pair_width",
    "layers",
    "triangles",
    "features",
    "self_conditioning",
    "properties",
)
"""Keys that belong to a new model, not to one that is gone on from."""


def initial_model(recipe: recipes.MoleculeDiffusionRecipe, folder: Path | None) -> tuple[MoleculeData, EDM]:
    """The model that a recipe goes on from, with the sizes of the new set, and that set as the model sees it.

    Raises:
        InputError: if there is no such model, or the set has what the model does not know.
        SettingsError: if the recipe also asks for another net.
    """
    own = [name for name in NET_KEYS if getattr(recipe, name) != type(recipe).model_fields[name].default]
    if own:
        raise SettingsError(
            f"{', '.join(own)} are those of the model that init_from={recipe.init_from} names; leave them away"
        )
    model: EDM = load_model(
        str(recipe.init_from), kind=EDM.kind, hint="init_from takes a model of molecules with bonds"
    )
    s = model.settings
    if not s.bonds:
        raise InputError(f"init_from={recipe.init_from} is a model of molecules without bonds; it takes one with bonds")
    data = load_molecules(recipe.dataset, folder, largest=recipe.largest, skip_invalid=recipe.skip_invalid)
    if data.train.bond_offsets is None:
        raise InputError(f"{recipe.dataset} has no bonds, and init_from={recipe.init_from} makes them")
    if s.hydrogens == "implicit":
        data = data.heavy()
    new = set(kinds_of(data.train, aromatic=s.aromatic and s.hydrogens == "implicit")) - set(s.kinds)
    if new:
        z, charge, _ = min(new)
        raise InputError(
            f"{recipe.dataset} has atoms that init_from={recipe.init_from} lacks: {SYMBOLS[z]} with charge {charge:+d}"
        )
    most = int(data.train.sizes.max())
    if most > s.largest:
        raise InputError(
            f"{recipe.dataset} has molecules of {most} atoms, init_from={recipe.init_from} makes at most {s.largest}; "
            f"pass --largest {s.largest} to leave them out"
        )
    data = replace(data, train=_filled(data.train, s.properties), held=_filled(data.held, s.properties))
    table = np.stack([data.train.properties[name] for name in s.properties], 1) if s.properties else None
    values = torch.zeros(len(data.train), 0) if table is None else model.standard(torch.from_numpy(table))
    model.sizes.learn(torch.from_numpy(data.train.sizes), values)
    return data, model


def _filled(molecules: Molecules, names: Sequence[str]) -> Molecules:
    """With every property that a model knows: NaN where the set does not tell it."""
    unknown = np.full(len(molecules), np.nan)
    return molecules.with_properties(**{name: unknown for name in names if name not in molecules.properties})
