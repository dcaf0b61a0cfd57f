"""Writing without half-written results: a file or folder appears whole or not at all.

Everything is written beside its goal under a temporary name, flushed to the disk, and renamed.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from zsteer.errors import OutputError

__all__ = ["check_free", "new_file", "new_folder"]


def check_free(path: Path, *, overwrite: bool) -> None:
    """Refuse a goal that exists, before any work is done for it.

    Raises:
        OutputError: if ``path`` exists and ``overwrite`` is false, or its parent cannot hold it.
    """
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists; choose another name or pass --overwrite")
    for parent in path.absolute().parents:
        if parent.exists():
            if not parent.is_dir():
                raise OutputError(f"cannot write {path}: {parent} is not a folder")
            if not os.access(parent, os.W_OK):
                raise OutputError(f"cannot write {path}: no permission to write in {parent}")
            return


@contextmanager
def _plain_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError) as error:  # safetensors reports a full disk by an error of its own
        reason = getattr(error, "strerror", None) or str(error)
        raise OutputError(f"cannot write {path}: {reason}; nothing was kept") from error


@contextmanager
def new_file(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary path to write to; it becomes ``path`` when the block ends without an error.

    Raises:
        OutputError: if the goal exists and ``overwrite`` is false, or the disk refuses (full, no permission).
    """
    check_free(path, overwrite=overwrite)
    with _plain_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # The ending is kept, so that a writer that chooses by ending (.gz) still does.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".partial-", suffix="-" + path.name)
        os.close(handle)
        partial = Path(name)
        try:
            yield partial
            with partial.open("rb") as written:
                os.fsync(written.fileno())
            partial.chmod(0o666 & ~_umask())
            if not overwrite and path.exists():
                raise OutputError(f"{path} exists; choose another name or pass --overwrite")
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary folder to fill; it becomes ``path`` when the block ends without an error.

    Raises:
        OutputError: if the goal exists and ``overwrite`` is false, or the disk refuses (full, no permission).
    """
    check_free(path, overwrite=overwrite)
    with _plain_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=path.parent, prefix=".partial-"))
        try:
            yield partial
            partial.chmod(0o777 & ~_umask())
            if path.exists():
                old = partial.with_name(partial.name + "-old")
                path.replace(old)
                partial.replace(path)
                shutil.rmtree(old) if old.is_dir() else old.unlink()
            else:
                partial.replace(path)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
