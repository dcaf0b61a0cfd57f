"""``zsteer steer``: edit a file of templates, or make new samples, towards a property."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Annotated, Any

from zsteer.cli.parse import pairs, parse
from zsteer.errors import SettingsError

__all__ = ["run"]


def _append() -> Any:
    import tyro

    return tyro.conf.UseAppendAction[tuple[str, ...]]


@dataclass(frozen=True)
class Steer:
    """Edit towards a property, or recommend: zsteer steer MODEL --input FILE --toward name=value --out FILE.

    MODEL is a shipped model (`zsteer recipes` lists them), a run folder or an artifact folder.
    """

    input: Path | None = None
    """What to start from: receptors (.tsv (AIRR), .csv, .fasta, each also as .gz), a user's ratings, or images."""
    out: Path | None = None
    """Where the designs go, by ending, as for --input; printed when absent."""
    max_edits: int | None = None
    """Most changes of a template; 8 when absent."""
    top: int = 1
    """Designs for each template, or items to recommend."""
    seed: int = 0
    """Seed of every random choice."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    overwrite: bool = False
    """Replace an output that exists."""
    skip_invalid: bool = False
    """Leave out rows that cannot be read, count and list them."""
    json: bool = False
    """Print the result as JSON."""


def run(arguments: Sequence[str]) -> int:
    """Run ``zsteer steer``."""
    words = list(arguments)
    if not words or words[0].startswith("-"):
        if words and words[0] in {"-h", "--help"}:
            parse(_command(None), words, name="steer")
        raise SettingsError("zsteer steer needs a model first: zsteer steer MODEL --toward name=value ...")
    name = words.pop(0)
    from zsteer.core import catalog
    from zsteer.core.files import check_free
    from zsteer.kits.options import knobs_of

    folder = catalog.resolve(name)
    knobs = knobs_of(catalog.describe(folder)["kind"])
    command = parse(_command(knobs), words, name=f"steer {name}")
    toward = pairs(command.toward, flag="--toward")
    given = pairs(command.given, flag="--given")
    keep = pairs(command.keep, flag="--keep")
    if not toward:
        raise SettingsError("zsteer steer needs --toward name=value, for example --toward binds=YLQPRTFLL")
    chosen = {key: getattr(command, key) for key in knobs.model_fields}
    if command.input is None and "number" not in chosen and chosen.get("user") is None:
        other = " (or --user NAME)" if "user" in chosen else ""
        raise SettingsError(f"zsteer steer {name} needs --input FILE{other}")
    if command.out is not None:
        check_free(command.out, overwrite=command.overwrite)
    from zsteer import api

    loaded = api.load(name, device=command.device)
    kit = loaded.kit
    if command.out is not None:
        kit.check_ending(command.out)
    start = None if command.input is None else kit.read(command.input, skip_invalid=command.skip_invalid)
    designs = loaded.steer(
        start,
        toward=toward,
        given=given,
        keep=keep,
        max_edits=command.max_edits,
        top=command.top,
        seed=command.seed,
        **chosen,
    )
    facts = {"designs": len(designs), **designs.facts}
    if command.out is not None:
        kit.write(command.out, designs, overwrite=command.overwrite)
        facts = {"designs": len(designs), "out": str(command.out), **designs.facts}
    if start is not None and getattr(start, "skipped", ()):
        facts["skipped"] = [f"row {entry.row}: {entry.reason}" for entry in start.skipped]
    if command.json:
        print(json.dumps(facts if command.out is not None else facts | {designs.noun: list(designs.lines)}))
        return 0
    if command.out is None:
        print("\n".join(designs.lines))
        return 0
    print("\n".join(f"  {key:<24} {_show(value)}" for key, value in facts.items()))
    return 0


def _show(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return "\n    ".join(["", *map(str, value)]) if isinstance(value, list) else str(value)


def _command(knobs: Any) -> type[Any]:
    import tyro

    extra: list[Any] = [
        (
            "toward",
            Annotated[_append(), tyro.conf.arg(help="name=value to steer towards: binds=PEPTIDE, or like=FILE")],
            field(default=()),
        ),
        (
            "given",
            Annotated[_append(), tyro.conf.arg(help="name=value that holds, as for sample: class=boot")],
            field(default=()),
        ),
        (
            "keep",
            Annotated[_append(), tyro.conf.arg(help="name=value that must stay: ends=3, length=yes")],
            field(default=()),
        ),
    ]
    for name, info in knobs.model_fields.items() if knobs is not None else ():
        extra.append(
            (name, Annotated[info.annotation, tyro.conf.arg(help=info.description or "")], field(default=info.default))
        )
    made = make_dataclass("Steer", extra, bases=(Steer,), frozen=True)
    made.__doc__ = Steer.__doc__
    return made
