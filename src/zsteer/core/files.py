"""Writing without half-written results: a file or folder appears whole or not at all, and replaces nothing of others.

Everything is written beside its goal under a temporary name, flushed to the disk, and renamed. A folder holds a list of
the files that were written into it (``.zsteer``): with ``overwrite`` a folder that holds anything else is not replaced.
A link is followed; a device, a pipe or a socket is never written over. Temporary names hold the process, so that what a
killed process left behind is removed by the next one that writes there.
"""

import hashlib
import os
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

from safetensors import SafetensorError

from zsteer.errors import OutputError

__all__ = [
    "MARK",
    "alive",
    "check_free",
    "forsaken",
    "machine",
    "new_file",
    "new_folder",
    "plain_mode",
    "strangers",
]

MARK = ".zsteer"
"""In every folder that is written here: the names of its files, a line each."""
PARTIAL = ".partial-"
SHOWN = 3
OLD = 14 * 24 * 3600
"""Seconds after which nothing is still being written, whoever began it."""
LONGEST = 120
"""Letters of a name that its temporary one keeps, the ending among them."""


def check_free(path: Path, *, overwrite: bool, known: Sequence[str] = ()) -> None:
    """Refuse a goal that exists, before any work is done for it.

    Args:
        path: where something is to be written.
        overwrite: whether what exists may be replaced.
        known: patterns of names that a folder may hold besides what its list says.

    Raises:
        OutputError: if ``path`` exists and ``overwrite`` is false, it is no file or folder, it is a folder with files
            of others, or its parent cannot hold it.
    """
    goal = _followed(path)
    if goal.exists():
        if not (goal.is_file() or goal.is_dir()):
            raise OutputError(f"{path} is a {_special(goal)}, not a file; choose another name")
        if not overwrite:
            raise OutputError(f"{path} exists; choose another name or pass --overwrite")
        if goal.is_dir() and (others := strangers(goal, known)):
            more = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
            raise OutputError(
                f"{path} holds files that zsteer did not write there ({', '.join(others[:SHOWN])}{more}), so it is not "
                "replaced; choose another name or remove it yourself"
            )
    for parent in goal.absolute().parents:
        if parent.exists():
            if not parent.is_dir():
                raise OutputError(f"cannot write {path}: {parent} is not a folder")
            if not os.access(parent, os.W_OK):
                raise OutputError(f"cannot write {path}: no permission to write in {parent}")
            return


def strangers(folder: Path, known: Sequence[str] = ()) -> list[str]:
    """Files below a folder that are in no list of it or of the folders below, sorted; links count as files.

    Args:
        folder: that exists.
        known: patterns of relative names that are known besides.
    """
    found: list[str] = []
    marks: dict[Path, frozenset[str]] = {}
    for place, folders, names in os.walk(folder):
        here = Path(place)
        marks[here] = _listed(here)
        for name in [*names, *(one for one in folders if (here / one).is_symlink())]:
            path = here / name
            within = path.relative_to(folder).as_posix()
            own = [base for base in (here, *here.parents) if base in marks]
            listed = any(path.relative_to(base).as_posix() in marks[base] for base in own)
            if not (listed or name == MARK or any(fnmatch(within, pattern) for pattern in known)):
                found.append(within)
    return sorted(found)


def _listed(folder: Path) -> frozenset[str]:
    try:
        return frozenset((folder / MARK).read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError):
        return frozenset()


