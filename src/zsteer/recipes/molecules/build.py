"""The recipes of molecules made ready: sets, networks, plans.

Training from a prepared container (``.npz``) imports neither RDKit nor anything else beyond torch and numpy.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch

from zsteer.core.artifact import Origin
from zsteer.core.rng import initialised
from zsteer.domains.molecules.container import SYMBOLS, Molecules
from zsteer.domains.molecules.sets import MoleculeData, load_molecules
from zsteer.errors import InputError
from zsteer.models.edm.edm import EDM
from zsteer.models.edm.settings import BONDS
from zsteer.nets.precision import bfloat16_pays
from zsteer.predictors.noisy_property import NoisyProperty
from zsteer.recipes.base import Experiment, Size, by_size
from zsteer.recipes.molecules import settings as recipes
from zsteer.recipes.molecules.finetune import initial_model
from zsteer.recipes.molecules.learnt import groups_of, kinds_of, new_model, settings_of, unit_of
from zsteer.recipes.molecules.measured import correlations, losses
from zsteer.recipes.plans import plan_for, warmup_for
from zsteer.train.loop import Optim
from zsteer.train.sized import BySize

__all__ = ["edm", "molecules", "properties"]

M = TypeVar("M", EDM, NoisyProperty)

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
OF_ADAMW = 0.1
"""AdamW's rate in units of Muon's, which the size dial says."""
LARGEST_UNIT = 1.35
"""Of coordinates: about the length of a bond. [angstrom]"""
LIMITS = (
    "It knows molecules like those of its training set, as single conformers of their force field; nothing of "
    "synthesis, toxicity or activity. Not for clinical use."
)


def _experiment(
    recipe: recipes.MoleculeRecipe,
    data: MoleculeData,
    model: M,
    chosen: dict[str, Any],
    device: torch.device,
    metrics: Callable[[M, Molecules, int], dict[str, Any]],
) -> Experiment[M]:
    steps = chosen["steps"]
    optim = Optim(
        lr=chosen["lr"], kind=chosen["kind"], betas=(0.9, 0.98), clip=2.0, warmup=warmup_for(steps, 150), decay="cosine"
    )
    plan = plan_for(steps, optim, memory=20, longest=2000, checkpoint=500, bf16=bfloat16_pays(device))

    def measure(trained: M) -> Origin:
        trained.eval().to("cpu")
        return Origin(data=data.origin, metrics=metrics(trained, data.held, recipe.seed), limits=LIMITS)

    return Experiment(model.to(device), BySize(groups_of(data.train), chosen["batch"]), plan, measure)


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
        "unit": min(unit_of(data.train), LARGEST_UNIT),
        "push": min(1.0, 2 / float(data.train.sizes.mean())),
        **{name: getattr(recipe, name) or chosen[name] for name in ("width", "pair_width", "layers")},
        "triangles": chosen["triangles"] if recipe.triangles is None else recipe.triangles,
    }
    return data, chosen, values


def molecules(recipe: recipes.MoleculeDiffusionRecipe, folder: Path | None, device: torch.device) -> Experiment[EDM]:
    """Molecules with their bonds."""
    if recipe.init_from is not None:
        data, model = initial_model(recipe, folder)
        chosen = _by_size(recipe)
        # What was learned is kept: a tenth of the steps, and a fifth of the rate.
        chosen |= {"steps": recipe.steps or chosen["steps"] // 10, "lr": recipe.lr or chosen["lr"] / 5}
        return _experiment(recipe, data, model, chosen, device, losses)
    data, chosen, values = _bonded(recipe, folder)
    model = new_model(
        recipe, data, {**values, "features": recipe.features, "self_conditioning": recipe.self_conditioning}
    )
    return _experiment(recipe, data, model, chosen, device, losses)


def properties(
    recipe: recipes.NoisyPropertyRecipe, folder: Path | None, device: torch.device
) -> Experiment[NoisyProperty]:
    """Properties of noisy molecules."""
    data, chosen, values = _bonded(recipe, folder)
    # A quarter of the steps will do: there is one answer to learn and no spread of them.
    chosen = {**chosen, "steps": recipe.steps or max(1, chosen["steps"] // 4)}
    settings = settings_of(recipe, data, {**values, "self_conditioning": False, "early": 2.0})
    with initialised(recipe.seed):
        model = NoisyProperty(settings)
    return _experiment(recipe, data, model, chosen, device, correlations)


def edm(recipe: recipes.EDMRecipe, folder: Path | None, device: torch.device) -> Experiment[EDM]:
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
        "self_conditioning": False,
        "net": "egnn",
        **{name: getattr(recipe, name) or chosen[name] for name in ("width", "layers")},
    }
    found = [SYMBOLS[kind[0]] for kind in values["kinds"]]
    if len(found) < 2:
        raise InputError(f"expected at least two elements, got {', '.join(found)}")
    return _experiment(recipe, data, new_model(recipe, data, values), chosen, device, losses)
