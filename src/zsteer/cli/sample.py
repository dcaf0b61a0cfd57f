"""``zsteer sample``: new samples, to a file or to the screen."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Annotated, Any

from zsteer.cli.parse import pairs, parse
from zsteer.errors import SettingsError

__all__ = ["run"]

GIVEN = (
    "name=value that holds: peptide=YLQPRTFLL, class=boot; of a diffusion model also its walk: steps=20 (or auto), "
    "solver=multistep2, scale=2 (classifier-free guidance), guide=MODEL (classifier guidance)"
)


@dataclass(frozen=True)
class Sample:
    """Make new samples: zsteer sample MODEL -n 100 --given name=value --out FILE."""

    out: Path | None = None
    """Where they go, by ending; printed when absent."""
    seed: int = 0
    """Sample i of a seed is the same for every -n."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    overwrite: bool = False
    """Replace an output that exists."""
    json: bool = False
    """Print the result as JSON."""


def _command() -> type[Any]:
    import tyro

    append = tyro.conf.UseAppendAction[tuple[str, ...]]
    extra: list[Any] = [
        ("number", Annotated[int, tyro.conf.arg(name="number", aliases=["-n"], help="how many")], field(default=10)),
        ("given", Annotated[append, tyro.conf.arg(help=GIVEN)], field(default=())),
    ]
    made = make_dataclass("Sample", extra, bases=(Sample,), frozen=True)
    made.__doc__ = Sample.__doc__
    return made


def run(arguments: Sequence[str]) -> int:
    """Run ``zsteer sample``."""
    words = list(arguments)
    if not words or words[0].startswith("-"):
        if words and words[0] in {"-h", "--help"}:
            parse(_command(), words, name="sample")
        raise SettingsError("zsteer sample needs a model first: zsteer sample MODEL -n 100 --out FILE")
    name = words.pop(0)
    command = parse(_command(), words, name=f"sample {name}")
    given = pairs(command.given, flag="--given")
    from zsteer.core import catalog
    from zsteer.core.files import check_free

    catalog.resolve(name)
    if command.out is not None:
        check_free(command.out, overwrite=command.overwrite)
    from zsteer import api

    loaded = api.load(name, device=command.device)
    kit = loaded.kit
    if command.out is not None:
        kit.check_ending(command.out)
    designs = loaded.sample(command.number, given=given, seed=command.seed)
    if command.out is not None:
        kit.write(command.out, designs, overwrite=command.overwrite)
    facts = {"samples": len(designs), **designs.facts, **({"out": str(command.out)} if command.out else {})}
    if command.json:
        print(json.dumps(facts | ({} if command.out else {designs.noun: list(designs.lines)})))
    elif command.out is None:
        print("\n".join(designs.lines))
    else:
        print("\n".join(f"  {key:<24} {value}" for key, value in facts.items()))
    return 0
