"""Flags from a frozen dataclass through tyro; every mistake is one line with the nearest right name."""

import contextlib
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TypeVar

from zsteer.errors import SettingsError, nearest

__all__ = ["named", "pairs", "parse", "spread"]

C = TypeVar("C")


def parse(command: type[C], arguments: Sequence[str], *, name: str) -> C:
    """Read the flags of a command.

    Args:
        command: a frozen dataclass; its fields are the flags, its docstring the help.
        arguments: what follows the command's name.
        name: the command's name, for example ``train``.

    Returns:
        An instance of ``command``.

    Raises:
        SettingsError: on an unknown flag, a missing argument or a wrong value.
    """
    flags = {"--" + field.name.replace("_", "-") for field in fields(command)}  # type: ignore[arg-type]
    flags |= {"--no-" + flag[2:] for flag in flags} | {"-h", "--help", "-n"}
    for word in arguments:
        flag = word.split("=", 1)[0].replace("_", "-")
        if flag.startswith("--") and len(flag) > 2 and flag not in flags:
            raise SettingsError(f"zsteer {name}: " + nearest(flag, [x for x in flags if "--no-" not in x], what="flag"))
    import tyro

    captured = io.StringIO()
    try:
        with contextlib.redirect_stderr(captured):
            found = tyro.cli(command, args=list(arguments), prog=f"zsteer {name}")
    except SystemExit as leave:
        if leave.code in {0, None}:
            raise
        raise SettingsError(f"zsteer {name}: {_line(captured.getvalue())}; see zsteer {name} --help") from None
    _check_sizes(found, name)
    return found


MOST = 10**9
"""Of any count; a seed may have 63 bits."""


def _check_sizes(command: object, name: str) -> None:
    """Refuse numbers that no machine could serve, before anything is made of them.

    Raises:
        SettingsError: if a whole number is larger.
    """
    for field in fields(command):  # type: ignore[arg-type]
        value = getattr(command, field.name)
        most = 2**63 - 1 if field.name == "seed" else MOST
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, int) and not isinstance(each, bool) and abs(each) > most:
                flag = "--" + field.name.replace("_", "-")
                raise SettingsError(f"zsteer {name}: {flag} is at most {most:,}, got {_short(each)}")


def _short(number: int) -> str:
    text = str(number)
    return text if len(text) <= 20 else f"a number of {len(text)} digits"


def _line(box: str) -> str:
    """Take the words out of the box that tyro draws."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", box)
    rows = [re.sub(r"^[\s│╭╰─╮╯|]+|[\s│╭╰─╮╯|]+$", "", row) for row in text.splitlines()]
    kept = [
        row for row in rows if row and not row.startswith(("For full helptext", "Parsing error", "Invalid", "Required"))
    ]
    return " ".join(" ".join(kept).split())[:300] or "the arguments cannot be read"


def spread(arguments: Sequence[str], flags: Sequence[str]) -> list[str]:
    """Arguments with a flag before each of its words: ``--toward a=1 b=2`` is ``--toward a=1 --toward b=2``.

    Args:
        arguments: as they came.
        flags: names of flags that take several words.

    Raises:
        SettingsError: if such a flag has no word behind it.
    """
    names, found, current = {f"--{flag}" for flag in flags}, list[str](), ""
    for word, after in zip(arguments, [*arguments[1:], "-"], strict=False):
        if word in names and after.startswith("-") and not after[1:2].isdigit():
            raise SettingsError(f"{word} takes at least one word behind it, and there is none")
        if word.startswith("-") and not word[1:2].isdigit():
            current = word if word in names else ""
            found += [] if current else [word]
        else:
            found += [current, word] if current else [word]
    return found


def named(arguments: Sequence[str]) -> set[str]:
    """Names of the fields whose flags stand among arguments: an option that is not there is left to its method."""
    flags = (word.split("=", 1)[0][2:].replace("-", "_") for word in arguments if word.startswith("--"))
    return {name for flag in flags for name in (flag, flag.removeprefix("no_"))}


def pairs(words: Sequence[str], *, flag: str, bare: bool = False) -> Mapping[str, object]:
    """Read ``name=value`` words of a flag; a name may end with the sign of its relation (``qed+=0.1``, ``y!=A``).

    Args:
        words: what followed the flag.
        flag: for messages.
        bare: take a name alone, which means yes.

    Raises:
        SettingsError: if a word is not of that form, or a name comes twice.
    """
    found: dict[str, object] = {}
    for word in words:
        key, sign, value = word.partition("=")
        if bare and not sign and key:
            found[key] = True
            continue
        if not sign or not key or not value:
            raise SettingsError(f"{flag} takes name=value, got {word!r}; for example {flag} binds=YLQPRTFLL")
        if key in found:
            raise SettingsError(f"{flag} {key} is given twice, as {found[key]!r} and {value!r}")
        found[key] = value
    return found
