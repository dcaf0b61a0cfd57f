"""Reading YAML that people write: one mapping of texts, each key once, and one line for whatever else comes."""

from pathlib import Path
from typing import Any

import yaml

from zsteer.errors import InputError

__all__ = ["read_mapping"]

LARGEST = 1_000_000
"""Bytes of a file that is read at all."""


class _Loader(yaml.SafeLoader):
    """The safe loader, where a key that stands twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - theirs
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.YAMLError(
                    f"the key {key.value!r} stands there twice, again in line {key.start_mark.line + 1}"
                )
            if isinstance(key, yaml.ScalarNode):
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_mapping(path: Path) -> dict[str, Any]:
    """Keys and values of a YAML file.

    Raises:
        InputError: if it is not there, cannot be read, is no mapping, or has a key that is no text or stands twice.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise InputError(f"{path} has over {LARGEST:,} bytes, too many for a recipe")
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a safe loader
    except FileNotFoundError:
        raise InputError(f"there is no recipe file {path}") from None
    except RecursionError:
        raise InputError(f"{path} cannot be read: it is nested too deep") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError, TypeError) as error:
        raise InputError(f"{path} cannot be read: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(values, dict):
        raise InputError(f"{path} should hold keys and values, got {type(values).__name__}")
    strange = [key for key in values if not isinstance(key, str)]
    if strange:
        raise InputError(f"{path}: expected a text as key, got {strange[0]!r}")
    return values
