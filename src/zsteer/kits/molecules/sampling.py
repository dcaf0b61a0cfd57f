"""How a model of molecules is asked for samples: conditions, sizes, and one walk for each size."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zsteer.core.batch import Batch
from zsteer.core.rng import Streams
from zsteer.domains.molecules.complete import completed
from zsteer.domains.molecules.container import Molecules
from zsteer.domains.molecules.dense import ragged
from zsteer.errors import InputError
from zsteer.models.edm.denoiser import OfSize
from zsteer.models.edm.edm import EDM
from zsteer.models.edm.states import atoms_of
from zsteer.steer.sampling import Guide, Sampling, walked

__all__ = ["WALK", "Guides", "generated", "taken", "unguided", "walked_by_size"]

WALK: Mapping[str, object] = {"solver": "sde2", "steps": 50, "spacing": "power"}
"""The walk where none is asked for: it draws at every step, which mends what it did wrong before."""

Guides = Callable[[OfSize, Tensor], list[Guide]]
"""Guides of the molecules of one size, whose rows among all are given."""


def unguided(model: OfSize, rows: Tensor) -> list[Guide]:
    """No guides."""
    del model, rows
    return []


def walked_by_size(
    model: EDM, n: int, given: Mapping[str, object], rng: Streams, guides: Guides = unguided
) -> tuple[Batch, dict[str, Any]]:
    """Molecules of a model; molecule i depends on stream i alone.

    Args:
        model: the model.
        n: how many.
        given: values of properties, ``atoms`` for the size, and words about the walk.
        rng: one stream for each.
        guides: further guides of each size.

    Returns:
        The molecules, padded to the largest, and facts about the walk.

    Raises:
        InputError: if a condition does not exist.
    """
    words = {**WALK, **{name.replace("-", "_"): value for name, value in given.items()}}
    sampling, conditions = Sampling.of(words)
    if sampling.guide is not None:
        raise InputError("guide=MODEL among the conditions belongs to sampling; zsteer steer takes it as --guide MODEL")
    atoms = conditions.pop("atoms", None)
    wanted = model.wanted(conditions, n)
    _warn(model, wanted)
    sizes = _sizes(model, atoms, wanted, rng)
    spoken = {name: value for name, value in words.items() if name in Sampling.model_fields}
    found: list[Batch] = []
    order: list[Tensor] = []
    facts: dict[str, Any] = {}
    # The most frequent size first: where the number of steps is chosen (auto), it is chosen there, for all.
    often, counts = sizes.unique(return_counts=True)
    for size in often[counts.argsort(descending=True, stable=True)].tolist():
        rows = (sizes == size).nonzero()[:, 0].cpu()
        of_size = model.of_size(size)
        own = {name: taken(value, rows, n) for name, value in conditions.items()}
        streams = rng.take(rows.to(rng.ids.device))
        made, told = walked(of_size, len(rows), {**spoken, **own}, streams, guides=guides(of_size, rows))
        facts = facts or told
        spoken["steps"] = facts["steps"]
        found.append(made.to("cpu"))
        order.append(rows)
    return atoms_of(found, torch.cat(order)), facts


def _sizes(model: EDM, atoms: object, wanted: Mapping[int, Float[Tensor, " n"]], rng: Streams) -> Int[Tensor, " n"]:
    if atoms is None:
        return model.sizes.draw(wanted, rng)
    if isinstance(atoms, Tensor):
        return atoms
    try:
        size = int(str(atoms))
    except ValueError:
        raise InputError(f"atoms takes a whole number, got {atoms!r}") from None
    model.of_size(size)
    return torch.full((len(rng),), size)


def _warn(model: EDM, wanted: Mapping[int, Float[Tensor, " n"]]) -> None:
    """Say where a value lies outside of what the training set holds."""
    s = model.settings
    for k, value in wanted.items() if s.ranges else ():
        low, high = s.ranges[k]
        plain = value * s.stds[k] + s.means[k]
        if bool(((plain < low) | (plain > high)).any()):
            warnings.warn(
                f"{s.properties[k]} is asked for outside of the training set ({low:.3g} ... {high:.3g})",
                UserWarning,
                stacklevel=4,
            )


def taken(value: object, rows: Int[Tensor, " m"], n: int) -> object:
    """The values of chosen samples, where there is one for each.

    Args:
        value: one for all, or one for each of ``n``.
        rows: which are chosen.
        n: how many there are.
    """
    if isinstance(value, Tensor) and value.ndim and len(value) == n:
        return value[rows]
    if isinstance(value, (list, tuple)):
        return [value[i] for i in rows.tolist()]
    return value


def generated(x: Batch, *, bonded: bool = True) -> tuple[Molecules, list[str]]:
    """A batch that a model made, as molecules with hydrogens counted and SMILES, and what does not hold of each.

    Molecules in several pieces, or whose valences do not hold, have a reason and no SMILES.

    Args:
        x: what a walk ended at.
        bonded: whether the model makes bonds; where it does not, nothing holds and nothing has SMILES.
    """
    if x.mask is None:
        raise InputError("expected molecules with a mask of their atoms")
    arrays = {name: value.cpu().numpy() for name, value in x.fields.items()}
    molecules = ragged(arrays, x.mask.cpu().numpy())
    if not bonded:
        return molecules, ["no bonds: the model makes none"] * len(molecules)
    return completed(molecules)
