"""Every error that zsteer raises on purpose, in one tree.

    ZsteerError                what a user can meet; one line: what, where, what to do
    |-- InputError             a file, row, value or name that cannot be used
    |-- OutputError            something cannot be written, or would be overwritten
    |-- SettingsError          a recipe, flag or setting that does not exist or does not fit
    |-- ArtifactError          a model folder that is missing, damaged or of another kind
    |-- CapabilityError        a model is asked for something that it cannot do
    |-- RefusedError           a result would be worthless; the message names the figure and the override
    |-- BudgetExhaustedError   the allowed number of oracle calls is used up
    |-- ScoringError           an oracle or its workers failed
    |-- ContractError          a model breaks a contract that it declares
    |-- DivergenceError        training produced values that are not finite, twice
    `-- MissingExtraError      an optional package is not installed

The command line prints the message and exits with 2; ``--debug`` shows the traceback.
This module imports nothing of zsteer.
"""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "ArtifactError",
    "BudgetExhaustedError",
    "CapabilityError",
    "ContractError",
    "DivergenceError",
    "InputError",
    "MissingExtraError",
    "OutputError",
    "RefusedError",
    "ScoringError",
    "SettingsError",
    "ZsteerError",
    "nearest",
]


class ZsteerError(Exception):
    """Base of all errors that zsteer raises on purpose."""


class InputError(ZsteerError):
    """A file, row, value or name that cannot be used."""


class OutputError(ZsteerError):
    """Something cannot be written, or would be overwritten."""


class SettingsError(ZsteerError):
    """A recipe, flag or setting that does not exist or does not fit."""


class ArtifactError(ZsteerError):
    """A model folder that is missing, damaged or of another kind."""


class CapabilityError(ZsteerError):
    """A model is asked for something that it cannot do."""


class RefusedError(ZsteerError):
    """A result would be worthless; the message names the figure and the override."""


class BudgetExhaustedError(ZsteerError):
    """The allowed number of oracle calls is used up."""


class ScoringError(ZsteerError):
    """An oracle or its workers failed."""


class ContractError(ZsteerError):
    """A model breaks a contract that it declares."""


class DivergenceError(ZsteerError):
    """Training produced values that are not finite, twice."""


class MissingExtraError(ZsteerError):
    """An optional package is not installed; ``extra`` is None for a program that is no dependency of zsteer."""

    def __init__(self, package: str, extra: str | None, purpose: str) -> None:
        what = package if extra is None else f"'zsteer[{extra}]'"
        super().__init__(f"{purpose} needs {package}, which is not installed; run: pip install {what}")


def nearest(name: str, known: Iterable[str], *, what: str) -> str:
    """Say that a name is unknown, with the nearest right one.

    Args:
        name: what the user wrote.
        known: the names that exist.
        what: the kind of thing, for example ``"recipe"``.

    Returns:
        One line, for example ``unknown recipe 'tcr-dwea'; did you mean 'tcr-dwae'?``
    """
    options = sorted(known)
    # Upper and lower case are compared alike: a peptide typed in lower case is still near.
    by_fold = {option.casefold(): option for option in options}
    close = get_close_matches(name.casefold(), by_fold, n=1, cutoff=0.5)
    if close:
        return f"unknown {what} {name!r}; did you mean {by_fold[close[0]]!r}?"
    listing = ", ".join(options[:12]) + (", ..." if len(options) > 12 else "")
    return f"unknown {what} {name!r}; expected one of: {listing}" if options else f"unknown {what} {name!r}; none exist"
