"""The type checker that tests lay over zsteer: beartype on every annotated function, with jaxtyping's shapes.

pytest's option ``--jaxtyping-packages=zsteer,shapes.typechecked`` names it. jaxtyping hands over functions one by
one, and beartype knows ``Self`` only when it is given the whole class, so ``Self`` is read as ``Any`` here; pyright
checks it. A whole number is a float, as PEP 484 has it and pyright holds.
"""

from collections.abc import Callable
from typing import Any, Self, TypeVar

from beartype import BeartypeConf, beartype

F = TypeVar("F", bound=Callable[..., Any])
CONF = BeartypeConf(is_pep484_tower=True)


def typechecked(function: F) -> F:
    """Check a function's arguments and result against its annotations whenever it is called."""
    annotations = getattr(function, "__annotations__", {})
    for name, hint in annotations.items():
        if hint is Self or "typing.Self" in repr(hint):
            annotations[name] = Any
    checked: F = beartype(conf=CONF)(function)
    return checked
