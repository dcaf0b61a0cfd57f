"""``zsteer sample``: new samples, to a file or to the screen; help is made from what the model declares."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from zsteer.cli.parse import named, pairs, parse, spread
from zsteer.cli.steer import show_value
from zsteer.core.memory import check_fits
from zsteer.errors import CapabilityError, SettingsError

__all__ = ["command_for", "run"]

TYPES = {"number": float, "whole": int, "text": str, "choice": str, "flag": Literal["yes", "no"], "file": Path}


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


def command_for(known: Any) -> type[Any]:
    """The flags of a model, from what its domain and sampling declare.

    Args:
        known: ``kits.registry.About`` of the model; None for the general help.
    """
    import tyro

    append = tyro.conf.UseAppendAction[tuple[str, ...]]

    def entry(name: str, annotation: Any, default: Any, text: str, *more: str) -> tuple[str, Any, Any]:
        arg = tyro.conf.arg(name=name.replace("_", "-"), aliases=more, help=text)
        return (name, Annotated[annotation, arg], field(default=default))

    extra = [entry("number", int, 10, "how many", "-n")]
    given = "name=value, a condition of the model; several after one flag"
    if known is not None:
        given = "; ".join(option.line for option in known.options.at("given").values())
    extra.append(entry("given", append, (), given or "this model takes no conditions"))
    if known is not None and any(option.soft for option in known.options.at("given").values()):
        extra.append(entry("force", bool, False, "go on where a condition is far outside of the training set"))
    if known is not None:
        own = known.options.at("sample")
        if known.judged:
            extra.append(entry("force", bool, False, "go on where what is made has no judge, or a weak one"))
        extra += [entry(f.name, f.annotation, f.default, f.help) for f in known.sampling_flags() if f.name not in own]
        for name, option in own.items():
            text = option.help + (f" [{option.range}]" if option.range else "")
            extra.append(entry(name, TYPES[option.type] | None, None, text))
    made = make_dataclass("Sample", extra, bases=(Sample,), frozen=True)
    made.__doc__ = Sample.__doc__ if known is None else f"Make new {known.options.noun} with this {known.kind}."
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
    if "Generative" not in known.offers:
        raise CapabilityError(f"models of kind {known.kind!r} make no samples; zsteer steer {name} --help shows more")
    command = parse(command_for(known), words, name=f"sample {name}")
    check_fits(command.number, 1, what=f"--number {command.number}")
    given = pairs(command.given, flag="--given")
    if command.out is not None:
        check_free(command.out, overwrite=command.overwrite)
    from zsteer import api

    loaded = api.load(name, device=command.device)
    if command.out is not None:
        loaded.kit.check_ending(command.out)
    names = [flag.name for flag in known.sampling_flags()] + list(known.options.at("sample"))
    options = {key: getattr(command, key) for key in names if key in named(words)}
    force = getattr(command, "force", False)
    found = loaded.sample(command.number, given=given, seed=command.seed, force=force, **options)
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
