"""What ``--toward`` and ``--keep`` take for molecules, and the files. Imports no torch."""

from zsteer.core.options import Option, Options
from zsteer.domains.molecules.properties import PROPERTIES

__all__ = ["OPTIONS"]

OPTIONS = Options(
    "molecules",
    ".sdf, .xyz, .smi, .csv or .npz",
    (
        *(quantity.option for quantity in PROPERTIES.values()),
        Option("scaffold", "keep", "choice", "the Murcko scaffold of each molecule stays", choices=("murcko",)),
        Option("pattern", "keep", "text", "the first match of this SMARTS stays, the rest is made anew"),
    ),
)
