"""``zsteer recipes``: the named experiments, the shipped models, and their peptides. Imports no torch."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zsteer.cli.parse import parse
from zsteer.core import catalog
from zsteer.recipes.base import RECIPES, recipe_class

__all__ = ["run"]

LEAST_AREA = 0.75
"""As in ``scoring.card``, which needs torch; a test compares the two."""


@dataclass(frozen=True)
class Recipes:
    """List the named experiments, the shipped models, and the peptides that receptors can be steered towards."""

    json: bool = False
    """Print JSON."""


def run(arguments: Sequence[str]) -> int:
    """Run ``zsteer recipes``."""
    command = parse(Recipes, arguments, name="recipes")
    recipes = {name: recipe_class(name).summary for name in RECIPES}
    models = {name: catalog.describe(path) for name, path in catalog.shipped().items()}
    if command.json:
        print(json.dumps({"recipes": recipes, "models": models, "peptides": _peptides()}))
        return 0
    width = max(map(len, [*recipes, *models]))
    print("recipes (zsteer train NAME --out FOLDER; the flags of one: zsteer train NAME --help)\n")
    for name, summary in recipes.items():
        print(f"  {name:<{width}}  {summary}")
    print("\nshipped models (for sample, steer and evaluate)\n")
    for name, about in models.items():
        numbers = {k: v for k, v in about["metrics"].items() if isinstance(v, int | float)}
        figures = ", ".join(f"{k} {v}" if isinstance(v, int) else f"{k} {v:.3g}" for k, v in numbers.items())
        print(f"  {name:<{width}}  {about['kind']}" + (f"; {figures}" if figures else ""))
    if not models:
        print("  none")
    _show(_peptides())
    return 0


def _peptides() -> list[dict[str, Any]]:
    """What the shipped judge can judge, the surest first: peptide, what it is, AUC, share of real binders that pass."""
    from zsteer.domains.sequences.epitopes import EPITOPES

    path = catalog.shipped().get("tcr-judge", Path()) / "cards.json"
    if not path.is_file():
        return []
    cards = json.loads(path.read_text(encoding="utf-8"))
    rows: list[dict[str, Any]] = []
    for name, card in sorted(cards.items(), key=lambda item: -item[1]["area"]):
        known = EPITOPES.get(name)
        about = f"{known.protein}, {known.organism}; {known.host} receptors" if known else ""
        rows.append({"peptide": name, "about": about, "area": card["area"], "real_pass": card["real_pass"]})
    return rows


def _show(peptides: list[dict[str, Any]]) -> None:
    if not peptides:
        return
    print("\npeptides to steer towards (AUC of the judge, share of real binders that pass it)\n")
    for row in peptides:
        weak = "" if row["area"] >= LEAST_AREA else "; too weak to judge, needs --force"
        print(f"  {row['peptide']:<20}  {row['area']:.2f}  {row['real_pass']:.2f}  {row['about']}{weak}")
