"""``zsteer recipes``: the named experiments and the shipped models. Imports no torch."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from zsteer.cli.parse import parse
from zsteer.core import catalog
from zsteer.recipes.base import RECIPES, recipe_class

__all__ = ["run"]


@dataclass(frozen=True)
class Recipes:
    """List the named experiments and the shipped models."""

    json: bool = False
    """Print JSON."""


def run(arguments: Sequence[str]) -> int:
    """Run ``zsteer recipes``."""
    command = parse(Recipes, arguments, name="recipes")
    recipes = {name: recipe_class(name).summary for name in RECIPES}
    models = {name: catalog.describe(path) for name, path in catalog.shipped().items()}
    if command.json:
        print(json.dumps({"recipes": recipes, "models": models}))
        return 0
    print("recipes (zsteer train NAME --out FOLDER; the flags of one: zsteer train NAME --help)\n")
    for name, summary in recipes.items():
        print(f"  {name:<14} {summary}")
    print("\nshipped models (for sample, steer and evaluate)\n")
    for name, about in models.items():
        figures = ", ".join(f"{k} {v:.3g}" for k, v in about["metrics"].items() if isinstance(v, int | float))
        print(f"  {name:<14} {about['kind']}" + (f"; {figures}" if figures else ""))
    if not models:
        print("  none")
    return 0
