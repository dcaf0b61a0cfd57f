"""``zsteer train``: from a recipe to an artifact, or on with a run."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Annotated, Any

from zsteer.cli.parse import parse
from zsteer.cli.show import Progress
from zsteer.errors import InputError, SettingsError
from zsteer.recipes.base import RECIPES, Recipe, recipe_class

__all__ = ["run"]


MOST_DEVICES = 64
"""Of one machine."""


@dataclass(frozen=True)
class Train:
    """Fit a model from a recipe, or go on with a run: zsteer train RECIPE --out FOLDER | zsteer train --resume FOLDER.

    RECIPE is a name that `zsteer recipes` lists, or a .yaml file with the key `name` and the recipe's own keys.
    """

    out: Path | None = None
    """Run folder to make."""
    resume: Path | None = None
    """Run folder to go on with, from its newest checkpoint."""
    data: Path | None = None
    """Your file or folder, or the folder of public data; ZSTEER_DATA when absent; `synthetic` draws receptors from the
    shipped models."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    devices: int = 1
    """Processes, started by torchrun."""
    overwrite: bool = False
    """Replace a run folder that exists."""
    json: bool = False
    """Print the result as JSON."""


def run(arguments: Sequence[str]) -> int:
    """Run ``zsteer train``."""
    words = list(arguments)
    first = words.pop(0) if words and not words[0].startswith("-") else None
    if first is None:
        command = parse(Train, words, name="train")
        if command.resume is None:
            raise SettingsError(f"zsteer train needs a recipe or --resume FOLDER; recipes: {', '.join(RECIPES)}")
        return _finish(command, None, arguments)
    values = _from_file(Path(first)) if first.endswith((".yaml", ".yml")) else {"name": first}
    cls = recipe_class(str(values.pop("name", "")))
    command = parse(_with_recipe(cls, values, where=first), words, name=f"train {first}")
    if command.resume is not None:
        raise SettingsError("--resume takes its recipe from the run folder; leave the recipe away")
    if command.out is None:
        raise SettingsError(f"zsteer train {first} needs --out FOLDER, for example --out runs/{cls.name}")
    chosen = {name: getattr(command, name) for name in cls.model_fields}
    from zsteer.core.artifact import settings_from

    return _finish(command, settings_from(cls, chosen, where=f"recipe {cls.name}"), arguments)


def _from_file(path: Path) -> dict[str, Any]:
    from zsteer.core.yaml_files import read_mapping

    values = read_mapping(path)
    if "name" not in values:
        raise InputError(f"{path} should hold the recipe's name under `name`")
    return values


def _with_recipe(cls: type[Recipe], values: Mapping[str, Any], *, where: str) -> type[Train]:
    """The flags of ``train`` together with the keys of a recipe, with their defaults from a file."""
    import tyro

    from zsteer.errors import nearest

    for key in values:
        if key not in cls.model_fields:
            raise SettingsError(f"{where}: {nearest(key, cls.model_fields, what='key')}")
    extra = [
        (
            name,
            Annotated[info.annotation, tyro.conf.arg(help=info.description or "")],
            field(default=values.get(name, info.default)),
        )
        for name, info in cls.model_fields.items()
    ]
    made = make_dataclass("Train", extra, bases=(Train,), frozen=True)
    made.__doc__ = f"{cls.summary}\n\nzsteer train {cls.name} --out FOLDER [flags]"
    return made


def _finish(command: Train, recipe: Recipe | None, arguments: Sequence[str]) -> int:
    import os

    if not 1 <= command.devices <= MOST_DEVICES:
        raise SettingsError(f"--devices: expected 1 to {MOST_DEVICES}, got {command.devices}")
    if command.devices > 1 and "RANK" not in os.environ:
        from zsteer.train.distributed import launch
        from zsteer.train.run import Run

        # Said here once, before any process starts, instead of by one process among several.
        if command.out is not None:
            Run.check_free(command.out, overwrite=command.overwrite)
        return launch(["train", *arguments], command.devices)
    from zsteer import api

    with Progress("training", quiet=command.json) as progress:
        options: dict[str, Any] = {
            "device": command.device,
            "devices": command.devices,
            "watch": progress.update,
        }
        if recipe is None or command.out is None:
            done = api.resume(command.resume or Path(), data=command.data, **options)
        else:
            done = api.fit(recipe, out=command.out, data=command.data, overwrite=command.overwrite, **options)
    if done is None:
        return 0  # another process of the group reports
    origin = done.model.origin
    left_out = {"left out": origin.data["left_out"]} if "left_out" in origin.data else {}
    if command.json:
        print(json.dumps({"artifact": str(done.folder), "metrics": dict(origin.metrics), **left_out}))
    else:
        if "verdict" in origin.metrics:
            print(origin.metrics["verdict"])
        for name, value in (*origin.metrics.items(), *left_out.items()):
            print(f"  {name:<28} {value}")
        print(f"model: {done.folder}")
    return 0
