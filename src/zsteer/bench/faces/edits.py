"""Smile, age and wave at once: error, leak and likeness to the true edit, by the number and the bias of labels."""

from collections.abc import Callable, Sequence
from typing import Any

from zsteer.bench.faces.judged import COLUMNS, STEERED, Faces, Remembered, edited, labels_of, shipped
from zsteer.core.batch import Batch
from zsteer.core.rng import Streams
from zsteer.domains.images.faces import FACTORS
from zsteer.evaluate.report import Cell, Table
from zsteer.train.threads import threads_of

__all__ = ["naive", "tables"]

KINDS = ((100, 0.0), (100, 0.8), (30, 0.0), (10, 0.0), (30, 0.8), (100, 0.95))
"""Labels and the correlation of their factors."""
Watch = Callable[[dict[str, Any]], None]


def tables(*, quick: bool, watch: Watch) -> Sequence[Table]:
    """Edits by heads of 10, 30 and 100 labels, and of labels whose factors go together.

    Args:
        quick: 20 faces instead of 100, and labels of two kinds.
        watch: called with progress.
    """
    with threads_of(1):
        model, faces = shipped(20 if quick else 100)
        known = Remembered(model)
        code = known.encode(faces.x, Streams.of(0, len(faces.factors)))
        rows: list[list[Cell]] = [
            faces.row("null: the unedited face", faces.x),
            faces.row("null: zero edit (reconstruction)", known.decode(code, Streams.of(0, len(faces.factors)))),
        ]
        for count, correlation in KINDS[:2] if quick else KINDS:
            labelled = labels_of(count, correlation)
            label = f"{count} labels" + (f", correlated {correlation:g}" if correlation else "")
            watch({"doing": label})
            rows.append(faces.row(label, edited(known, faces.ask, labelled, model.heads)))
            if count == 100 and not correlation:
                one = edited(known, faces.ask, labelled, model.heads, rounds=0)
                rows.append(faces.row(f"{label}, one step", one))
                free = edited(known, faces.ask, labelled, model.heads, rest=False)
                rows.append(faces.row(f"{label}, nothing held", free))
            if count != 10:
                rows.append(faces.row(f"{label}, naive direction", naive(known, faces, labelled)))
    notes = [
        f"{len(faces.factors)} held-out faces; wanted values 0.1 ... 0.9, ten triples; a factor goes from 0 to 1",
        "heads: ridge on the labels alone; corrected once by what they read of the result; the reader only judges",
        "naive direction: difference of the means above and below the median, no hold",
        "correlated: smile with open mouth, age with tone, wave with length of the hair (normal copula)",
    ]
    return [Table("Smile, age and wave at once, nine factors held", COLUMNS, rows, notes)]


def naive(model: Remembered, faces: Faces, labelled: Batch) -> Batch:
    """Each steered factor moved along the difference of the class means, one after another; nothing is held."""
    examples, values = Batch({"x": labelled["x"]}), labelled["factors"].double()
    z = model.read(examples, Streams.of(0, len(examples)))["z"].double()
    code = model.encode(faces.x, Streams.of(0, len(faces.factors)))
    now = code["z"].double()
    for k, name in enumerate(STEERED):
        y = values[:, FACTORS.index(name)]
        above = y > y.median()
        w = z[above].mean(0) - z[~above].mean(0)
        along = z @ w
        slope = ((along - along.mean()) * (y - y.mean())).sum() / (along - along.mean()).square().sum()
        read = y.mean() + slope * (now @ w - along.mean())
        now = now + ((faces.wanted[:, k].double() - read) / (slope * (w @ w)))[:, None] * w
    return model.decode({**code, "z": now.to(code["z"])}, Streams.of(0, len(now)))
