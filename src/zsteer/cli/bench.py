"""``zsteer bench``: print the table of a topic and keep it as JSON."""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from zsteer.bench import BENCHMARKS, IN_PARTS, benchmark
from zsteer.cli.parse import parse
from zsteer.cli.show import Progress
from zsteer.errors import InputError, SettingsError

__all__ = ["run"]


@dataclass(frozen=True)
class Bench:
    """Print the benchmark table of a topic and write it as JSON: zsteer bench tcr --quick.

    Topics: classical (RBMs, ratings, autoencoders, GANs, distances), diffusion, edit (codes moved), faces (drawn faces
    edited), loop (the training loop), matrix (every method on every model), molecules, scale (large files), segments
    (the lecture's two), tcr (receptor engineering).
    """

    quick: bool = False
    """A smaller run, whose figures mean less."""
    models: Path | None = None
    """Folder with trained models (tcr, diffusion --part multinomial, molecules --part drugs); shipped ones or new ones
    when absent."""
    data: Path | None = None
    """Folder of the data; ZSTEER_DATA when absent; without any, templates are synthetic."""
    part: str | None = None
    """One part of classical (autoencoders, distances, gan, ratings, rbm), diffusion (speed, peers, quality, latency,
    guidance, properties, truth, likelihood, inversion, multinomial), faces (edits, rivals, codes, levels, latency,
    pixel-faces, few-steps) or molecules (kernel, cost, evaluator, quality,
    drugs, conditions); written to NAME-PART.json."""
    peer: Path | None = None
    """Folder with a checkout of ehoogeboom/e3_diffusion_for_molecules (molecules --part kernel); its code is run."""
    out: Path = Path("benchmarks/results")
    """Folder for NAME.json."""
    threads: int | None = None
    """Threads; all cores when absent."""
    json: bool = False
    """Print JSON."""


def run(arguments: Sequence[str]) -> int:
    """Run ``zsteer bench``."""
    words = list(arguments)
    if not words or words[0].startswith("-"):
        if words and words[0] in {"-h", "--help"}:
            parse(Bench, words, name="bench")
        raise SettingsError(f"zsteer bench needs a topic first: {', '.join(BENCHMARKS)}")
    name = words.pop(0)
    function = benchmark(name)
    command = parse(Bench, words, name=f"bench {name}")
    if command.models is not None and not command.models.is_dir():
        raise InputError(f"--models: there is no folder {command.models}")
    import torch

    from zsteer.train.threads import MOST_THREADS

    if command.threads is not None:
        if not 1 <= command.threads <= MOST_THREADS:
            raise SettingsError(f"--threads: expected 1 to {MOST_THREADS}, got {command.threads}")
        torch.set_num_threads(command.threads)
    options: dict[str, Any] = {"quick": command.quick}
    with Progress(f"bench {name}", quiet=command.json) as progress:
        if name != "loop":
            data = command.data or (Path(os.environ["ZSTEER_DATA"]) if os.environ.get("ZSTEER_DATA") else None)
            options |= {"data": data, "watch": progress.update}
        if name == "molecules":
            options["peer"] = command.peer
        elif command.peer is not None:
            raise SettingsError(f"the topic {name} takes no --peer; leave it away")
        if name in {"tcr", "diffusion", "molecules"}:
            options["models"] = command.models
        elif command.models is not None:
            raise SettingsError(f"the topic {name} takes no --models; leave it away")
        if name in IN_PARTS:
            options["part"] = command.part
        elif command.part is not None:
            raise SettingsError(f"the topic {name} has no parts; leave --part away")
        report = function(**options)
    # Folders of this machine are nobody's business: a path is kept by its last part.
    plain = " ".join(Path(word).name if "/" in word else word for word in words)
    kept = report.to_dict() | {"command": f"zsteer bench {name} {plain}".strip(), "made": _circumstances()}
    from zsteer.core.files import new_file

    file = name if command.part is None else f"{name}-{command.part}"
    goal = command.out / f"{file}{'-quick' if command.quick else ''}.json"
    with new_file(goal, overwrite=True) as partial:
        partial.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(kept) if command.json else report.text() + f"\nkept in {goal}")
    return 0


def _circumstances() -> dict[str, object]:
    """Version, commit and machine, without names of hosts or folders."""
    import torch

    from zsteer.core.version import VERSION

    here = Path(__file__).parent
    found = subprocess.run(
        ["git", "-C", str(here), "rev-parse", "--short", "HEAD"],  # noqa: S607 - git of the PATH, if there is one
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "zsteer": VERSION,
        "commit": found.stdout.strip() or "not a checkout",
        "date": datetime.now(UTC).date().isoformat(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
    }
