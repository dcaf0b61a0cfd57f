"""``zsteer recipes``: the named experiments, the shipped models, and their peptides. Imports no torch.

A line each in the list; ``zsteer recipes NAME`` says everything about one.
"""

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zsteer.cli.parse import parse
from zsteer.core import catalog
from zsteer.core.config import read_config
from zsteer.errors import InputError, nearest
from zsteer.recipes.base import RECIPES, recipe_class

__all__ = ["run"]

WIDTH = 100
"""Characters of a line."""
LEAST_AREA = 0.75
"""As in ``scoring.card``, which needs torch; a test compares the two."""


@dataclass(frozen=True)
class Recipes:
    """List the named experiments, the shipped models, and the peptides that receptors can be steered towards.

    zsteer recipes NAME shows all of one: its keys with their defaults, its metrics, data, command, licence and limits.
    """

    json: bool = False
    """Print JSON."""


def run(arguments: Sequence[str]) -> int:
    """Run ``zsteer recipes``."""
    words = list(arguments)
    name = words.pop(0) if words and not words[0].startswith("-") else None
    command = parse(Recipes, words, name="recipes" if name is None else f"recipes {name}")
    if name is not None:
        _show_one(name, as_json=command.json)
        return 0
    recipes = {name: recipe_class(name).summary for name in RECIPES}
    models = {name: catalog.describe(path) for name, path in catalog.shipped().items()}
    if command.json:
        print(json.dumps({"recipes": recipes, "models": models, "peptides": _peptides()}))
        return 0
    width = max(map(len, [*recipes, *models]))
    print("recipes (zsteer train NAME --out FOLDER; all about one, a recipe or a model: zsteer recipes NAME)\n")
    for name, summary in recipes.items():
        print(f"  {name:<{width}}  {summary}")
    print("\nshipped models (for sample, steer and evaluate)\n")
    for name, path in catalog.shipped().items():
        about = models[name]
        print(f"  {name:<{width}}  {_makes(path):<9}  {_size(path):>7}  {_headline(path, about['metrics'])}".rstrip())
    if not models:
        print("  none")
    _show_peptides(_peptides())
    return 0


def _makes(folder: Path) -> str:
    """What a model makes; what only reads samples gives scores."""
    from zsteer.kits.registry import DOMAINS, domain_of

    config = read_config(folder)
    if "Generative" not in catalog.MODELS[config["kind"]].protocols:
        return "scores"
    return catalog.load_name(DOMAINS[domain_of(config.get("space") or {}, config["kind"])].options).noun


def _size(folder: Path) -> str:
    return f"{sum(path.stat().st_size for path in folder.iterdir()) / 1e6:.1f} MB"


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.3g}"


def _headline(folder: Path, metrics: Mapping[str, Any]) -> str:
    """The number that says most: what the recipe names, else the first."""
    numbers = {name: value for name, value in metrics.items() if isinstance(value, int | float)}
    recipe = read_config(folder).get("origin", {}).get("recipe", {}).get("name")
    wanted = recipe_class(recipe).headline if recipe in RECIPES else ""
    found = next((name for name in numbers if wanted and name.startswith(wanted)), next(iter(numbers), None))
    return "" if found is None else f"{found.replace('_', ' ')} {_number(numbers[found])}"


def _show_one(name: str, *, as_json: bool) -> None:
    """All about a recipe, a shipped model, or both where they share a name.

    Raises:
        InputError: if there is neither.
    """
    known = catalog.shipped()
    if name not in RECIPES and name not in known:
        raise InputError(nearest(name, [*RECIPES, *known], what="recipe or model"))
    model = _model(known[name]) if name in known else None
    recipe = _recipe(name) if name in RECIPES else None
    if as_json:
        print(json.dumps({"recipe": recipe, "model": model}, default=str))
        return
    if model is not None:
        print(f"model {name}: makes {model['makes']}, {model['size']}, kind {model['kind']}\n")
        _show_table({k: v for k, v in model.items() if k not in {"kind", "makes", "size", "metrics"}})
        print("\nmetrics\n")
        _show_table(model["metrics"])
    if recipe is not None:
        print(("\n" if model is not None else "") + f"recipe {name}: {recipe['summary']}\n")
        print(f"  {recipe['about']}\n\nkeys (flags of zsteer train {name} --out FOLDER) with their defaults\n")
        _show_table({key: _key(entry) for key, entry in recipe["keys"].items()})


def _model(folder: Path) -> dict[str, Any]:
    config = read_config(folder)
    origin = config.get("origin", {})
    data = origin.get("data", {})
    return {
        "kind": config["kind"],
        "makes": _makes(folder),
        "size": _size(folder),
        "command": origin.get("command", ""),
        "licence of data": data.get("licence", ""),
        "data": {key: value for key, value in data.items() if key != "licence"},
        "limits": origin.get("limits", ""),
        "metrics": origin.get("metrics", {}),
    }


def _recipe(name: str) -> dict[str, Any]:
    cls = recipe_class(name)
    keys = {key: {"default": field.default, "help": field.description or ""} for key, field in cls.model_fields.items()}
    return {"summary": cls.summary, "about": " ".join((cls.__doc__ or "").split()), "keys": keys}


def _key(entry: Mapping[str, Any]) -> str:
    """Default and help of a key; None stands for nothing that a reader could type."""
    return entry["help"] if entry["default"] is None else f"{entry['default']}; {entry['help']}"


def _show_table(rows: Mapping[str, Any]) -> None:
    width = max(map(len, rows), default=0)
    for key, value in rows.items():
        if isinstance(value, Mapping):
            value = ", ".join(f"{k} {v}" for k, v in value.items())  # noqa: PLW2901 - the same value as text
        shown = _number(value) if isinstance(value, int | float) else str(value)
        lines = textwrap.wrap(shown, WIDTH - width - 4, break_on_hyphens=False) or [""]
        print(f"  {key:<{width}}  " + f"\n{'':<{width + 4}}".join(lines))


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


def _show_peptides(peptides: list[dict[str, Any]]) -> None:
    if not peptides:
        return
    print("\npeptides to steer towards (AUC of the judge, share of real binders that pass; --force: weak judge)\n")
    for row in peptides:
        weak = "" if row["area"] >= LEAST_AREA else "; --force"
        print(f"  {row['peptide']:<20} {row['area']:.2f} {row['real_pass']:.2f}  {row['about']}{weak}")
