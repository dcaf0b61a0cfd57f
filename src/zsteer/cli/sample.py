"""``zsteer sample``: new samples, to a file or to the screen; help is made from what the model declares."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Annotated, Any

from zsteer.cli.parse import pairs, parse, spread
from zsteer.cli.steer import show_value
from zsteer.errors import SettingsError

__all__ = ["command_for", "run"]

DIFFUSION = ("Conditional", "Grouped")
TYPES = {"number": float, "whole": int, "text": str, "choice": str, "flag": bool, "file": Path}


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


def _option_classes(known: Any) -> list[Any]:
    from zsteer.core.catalog import MODELS
    from zsteer.kits.registry import DOMAINS
    from zsteer.steer.options import DrawOptions, SamplingOptions

    offers = MODELS[known.kind].protocols
    classes: list[Any] = [SamplingOptions] if any(name in offers for name in DIFFUSION) else []
    return [*classes, DrawOptions] if DOMAINS[known.domain].checked else classes


def command_for(known: Any) -> type[Any]:
    """The flags of a model, from what its domain and sampling declare.

    Args:
        known: ``kits.registry.About`` of the model; None for the general help.
    """
    import tyro

    append = tyro.conf.UseAppendAction[tuple[str, ...]]
    given = "name=value that holds, a condition of the model; several after one flag"
    if known is not None:
        given = "; ".join(option.line for option in known.options.at("given").values())
    extra: list[Any] = [
        ("number", Annotated[int, tyro.conf.arg(name="number", aliases=["-n"], help="how many")], field(default=10)),
        ("given", Annotated[append, tyro.conf.arg(help=given or "this model takes no conditions")], field(default=())),
    ]
    if known is not None:
        for cls in _option_classes(known):
            for name, info in cls.model_fields.items():
                arg = tyro.conf.arg(help=info.description or "")
                extra.append((name, Annotated[info.annotation, arg], field(default=info.default)))
        for name, option in known.options.at("sample").items():
            kind, text = TYPES[option.type], f"{option.help}" + (f" [{option.range}]" if option.range else "")
            extra.append((name, Annotated[kind | None, tyro.conf.arg(help=text)], field(default=None)))
    made = make_dataclass("Sample", extra, bases=(Sample,), frozen=True)
    made.__doc__ = Sample.__doc__
    return made


def run(arguments: Sequence[str]) -> int:
    """Run ``zsteer sample``."""
    words = spread(arguments, ("given",))
    if not words or words[0].startswith("-"):
        if words and words[0] in {"-h", "--help"}:
            parse(command_for(None), words, name="sample")
        raise SettingsError("zsteer sample needs a model first: zsteer sample MODEL -n 100 --out FILE")
    name = words.pop(0)
    from zsteer.core import catalog
    from zsteer.core.files import check_free
    from zsteer.kits.registry import about

    known = about(catalog.resolve(name))
    command = parse(command_for(known), words, name=f"sample {name}")
    given = pairs(command.given, flag="--given")
    if command.out is not None:
        check_free(command.out, overwrite=command.overwrite)
    from zsteer import api

    loaded = api.load(name, device=command.device)
    if command.out is not None:
        loaded.kit.check_ending(command.out)
    defaults = {key: info.default for cls in _option_classes(known) for key, info in cls.model_fields.items()}
    defaults |= dict.fromkeys(known.options.at("sample"))
    options = {key: getattr(command, key) for key, usual in defaults.items() if getattr(command, key) != usual}
    found = loaded.sample(command.number, given=given, seed=command.seed, **options)
    if command.out is not None:
        loaded.write(command.out, found, overwrite=command.overwrite)
    facts = {"samples": len(found), **found.facts, **({"out": str(command.out)} if command.out else {})}
    if command.json:
        print(json.dumps(facts | ({} if command.out else {found.noun: list(found.lines)}), default=str))
    elif command.out is None:
        print("\n".join(found.lines))
    else:
        print("\n".join(f"  {key:<24} {show_value(value)}" for key, value in facts.items()))
    return 0
