"""Arrays that are worked out once: kept in the user's cache folder under the hash of what they follow from.

A file that is missing, damaged or of another make is made anew; a folder that cannot be written to is no error. Nothing
but plain arrays is read (no pickle).
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsteer.core.arrays import read_arrays
from zsteer.core.files import new_file
from zsteer.errors import InputError, OutputError

__all__ = ["cache_folder", "cached_arrays", "drop_arrays", "key_of_file", "key_of_words", "known_arrays"]


def cache_folder() -> Path:
    """Where the user's programs keep what can be made again."""
    home = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or str(Path.home() / ".cache")
    return Path(home) / "zsteer"


def key_of_words(*words: object) -> str:
    """A key of everything that a result follows from."""
    return hashlib.sha256("\0".join(map(str, words)).encode()).hexdigest()[:32]


def key_of_file(path: Path) -> str:
    """A key of the content of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]


def cached_arrays(
    kind: str, key: str, names: Sequence[str], make: Callable[[], Mapping[str, NDArray[Any]]]
) -> Mapping[str, NDArray[Any]]:
    """Arrays from the cache, or made and kept there.

    Args:
        kind: folder of the cache.
        key: of everything that the arrays follow from.
        names: of the arrays.
        make: what works them out.
    """
    known = known_arrays(kind, key, names)
    if known is not None:
        return known
    found, path = make(), _path(kind, key)
    with suppress(OutputError), new_file(path, overwrite=True) as partial, partial.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **dict(found))
    return found


def _path(kind: str, key: str) -> Path:
    return cache_folder() / kind / f"{key}.npz"


def drop_arrays(kind: str, key: str) -> None:
    """Remove what was kept under ``key/...``, once nobody needs it."""
    shutil.rmtree(cache_folder() / kind / key, ignore_errors=True)


def known_arrays(kind: str, key: str, names: Sequence[str]) -> Mapping[str, NDArray[Any]] | None:
    """Arrays from the cache; None where they are not there, or damaged.

    Args:
        kind: folder of the cache.
        key: of everything that the arrays follow from; with a slash for one of several that go together.
        names: of the arrays.
    """
    try:
        found = read_arrays(_path(kind, key), names)
    except InputError:
        return None
    return found if set(found) == set(names) else None
