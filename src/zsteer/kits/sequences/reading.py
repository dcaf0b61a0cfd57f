"""Reading receptors for a user: what the file had that was left out, or taken as something, is said once."""

import warnings
from pathlib import Path

from zsteer.domains.sequences import files
from zsteer.domains.sequences.space import SequenceSpace

__all__ = ["read_receptors"]


def read_receptors(path: Path, *, skip_invalid: bool = False, space: SequenceSpace | None = None) -> files.Table:
    """Read a file of receptors, and warn of what was left out of it.

    Args:
        path: file whose ending says the format.
        skip_invalid: leave out rows that cannot be used.
        space: which sequences are accepted.

    Raises:
        InputError: if the file or a row cannot be used.
    """
    found = files.read(path, skip_invalid=skip_invalid, space=space)
    for note in found.notes:
        warnings.warn(f"{path}: {note}", UserWarning, stacklevel=3)
    return found
