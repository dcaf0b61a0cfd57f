"""The text of a file of sequences, whatever wrote it: gzip, UTF-8 with or without a mark, UTF-16, Latin-1. No torch.

The whole file is looked through once, in blocks, before anything is read from it: what cannot be decoded, a cut gzip
file or a zero byte is an error with its row at once, and the encoding is known. It is then read as a stream.
"""

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from zsteer.core.reading import check_regular
from zsteer.errors import InputError

__all__ = ["ENDINGS", "Source", "examine", "separator_of"]

ENDINGS = {
    ".tsv": "\t",
    ".airr": "\t",
    ".txt": "\t",
    ".csv": ",",
    ".fasta": ">",
    ".fa": ">",
    ".faa": ">",
}
"""File ending -> separator of its columns; ``>`` stands for FASTA."""

BLOCK = 1 << 20
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_CONTROL = re.compile("[\x01-\x08\x0e-\x1f\x7f-\x9f]")


def separator_of(path: Path) -> str:
    """The separator that an ending promises; ``>`` for FASTA.

    Raises:
        InputError: if the ending is unknown; names the known ones.
    """
    name = path.name.lower().removesuffix(".gz")
    for ending, separator in ENDINGS.items():
        if name.endswith(ending):
            return separator
    known = " ".join(ENDINGS)
    more = "; save the sheet as .csv" if name.endswith((".xlsx", ".xls", ".ods")) else ""
    raise InputError(
        f"{path}: cannot tell the format from the ending; expected one of {known}, each also with .gz{more}"
    )


@dataclass(frozen=True)
class Source:
    """A file that can be decoded to its end.

    Args:
        path: the file.
        encoding: of its text.
        notes: what was assumed of it.
    """

    path: Path
    encoding: str
    notes: tuple[str, ...] = ()

    @contextmanager
    def text(self) -> Iterator[io.TextIOWrapper]:
        """The text as a stream of lines, their ends as they are.

        Raises:
            InputError: if the file is not any more what it was.
        """
        try:
            with (
                _bytes(self.path) as raw,
                io.TextIOWrapper(cast("io.BufferedReader", raw), encoding=self.encoding, newline="") as lines,
            ):
                yield lines
        except (OSError, EOFError, zlib.error, UnicodeError) as error:
            raise InputError(f"{self.path}: cannot be read: {error}; it was changed meanwhile") from None


def _bytes(path: Path) -> io.BufferedIOBase:
    return gzip.open(path, "rb") if path.name.lower().endswith(".gz") else path.open("rb")


def examine(path: Path) -> Source:
    """Look through a file.

    Raises:
        InputError: if there is none, it is empty, or it is no text.
    """
    check_regular(path)
    try:
        with _bytes(path) as raw:
            return _decoded(path, raw)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: not a whole gzip file ({error}); copy or compress it again") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None


def _decoded(path: Path, raw: io.BufferedIOBase) -> Source:
    first = raw.read(BLOCK)
    if first.startswith(b"\x1f\x8b"):
        raise InputError(f"{path}: the content is gzip-compressed; add .gz to its name")
    encoding = next((name for mark, name in _MARKS if first.startswith(mark)), "utf-8")
    decoder = codecs.getincrementaldecoder(encoding)()
    row, blank, block = 1, True, first
    while True:
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            if encoding != "utf-8":
                raise InputError(f"{path}: row {row}: not the text that its mark promises ({error.reason})") from None
            encoding, decoder = "latin-1", codecs.getincrementaldecoder("latin-1")()
            text = decoder.decode(block)
        _check_text(path, text, row, encoding)
        row += text.count("\n")
        blank = blank and not text.strip()
        if not block:
            break
        block = raw.read(BLOCK)
    if blank:
        raise InputError(f"{path}: the file is empty; expected a header and at least one row")
    assumed = "not UTF-8; read as Latin-1 text, check its accents" if encoding == "latin-1" else ""
    return Source(path, encoding, (assumed,) if assumed else ())


def _check_text(path: Path, text: str, row: int, encoding: str) -> None:
    """Refuse what no text has.

    Raises:
        InputError: on a zero byte, or bytes that are control characters of Latin-1.
    """
    if "\0" in text:
        row += text[: text.index("\0")].count("\n")
        raise InputError(f"{path}: row {row}: a zero byte; this is not a text file")
    strange = _CONTROL.search(text) if encoding == "latin-1" else None
    if strange is not None:
        row += text[: strange.start()].count("\n")
        code = ord(strange[0])
        raise InputError(f"{path}: row {row}: byte 0x{code:02x} is neither UTF-8 nor Latin-1 text; save it as UTF-8")
