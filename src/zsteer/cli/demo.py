"""``zsteer demo``: the main job end to end with the shipped models; ``zsteer demo faces``: three panels of faces."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zsteer.cli.parse import pairs, parse

__all__ = ["run"]


@dataclass(frozen=True)
class Demo:
    """Edit known receptors and a repertoire towards one peptide, and report how well that worked.

    zsteer demo faces draws the three panels of the diffusion autoencoder instead.
    """

    out: Path = Path("runs/demo")
    """Folder for designs.tsv and report.html."""
    peptide: str = "YLQPRTFLL"
    """What the designs should bind."""
    data: Path | None = None
    """Folder of the data, for a real repertoire; ZSTEER_DATA when absent; without any it is synthetic."""
    overwrite: bool = False
    """Replace files that exist."""


@dataclass(frozen=True)
class Faces:
    """Faces drawn freely, under guidance, and the free ones edited: zsteer demo faces --out faces.png."""

    out: Path = Path("faces.png")
    """The picture."""
    toward: tuple[str, ...] = ("smile=0.9", "age=0.2", "wave=0.9")
    """What is wanted, name=value of the twelve factors; several after one flag."""
    seed: int = 0
    """Of the noise that all three panels start from."""
    overwrite: bool = False
    """Replace a file that exists."""


def _faces(arguments: Sequence[str]) -> int:
    command = parse(Faces, arguments, name="demo faces")
    from zsteer.core.files import check_free
    from zsteer.core.options import number

    check_free(command.out, overwrite=command.overwrite)
    toward = {k: number(v, f"--toward {k}") for k, v in pairs(command.toward, flag="--toward").items()}
    from zsteer.demo.faces import panels

    made = panels(toward, seed=command.seed)
    made.write(command.out, overwrite=command.overwrite)
    print("\n".join(["mean of each attribute, as the reader sees it:", *made.lines, f"picture: {command.out}"]))
    return 0


def run(arguments: Sequence[str]) -> int:
    """Run ``zsteer demo``."""
    if arguments and arguments[0] == "faces":
        return _faces(arguments[1:])
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
