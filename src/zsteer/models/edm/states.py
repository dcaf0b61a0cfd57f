"""Molecules as states of a diffusion, and back: one flat row for each molecule of one size."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot, pad

from zsteer.core.batch import Batch
from zsteer.errors import InputError
from zsteer.maths.geometry import centre
from zsteer.models.edm.settings import EDMSettings
from zsteer.noise.product import Product

__all__ = ["atoms_of", "molecules_of", "parts_of", "sizes_of", "states_of"]


def sizes_of(x: Batch) -> list[tuple[int, Int[Tensor, " m"]]]:
    """Numbers of atoms in a batch, and the rows that have each.

    Raises:
        InputError: if the batch has no mask.
    """
    if x.mask is None:
        raise InputError("expected molecules with a mask of their atoms; encode them with their space")
    sizes = x.mask.sum(1)
    return [(size, (sizes == size).nonzero()[:, 0]) for size in sizes.unique().tolist()]


def _kinds(settings: EDMSettings, x: Batch, size: int) -> Int[Tensor, "b n"]:
    """Number of each atom's kind.

    Raises:
        InputError: if the model has no such kind.
    """
    z, charge = x["z"][:, :size], x["charge"][:, :size]
    carried = torch.zeros_like(z)
    if settings.aromatic and settings.hydrogens == "implicit":
        # Of an aromatic atom other than carbon, the hydrogens do not follow from the bonds.
        ring = x["aromatic"][:, :size, :size].any(-1)
        carried = ((x["hydrogens"][:, :size] > 0) & ring & (z != 6)).long()
    table = torch.tensor(settings.kinds, device=z.device)
    found = (torch.stack([z, charge, carried], -1)[:, :, None] == table).all(-1)
    lost = ~found.any(-1)
    if bool(lost.any()):
        row, atom = lost.nonzero()[0].tolist()
        raise InputError(
            f"molecule {row + 1} has an atom that the model does not know: atomic number {int(z[row, atom])}, charge "
            f"{int(charge[row, atom])}; it knows {len(settings.kinds)} kinds"
        )
    return found.int().argmax(-1)


def _bonds(settings: EDMSettings, x: Batch, size: int) -> Int[Tensor, "b p"]:
    """Number of each pair's bond."""
    i, j = torch.triu_indices(size, size, 1, device=x.device)
    found = x["bond"][:, i, j]
    if settings.aromatic:
        found = torch.where(x["aromatic"][:, i, j], len(settings.bonds) - 1, found)
    if bool((found >= len(settings.bonds)).any()):
        raise InputError(f"a bond is none of the model's: {', '.join(settings.bonds)}")
    return found


def states_of(settings: EDMSettings, noise: Product, x: Batch, size: int, *, like: Tensor) -> Float[Tensor, "b d"]:
    """Molecules of one size as states: coordinates in the model's unit without centre, one-hot rows scaled.

    Args:
        settings: of the model.
        noise: of this size.
        x: molecules, as their space encodes them.
        size: atoms of each.
        like: gives type and device.

    Raises:
        InputError: if the model does not know an atom or a bond.
    """

    def rows(index: Int[Tensor, "b n"], count: int) -> Float[Tensor, "b n k"]:
        one = one_hot(index, count).to(like)
        return one if settings.features == "categorical" else settings.scale * (one - 1 / count)

    xyz = x["xyz"][:, :size].to(like)
    parts = {
        "xyz": centre(xyz / settings.unit),
        "kinds": rows(_kinds(settings, x, size), len(settings.kinds)),
    }
    if settings.numbers:
        parts["numbers"] = settings.numbers * x["z"][:, :size, None].to(like)
    if settings.bonds and size > 1:
        parts["bonds"] = rows(_bonds(settings, x, size), len(settings.bonds))
    return noise.join(parts)


def parts_of(settings: EDMSettings, noise: Product, x0: Float[Tensor, "b d"]) -> dict[str, Float[Tensor, "b ..."]]:
    """A prediction of x_0 as coordinates [angstrom] and probabilities of kinds and bonds; gradients flow."""
    parts = noise.split(x0)
    found = {"xyz": parts["xyz"] * settings.unit}
    for name in ("kinds", "bonds"):
        if name in parts:
            rows = parts[name]
            plain = settings.features == "gaussian"
            found[name] = rows / settings.scale + 1 / rows.shape[-1] if plain else rows.softmax(-1)
    return found


def molecules_of(settings: EDMSettings, noise: Product, x: Float[Tensor, "b d"]) -> Batch:
    """What a walk ended at, as molecules: the most probable kinds and bonds.

    Where aromatic bonds are a kind of their own, field ``bond`` is 1 on them, and ``aromatic`` true.
    """
    parts = noise.split(x)
    size, device = parts["xyz"].shape[1], x.device
    kind = torch.tensor(settings.kinds, device=device)[parts["kinds"].argmax(-1)]
    bond = torch.zeros(len(x), size, size, dtype=torch.long, device=device)
    if "bonds" in parts:
        i, j = torch.triu_indices(size, size, 1, device=device)
        bond[:, i, j] = bond[:, j, i] = parts["bonds"].argmax(-1)
    ring = bond == len(settings.bonds) - 1 if settings.aromatic else torch.zeros_like(bond, dtype=torch.bool)
    fields = {
        "xyz": parts["xyz"].float() * settings.unit,
        "z": kind[..., 0],
        "charge": kind[..., 1],
        "hydrogens": kind[..., 2],
        "bond": torch.where(ring, 1, bond),
        "aromatic": ring,
    }
    return Batch(fields, torch.ones(len(x), size, dtype=torch.bool, device=device))


def atoms_of(pieces: Sequence[Batch], order: Int[Tensor, " m"], *, width: int | None = None) -> Batch:
    """Join molecules of several sizes, padded to the largest, and put them into the order of their streams.

    Args:
        pieces: molecules, each piece of one size.
        order: where each of them belongs.
        width: atoms of a row, padding included; those of the largest molecule when None.
    """
    largest = max(x["z"].shape[1] for x in pieces) if width is None else width

    def padded(x: Batch) -> Batch:
        more = largest - x["z"].shape[1]
        widths: Mapping[str, tuple[int, ...]] = {
            "xyz": (0, 0, 0, more),
            "bond": (0, more) * 2,
            "aromatic": (0, more) * 2,
        }
        fields = {name: pad(value, widths.get(name, (0, more))) for name, value in x.fields.items()}
        return Batch(fields, None if x.mask is None else pad(x.mask, (0, more)))

    return Batch.cat([padded(x) for x in pieces]).take(order.argsort())