def _followed(path: Path) -> Path:
    """Where a link leads; the path itself otherwise."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _special(path: Path) -> str:
    mode = path.stat().st_mode
    kinds = ((stat.S_ISFIFO, "pipe"), (stat.S_ISSOCK, "socket"), (stat.S_ISBLK, "device"), (stat.S_ISCHR, "device"))
    return next((word for test, word in kinds if test(mode)), "special file")


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
        OutputError: if the goal exists and ``overwrite`` is false, it is no file, or the disk refuses (full, no
            permission).
    """
    goal = _followed(path)
    if goal.is_dir():
        raise OutputError(f"{path} is a folder, and a file is to be written; choose another name")
    check_free(path, overwrite=overwrite)
    with _plain_errors(path):
        goal.parent.mkdir(parents=True, exist_ok=True)
        _sweep(goal.parent)
        # The ending is kept, so that a writer that chooses by ending (.gz) still does.
        handle, name = tempfile.mkstemp(dir=goal.parent, prefix=_prefix(), suffix="-" + goal.name[-LONGEST:])
        os.close(handle)
        partial = Path(name)
        try:
            yield partial
            with partial.open("rb") as written:
                os.fsync(written.fileno())
            plain_mode(partial)
            if not overwrite and goal.exists():
                raise OutputError(f"{path} exists; choose another name or pass --overwrite")
            partial.replace(goal)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path, *, overwrite: bool = False, known: Sequence[str] = ()) -> Iterator[Path]:
    """Give a temporary folder to fill; it becomes ``path`` when the block ends without an error.

    Args:
        path: where to.
        overwrite: replace a folder that holds nothing but what was written there.
        known: patterns of names that such a folder may hold besides what its list says.

    Raises:
        OutputError: if the goal exists and ``overwrite`` is false, it is no folder or holds files of others, or the
            disk refuses (full, no permission).
    """
    goal = _followed(path)
    check_free(path, overwrite=overwrite, known=known)
    if goal.exists() and not goal.is_dir():
        raise OutputError(f"{path} is a file, and a folder is to be written; choose another name")
    with _plain_errors(path):
        goal.parent.mkdir(parents=True, exist_ok=True)
        _sweep(goal.parent)
        partial = Path(tempfile.mkdtemp(dir=goal.parent, prefix=_prefix()))
        old = partial.with_name(partial.name + "-old")
        try:
            yield partial
            _finish(partial)
            if goal.exists():
                goal.replace(old)
                try:
                    partial.replace(goal)
                except OSError:
                    old.replace(goal)
                    raise
                shutil.rmtree(old, ignore_errors=True)
            else:
                partial.replace(goal)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _finish(folder: Path) -> None:
    """List the files, and give all of them the permissions of plain ones."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    for name in names:
        plain_mode(folder / name)
    (folder / MARK).write_text("".join(name + "\n" for name in names if Path(name).name != MARK), encoding="utf-8")
    folder.chmod(0o777 & ~_umask())


def plain_mode(path: Path) -> None:
    """The permissions that a new file has: temporary ones are readable by their owner alone."""
    path.chmod(0o666 & ~_umask())


def machine() -> str:
    """What tells the processes of this system from those of others that share its files.

    The name of the host alone does not: containers may have the same. With it go the boot and the space of process
    numbers, where the system tells them.
    """
    name = "".join(letter for letter in socket.gethostname() if letter.isalnum())[:24] or "host"
    return f"{name}.{_digest(_boot())}{_digest(_numbers())}"


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def _numbers() -> str:
    """The space of process numbers that this process is in."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]


def _prefix() -> str:
    return f"{PARTIAL}{machine()}-{os.getpid()}-"


def alive(where: str, process: int) -> bool:
    """Whether a process may still run: one of another system, or of this one as far as is known.

    Args:
        where: its ``machine``.
        process: its number there.
    """
    if where != machine() or os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def forsaken(where: str, path: Path) -> bool:
    """Whether something of another system is older than its process can be: a file of before a boot, or of weeks ago.

    Args:
        where: the ``machine`` that it was written by.
        path: what was written.
    """
    try:
        written = path.lstat().st_mtime
    except OSError:
        return False
    name, _, rest = where.partition(".")
    own, _, ours = machine().partition(".")
    rebooted = name == own and rest[:6] != ours[:6] and written < _booted()
    return where != machine() and (rebooted or time.time() - written > OLD)


def _booted() -> float:
    """When this system started, in seconds since 1970; 0 if unknown."""
    try:
        return time.time() - float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return 0.0


def _sweep(parent: Path) -> None:
    """Remove what dead processes left unfinished here."""
    for path in parent.glob(f"{PARTIAL}*-*"):
        where, _, rest = path.name.removeprefix(PARTIAL).partition("-")
        number = rest.split("-", 1)[0]
        if number.isdigit() and (not alive(where, int(number)) or forsaken(where, path)):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
