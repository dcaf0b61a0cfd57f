"""The recipes of molecules made ready: sets, what the model has to know of them, plans, and figures on held-out ones.

Training from a prepared container (``.npz``) imports neither RDKit nor anything else beyond torch and numpy.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from zsteer.core.artifact import Origin, Pretrained, settings_from
from zsteer.core.batch import Batch
from zsteer.core.catalog import load_model
from zsteer.core.rng import Streams, initialised
from zsteer.domains.molecules.container import SYMBOLS, Molecules
from zsteer.domains.molecules.dense import dense
from zsteer.domains.molecules.sets import MoleculeData, load_molecules
from zsteer.errors import InputError, SettingsError
from zsteer.models.edm.edm import EDM, property_named
from zsteer.models.edm.settings import BONDS, EDMSettings
from zsteer.models.edm.states import states_of
from zsteer.nets.precision import bfloat16_pays
from zsteer.predictors.noisy_property import NoisyProperty
from zsteer.recipes.base import Experiment, Size, by_size
from zsteer.recipes.molecules import settings as recipes
from zsteer.train.loop import Optim, Plan
from zsteer.train.sized import BySize

__all__ = ["USUAL", "edm", "groups_of", "kinds_of", "molecules", "properties"]

USUAL = ("mu_debye", "asphericity", "qed", "sas", "logp")
"""Properties that ``auto`` conditions on, where the set has them."""
PAIR_SIZES: dict[Size, dict[str, Any]] = {
    "xs": {"steps": 400, "batch": 64, "lr": 2e-2, "width": 64, "pair_width": 48, "layers": 3, "triangles": 16},
    "s": {"steps": 10_000, "batch": 64, "lr": 2e-2, "width": 128, "pair_width": 96, "layers": 6, "triangles": 32},
    "m": {"steps": 100_000, "batch": 64, "lr": 2e-2, "width": 192, "pair_width": 96, "layers": 8, "triangles": 32},
    "l": {"steps": 300_000, "batch": 256, "lr": 1e-2, "width": 256, "pair_width": 128, "layers": 10, "triangles": 32},
}
EDM_SIZES: dict[Size, dict[str, Any]] = {
    "xs": {"steps": 200, "batch": 32, "lr": 5e-4, "width": 32, "layers": 3},
    "s": {"steps": 5000, "batch": 64, "lr": 4e-4, "width": 96, "layers": 5},
    "m": {"steps": 50_000, "batch": 64, "lr": 2e-4, "width": 192, "layers": 9},
    "l": {"steps": 1_700_000, "batch": 64, "lr": 1e-4, "width": 256, "layers": 9},
}
NET_KEYS = ("hydrogens", "bonds", "width", "pair_width", "layers", "triangles", "features", "again", "properties")
"""Keys that belong to a new model, not to one that is gone on from."""
OF_ADAMW = 0.1
"""AdamW's rate in units of Muon's, which the size dial says."""
LARGEST_UNIT = 1.35
"""Of coordinates: about the length of a bond. [angstrom]"""
HELD = 1000
"""Held-out molecules behind the figures of a card."""
NEAR = 0.1
"""Time at which a loss tells how far a training is: above 0.3 it hardly moves after the first minutes."""
TOLD = (0.02, 0.2, 0.4)
"""Times at which the card of a model of properties says how nearly they are told."""
LIMITS = (
    "It knows molecules like those of its training set, as single conformers of their force field; nothing of "
    "synthesis, toxicity or activity. Not for clinical use."
)


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


def _properties(wanted: str, data: MoleculeData) -> tuple[str, ...]:
    known = list(data.train.properties)
    if wanted == "none":
        return ()
    if wanted == "auto":
        return tuple(name for name in USUAL if name in known)
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


def _unit(train: Molecules) -> float:
    """Root mean square of the coordinates about each molecule's centre. [angstrom]"""
    owner = np.repeat(np.arange(len(train)), train.sizes)
    middle = np.stack([np.bincount(owner, train.xyz[:, k], len(train)) for k in range(3)], 1) / train.sizes[:, None]
    return float(np.sqrt(np.square(train.xyz - middle[owner]).mean()))


def _settings(recipe: recipes.MoleculeRecipe, data: MoleculeData, values: dict[str, Any]) -> EDMSettings:
    names = _properties(recipe.properties, data)
    shared: dict[str, Any] = {
        "properties": names,
        "largest": int(data.train.sizes.max()),
        **_standards(data.train, names),
    }
    return settings_from(EDMSettings, {**shared, **values}, where=recipe.name)


def _model(recipe: recipes.MoleculeRecipe, data: MoleculeData, values: dict[str, Any]) -> EDM:
    settings = _settings(recipe, data, values)
    names = settings.properties
    with initialised(recipe.seed):
        model = EDM(settings)
    table = np.stack([data.train.properties[name] for name in names], 1) if names else np.zeros((len(data.train), 0))
    model.sizes.learn(torch.from_numpy(data.train.sizes), model.standard(torch.from_numpy(table)))
    return model


