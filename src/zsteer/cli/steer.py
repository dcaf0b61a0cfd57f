"""``zsteer steer``: edit a file of samples, or make new ones, towards a goal; the model declares its help."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Annotated, Any

from zsteer.cli.parse import named, pairs, parse, spread
from zsteer.cli.show import Progress
from zsteer.core.memory import check_fits
from zsteer.errors import CapabilityError, SettingsError
from zsteer.kits.registry import DOMAINS

__all__ = ["command_for", "run"]

SEVERAL = ("toward", "given", "keep", "free", "property")
"""Flags that take several words after one, or come again."""
GENERAL = ("number", "max_edits", "max_calls", "examples", "force", "skip_invalid", "column")
"""Flags that stand on the pages of some models only."""


@dataclass(frozen=True)
class Steer:
    """Edit or make samples towards a goal: zsteer steer MODEL --toward name=value --out FILE.

    MODEL is a shipped model (`zsteer recipes` lists them), a run folder or an artifact folder; `zsteer steer MODEL
    --help` shows what that model takes. Goals: logp=-1 a value, qed+=0.1 and sas-=0.5 changes, qed=up and qed=down
    directions, y=2.. at least, y=2..3 within, name!=X to be avoided.
    """

    out: Path | None = None
    """Where the results go, by ending, as for --input; printed when absent."""
    top: int = 1
    """Results for each start."""
    seed: int = 0
    """Seed of every random choice."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    overwrite: bool = False
    """Replace an output that exists."""
    skip_invalid: bool = False
    """Leave out rows that cannot be read, and starts that the model cannot use; count and list them."""
    json: bool = False
    """Print the result as JSON."""


def run(arguments: Sequence[str]) -> int:
    """Run ``zsteer steer``."""
    words = spread(arguments, SEVERAL)
    if not words or words[0].startswith("-"):
        if words and words[0] in {"-h", "--help"}:
            parse(_command(None), words, name="steer")
        raise SettingsError("zsteer steer needs a model first: zsteer steer MODEL --toward name=value ...")
    name = words.pop(0)
    from zsteer.core import catalog
    from zsteer.core.files import check_free
    from zsteer.kits.registry import about, check_file

    known = about(catalog.resolve(name))
    if not known.methods:
        raise CapabilityError(f"no method steers models of kind {known.kind!r}; zsteer sample {name} makes samples")
    command = parse(command_for(known), words, name=f"steer {name}")
    for flag in ("number", "top"):
        wanted = getattr(command, flag, None) or 0
        check_fits(wanted, 1, what=f"--{flag} {wanted}")
    toward = pairs(command.toward, flag="--toward")
    if not toward:
        shown = ", ".join(list(known.options.at("toward"))[:8])
        raise SettingsError(f"zsteer steer {name} needs --toward name=value; names: {shown}")
    if command.out is not None:
        check_free(command.out, overwrite=command.overwrite)
    reading = {"skip_invalid": command.skip_invalid, **({"column": command.column} if _column(command) else {})}
    counts = [check_file(known.domain, path, **reading) for path in _files(command, toward, known.options)]
    from zsteer import api

    if getattr(command, "property", ()):
        sys.path.insert(0, str(Path.cwd()))  # a module of one's own lies where one works
    loaded = api.load(name, device=command.device)
    if command.out is not None:
        loaded.kit.check_ending(command.out)
    options = _options(command, toward, known, words)
    if command.out is not None and command.input is not None and _large(loaded.kit, counts):
        with Progress("steering", quiet=command.json) as progress:
            more = {"overwrite": command.overwrite, "watch": progress.update}
            found = loaded.steer_file(command.input, command.out, **more, **options)
        _show(found, found, command, known.options.noun)
        return 0
    start = None if command.input is None else loaded.read(command.input, **reading)
    if start is not None and command.skip_invalid:
        start = loaded.usable(start, keep=options["keep"])
    found = loaded.steer(start, **options)
    if command.out is not None:
        loaded.write(command.out, found, overwrite=command.overwrite)
    _show(found, start, command, known.options.noun)
    return 0


def _options(command: Any, toward: Mapping[str, object], known: Any, words: Sequence[str]) -> dict[str, Any]:
    """What the command line asks of ``steer``: flags of methods only where they were written."""
    chosen = named(words) - set(GENERAL)
    return {
        "toward": toward,
        "given": pairs(getattr(command, "given", ()), flag="--given"),
        "keep": pairs(getattr(command, "keep", ()), flag="--keep", bare=True),
        "free": getattr(command, "free", ()),
        "by": command.by,
        "top": command.top,
        "seed": command.seed,
        "properties": {k: str(v) for k, v in pairs(getattr(command, "property", ()), flag="--property").items()},
        **{key: getattr(command, key) for key in GENERAL if hasattr(command, key)},
        **{flag.name: getattr(command, flag.name) for flag in known.flags() if flag.name in chosen},
    }


def _large(kit: Any, counts: Sequence[int]) -> bool:
    from zsteer.kits.base import Streaming

    return bool(counts) and isinstance(kit, Streaming) and kit.streams(counts[0])


def _column(command: Any) -> str | None:
    return getattr(command, "column", None)


def _files(command: Any, toward: Mapping[str, object], options: Any) -> list[Path]:
    """Files of samples that a command line names."""
    goals = [
        Path(str(value))
        for name, value in toward.items()
        if getattr(options.at("toward").get(name), "type", "") == "file"
    ]
    return [*([command.input] if command.input is not None else []), *goals]


