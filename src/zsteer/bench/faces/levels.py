"""Which level of the net and which times carry which factor: edits that are shown to one of them alone."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.bench.faces.judged import Faces, shipped
from zsteer.core.rng import Streams
from zsteer.domains.images.faces import FACTORS
from zsteer.evaluate.report import Cell, Table
from zsteer.maths.directions import joint_step
from zsteer.models.diffae.diffae import DiffAE, View
from zsteer.train.threads import threads_of

__all__ = ["tables"]

Watch = Callable[[dict[str, Any]], None]
CLAIM = 0.7
"""Share of a factor's change above which one place counts as its carrier."""
STEP = 0.4
WINDOWS = ((0.0, 0.35), (0.35, 0.7), (0.7, 1.0))


def tables(*, quick: bool, watch: Watch) -> Sequence[Table]:
    """Levels and times by factor.

    Args:
        quick: 10 faces instead of 40.
        watch: called with progress.
    """
    with threads_of(1):
        model, faces = shipped(10 if quick else 40)
        levels = {f"level {k}": model.within(levels=(k,)) for k in range(model.settings.levels)}
        windows = {f"times {low:g}-{high:g}": model.within(window=(low, high)) for low, high in WINDOWS}
        watch({"doing": "levels"})
        first = _table("Share of a factor's change at one level of the net alone", model, faces, levels)
        watch({"doing": "times"})
        return [first, _table("Share of a factor's change within a window of times alone", model, faces, windows)]


def _table(title: str, model: DiffAE, faces: Faces, views: dict[str, View]) -> Table:
    whole = _changes(model, model.within(), faces)
    each = {name: _changes(model, view, faces) for name, view in views.items()}
    own = whole.diagonal()
    rows: list[list[Cell]] = []
    for k, factor in enumerate(FACTORS):
        shares = [float(change[k, k] / own[k]) for change in each.values()]
        best = max(range(len(shares)), key=lambda i: shares[i])
        carried = f"{list(views)[best]} carries it" if shares[best] > CLAIM else "no claim"
        rows.append([factor, float(own[k]), *shares, carried])
    order = torch.roll(torch.arange(len(FACTORS)), 1)
    null = [float((change[torch.arange(len(FACTORS)), order].abs() / own).mean()) for change in each.values()]
    rows.append(["null: another factor's reading, mean", "", *null, ""])
    notes = [
        f"each factor moved by {STEP} in {len(faces.factors)} faces by the stored heads; change as the reader sees it",
        f"a claim only above {CLAIM:.0%} of the change that the whole net makes; shares need not add up to 1",
    ]
    return Table(title, ["factor", "change, all", *views, "claim"], rows, notes)


def _changes(model: DiffAE, view: View, faces: Faces) -> Float[Tensor, "12 12"]:
    """Mean change of each reading (column) when each factor is moved (row), towards the middle of its range."""
    streams, heads = Streams.of(0, len(faces.factors)), model.heads
    if heads is None:
        return torch.zeros(len(FACTORS), len(FACTORS))
    code = view.encode(faces.x, streams)
    directions, found = heads.directions(FACTORS), list[Tensor]()
    for k in range(len(FACTORS)):
        sign = torch.where(faces.factors[:, k] < 0.5, 1.0, -1.0).double()
        change = torch.zeros(len(sign), len(FACTORS), dtype=torch.float64)
        change[:, k] = STEP * sign
        z = code["z"].double() + joint_step(directions, change, heads.covariance, 1e-6)
        x = view.decode({**code, "z": z.to(code["z"])}, streams)
        found.append(((faces.reader.read(x["x"]) - faces.before) * sign[:, None]).mean(0))
    return torch.stack(found)
