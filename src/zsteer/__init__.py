"""Train, sample, steer and evaluate deep generative models.

The public names are imported when they are first used, so that ``import zsteer`` costs nothing.
"""

from typing import TYPE_CHECKING, Any

from zsteer.core import version

__version__ = version.VERSION

if TYPE_CHECKING:
    from zsteer.api import Loaded, evaluate, fit, load, sample, steer
    from zsteer.contract import check

__all__ = ["Loaded", "__version__", "check", "evaluate", "fit", "load", "sample", "steer"]

_HOMES = {
    "Loaded": "zsteer.api",
    "check": "zsteer.contract",
    "evaluate": "zsteer.api",
    "fit": "zsteer.api",
    "load": "zsteer.api",
    "sample": "zsteer.api",
    "steer": "zsteer.api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'zsteer' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
