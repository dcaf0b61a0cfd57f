"""What is measured of a trained model of molecules, on held-out ones."""

from typing import Any

import numpy as np
import torch

from zsteer.core.rng import Streams
from zsteer.domains.molecules.container import Molecules
from zsteer.models.edm.edm import EDM
from zsteer.models.edm.states import states_of
from zsteer.predictors.noisy_property import NoisyProperty
from zsteer.recipes.molecules.learnt import groups_of

__all__ = ["correlations", "losses"]

HELD = 1000
"""Held-out molecules behind the figures of a card."""
NEAR = 0.1
"""Time at which a loss tells how far a training is: above 0.3 it hardly moves after the first minutes."""
TIMES = (0.02, 0.2, 0.4)
"""Times at which the card of a model of properties says how well they are predicted."""


def _held_out(held: Molecules) -> Molecules:
    return held.take(Streams.of(0, 1).child("held out").permutation("rows", len(held))[0][:HELD].numpy())


@torch.no_grad()
def correlations(model: NoisyProperty, held: Molecules, seed: int) -> dict[str, Any]:
    """How nearly properties of held-out molecules are predicted at a few times: correlation with the true value."""
    chosen, found = _held_out(held), dict[str, Any]()
    s = model.settings
    for time in TIMES:
        pairs: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in s.properties}
        for group in groups_of(chosen):
            size, n = group["z"].shape[1], len(group)
            noise, t = model.noise_of(size), torch.full((n,), time)
            x0 = states_of(s, noise, group, size, like=next(model.parameters()))
            mean, _ = model.believed(noise.corrupt(x0, t, Streams.of(seed, n).child(f"told {size}")), t, size)
            for k, name in enumerate(s.properties):
                pairs[name][0].extend(mean[:, k].tolist())
                pairs[name][1].extend(group[name].tolist())
        found |= {f"{name}_r_at_{time:g}": round(float(np.corrcoef(*pair)[0, 1]), 4) for name, pair in pairs.items()}
    return {"test_molecules": len(chosen), **found}


@torch.no_grad()
def losses(model: EDM, held: Molecules, seed: int) -> dict[str, Any]:
    """Losses of held-out molecules at one early time, where all later progress is."""
    chosen = _held_out(held)
    found: dict[str, list[float]] = {}
    for group in groups_of(chosen):
        rng = Streams.of(seed, len(group)).child(f"held {group['z'].shape[1]}")
        for name, value in model.losses_at(group, NEAR, rng).items():
            found.setdefault(name, []).extend(value.tolist())
    facts: dict[str, Any] = {"test_molecules": len(chosen), "time": NEAR}
    return facts | {f"{name}_at_{NEAR:g}": round(float(np.mean(value)), 5) for name, value in found.items()}
