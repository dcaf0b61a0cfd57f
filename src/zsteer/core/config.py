"""``config.json`` of an artifact folder: kind, settings, origin and the SHA-256 of every file. Imports no torch."""

import json
from pathlib import Path
from typing import Any

from zsteer.errors import ArtifactError

__all__ = ["CONFIG", "FORMAT", "read_config"]

FORMAT = 1
CONFIG = "config.json"
_TYPES = {"format": int, "kind": str, "settings": dict, "files": dict}


def read_config(folder: Path) -> dict[str, Any]:
    """Read and check ``config.json`` of an artifact folder, without its weights.

    Raises:
        ArtifactError: if the folder, or the file, is missing, damaged or of a later format.
    """
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"{folder} is not an artifact folder: it has no {CONFIG}") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ArtifactError(f"{path} cannot be read ({error}); fetch or train the artifact again") from error
    if not isinstance(config, dict) or not all(isinstance(config.get(name), cls) for name, cls in _TYPES.items()):
        raise ArtifactError(f"{path} is not a zsteer config: expected the keys {', '.join(_TYPES)}; fetch it again")
    if not isinstance(config.get("origin", {}), dict):
        raise ArtifactError(f"{path}: expected an object under origin; fetch or train the artifact again")
    if isinstance(config["format"], bool) or config["format"] < 1:
        raise ArtifactError(f"{path}: expected a format of 1 or more, got {config['format']}; fetch it again")
    if config["format"] > FORMAT:
        raise ArtifactError(f"{folder} has format {config['format']}, this zsteer reads up to {FORMAT}; update zsteer")
    return config