Measured = Callable[[Any, Molecules, int], dict[str, Any]]
"""(model, held-out molecules, seed) -> figures."""


def _experiment(
    recipe: recipes.MoleculeRecipe,
    data: MoleculeData,
    model: EDM | NoisyProperty,
    chosen: dict[str, Any],
    device: torch.device,
    measured: Measured,
) -> Experiment:
    steps = chosen["steps"]
    optim = Optim(
        lr=chosen["lr"], kind=chosen["kind"], betas=(0.9, 0.98), clip=2.0,
        warmup=min(150, steps // 10), decay="cosine",
    )  # fmt: skip
    plan = Plan(
        steps=steps,
        optim=optim,
        ema=1 - 1 / max(10, min(2000, steps // 20)),
        checkpoint_every=max(1, min(500, steps // 4)),
        bf16=bfloat16_pays(device),
    )

    def finish(trained: nn.Module) -> Pretrained:
        if not isinstance(trained, EDM | NoisyProperty):
            raise SettingsError("the recipes of molecules train an EDM, or properties of noisy molecules")
        trained.eval().to("cpu")
        trained.origin = Origin(data=data.origin, metrics=measured(trained, data.held, recipe.seed), limits=LIMITS)
        return trained

    return Experiment(model.to(device), BySize(groups_of(data.train), chosen["batch"]), plan, finish)


def _held_out(held: Molecules) -> Molecules:
    return held.take(Streams.of(0, 1).child("held out").permutation("rows", len(held))[0][:HELD].numpy())


@torch.no_grad()
def _correlations(model: NoisyProperty, held: Molecules, seed: int) -> dict[str, Any]:
    """How nearly properties of held-out molecules are told at a few times: correlation with the true value."""
    chosen, told = _held_out(held), dict[str, Any]()
    s = model.settings
    for time in TOLD:
        pairs: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in s.properties}
        for group in groups_of(chosen):
            size, n = group["z"].shape[1], len(group)
            noise, t = model.noise_of(size), torch.full((n,), time)
            x0 = states_of(s, noise, group, size, like=next(model.parameters()))
            mean, _ = model.believed(noise.corrupt(x0, t, Streams.of(seed, n).child(f"told {size}")), t, size)
            for k, name in enumerate(s.properties):
                pairs[name][0].extend(mean[:, k].tolist())
                pairs[name][1].extend(group[name].tolist())
        told |= {f"{name}_r_at_{time:g}": round(float(np.corrcoef(*pair)[0, 1]), 4) for name, pair in pairs.items()}
    return {"test_molecules": len(chosen), **told}


@torch.no_grad()
def _figures(model: EDM, held: Molecules, seed: int) -> dict[str, Any]:
    """Losses of held-out molecules at one early time, where all later progress is."""
    chosen = _held_out(held)
    found: dict[str, list[float]] = {}
    for group in groups_of(chosen):
        rng = Streams.of(seed, len(group)).child(f"held {group['z'].shape[1]}")
        for name, value in model.losses_at(group, NEAR, rng).items():
            found.setdefault(name, []).extend(value.tolist())
    told: dict[str, Any] = {"test_molecules": len(chosen), "time": NEAR}
    return told | {f"{name}_at_{NEAR:g}": round(float(np.mean(value)), 5) for name, value in found.items()}


def _by_size(recipe: recipes.BondedRecipe) -> dict[str, Any]:
    """What the size dial says of the net on pairs, and the optimiser."""
    chosen: dict[str, Any] = {**by_size(recipe, PAIR_SIZES), "kind": recipe.optimiser}
    if recipe.optimiser == "adamw" and recipe.lr is None:
        chosen["lr"] *= OF_ADAMW
    return chosen


def _bonded(recipe: recipes.BondedRecipe, folder: Path | None) -> tuple[MoleculeData, dict[str, Any], dict[str, Any]]:
    """A set with bonds, what the size dial says, and the settings that follow from both."""
    data = load_molecules(recipe.dataset, folder, largest=recipe.largest, skip_invalid=recipe.skip_invalid)
    if data.train.bond_offsets is None:
        raise InputError(f"{recipe.dataset} has no bonds; take the recipe edm, or a set with bonds (.sdf, .smi, .npz)")
    if recipe.hydrogens == "implicit":
        data = data.heavy()
    chosen = _by_size(recipe)
    aromatic = recipe.bonds == "aromatic"
    values: dict[str, Any] = {
        "kinds": kinds_of(data.train, aromatic=aromatic and recipe.hydrogens == "implicit"),
        "bonds": BONDS if aromatic else BONDS[:4],
        "hydrogens": recipe.hydrogens,
        # A unit of bonds, not of whole molecules: the noise then hides bonds at the same time in small and large ones.
        "unit": min(_unit(data.train), LARGEST_UNIT),
        "push": min(1.0, 2 / float(data.train.sizes.mean())),
        **{name: getattr(recipe, name) or chosen[name] for name in ("width", "pair_width", "layers")},
        "triangles": chosen["triangles"] if recipe.triangles is None else recipe.triangles,
    }
    return data, chosen, values


def _started(recipe: recipes.MoleculeDiffusion, folder: Path | None) -> tuple[MoleculeData, EDM]:
    """The model that a recipe goes on from, with the sizes of the new set, and that set as the model sees it.

    Raises:
        InputError: if there is no such model, or the set has what the model does not know.
        SettingsError: if the recipe also asks for another net.
    """
    own = [name for name in NET_KEYS if getattr(recipe, name) != type(recipe).model_fields[name].default]
    if own:
        raise SettingsError(f"{', '.join(own)} are those of the model that start={recipe.start} names; leave them away")
    model: EDM = load_model(str(recipe.start), kind=EDM.kind, hint="start takes a model of molecules with bonds")
    s = model.settings
    if not s.bonds:
        raise InputError(f"start={recipe.start} is a model of molecules without bonds; it takes one with bonds")
    data = load_molecules(recipe.dataset, folder, largest=recipe.largest, skip_invalid=recipe.skip_invalid)
    if data.train.bond_offsets is None:
        raise InputError(f"{recipe.dataset} has no bonds, and start={recipe.start} makes them")
    if s.hydrogens == "implicit":
        data = data.heavy()
    new = set(kinds_of(data.train, aromatic=s.aromatic and s.hydrogens == "implicit")) - set(s.kinds)
    if new:
        z, charge, _ = min(new)
        raise InputError(
            f"{recipe.dataset} has atoms that start={recipe.start} does not know: {SYMBOLS[z]} with charge {charge:+d}"
        )
    if int(data.train.sizes.max()) > s.largest:
        raise InputError(
            f"{recipe.dataset} has molecules of {int(data.train.sizes.max())} atoms, and start={recipe.start} makes at "
            f"most {s.largest}; pass --largest {s.largest} to leave them out"
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


def molecules(recipe: recipes.MoleculeDiffusion, folder: Path | None, device: torch.device) -> Experiment:
    """Molecules with their bonds."""
    if recipe.start is not None:
        data, model = _started(recipe, folder)
        chosen = _by_size(recipe)
        # What was learned is kept: a tenth of the steps, and a fifth of the rate.
        chosen |= {"steps": recipe.steps or chosen["steps"] // 10, "lr": recipe.lr or chosen["lr"] / 5}
        return _experiment(recipe, data, model, chosen, device, _figures)
    data, chosen, values = _bonded(recipe, folder)
    model = _model(recipe, data, {**values, "features": recipe.features, "again": recipe.again})
    return _experiment(recipe, data, model, chosen, device, _figures)


def properties(recipe: recipes.NoisyPropertyRecipe, folder: Path | None, device: torch.device) -> Experiment:
    """Properties of noisy molecules."""
    data, chosen, values = _bonded(recipe, folder)
    # A quarter of the steps will do: there is one answer to learn and no spread of them.
    chosen = {**chosen, "steps": recipe.steps or max(1, chosen["steps"] // 4)}
    settings = _settings(recipe, data, {**values, "again": False, "early": 2.0})
    with initialised(recipe.seed):
        model = NoisyProperty(settings)
    return _experiment(recipe, data, model, chosen, device, _correlations)


def edm(recipe: recipes.EquivariantDiffusion, folder: Path | None, device: torch.device) -> Experiment:
    """The lecture's EDM, with the settings of its authors."""
    data = load_molecules(recipe.dataset, folder, largest=recipe.largest, skip_invalid=recipe.skip_invalid)
    if bool((data.train.hydrogens > 0).any()):
        raise InputError(f"EDM's atoms are all there, hydrogens too, and {recipe.dataset} leaves hydrogens out")
    if bool((data.train.charge != 0).any()):
        raise InputError(f"EDM's atoms carry no charge, and {recipe.dataset} has charges; take the recipe molecules")
    # As its authors trained it.
    chosen = {**by_size(recipe, EDM_SIZES), "kind": "adamw"}
    values: dict[str, Any] = {
        "kinds": kinds_of(data.train, aromatic=False),
        "bonds": (),
        "hydrogens": "explicit",
        "unit": 1.0,
        "scale": 0.25,
        "numbers": 0.1 if recipe.numbers else 0.0,
        "schedule": "polynomial",
        "gap": 1e-5,
        "target": "eps",
        "early": 1.0,
        "again": False,
        "net": "egnn",
        **{name: getattr(recipe, name) or chosen[name] for name in ("width", "layers")},
    }
    found = [SYMBOLS[kind[0]] for kind in values["kinds"]]
    if len(found) < 2:
        raise InputError(f"expected at least two elements, got {', '.join(found)}")
    return _experiment(recipe, data, _model(recipe, data, values), chosen, device, _figures)