def _show(found: Any, start: Any, command: Any, noun: str) -> None:
    """Print results, or figures about them where they went to a file."""
    facts = {"results": len(found), **({"out": str(command.out)} if command.out else {}), **found.facts}
    if start is not None and start.skipped:
        facts["skipped"] = capped(start.skipped)
    if command.json:
        print(json.dumps(facts if command.out is not None else facts | {noun: list(found.lines)}, default=str))
    elif command.out is None:
        print("\n".join(found.lines))
    else:
        print("\n".join(f"  {key:<24} {show_value(value)}" for key, value in facts.items()))


def capped(lines: Sequence[str], most: int = 20) -> list[str]:
    """The first lines, and how many more there are."""
    return [*lines[:most], *([f"... and {len(lines) - most} more"] if len(lines) > most else [])]


def show_value(value: object) -> str:
    """A fact as text; a list one line each."""
    if isinstance(value, float):
        return f"{value:.3g}"
    return "\n    ".join(["", *map(str, value)]) if isinstance(value, list | tuple) else str(value)


def _append() -> Any:
    import tyro

    return tyro.conf.UseAppendAction[tuple[str, ...]]


def _entry(name: str, annotation: Any, default: Any, text: str) -> tuple[str, Any, Any]:
    import tyro

    return (name, Annotated[annotation, tyro.conf.arg(help=text)], field(default=default))


def command_for(known: Any) -> type[Any]:
    """The flags of a model, from what its domain and methods declare.

    Args:
        known: ``kits.registry.About`` of the model.
    """
    return _command(known)


def _command(known: Any) -> type[Any]:
    made = make_dataclass("Steer", _entries(known), bases=(Steer,), frozen=True)
    made.__doc__ = Steer.__doc__ if known is None else _about(known)
    return made


def _about(known: Any) -> str:
    methods: dict[str, str] = {}
    for row in known.methods:
        methods.setdefault(row.name, row.help)
    listed = "; ".join(f"{name}: {text}" for name, text in methods.items())
    return (
        f"Edit or make {known.options.noun} towards a goal with this {known.kind}.\n\n"
        f"Methods, in the order in which they are tried: {listed}."
    )


def _names(options: Mapping[str, Any]) -> str:
    return "; ".join(option.line for option in options.values())


BY = "method: {}; the first that fits when absent"


def _entries(known: Any) -> list[tuple[str, Any, Any]]:
    if known is None:
        wide = {
            "toward": "name=value to steer towards, several after one flag",
            "given": "name=value that holds, a condition of the model",
            "keep": "name=value or a property that stays; rest: all others",
            "free": "properties that --keep rest does not hold",
        }
        return [
            _entry("input", Path | None, None, "what to start from, by ending"),
            _entry("by", str | None, None, BY.format("guide, edit, search or rerank")),
            *(_entry(name, _append(), (), text) for name, text in wide.items()),
        ]
    options = known.options
    methods = ", ".join(dict.fromkeys(row.name for row in known.methods))
    entries = [
        _entry("input", Path | None, None, f"{options.noun} to start from: {options.files}"),
        _entry("toward", _append(), (), _names(options.at("toward"))),
        _entry("by", str | None, None, BY.format(methods)),
    ]
    if known.domain != "ratings":
        entries += _wide(known)
    entries += [
        _entry(flag.name, flag.annotation, flag.default, flag.help)
        for flag in known.flags()
        if flag.name not in {name for name, _, _ in entries}
    ]
    return entries


def _wide(known: Any) -> list[tuple[str, Any, Any]]:
    """Flags of every domain whose goals are properties; each only where it means something for this kind of model."""
    options = known.options
    entries = [_entry("number", int | None, None, f"new {options.noun}, where there is no --input; 16 when absent")]
    entries.append(_entry("given", _append(), (), _names(options.at("given")) or "this model takes no conditions"))
    if not known.holds:
        entries.append(_entry("keep", _append(), (), "nothing: this model makes new samples only"))
    else:
        held = "a property's name: it stays at the start's value; rest: all others"
        keeps = "; ".join(text for text in (_names(options.at("keep")), held) if text)
        entries.append(_entry("keep", _append(), (), keeps))
        entries.append(_entry("free", _append(), (), "properties that --keep rest does not hold"))
    entries.append(_entry("property", _append(), (), "a property of your own: name=module:function"))
    entries.append(_entry("max_calls", int | None, None, "most distinct calls of a property for each start"))
    if DOMAINS[known.domain].column:
        text = f"column of {DOMAINS[known.domain].column} in every table that is read; by the usual names when absent"
        entries.append(_entry("column", str | None, None, text))
    if known.domain == "sequences":
        entries.append(_entry("max_edits", int | None, None, "most changes of a template; by the method when absent"))
    if "Codec" in known.offers:
        entries.append(_entry("examples", Path | None, None, "labelled examples that heads of an edit are fitted on"))
    reasons = ["a judge is too weak"] if "binds" in options.at("toward") else []
    reasons += ["a head is too weak"] if "Codec" in known.offers else []
    soft = any(option.soft for option in options.at("given").values())
    open_ended = any(
        option.type == "number" and None in {option.low, option.high} for option in options.at("toward").values()
    )
    reasons += ["a value is far outside of what can be reached"] if soft or open_ended else []
    if reasons:
        entries.append(_entry("force", bool, False, f"go on where {' or '.join(reasons)}"))
    return entries
