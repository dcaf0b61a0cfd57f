"""What a recipe is, and where each one lives. Imports no torch: listing is instant.

A recipe is a frozen pydantic model: its fields are the keys of ``recipe.yaml`` and the flags of ``zsteer train``.
``build`` imports what it needs and returns an ``Experiment``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Protocol, Self, TypeVar, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field

from zsteer.core.catalog import load_name, recipes
from zsteer.errors import SettingsError, nearest

if TYPE_CHECKING:
    import torch

    from zsteer.core.artifact import Origin
    from zsteer.core.protocols import Source
    from zsteer.train.loop import Plan

__all__ = ["RECIPES", "Experiment", "Recipe", "Size", "by_size", "recipe_class"]

Size = Literal["xs", "s", "m", "l"]

RECIPES: Mapping[str, str] = MappingProxyType(recipes())
"""Recipe name -> ``module:class``, from the rows of ``core.catalog``."""


@runtime_checkable
class Described(Protocol):
    """A model that carries where it comes from, as every ``core.artifact.Pretrained`` does."""

    origin: Any


M = TypeVar("M", bound=Described)


@dataclass(frozen=True)
class Experiment(Generic[M]):
    """A recipe made ready to run.

    Args:
        model: what is trained.
        source: its data; None for a model that ``measure`` fits in one call.
        plan: how the loop trains it; None likewise.
        measure: completes the trained model, and says where it comes from and how good it is.
        lines: what was read of the user's own data, in words.
    """

    model: M
    source: "Source | None"
    plan: "Plan | None"
    measure: "Callable[[M], Origin]"
    lines: tuple[str, ...] = ()

    def train(self, *, seed: int, watch: Callable[[dict[str, Any]], None] | None = None) -> M:
        """The model as the loop leaves it, not yet measured; without a run folder.

        Args:
            seed: of data order and noise.
            watch: called with each record.

        Raises:
            SettingsError: if there is nothing for the loop to train.
        """
        from torch import nn

        from zsteer.train.loop import fit

        if self.source is None or self.plan is None or not isinstance(self.model, nn.Module):
            raise SettingsError(f"{type(self.model).__name__} is fitted in one call; there is nothing to train")
        return fit(self.model, self.source, self.plan, seed=seed, watch=watch)

    def finish(self, trained: M) -> M:
        """The trained model, completed, with its origin filled in."""
        trained.origin = self.measure(trained)
        return trained


class Recipe(BaseModel):
    """Keys that every recipe has."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: ClassVar[str]
    summary: ClassVar[str]
    builder: ClassVar[str]
    headline: ClassVar[str] = ""
    """Start of the name of the metric that says most of a model; the first metric when empty."""

    seed: int = Field(default=0, description="seed of the initial weights, the data order and the noise")
    size: Size = Field(default="s", description="size dial: xs a minute, s the CPU default, m longer, l for a GPU")
    steps: int | None = Field(default=None, ge=1, description="training steps; default depends on --size")
    batch: int | None = Field(default=None, ge=1, description="samples in a batch; default depends on --size")
    lr: float | None = Field(default=None, gt=0, description="learning rate; default depends on --size")

    def resolve(self, data: Path | None) -> Self:
        """The recipe with what its data decide filled in, as the run folder keeps it.

        Args:
            data: the folder of the data, or None.
        """
        del data
        return self

    def build(self, data: Path | None, device: "torch.device") -> Experiment[Any]:
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
