"""A recipe trained inside a benchmark, with what it cost."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from zsteer.core.catalog import load_model
from zsteer.recipes.base import Recipe

__all__ = ["CPU", "Trained", "Watch", "fine", "trained"]

Watch = Callable[[dict[str, Any]], None]
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Trained:
    """A model trained in this run.

    Args:
        model: the model.
        seconds: CPU-seconds of its training; NaN where it was not trained here.
    """

    model: Any
    seconds: float

    @property
    def weights(self) -> int:
        """How many it has."""
        return sum(parameter.numel() for parameter in self.model.parameters())


def trained(recipe: Recipe, data: Path, watch: Watch, kept: Path | None = None) -> Trained:
    """Train a recipe as a user would, on one thread, or take the model of a folder.

    Args:
        recipe: what to train.
        data: the data folder.
        watch: called with progress.
        kept: folder of the model; its seconds are not known then. None trains.

    Raises:
        SettingsError: if the recipe has nothing to train.
    """
    if kept is not None:
        return Trained(load_model(kept), math.nan)
    experiment = recipe.build(data, CPU)
    started = time.process_time()
    found = experiment.train(seed=recipe.seed, watch=watch)
    return Trained(found.eval(), time.process_time() - started)


def fine(value: float) -> str:
    """Four figures behind the point: differences of a hundredth of a bit are what these tables are for."""
    return f"{value:.4f}"
