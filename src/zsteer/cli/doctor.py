"""``zsteer doctor``: what this machine and this installation can do."""

import json
import os
import platform
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from zsteer.cli.parse import parse
from zsteer.core import catalog
from zsteer.errors import ZsteerError

__all__ = ["run"]

CORE = ("torch", "numpy", "scipy", "safetensors", "huggingface_hub", "pydantic", "tyro")
EXTRAS = {"olga-compute_pgen": "optional: generation probability (pip install olga; GPL-3, a separate program)"}


@dataclass(frozen=True)
class Doctor:
    """Look at this machine and this installation; exit status 2 if something needed is missing or damaged."""

    json: bool = False
    """Print JSON."""


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _checks() -> list[tuple[str, str, str]]:
    """Rows of (what, state, detail); state is ok, note or bad."""
    rows = [("python", "ok" if sys.version_info >= (3, 11) else "bad", platform.python_version())]
    for package in CORE:
        version = _version(package)
        rows.append((package, "ok" if version else "bad", version or "missing; run: pip install zsteer"))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    busy = load > cores
    rows.append(
        ("cores", "note" if busy else "ok", f"{cores}, load {load:.1f}" + ("; busy, expect slow runs" if busy else ""))
    )
    import torch

    cuda = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none; models run on the CPU"
    rows.append(("gpu", "ok", cuda))
    data = os.environ.get("ZSTEER_DATA")
    where = (
        "not set; pass --data to train and bench"
        if not data
        else data
        if Path(data).is_dir()
        else f"{data} is no folder"
    )
    rows.append(("ZSTEER_DATA", "ok" if data and Path(data).is_dir() else "bad" if data else "note", where))
    from zsteer.core.artifact import read_artifact

    for name, path in catalog.shipped().items():
        try:
            size = sum(tensor.numel() for tensor in read_artifact(path).tensors.values())
            rows.append((name, "ok", f"{size:,} numbers"))
        except ZsteerError as error:
            rows.append((name, "bad", str(error)))
    for program, purpose in EXTRAS.items():
        rows.append((program, "ok" if shutil.which(program) else "note", purpose))
    return rows


def run(arguments: Sequence[str]) -> int:
    """Run ``zsteer doctor``."""
    command = parse(Doctor, arguments, name="doctor")
    rows = _checks()
    if command.json:
        print(json.dumps([{"what": what, "state": state, "detail": detail} for what, state, detail in rows]))
    else:
        for what, state, detail in rows:
            print(f"  {state:<5} {what:<16} {detail}")
    return 2 if any(state == "bad" for _, state, _ in rows) else 0
