"""Train, sample, steer and evaluate deep generative models.

The public names are imported when they are first used, so that ``import zsteer`` costs nothing.
``zsteer.sample``, ``steer`` and ``evaluate`` are folders and verbs at once: the package of that name can be called, and
a call goes to the function of ``zsteer.api``.
"""

import builtins
import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from zsteer.core import version

__version__ = version.VERSION

if TYPE_CHECKING:
    from zsteer.api import Loaded, evaluate, fit, load, property, sample, steer  # noqa: A004 - a public name
    from zsteer.contract import check

__all__ = ["Loaded", "__version__", "check", "evaluate", "fit", "load", "property", "sample", "steer"]

_HOMES = {
    "Loaded": "zsteer.api",
    "check": "zsteer.contract",
    "evaluate": "zsteer.api",
    "fit": "zsteer.api",
    "load": "zsteer.api",
    "property": "zsteer.api",
    "sample": "zsteer.api",
    "steer": "zsteer.api",
}


_VERBS = ("evaluate", "sample", "steer")
"""Names that are packages too; importing anything below one binds the package to the name."""


class _Verb(ModuleType):
    """A package that can be called."""

    @builtins.property  # zsteer.property is a name of ours
    def __wrapped__(self) -> Callable[..., Any]:
        return getattr(import_module("zsteer.api"), self.__name__.removeprefix("zsteer."))

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self.__wrapped__(*arguments, **options)


class _Zsteer(ModuleType):
    """This module; it makes the packages of ``_VERBS`` callable when they are bound."""

    def __setattr__(self, name: str, value: object) -> None:
        if name in _VERBS and isinstance(value, ModuleType):
            value.__class__ = _Verb
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Zsteer


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'zsteer' has no attribute {name!r}")
    if name in _VERBS:
        return import_module(f"zsteer.{name}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
