"""What a model of molecules has to know of its training set: kinds of atoms, properties with their spread, a unit."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from zsteer.core.artifact import settings_from
from zsteer.core.batch import Batch
from zsteer.core.rng import initialised
from zsteer.domains.molecules.container import Molecules
from zsteer.domains.molecules.dense import dense
from zsteer.domains.molecules.sets import MoleculeData
from zsteer.errors import InputError
from zsteer.models.edm.edm import EDM, property_named
from zsteer.models.edm.settings import EDMSettings
from zsteer.recipes.molecules import settings as recipes

__all__ = ["USUAL", "groups_of", "kinds_of", "new_model", "properties_of", "settings_of", "unit_of"]

USUAL = ("mu_debye", "asphericity", "qed", "sas", "logp")
"""Properties that ``auto`` conditions on, where the set has them."""


def kinds_of(molecules: Molecules, *, aromatic: bool) -> tuple[tuple[int, int, int], ...]:
    """Kinds of atoms that occur: atomic number, charge, and 1 for an aromatic non-carbon with a hydrogen."""
    carried = np.zeros(len(molecules.z), np.int64)
    if aromatic and molecules.bond_offsets is not None:
        owner = np.repeat(molecules.offsets[:-1], np.diff(molecules.bond_offsets))
        ring = np.zeros(len(molecules.z), bool)
        ends = molecules.bonds[molecules.aromatic] + owner[molecules.aromatic][:, None]
        ring[ends.ravel()] = True
        carried = (ring & (molecules.hydrogens > 0) & (molecules.z != 6)).astype(np.int64)
    table = np.stack([molecules.z.astype(np.int64), molecules.charge.astype(np.int64), carried], 1)
    return tuple((int(z), int(charge), int(h)) for z, charge, h in np.unique(table, axis=0))


def groups_of(molecules: Molecules) -> list[Batch]:
    """One batch of all molecules of each size."""
    found: list[Batch] = []
    for size, index in molecules.groups():
        arrays = {name: torch.from_numpy(value) for name, value in dense(molecules, index, size).items()}
        found.append(Batch(arrays, torch.ones(len(index), size, dtype=torch.bool)))
    return found


def properties_of(wanted: str, data: MoleculeData) -> tuple[str, ...]:
    """Properties of a set that a model is conditioned on, called as the set calls them.

    Args:
        wanted: names, ``auto`` for the usual ones in any case of letters, or ``none``.
        data: the set.

    Raises:
        InputError: if the set has no such property.
    """
    known = list(data.train.properties)
    if wanted == "none":
        return ()
    if wanted == "auto":
        folded = {name.casefold(): name for name in reversed(known)}
        return tuple(folded[name.casefold()] for name in USUAL if name.casefold() in folded)
    return tuple(property_named(name.strip(), known) for name in wanted.split(","))


def _standards(train: Molecules, names: Sequence[str]) -> dict[str, Any]:
    """Mean, spread and range of each property; values that are not known are left out."""
    values = [train.properties[name][np.isfinite(train.properties[name])] for name in names]
    for name, value in zip(names, values, strict=True):
        if len(value) < 2 or float(value.std()) == 0:
            raise InputError(f"property {name} has no spread in the training set; leave it out of properties")
    means, stds = (tuple(float(f(v)) for v in values) for f in (np.mean, np.std))
    ranges = tuple((float(np.quantile(v, 0.001)), float(np.quantile(v, 0.999))) for v in values)
    return {"means": means, "stds": stds, "ranges": ranges}


def unit_of(train: Molecules) -> float:
    """Root mean square of the coordinates about each molecule's centre. [angstrom]"""
    owner = np.repeat(np.arange(len(train)), train.sizes)
    middle = np.stack([np.bincount(owner, train.xyz[:, k], len(train)) for k in range(3)], 1) / train.sizes[:, None]
    return float(np.sqrt(np.square(train.xyz - middle[owner]).mean()))


def settings_of(recipe: recipes.MoleculeRecipe, data: MoleculeData, values: dict[str, Any]) -> EDMSettings:
    """Settings of a model: what the set says, and ``values``."""
    names = properties_of(recipe.properties, data)
    shared: dict[str, Any] = {
        "properties": names,
        "largest": int(data.train.sizes.max()),
        **_standards(data.train, names),
    }
    return settings_from(EDMSettings, {**shared, **values}, where=recipe.name)


def new_model(recipe: recipes.MoleculeRecipe, data: MoleculeData, values: dict[str, Any]) -> EDM:
    """A model with fresh weights that knows the sizes of the set."""
    settings = settings_of(recipe, data, values)
    names = settings.properties
    with initialised(recipe.seed):
        model = EDM(settings)
    table = np.stack([data.train.properties[name] for name in names], 1) if names else np.zeros((len(data.train), 0))
    model.sizes.learn(torch.from_numpy(data.train.sizes), model.standard(torch.from_numpy(table)))
    return model
