"""Files as they come from anybody: only those with an end, no more than memory is for, and what was read in words."""

import gzip
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zsteer.errors import InputError

__all__ = ["LARGEST", "Inventory", "check_regular", "left_out", "read_bytes"]

LARGEST = 4 * 2**30
"""Bytes that a file may hold or unpack to."""
BLOCK = 2**24


@dataclass(frozen=True)
class Inventory:
    """What a file holds, in words.

    Args:
        lines: how many of what, and their kinds.
        notes: what was assumed, chosen or left out, a line each.
    """

    lines: tuple[str, ...]
    notes: tuple[str, ...] = ()


def left_out(noun: str, reasons: Sequence[str], most: int = 5) -> tuple[str, ...]:
    """What was left out in one line with the first reasons; none where nothing was.

    Args:
        noun: what it is, in the plural.
        reasons: a line for each.
        most: how many are told.
    """
    if not reasons:
        return ()
    more = f"; and {len(reasons) - most:,} more" if len(reasons) > most else ""
    return (f"{len(reasons):,} {noun} are left out: {'; '.join(reasons[:most])}{more}",)


def check_regular(path: Path) -> None:
    """Refuse what is no file with an end.

    Raises:
        InputError: if there is nothing, or a folder, a device or a pipe.
    """
    if path.is_dir():
        raise InputError(f"{path}: expected a file, got a folder")
    if not path.exists():
        raise InputError(f"{path}: there is no such file")
    if not path.is_file():
        raise InputError(f"{path}: expected a file with an end, got a device or a pipe; save it first")


def read_bytes(path: Path, *, largest: int = LARGEST) -> bytes:
    """Content of a file, unpacked where its name ends in ``.gz``.

    Args:
        path: of the file.
        largest: bytes at most.

    Raises:
        InputError: if it cannot be read, is no whole gzip file, or holds more.
    """
    check_regular(path)
    blocks, whole = list[bytes](), 0
    try:
        with gzip.open(path, "rb") if path.name.lower().endswith(".gz") else path.open("rb") as file:
            while block := file.read(BLOCK):
                blocks.append(block)
                whole += len(block)
                if whole > largest:
                    raise InputError(f"{path}: holds more than {largest / 2**30:.1f} GiB; split it")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: not a whole gzip file ({error}); copy or compress it again") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    return b"".join(blocks)
