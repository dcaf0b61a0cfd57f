"""What a recipe is, and where each one lives. Imports no torch: listing is instant.

A recipe is a frozen pydantic model: its fields are the keys of ``recipe.yaml`` and the flags of ``zsteer train``.
``build`` imports what it needs and returns an ``Experiment``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from zsteer.core.catalog import load_name, recipes
from zsteer.errors import SettingsError, nearest

if TYPE_CHECKING:
    import torch
    from torch import nn

    from zsteer.core.artifact import Pretrained
    from zsteer.core.protocols import Source
    from zsteer.train.loop import Plan

__all__ = ["RECIPES", "Experiment", "Recipe", "Size", "by_size", "recipe_class"]

Size = Literal["xs", "s", "m", "l"]

RECIPES: Mapping[str, str] = MappingProxyType(recipes())
"""Recipe name -> ``module:class``, from the rows of ``core.catalog``."""


@dataclass(frozen=True)
class Experiment:
    """A recipe made ready to run.

    Args:
        model: what is trained.
        source: its data; None for a model that ``finish`` fits in one call.
        plan: how the loop trains it; None likewise.
        finish: completes and measures the trained model, and gives it with its origin filled in.
    """

    model: "nn.Module"
    source: "Source | None"
    plan: "Plan | None"
    finish: "Callable[[nn.Module], Pretrained]"


class Recipe(BaseModel):
    """Keys that every recipe has."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: ClassVar[str]
    summary: ClassVar[str]
    builder: ClassVar[str]

    seed: int = Field(default=0, description="seed of the initial weights, the data order and the noise")
    size: Size = Field(default="s", description="size dial: xs a minute, s the CPU default, m longer, l for a GPU")
    steps: int | None = Field(default=None, ge=1, description="training steps; by the size dial when absent")
    batch: int | None = Field(default=None, ge=1, description="samples in a batch; by the size dial when absent")
    lr: float | None = Field(default=None, gt=0, description="learning rate; by the size dial when absent")

    def build(self, data: Path | None, device: "torch.device") -> Experiment:
        """Read the data and make the experiment ready.

        Args:
            data: the folder of the data, or None.
            device: where the model goes.
        """
        return load_name(self.builder)(self, data, device)


def recipe_class(name: str) -> type[Recipe]:
    """The class of a recipe.

    Raises:
        SettingsError: if no such recipe exists; the nearest name is given.
    """
    if name not in RECIPES:
        raise SettingsError(nearest(name, RECIPES, what="recipe"))
    return load_name(RECIPES[name])


def by_size(recipe: Recipe, table: Mapping[Size, Mapping[str, Any]]) -> dict[str, Any]:
    """Settings of the size dial, with the recipe's own steps, batch and lr in front."""
    own = {key: getattr(recipe, key) for key in ("steps", "batch", "lr") if getattr(recipe, key) is not None}
    return {**table[recipe.size], **own}
