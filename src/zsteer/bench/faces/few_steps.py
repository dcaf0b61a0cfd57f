"""Few steps on Fashion-MNIST: one to twenty calls of the shipped diffusion model, in a Frechet distance."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from zsteer.bench.diffusion.judging import QUICK_TEST, drawn, shipped_model
from zsteer.errors import CapabilityError
from zsteer.evaluate.features import frechet, frechet_name
from zsteer.evaluate.report import Cell, Table
from zsteer.kits.images.kit import shipped_features
from zsteer.recipes.sets import load_set
from zsteer.train.threads import threads_of

__all__ = ["tables"]

Watch = Callable[[dict[str, Any]], None]
WALKS: Sequence[tuple[str, str, int]] = (
    ("multistep2", "log_snr", 20),
    ("multistep2", "log_snr", 4),
    ("multistep2", "karras", 4),
    ("multistep2", "time", 4),
    ("corrected", "log_snr", 4),
    ("corrected", "karras", 4),
    ("multistep3", "karras", 4),
    ("ddim", "time", 1),
)


def tables(*, data: Path, quick: bool, watch: Watch) -> Sequence[Table]:
    """Four calls and one beside twenty.

    Args:
        data: the data folder.
        quick: 100 samples instead of 500, and fewer walks.
        watch: called with progress.

    Raises:
        CapabilityError: if the shipped feature net is not there.
    """
    features = shipped_features()
    if features is None:
        raise CapabilityError("this part compares images in the features of the shipped net, which is not here")
    model, n = shipped_model(), 100 if quick else 500
    with threads_of(1):
        test = load_set("fashion-mnist", data).test
        real = features.features(test.take(slice(QUICK_TEST if quick else len(test))))
        rows: list[list[Cell]] = []
        for solver, spacing, steps in WALKS[:3] if quick else WALKS:
            watch({"doing": f"{solver}, {spacing}, {steps} calls"})
            made, _, spent = drawn(model, n, {"solver": solver, "spacing": spacing, "steps": steps})
            distance = float(frechet(features.features(made), real))
            first = distance if not rows else float(str(rows[0][3]))
            rows.append([solver, spacing, steps, round(distance, 2), f"{distance / first - 1:+.0%}", 1000 * spent / n])
    columns = ["solver", "spacing", "calls", frechet_name(features.tensors()), "to 20 calls", "CPU-ms a sample"]
    notes = [f"{n} samples of all classes against test images, the same noise; 1,000 calls: bench diffusion quality"]
    return [Table("Few steps on Fashion-MNIST", columns, rows, notes)]
