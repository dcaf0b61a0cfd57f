"""Which options steering a kind of model has. Imports no torch: help is instant."""

from collections.abc import Mapping
from types import MappingProxyType

from pydantic import BaseModel

from zsteer.core.catalog import load_name
from zsteer.errors import CapabilityError

__all__ = ["KNOBS", "knobs_of"]

KNOBS: Mapping[str, str] = MappingProxyType(
    {
        "autoregressive": "zsteer.kits.sequences.options:EditorKnobs",
        "ddpm": "zsteer.kits.images.options:DiffusionKnobs",
        "dwae": "zsteer.kits.sequences.options:LatentKnobs",
        "edm": "zsteer.kits.molecules.options:MoleculeKnobs",
        "multinomial": "zsteer.kits.sequences.options:MultinomialKnobs",
        "rbm-ratings": "zsteer.kits.ratings.options:RatingKnobs",
    }
)
"""Kind of model -> the knobs of ``steer``."""


def knobs_of(kind: str) -> type[BaseModel]:
    """The knobs of ``steer`` for a kind of model.

    Raises:
        CapabilityError: if such models do not steer.
    """
    if kind not in KNOBS:
        raise CapabilityError(f"a model of kind {kind!r} does not steer; models that do: {', '.join(KNOBS)}")
    return load_name(KNOBS[kind])
