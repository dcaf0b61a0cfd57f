"""Models of the kinds that do not ship, trained at the smallest size for the matrix."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from zsteer.api import fit
from zsteer.core.rng import Streams
from zsteer.domains.tables import files as tables
from zsteer.errors import ZsteerError

__all__ = ["trained_models"]

IMAGES = ("vae", "wae-mmd", "wae-gan", "gan", "wgan", "rbm", "segments-diffusion")
TABLES = ("vae", "wae-mmd", "gan", "ddpm")
SEQUENCES = ("tcr-diffusion", "rbm-tcr")


def trained_models(folder: Path, data: Path | None, watch: Callable[[dict[str, Any]], None]) -> dict[str, Path]:
    """Train one model of each recipe that ships none.

    Args:
        folder: where the runs go.
        data: the data folder; without any, only the tables, which are made here.
        watch: called with progress.

    Returns:
        Name -> run folder.
    """
    table = folder / "rows.csv"
    tables.write(table, _rows(), overwrite=True)
    likes = Path(__file__).parents[4] / "examples" / "likes.csv"
    jobs: list[tuple[str, str, Path | None]] = [(f"{name} of a table", name, table) for name in TABLES]
    if data is not None:
        jobs += [(f"{name} of Fashion-MNIST", name, data) for name in IMAGES]
        jobs += [(f"{name} of receptors", name, data) for name in SEQUENCES]
        jobs.append(("edm of QM9", "edm", data))
    if likes.is_file():
        jobs.append(("rbm-ratings of likes", "rbm-ratings", likes))
    found: dict[str, Path] = {}
    for title, recipe, source in jobs:
        watch({"doing": f"training {title}"})
        out = folder / title.replace(" ", "-")
        keys: dict[str, Any] = {"size": "xs"}
        if recipe == "rbm-ratings":
            keys |= {"test": 0.0, "decay": 2.0}
        if recipe in TABLES and source == table:
            keys["dataset"] = "own"
        try:
            fit(recipe, out=out, data=source, device="cpu", **keys)
        except ZsteerError as error:
            watch({"doing": f"{title} was not trained: {error}"})
            continue
        found[title] = out / "artifact"
    return found


def _rows() -> dict[str, Any]:
    """A table of two clusters in three columns."""
    rng = Streams.of(0, 2000)
    noise = rng.normal("rows", (3,)).double().numpy()
    side = np.where(rng.uniform("side").numpy() < 0.5, -1.0, 1.0)
    return {"a": 2 * side + 0.5 * noise[:, 0], "b": side + noise[:, 1], "c": noise[:, 0] + 0.3 * noise[:, 2]}
