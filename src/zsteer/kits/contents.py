"""Which domain a file belongs to, and what it holds in words: ``zsteer convert FILE --report`` and default protocols.

Each domain says for itself what it recognises and reports what it reads (``registry.DOMAINS``). A table belongs to the
general domain, tables, where no other recognises it.
"""

from dataclasses import dataclass
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

from zsteer.core.catalog import load_name
from zsteer.core.reading import Inventory
from zsteer.errors import InputError, SettingsError, nearest
from zsteer.kits.registry import DOMAINS

__all__ = ["Content", "content_of", "report_of"]

SAY = "say which: convert --report --domain NAME, evaluate --protocol NAME"


@dataclass(frozen=True)
class Content:
    """What a file is taken for.

    Args:
        domain: by name.
        words: what it holds.
    """

    domain: str
    words: str


def content_of(path: Path, column: str | None = None) -> Content:
    """The domain of a file or folder, by its ending, its heading or its first rows.

    Args:
        path: a file or folder.
        column: that is named of it; only domains with a column to name have such files.

    Raises:
        InputError: if there is no such file, no domain recognises it, or several do; they are named.
    """
    if not path.exists():
        raise InputError(f"{path}: there is no such file or folder")
    able = {domain: row for domain, row in DOMAINS.items() if column is None or row.column}
    named = {} if column is None else {"column": column}
    known = [(domain, row, load_name(row.recognises)(path, **named)) for domain, row in able.items() if row.recognises]
    fits = [Content(domain, words) for domain, row, words in known if words and not row.general]
    fits = fits or [Content(domain, words) for domain, _, words in known if words]
    if len(fits) > 1:
        choices = ", or ".join(f"{one.domain} ({one.words})" for one in fits)
        raise InputError(f"{path} can be {choices}; {SAY}")
    if not fits and column is not None:
        what = " or ".join(row.column for row in able.values())
        raise InputError(f"{path} has no column {column!r} that holds {what}; spell it as the heading does, or {SAY}")
    if not fits:
        raise InputError(
            f"{path}: neither its name nor its content tells what it holds; expected {', '.join(DOMAINS)}; {SAY}"
        )
    return fits[0]


def report_of(path: Path, domain: str | None = None, **reading: Any) -> tuple[Content, Inventory]:
    """What a file holds: its domain, and what is read of it without doing more.

    Args:
        path: a file or folder.
        domain: whose file it is; recognised when None.
        **reading: keywords of the domain's reader that were given.

    Raises:
        InputError: if it is not recognised, or cannot be read.
        SettingsError: if the domain does not exist, or has no such keyword.
    """
    if domain is not None and domain not in DOMAINS:
        raise SettingsError(nearest(domain, DOMAINS, what="domain"))
    content = content_of(path, reading.get("column")) if domain is None else Content(domain, "as --domain names it")
    if not DOMAINS[content.domain].report:
        raise SettingsError(f"{path}: the domain {content.domain} reports nothing of its files")
    report = load_name(DOMAINS[content.domain].report)
    taken = signature(report).parameters
    if not any(one.kind is Parameter.VAR_KEYWORD for one in taken.values()):
        for name in reading:
            if name not in taken:
                raise SettingsError(f"{path} holds {content.domain}, which take no --{name.replace('_', '-')}; omit it")
    return content, report(path, **reading)
