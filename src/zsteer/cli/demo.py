"""``zsteer demo``: the main job end to end with the shipped models."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zsteer.cli.parse import parse

__all__ = ["run"]


@dataclass(frozen=True)
class Demo:
    """Edit known receptors and a repertoire towards one peptide, and report how well that worked."""

    out: Path = Path("runs/demo")
    """Folder for designs.tsv and report.html."""
    peptide: str = "YLQPRTFLL"
    """What the designs should bind."""
    data: Path | None = None
    """Folder of the data, for a real repertoire; ZSTEER_DATA when absent; without any it is synthetic."""
    overwrite: bool = False
    """Replace files that exist."""


def run(arguments: Sequence[str]) -> int:
    """Run ``zsteer demo``."""
    command = parse(Demo, arguments, name="demo")
    from zsteer.core.files import check_free

    for name in ("designs.tsv", "report.html"):
        check_free(command.out / name, overwrite=command.overwrite)
    data = command.data or (Path(os.environ["ZSTEER_DATA"]) if os.environ.get("ZSTEER_DATA") else None)
    from zsteer.demo.sequences import demo

    made = demo(
        command.out,
        peptide=command.peptide,
        data=data,
        overwrite=command.overwrite,
        watch=lambda what: print(f"  {what} ...", file=sys.stderr),
    )
    print(made.report.text())
    print(f"designs: {made.table}\nreport:  {made.page}\n")
    print("next:")
    print(f"  zsteer evaluate {made.table} --protocol tcr --toward binds={command.peptide}")
    print(
        "  zsteer steer tcr-dwae --input examples/receptors.tsv --toward binds=GTSGSPIINR --max-edits 4 --out new.tsv"
    )
    print("  zsteer bench tcr --quick")
    print("  zsteer sample fashion-ddpm -n 64 --given class=boot --seed 5 --out boots.png")
    return 0
