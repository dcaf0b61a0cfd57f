"""``zsteer evaluate``: an honest report on a file of samples."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Annotated, Any

from zsteer.cli.parse import pairs, parse, spread
from zsteer.cli.show import Progress, note_all
from zsteer.errors import SettingsError

__all__ = ["run"]


@dataclass(frozen=True)
class Evaluate:
    """Say how good samples are: zsteer evaluate FILE --protocol NAME.

    Without --protocol one is taken by what the file holds and what is given beside it, and said: of molecules validity;
    of receptors tcr with --toward; of images and tables two-sample with --reference; likelihood with --models; of
    ratings ratings; else properties.

    properties: every property, beside a reference (--reference FILE). tcr: receptors for a peptide (--toward
    binds=PEPTIDE) or like examples (--toward like=FILE). two-sample: images or rows against real ones (--reference
    FILE). likelihood: how probable a model finds them (--models MODEL). ratings: how well a model predicts them
    (--models MODEL). Molecules alone or against real ones (--reference FILE): validity: valid, unique, novel;
    posebusters and posebusters-fast: its checks (zsteer[eval]); strain: by GFN2-xTB (zsteer[qm]). Only against real
    ones: geom-revisited: valency, graphs, geometry; edm-2022: the lookup of published tables.
    """

    protocol: str = ""
    """Its name: properties, tcr, two-sample, likelihood, ratings; of molecules validity, geom-revisited,
    edm-2022, posebusters, posebusters-fast, strain."""
    models: Path | None = None
    """The model that is asked, or the folder with the judges; the shipped judges when absent."""
    reference: Path | None = None
    """Real samples to compare with (two-sample, molecules): a file, or for molecules a set of the data folder; for tcr
    receptors that are known to bind."""
    seed: int = 0
    """Of every random choice."""
    report: Path | None = None
    """Write a self-contained page here."""
    pgen: bool = False
    """Add the share above a generation probability; needs OLGA, a separate program: pip install olga."""
    skip_invalid: bool = False
    """Leave out rows that cannot be read, count and list them."""
    column: str | None = None
    """Column of the CDR3 of receptors, or of the SMILES of molecules; by the usual names when absent."""
    overwrite: bool = False
    """Replace a page that exists."""
    json: bool = False
    """Print the report as JSON."""


def _command() -> type[Any]:
    import tyro

    append = tyro.conf.UseAppendAction[tuple[str, ...]]
    extra: list[Any] = [
        (
            "toward",
            Annotated[append, tyro.conf.arg(help="name=value: binds=PEPTIDE, or like=FILE of receptors")],
            field(default=()),
        ),
        (
            "property",
            Annotated[append, tyro.conf.arg(help="a property of your own: name=module:function (properties)")],
            field(default=()),
        ),
    ]
    made = make_dataclass("Evaluate", extra, bases=(Evaluate,), frozen=True)
    made.__doc__ = Evaluate.__doc__
    return made


def run(arguments: Sequence[str]) -> int:
    """Run ``zsteer evaluate``."""
    words = spread(arguments, ("toward", "property"))
    if not words or words[0].startswith("-"):
        if words and words[0] in {"-h", "--help"}:
            parse(_command(), words, name="evaluate")
        raise SettingsError(
            "zsteer evaluate needs a file first: zsteer evaluate FILE --protocol tcr --toward binds=PEPTIDE"
        )
    path = Path(words.pop(0))
    command = parse(_command(), words, name="evaluate")
    toward = pairs(command.toward, flag="--toward")
    from zsteer.kits.protocols import default_protocol

    protocol = command.protocol
    if not protocol:
        beside = {name: getattr(command, name) for name in ("property", "toward", "reference", "models")}
        protocol, why = default_protocol(path, {name for name, value in beside.items() if value}, command.column)
        note_all([why])
    from zsteer.core.files import check_free, new_file

    if command.report is not None:
        check_free(command.report, overwrite=command.overwrite)
    from zsteer.kits.registry import PROTOCOL_DOMAINS, check_file

    reading = {"skip_invalid": command.skip_invalid, "column": command.column}
    for file in (path, *([Path(str(toward["like"]))] if "like" in toward else [])):
        check_file(PROTOCOL_DOMAINS.get(protocol, ""), file, **reading)
    from zsteer import api

    own = {name: str(value) for name, value in pairs(command.property, flag="--property").items()}
    if own:
        sys.path.insert(0, str(Path.cwd()))  # a module of one's own lies where one works
    with Progress("evaluating", quiet=command.json) as progress:
        report = api.evaluate(
            path,
            protocol=protocol,
            toward=toward,
            models=command.models,
            skip_invalid=command.skip_invalid,
            column=command.column,
            pgen=command.pgen,
            reference=command.reference,
            seed=command.seed,
            properties=own,
            watch=progress.update,
        )
    if command.report is not None:
        with new_file(command.report, overwrite=command.overwrite) as partial:
            partial.write_text(report.to_html(), encoding="utf-8")
    print(report.to_json() if command.json else report.text(), end="" if not command.json else "\n")
    return 0
