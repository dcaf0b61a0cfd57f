"""Molecules drawn more than once: those that are not valid, and the nearest of several to the values asked for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from zsteer.core.batch import Batch
from zsteer.core.rng import Streams
from zsteer.domains.molecules.container import Molecules
from zsteer.domains.molecules.metrics.graph import verdicts
from zsteer.domains.molecules.metrics.values import COMPUTED, values_of
from zsteer.errors import InputError
from zsteer.kits.molecules.sampling import generated
from zsteer.models.edm.edm import EDM
from zsteer.models.edm.states import sizes_of, states_of
from zsteer.predictors.noisy_property import NoisyProperty

__all__ = ["Distance", "Drawn", "Walk", "by_definition", "by_guide", "drawn"]

Walk = Callable[[Tensor, Streams], tuple[Batch, dict[str, Any]]]
"""(rows, their streams) -> a molecule for each row, and facts about the walk."""
Distance = Callable[[Batch, Molecules, Tensor], NDArray[np.float64]]
"""(states, molecules, their rows) -> how far each is from what its row asks for."""


@dataclass(frozen=True)
class Drawn:
    """One molecule for each row.

    Args:
        molecules: the last that was drawn of each, or the nearest of the valid ones.
        reasons: empty where the chemistry of a molecule holds, else why not.
        first: share that was valid at the first walk.
        walks: walks that were taken, at most.
        facts: about the first walk.
    """

    molecules: Molecules
    reasons: list[str]
    first: float
    walks: int
    facts: dict[str, Any] = field(default_factory=dict)


def drawn(
    walk: Walk,
    rng: Streams,
    *,
    tries: int = 1,
    candidates: int = 1,
    distance: Distance | None = None,
    bonded: bool = True,
) -> Drawn:
    """Draw a molecule for each stream; again where it is not valid, and several times where the nearest is wanted.

    Args:
        walk: draws molecules.
        rng: one stream for each row; the first walk takes them as they are, so that more walks change no molecule but
            by a nearer one.
        tries: walks at most until a molecule is valid.
        candidates: walks of every row, of which the nearest valid molecule is kept.
        distance: from what is asked for, for candidates.
        bonded: whether the model makes bonds.

    Raises:
        InputError: if there are candidates, and nothing to tell their distance by.
    """
    if candidates > 1 and distance is None:
        raise InputError("candidates=K keeps the nearest of K molecules to a value, and no value is asked for")
    n = len(rng)
    batch, facts = walk(torch.arange(n), rng)
    molecules, reasons = generated(batch, bonded=bonded)
    good = np.array([not reason for reason in reasons])
    first, walks = float(good.mean()), 1
    far = _far(distance, batch, molecules, torch.arange(n), good)
    for attempt in range(1, max(tries, candidates)):
        rows = torch.arange(n) if attempt < candidates else torch.from_numpy(np.flatnonzero(~np.isfinite(far)))
        if not len(rows):
            break
        batch, _ = walk(rows, rng.take(rows.to(rng.ids.device)).child(f"try {attempt}"))
        fresh, why = generated(batch, bonded=bonded)
        new = _far(distance, batch, fresh, rows, np.array([not reason for reason in why]))
        place, own = np.arange(n), rows.numpy()
        # Where neither is valid the fresh one is taken, as where it is nearer.
        better = (new < far[own]) | ~np.isfinite(far[own])
        place[own[better]] = n + np.flatnonzero(better)
        far[own[better]] = new[better]
        for k in np.flatnonzero(better):
            reasons[own[k]] = why[k]
        molecules, walks = Molecules.cat([molecules, fresh]).take(place), attempt + 1
    return Drawn(molecules, reasons, first, walks, facts)


def _far(
    distance: Distance | None, batch: Batch, molecules: Molecules, rows: Tensor, good: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Distances; infinite for molecules that are not valid."""
    found = np.zeros(len(rows)) if distance is None else distance(batch, molecules, rows)
    # A valid molecule that cannot be measured is behind all that can, and before those that are not valid.
    return np.where(good, np.where(np.isfinite(found), found, np.finfo(np.float64).max), np.inf)


def _gaps(
    values: Mapping[str, NDArray[np.float64]], asked: Mapping[str, Float[Tensor, " n"]], rows: Tensor, model: EDM
) -> NDArray[np.float64]:
    """Sum of squared gaps, in standard deviations of the training set."""
    total = np.zeros(len(rows))
    for name, value in asked.items():
        std = model.settings.stds[model.settings.properties.index(name)]
        target = (value.expand(len(rows)) if len(value) == 1 else value[rows]).cpu().numpy()
        total += np.square((values[name] - target) / std)
    return total


def by_guide(judge: NoisyProperty, model: EDM, asked: Mapping[str, Float[Tensor, " n"]]) -> Distance:
    """Distances told by a model of noisy properties, at the noise where it reads predicted molecules.

    Args:
        judge: the guide.
        model: the model whose molecules are judged.
        asked: property -> value of each row, or one for all, in the property's own unit.
    """

    @torch.no_grad()
    def distance(batch: Batch, molecules: Molecules, rows: Tensor) -> NDArray[np.float64]:
        del molecules
        values = {name: np.zeros(len(rows)) for name in asked}
        for size, own in sizes_of(batch):
            noise = judge.noise_of(size)
            x0 = states_of(judge.settings, noise, batch.take(own), size, like=next(judge.parameters()))
            for name in asked:
                values[name][own.numpy()] = judge.measure(size, name)(x0).cpu().numpy()
        return _gaps(values, asked, rows, model)

    return distance


def by_definition(model: EDM, asked: Mapping[str, Float[Tensor, " n"]]) -> Distance:
    """Distances by the properties' own definitions, as RDKit computes them.

    Raises:
        InputError: if a property is not computed but measured.
    """
    unknown = [name for name in asked if name not in COMPUTED]
    if unknown:
        raise InputError(f"candidates=K measures {', '.join(COMPUTED)} itself; for {unknown[0]} add guide=MODEL")

    def distance(batch: Batch, molecules: Molecules, rows: Tensor) -> NDArray[np.float64]:
        del batch
        found = verdicts(molecules)
        return _gaps({name: values_of(found, name) for name in asked}, asked, rows, model)

    return distance
